"""Answers with vLLM, in a process of a Python that has it: greedily, asked by token ids, with a LoRA or merged.

vLLM demands other versions of torch and transformers than this project's, so the two share no environment.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gates import Output
from gates.shown import counted
from release.config import forms
from release.config.settings import Form
from release.models import loading
from release.models.engines import vllm_worker
from release.models.engines.engine import Asked, Opened, Prompt
from release.models.exports import files
from release.running import child, environment, machine
from release.running.tied import inherited as locks
from release.running.tied import tied
from release.values import layout, lora_settings
from release.values.errors import ConfigError, PreflightError, shown

PYTHON = "ADAPTER_RELEASE_VLLM"
"""Names the Python that has vLLM, where this one has not."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for (its MaxLoRARanks)
LENIENT = {"x-guidance": {"lenient": True}}
"""Lets llguidance pass over what no grammar can say, such as uniqueItems: the gates still ask for it."""
SHOWN = 500  # characters of vLLM's own message; its longest list a whole configuration


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A vLLM with a base in it."""

    process: "subprocess.Popen[str]"

    def send(self, value: Mapping[str, object]) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `heard` says why it has ended
            self.process.stdin.write(json.dumps(value) + "\n")
            self.process.stdin.flush()

    def heard(self) -> dict[str, object]:
        """The next that it says; ``PreflightError`` where it says why it cannot go on, or ends."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        said: dict[str, object] = json.loads(line) if line else {"failed": f"it ended with {self.process.wait()}"}
        if "failed" in said:
            raise PreflightError(
                f"vLLM cannot answer: {str(said['failed'])[:SHOWN]}\nThe log of this form has all that it said. "
                "Nothing is known of the adapter in this form, and nothing was published. Use a version of vLLM and a "
                "card that can load this base with a LoRA, or take this form out of serving."
            )
        if "lacks" in said:
            raise PreflightError(
                f"vLLM {said['version']} has no {said['lacks']}, so this adapter cannot lie over an NF4 base there. "
                "Write base: unquantized in this form, or merged: true, which is made of the de-quantized NF4 base."
            )
        return said


@contextmanager
def opened(asked: Asked) -> Iterator[Opened]:
    """A vLLM with the base, or with base and adapter merged, until the block ends."""
    lora_settings.read(asked.adapter)  # vLLM does what these say
    with subprocess.Popen(
        tied([python(), "-I", vllm_worker.__file__]),  # -I: no PYTHONPATH, which names this project's packages
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={name: value for name, value in os.environ.items() if name != child.NOT_COMPILED},  # vLLM compiles
        **locks(),
    ) as process:
        try:
            worker, loaded = Worker(process=process), how(asked)
            worker.send({"llm": loaded, **_told(asked)})
            ready = worker.heard()
            yield Opened(
                loaded={**_recorded(asked, loaded), "batch_invariant": ready["batch_invariant"]},
                alone=None if asked.form.merged else partial(answers, asked, worker, False),
                adapted=lambda: partial(answers, asked, worker, True),
                ran_on=lambda: {
                    "hardware": environment.hardware(),
                    "versions": ready["versions"],
                    "packages": ready["packages"],
                },
            )
        finally:
            process.kill()
            process.communicate()  # closes both pipes, whatever is left in them


def lacking(form: Form) -> str:
    """Why vLLM cannot be asked here; empty where it can."""
    cards = form.tensor_parallel_size
    if cards and cards > (there := machine.visible()):
        return (
            f"tensor_parallel_size is {cards}, and {counted(there, 'card')} can be used here. Lower it or take it out, "
            f"or name more cards in {machine.VISIBLE}."
        )
    asked = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        named = python()
        done = subprocess.run([named, "-c", asked], capture_output=True, check=False, timeout=60)
    except ConfigError as error:
        return str(error)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{PYTHON} cannot be run: {error}. Name the Python that has vLLM."
    return f"{shown(named)} is a Python without vLLM. Name one that has it as {PYTHON}." if done.returncode else ""


def python() -> str:
    """The Python that has vLLM; ``ConfigError`` where there is none."""
    if named := os.environ.get(PYTHON):
        if Path(named).exists():
            return named
        raise ConfigError([f"{PYTHON} is {shown(named)}, which is not there. Name the Python that has vLLM."])
    if importlib.util.find_spec("vllm") is not None:
        return sys.executable
    text = (
        "vllm is not installed here, and cannot be: it demands other versions of torch than training does. Give it an "
        "environment of its own, and name its Python:\n"
        "  uv venv ~/vllm && uv pip install --python ~/vllm vllm==0.33.0\n"
        f"  export {PYTHON}=~/vllm/bin/python"
    )
    raise ConfigError([text])


def how(asked: Asked) -> dict[str, object]:
    """How vLLM loads what is asked, in its own names."""
    adapter, form = asked.settings.adapter, asked.form
    said = loading.loaded_as(adapter, forms.precision(form, adapter), to_merge=form.merged)
    common: dict[str, object] = {
        "model": str(asked.exports / files.merged(form, adapter) if form.merged else asked.base),
        "tokenizer": str(asked.adapter),
        "dtype": said.dtype,
        "seed": asked.settings.run.seed,
        "trust_remote_code": asked.settings.model.trust_remote_code,
        "enforce_eager": True,  # a graph that is captured for other batch sizes adds up in another order
        "enable_prefix_caching": False,  # what was asked before would change how a prompt is computed
        "max_num_seqs": asked.settings.generation.batch_size,
        "max_model_len": -1,  # the longest that there is room for
        "generation_config": "vllm",  # nothing of the base's sampling, such as a penalty for repetition
        **({"tensor_parallel_size": form.tensor_parallel_size} if form.tensor_parallel_size else {}),
    }
    if form.merged:
        return common
    lora = {"enable_lora": True, "max_loras": 1, "max_lora_rank": _rank(asked.adapter)}
    return {**common, **lora, **({"quantization": "bitsandbytes"} if said.quantization else {})}


def _rank(adapter: Path) -> int:
    """The room that vLLM needs for this adapter's largest rank."""
    settings = json.loads((adapter / layout.SETTINGS).read_bytes())
    rank = max([settings["r"], *settings.get("rank_pattern", {}).values()])
    return next((room for room in RANKS if room >= rank), rank)


def _told(asked: Asked) -> dict[str, object]:
    constrained = asked.form.constraint == "json_schema"
    schema = {**json.loads(asked.schema.read_bytes()), **LENIENT} if constrained else None
    return {
        "adapter": None if asked.form.merged else str(asked.adapter),
        "ends": list(asked.chat.ends),
        "max_tokens": asked.settings.generation.max_new_tokens,
        "seed": asked.settings.run.seed,
        "schema": schema,
    }


def _recorded(asked: Asked, loaded: Mapping[str, object]) -> dict[str, object]:
    """Without the folders of this machine."""
    return {
        **{name: value for name, value in loaded.items() if name not in ("model", "tokenizer")},
        "merged": asked.form.merged,
    }


def answers(asked: Asked, worker: Worker, adapted: bool, prompts: Sequence[Prompt]) -> Iterator[Output]:
    """Greedy answers, a batch at a time: the text up to an end, and whether one came."""
    size = asked.settings.generation.batch_size
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        worker.send({"adapted": adapted, "prompts": [one.ids for one in batch]})
        for one in batch:
            ids = worker.heard()["ids"]
            assert isinstance(ids, list)
            text, ended = asked.chat.judged(ids)
            yield Output(id=one.id, output=text, finish_reason="stop" if ended else "length")
