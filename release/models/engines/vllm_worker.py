"""The program that holds vLLM, run by a Python that has it: that one has other versions of torch than this project's.

So nothing of this project is imported here. Standard input brings one JSON a line: how to load, then prompts as token
ids; standard output gives one JSON a line: what was loaded, then an answer's token ids each. It ends with its input.
"""

import json
import os
import platform
import queue
import sys
import threading
from importlib import metadata
from typing import Any

SET = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that what is batched with what does not change
    "VLLM_NO_USAGE_STATS": "1",  # it reports usage otherwise
    "HF_HUB_OFFLINE": "1",
}
CPU_CACHE = "4"  # GiB for what was read already, on a processor: else vLLM wants nearly all memory, or does not start
INVARIANT_FROM = (8, 0)  # the compute capability from which vLLM has batch invariance (its documentation)


def main() -> None:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as pipe:
        os.dup2(2, 1)  # vLLM prints

        def send(value: dict[str, Any]) -> None:
            pipe.write(json.dumps(value) + "\n")
            pipe.flush()

        lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=_listen, args=(lines,), daemon=True).start()
        try:
            _serve(lines, send)
        except Exception as error:
            send({"failed": f"{type(error).__name__}: {error}"})
            raise


def _listen(lines: "queue.Queue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        lines.put(json.loads(line))
    os._exit(0)  # whoever asks has gone, or has all answers; vLLM may be busy


def _serve(lines: "queue.Queue[dict[str, Any]]", send: Any) -> None:
    asked = lines.get()
    invariant = _set_up(asked["seed"])
    import vllm
    from vllm.inputs import TokensPrompt
    from vllm.lora.request import LoRARequest
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

    if (wanted := asked["llm"].get("quantization")) and wanted not in QUANTIZATION_METHODS:
        send({"lacks": wanted, "version": vllm.__version__})
        return
    model = vllm.LLM(**asked["llm"])
    send({"versions": _versions(), "packages": _packages(), "batch_invariant": invariant})
    limits = {"max_tokens": asked["max_tokens"], "stop_token_ids": asked["ends"], "seed": asked["seed"]}
    while True:
        question = lines.get()
        # A constraint is kept in the parameters, which each batch gets anew.
        parameters = vllm.SamplingParams(temperature=0, detokenize=False, **limits, **_constraint(asked["schema"]))
        lora = LoRARequest("adapter", 1, asked["adapter"]) if question["adapted"] and asked["adapter"] else None
        prompts = [TokensPrompt(prompt_token_ids=ids) for ids in question["prompts"]]
        for found in model.generate(prompts, parameters, use_tqdm=False, lora_request=lora):
            (one,) = found.outputs
            send({"ids": list(one.token_ids), "finish_reason": one.finish_reason})


def _set_up(seed: int) -> bool:
    """Whether answers do not depend on what else is in a batch; set before vLLM is imported, which reads it once."""
    import torch

    torch.manual_seed(seed)
    invariant = torch.cuda.is_available() and torch.cuda.get_device_capability() >= INVARIANT_FROM
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE)
    os.environ.update(SET | {"VLLM_BATCH_INVARIANT": str(int(invariant))})
    return invariant


def _constraint(schema: object) -> dict[str, Any]:
    from vllm.sampling_params import StructuredOutputsParams

    return {"structured_outputs": StructuredOutputsParams(json=schema)} if schema is not None else {}


def _versions() -> dict[str, str]:
    there = _packages()
    names = ("vllm", "vllm-cpu", "torch", "transformers", "tokenizers", "xgrammar")
    return {"python": platform.python_version(), **{name: there[name] for name in names if name in there}}


def _packages() -> dict[str, str]:
    return {one.name.lower(): one.version for one in sorted(metadata.distributions(), key=lambda one: one.name)}


if __name__ == "__main__":
    main()
