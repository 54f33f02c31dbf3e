"""What QLoRA at the usual settings takes on this GPU, beside a plain TRL script, as Markdown tables.

usage: python bench/gpu.py [--model NAME] [--steps 4] [--tokens 2048] [--tokenizer FOLDER] [--smoke]

Long rows one at a time, and short ones of many lengths sixteen at a time; each as it is by default, and with what is
there to be faster. With a tokenizer's folder nothing is unpacked or fetched: all weights are random.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.bench import IMPORTED, Measured  # noqa: E402
from bench.bench import plain as plain_script  # noqa: E402
from release import begin, inputs  # noqa: E402
from release.config import reading as configs  # noqa: E402
from release.config import tree as trees  # noqa: E402
from release.data import chat as chats  # noqa: E402
from release.models import arithmetic, attention, liger, loading  # noqa: E402
from release.models import base as bases  # noqa: E402
from release.running import child, machine  # noqa: E402
from release.values.events import Event, Say  # noqa: E402
from release.values.kernels import FLASH  # noqa: E402

SQUARE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    # OLMo-7B's and Llama-7B's, with random weights: neither speed nor memory depends on what they are
    "random-7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "smollm2": {
        **SQUARE,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What is trained on, and how many rows at a time."""

    name: str
    batch: int
    share: tuple[float, float]
    """Of the tokens that are asked for, from and to: each row's length is drawn."""


LONG = Rows(name="long, 1 x 16", batch=1, share=(1, 1))
SHORT = Rows(name="short, 16 x 1", batch=16, share=(0.04, 0.25))
BESIDE = "| | plain TRL | this tool | ratio |\n|---|--:|--:|--:|"
HEAD = "| rows | setting | plain TRL | Unsloth | this tool | to plain TRL |\n|---|---|--:|--:|--:|--:|"


@dataclass(frozen=True, kw_only=True)
class Length:
    """Of a row, in tokens, and of a training, in optimizer steps."""

    tokens: int
    steps: int


Pair = tuple[Measured, Measured]
"""A plain script and this tool."""
STEPS, TOKENS = 4, 2048
VOCABULARY = 50304  # OLMo-7B's; the tokenizer is the embedded base's, with fewer words
CLAIMED = "the kwanzaa adapter's documents claim 10-12 GB and, on an A10G, 25-35 s a step"
GB = 1e9


