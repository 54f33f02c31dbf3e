"""Plan and measurement: train models of random weights in several shapes on this CPU, and print peak beside plan.

    python bench/plan_memory.py [NAME ...]          a table; --json FILE keeps the figures for test_estimates.py

Each run is a process of its own, so that its peak is its own. The rows are random words of the default dataset's
lengths; memory depends on shapes and lengths, not on what is learned.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench import unevaluated  # noqa: E402
from gates.canonical import canonical_json  # noqa: E402
from release.config import reading  # noqa: E402
from release.models import base as bases  # noqa: E402
from release.models import meta_device  # noqa: E402
from release.planning import estimates  # noqa: E402

SHAPES = ROOT / "tests" / "data" / "plan"
MODELS = (
    "qwen2-tied",  # grouped-query attention, tied embeddings, a vocabulary three times the default's
    "llama-untied",  # every head its own keys, separate embeddings, a small vocabulary: most weights in the layers
    "llama-wide",  # few wide layers, separate embeddings of a large vocabulary
    "qwen2-half",  # half precision on disk, as most bases of the Hub; biases
)
QLORA = {"adapter.method": "qlora", "adapter.quantization.load_in_4bit": "true"}
LORA = {"adapter.method": "lora", "adapter.quantization.load_in_4bit": "false"}
RUNS: list[tuple[str, str, dict[str, str]]] = [
    ("qwen2-tied", "qlora", {**QLORA}),
    ("qwen2-tied", "lora, checkpointing", {**LORA, "training.activation_checkpointing": "true"}),
    ("llama-untied", "lora", {**LORA}),
    ("llama-untied", "qlora, checkpointing", {**QLORA, "training.activation_checkpointing": "true"}),
    ("llama-wide", "qlora, batches of 8", {**QLORA, "training.per_device_train_batch_size": "8"}),
    ("llama-wide", "lora, rank 64, on q and v, AdamW in 32 bits", {
        **LORA, "adapter.lora.r": "64", "adapter.lora.target_modules": "[q_proj, v_proj]",
        "training.optim": "adamw_torch",
    }),
    ("qwen2-half", "qlora", {**QLORA}),
    ("qwen2-half", "lora, checkpointing", {**LORA, "training.activation_checkpointing": "true"}),
]  # fmt: skip
LONG = {"llama-wide"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    found = []
    for run in measured(options.names or MODELS, options.steps):
        print(table_row(run), flush=True)
        found.append(run)
    if options.json:
        options.json.write_bytes(canonical_json(found))


def table_row(run: dict[str, Any]) -> str:
    planned, peak = run["planned_bytes"], run["peak_memory_bytes"]
    return f"| {run['name']} | {planned / 1e9:.2f} GB | {peak / 1e9:.2f} GB | {planned / peak - 1:+.0%} |"


def measured(names: Sequence[str], steps: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        for model, what, settings in RUNS:
            if model in names:
                folder = Path(scratch) / model
                if not folder.exists():
                    make_model(folder, json.loads((SHAPES / f"{model}.json").read_bytes()))
                yield measure(folder, f"{model}, {what}", settings | {"training.max_steps": str(steps)})


def make_model(folder: Path, shape: dict[str, Any]) -> None:
    """A model of random weights with the embedded base's tokenizer, in a process that is gone afterwards."""
    tokenizer = bases.resolve(reading.load(ROOT / "release.yaml").model, lambda _: None).folder
    code = (
        "import sys, json, torch\n"
        "from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer\n"
        "shape = json.loads(sys.argv[1]); kind = shape.pop('model_type'); dtype = getattr(torch, shape.pop('dtype'))\n"
        "torch.manual_seed(0)\n"
        "model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape), dtype=dtype)\n"
        "model.save_pretrained(sys.argv[2])\n"
        "AutoTokenizer.from_pretrained(sys.argv[3]).save_pretrained(sys.argv[2])\n"
    )
    subprocess.run([sys.executable, "-c", code, json.dumps(shape), str(folder), str(tokenizer)], check=True)


def measure(base: Path, name: str, settings: dict[str, str]) -> dict[str, Any]:
    """Train for some steps, and put the plan beside the peak."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch)
        lengths = write_rows(run, base, words=28 if base.name in LONG else 12)
        loaded = reading.load(ROOT / "release.yaml", settings)
        tree = unevaluated.settings(loaded, run / "config.yaml")
        tree["data"] |= {
            "train_file": str(run / "data" / "train.jsonl"),
            "golden_file": "unused.jsonl",
            "max_length": 2048,
        }
        (run / "config.yaml").write_text(json.dumps(tree), "utf-8")
        command = [sys.executable, "-m", "release.models.train", str(run), str(base)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        training = json.loads((run / "training.json").read_bytes())
    load = estimates.load_of(lengths, len(lengths), 2048)
    shape = meta_device.build(base / "config.json")
    estimated = estimates.estimate(shape, loaded, load, cuda=False)
    return {
        "name": name,
        "model": base.name,
        "cuda": False,
        "set": settings,
        "load": {"rows": load.rows, "tokens": load.tokens, "longest": load.longest, "learned": load.learned},
        "steps": training["steps"],
        "peak_memory_bytes": training["peak_memory_bytes"],
        "planned_bytes": round(estimated.memory),
    }


def write_rows(run: Path, base: Path, words: int) -> list[tuple[int, int]]:
    """Rows of about twice so many words, each another, with prompt and total lengths in tokens."""
    import random

    from release.data import chat as chats

    chat, generator = chats.read(base), random.Random(0)  # noqa: S311  # the same rows each time
    rows, lengths = [], []
    for number in range(64):
        asked, answer = (" ".join(f"word{generator.randrange(999)}" for _ in range(words)) for _ in range(2))
        prompt = [{"role": "user", "content": asked}]
        example = chat.example(prompt, answer)
        lengths.append((len(example.asked), example.total))
        rows.append({"id": f"r{number}", "messages": [*prompt, {"role": "assistant", "content": answer}]})
    (run / "data").mkdir()
    (run / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return lengths


if __name__ == "__main__":
    main()