def main() -> None:
    options = arguments()
    gpu = machine.usable_gpu()
    os.environ.update(machine.only(gpu.uuid if gpu else None))  # one card, as the line does it, before CUDA starts
    if not (options.smoke or cuda()):
        sys.exit(
            "error: torch sees no CUDA device here, and these figures are a GPU's. Run this on a machine with one "
            "(docs/gpu.md), or with --smoke to see on a CPU that every step of it works."
        )
    names = ["tiny"] if options.smoke else options.model or ["random-7b", "smollm2"]
    tokens, steps = (96, 3) if options.smoke else (options.tokens, options.steps)
    length = Length(tokens=tokens, steps=steps)
    os.chdir(ROOT)  # the stages are started as modules of this folder
    print(f"{device()}; rank 16, {steps} steps; {CLAIMED}.\n")
    notes = []
    for name in names:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            base = base_folder(name, Path(scratch), options.tokenizer)
            run = prepare(base, Path(scratch) / "default", LONG, length)
            print(f"{name}, batch 1 x 16, rows of {tokens} tokens\n\n{BESIDE}")
            rows, note, known = measure(run, base, steps)
            print(*rows, sep="\n", flush=True)
            print(f"\n{name}, training, tokens/s (peak memory, GB)\n\n{HEAD}")
            for row in faster(base, Path(scratch), length, known, smoke=options.smoke):
                print(row, flush=True)
        notes.append(f"- {name}: {note}")
    print("", *notes, *left_out(smoke=options.smoke), sep="\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=["random-7b", "smollm2"], help="default: both")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps of 16 rows (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="length of every row (default: %(default)s)")
    parser.add_argument(
        "--tokenizer", type=folder_of_tokenizer, help="a folder with a tokenizer, its chat template and config.json"
    )
    parser.add_argument("--scratch", type=Path, help="a folder with 20 GB of room (default: the system's)")
    parser.add_argument("--smoke", action="store_true", help="a tiny shape, on a CPU too: shows that it runs")
    options = parser.parse_args()
    if options.smoke and (options.model, options.steps, options.tokens) != (None, STEPS, TOKENS):
        parser.error("--smoke has a model, steps and rows of its own: take --model, --steps and --tokens out.")
    return options


def folder_of_tokenizer(given: str) -> Path:
    """Absolute, for the stages start in another folder."""
    lacks = [
        name for name in ("tokenizer.json", "tokenizer_config.json", "config.json") if not Path(given, name).is_file()
    ]
    if lacks:
        raise argparse.ArgumentTypeError(
            f"{given!r} has no {', '.join(lacks)}. Give the folder of a base, without its weights: "
            "`adapter-release base FOLDER` writes the embedded one's."
        )
    return Path(given).absolute()


def cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def device() -> str:
    import torch

    return torch.cuda.get_device_name() if cuda() else "a CPU"


def settings(*, smoke: bool) -> dict[str, dict[str, Any]]:
    """What is measured: a name, and what of the configuration it changes. A smoke run has no flash kernel."""
    attentions = [one for one in ("flash_attention_2", "flash_attention_3") if not (smoke or lacking(one))]
    plain = {"default": {}, "padding_free": {"training": {"padding_free": True}}}
    with_flash = {
        one if name == "default" else f"{one}, {name}": {**changes, "model": {"attn_implementation": one}}
        for one in attentions
        for name, changes in plain.items()
    }
    with_liger = (
        {} if smoke or liger.problem(cuda=True) else {"use_liger_kernel": {"training": {"use_liger_kernel": True}}}
    )
    return {**plain, **with_flash, **with_liger}


def lacking(asked: Any) -> str:
    """Why this attention cannot compute here; empty where it can."""
    adapter = configs.load(ROOT / "release.yaml").adapter
    return attention.problem(asked, adapter, cuda=machine.usable_gpu() is not None)


def left_out(*, smoke: bool) -> list[str]:
    """A line for each thing that is not there to be measured."""
    found = [lacking(one) for one in FLASH] + [liger.problem(cuda=machine.usable_gpu() is not None)]
    if importlib.util.find_spec("unsloth") is None:
        found.append("Unsloth is not installed.")
    return [] if smoke else [f"- not measured: {one}" for one in found if one]


def faster(base: Path, scratch: Path, length: Length, known: Pair, *, smoke: bool) -> Iterator[str]:
    """A row for each kind of rows and each setting; ``known`` is of long rows by default, which have no padding."""
    for rows in (LONG, SHORT):
        for name, changes in settings(smoke=smoke).items():
            if rows is LONG and "padding_free" in name:
                continue
            run = prepare(base, scratch / f"{rows.name} {name}", rows, length, changes)
            arguments = str(run / "config.yaml"), str(base), str(length.steps)
            with_unsloth = name == "default" and importlib.util.find_spec("unsloth") is not None
            unsloth = told(plain_script("unsloth", *arguments)) if with_unsloth else "-"
            first = rows is LONG and name == "default"
            plain, ours = known if first else (plain_script("train", *arguments), stage("train", run, base))
            ratio = f"{ours.speed / plain.speed:.2f}"
            yield f"| {rows.name} | {name} | {told(plain)} | {unsloth} | {told(ours)} | {ratio} |"


def told(one: Measured) -> str:
    return f"{one.speed:.0f} ({one.peak_memory_bytes / GB:.2f})"


def measure(run: Path, base: Path, steps: int) -> tuple[list[str], str, Pair]:
    """The table's rows for a model, whether the same seed gave the same bytes, and what trained."""
    again = run.with_name("again")
    subprocess.run(["cp", "-r", str(run), str(again)], check=True)
    ours, repeated, answered = stage("train", run, base), stage("train", again, base), stage("answer", run, base)
    config = str(run / "config.yaml")
    plain = plain_script("train", config, str(base), str(steps))
    plain_answered = plain_script("generate", config, str(base), "2", str(run / "adapter"))
    lines = [
        ("peak memory, GB", plain.peak_memory_bytes / GB, ours.peak_memory_bytes / GB),
        ("seconds a step", plain.seconds / steps, ours.seconds / steps),
        ("training, tokens/s", plain.speed, ours.speed),
        ("answering, tokens/s", plain_answered.speed, answered.speed),
        ("answering, peak memory, GB", plain_answered.peak_memory_bytes / GB, answered.peak_memory_bytes / GB),
    ]
    rows = [f"| {what} | {theirs:.2f} | {mine:.2f} | {mine / theirs:.2f} |" for what, theirs, mine in lines]
    apart = abs(repeated.seconds - ours.seconds) / ours.seconds
    same = digest(run) == digest(again)
    said = "bit-identical" if same else f"not bit-identical: {stage_answer('blame', run, base)['first']}"
    return rows, f"two runs with the same seed are {said}; their times are {apart:.1%} apart", (plain, ours)


def digest(run: Path) -> str:
    return hashlib.sha256((run / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


def base_folder(name: str, scratch: Path, tokenizer: Path | None) -> Path:
    """The embedded base, or a model of a shape with random weights and the embedded base's or another tokenizer."""
    embedded = tokenizer or bases.resolve(configs.load(ROOT / "release.yaml").model, quiet).folder
    if name == "smollm2" and tokenizer is None:
        return embedded
    folder = scratch / name
    child.call("bench.gpu", "make", name, str(embedded), str(folder), say=quiet, log=scratch / "make.log", env=IMPORTED)
    return folder


def make(name: str, embedded: Path, folder: Path) -> None:
    """Save a Llama of this shape: bfloat16 weights as its initialisation leaves them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    chat = chats.read(embedded)
    settings = {"vocab_size": VOCABULARY, **SHAPES[name], "eos_token_id": chat.ends[0]}
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if cuda() else "cpu"):
        model = LlamaForCausalLM(LlamaConfig(**settings, max_position_embeddings=4096))
    model.save_pretrained(folder, max_shard_size="2GB")
    loading.load_tokenizer(embedded, chat).save_pretrained(folder)
    (folder / bases.RECORD).write_text("{}", "utf-8")


def prepare(
    base: Path, scratch: Path, kind: Rows, length: Length, changes: Mapping[str, Any] = MappingProxyType({})
) -> Path:
    """A run folder as the line has it before training: configuration with these changes, and rows of this kind."""
    run, tokens, steps = scratch / "run", length.tokens, length.steps
    (run / "data").mkdir(parents=True)
    rows = list(rows_of(base, kind, tokens, 16 * steps))
    for name, some in (("train", rows), ("golden", rows[:8])):
        (run / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), "utf-8")
    tree = {
        "run": {"name": "bench"},
        "model": {"base_model_id": "bench/model", "revision": "0" * 40},
        "data": {"train_file": "data/train.jsonl", "golden_file": "data/golden.jsonl", "max_length": tokens + 64},
        "training": {"max_steps": steps, "save_steps": steps, "logging_steps": 1, **batch(kind)},
        "generation": {"max_new_tokens": min(128, tokens // 4), "batch_size": 8},
        "contract": {"schema": "answer.schema.json", "answer": "/answer"},
        "publishing": {"hf_repo": "bench/model", "tag": "v0", "license": "apache-2.0", "endpoint": "file:hub"},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(trees.merged(tree, dict(changes))), "utf-8")
    begin.settle_chat(run, chats.read(base, inputs.wanted_chat(configs.load(run / "config.yaml"))))
    return run


def batch(kind: Rows) -> dict[str, int]:
    """Sixteen rows a step."""
    return {"per_device_train_batch_size": kind.batch, "gradient_accumulation_steps": 16 // kind.batch}


def rows_of(base: Path, kind: Rows, tokens: int, count: int) -> Iterator[dict[str, Any]]:
    """Rows of so many tokens or a little fewer, a quarter of them the answer; short ones are a share of that."""
    chat, words = chats.read(base), random.Random(7)  # noqa: S311  the rows must repeat
    for _ in range(count):
        long = max(80, int(tokens * words.uniform(*kind.share)))
        text = chat.ids(" ".join(words.choice(("gold", "lead", "iron", "zinc")) for _ in range(long)))
        parts = chat.decoded(text[: long * 3 // 4 - 48]), chat.decoded(text[: long // 4])
        roles = ("user", "assistant")
        yield {"messages": [{"role": role, "content": part} for role, part in zip(roles, parts, strict=True)]}


def stage(what: str, run: Path, base: Path) -> Measured:
    return Measured(**stage_answer(what, run, base))


def stage_answer(what: str, run: Path, base: Path) -> dict[str, Any]:
    """A stage of the line in a process of its own, as the line starts it, and what it measured."""
    child.call("bench.gpu", what, str(run), str(base), say=quiet, log=run / f"{what}.log", env=IMPORTED)
    answer: dict[str, Any] = json.loads((run / f"{what}.measured.json").read_bytes())
    return answer


def measured(run: Path, record: str) -> dict[str, Any]:
    """Tokens and seconds of a stage's own record, with the GPU's peak where there is one."""
    import torch

    told = json.loads((run / record).read_bytes())
    peak = torch.cuda.max_memory_allocated() if cuda() else told["peak_memory_bytes"]
    return {"tokens": told["tokens"], "seconds": told["seconds"], "peak_memory_bytes": peak}


def blame(run: Path, base: Path) -> dict[str, Any]:
    """The first module, forwards and then backwards, that gives other bytes for the same batch and the same seed."""
    from release.models import built_trainer
    from release.running import environment

    config = configs.load(run / "config.yaml")
    arithmetic.make_deterministic(config.run.seed, environment.threads(config.run.threads))
    trainer = built_trainer.build_trainer(config, run, base, quiet)
    drawn = next(iter(trainer.get_train_dataloader()))
    batch = {name: tensor.to(trainer.model.device) for name, tensor in drawn.items()}
    one, other = (trace(trainer, dict(batch), config.run.seed) for _ in range(2))
    pairs = zip(one, other, strict=True)
    first = next((f"{place} is the first to differ" for (place, left), (_, right) in pairs if left != right), None)
    return {"first": first or "one step repeats exactly, so it is what happens between steps"}


def trace(trainer: Any, batch: dict[str, Any], seed: int) -> list[tuple[str, str]]:
    """Each module's output and gradient, in the order they are made, as a digest."""
    import torch
    from transformers import set_seed

    seen: list[tuple[str, str]] = []

    def note(place: str, value: Any) -> None:
        tensor = value[0] if isinstance(value, tuple) else value
        if isinstance(tensor, torch.Tensor):
            data = tensor.detach().contiguous().cpu().view(torch.uint8).numpy().tobytes()
            seen.append((place, hashlib.sha256(data).hexdigest()))

    hooks = []
    for name, module in trainer.model.named_modules():
        if not list(module.children()):
            kind = f"{name} ({type(module).__name__})"
            hooks.append(module.register_forward_hook(lambda _m, _i, out, kind=kind: note(f"forward of {kind}", out)))
            hooks.append(
                module.register_full_backward_hook(lambda _m, grad, _o, kind=kind: note(f"backward of {kind}", grad))
            )
    set_seed(seed)
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, batch).backward()
    for hook in hooks:
        hook.remove()
    return seen


def quiet(_: Event) -> None:
    """Say nothing."""


def run_stage(arguments: list[str], say: Say) -> None:
    from release.models import generate, train
    from release.values.layout import TRAINED

    what, *paths = arguments
    if what == "make":
        make(paths[0], Path(paths[1]), Path(paths[2]))
        return
    run, base = map(Path, paths)
    match what:
        case "train":
            train.run_training(run, base, say)
            answer = measured(run, "training.json")
        case "answer":
            kept = run / generate.BASE_ANSWERS
            kept.mkdir(exist_ok=True)
            generate.run_generation(run, base, kept, TRAINED, say)
            answer = measured(run, "generation.json")
        case _:
            answer = blame(run, base)
    (run / f"{what}.measured.json").write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("make", "train", "answer", "blame"):
        child.main(run_stage)
    else:
        main()
