"""Speed as ratios in one run: the line against a plain script with the same settings, and the line's own overhead.

usage: python bench/bench.py [--steps 8] [--rows 16] [CONFIG]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
IMPORTED = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
"""For a process started here: this folder, and what was given, as on a machine where packages lie in a folder."""

from bench import unevaluated  # noqa: E402
from release.config import reading as configs  # noqa: E402
from release.config.settings import Config  # noqa: E402
from release.data import chat as chats  # noqa: E402
from release.data import sources  # noqa: E402
from release.models import base as bases  # noqa: E402
from release.values.errors import GatesFailed  # noqa: E402
from release.values.events import Event, Line  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Measured:
    tokens: int
    seconds: float
    peak_memory_bytes: int

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


def plain(*arguments: str) -> Measured:
    """What the plain script measures. Without -P its ``gates`` would be bench/gates.py, beside it."""
    command = [sys.executable, "-P", str(ROOT / "bench" / "plain.py"), *arguments]
    env = {**os.environ, **IMPORTED}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        sys.exit(f"bench/plain.py ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def ours(config: Config, steps: int, folder: Path) -> tuple[Measured, Measured, Path, float]:
    """A release of a barely trained adapter, refused at its gates: (training, answering, adapter, other seconds)."""
    written = folder / "release.yaml"
    written.write_text(json.dumps(unevaluated.settings(config, written)), "utf-8")
    started = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable, "-m", "release.cli", "release", str(written),
            "--set", f"training.max_steps={steps}", "--set", "training.save_steps=0.5",
            "--set", "serving={}",  # the plain script knows one form
            "--set", f"run.output_dir={folder / 'run'}", "--set", f"publishing.endpoint=file:{folder / 'hub'}",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - started
    records = list((folder / "run").glob("*/generation.json"))
    if done.returncode != GatesFailed.exit_code or not records:
        sys.exit(f"the line ended with {done.returncode}, not at its gates:\n{done.stderr}")
    run = records[0].parent
    training, generation = (_read(run / name) for name in ("training.json", "generation.json"))
    return (
        _measured(training),
        _measured(generation),
        run / "adapter",
        wall - training["seconds"] - generation["seconds"],
    )


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_bytes())
    return value


def _measured(record: dict[str, Any]) -> Measured:
    return Measured(**{name: record[name] for name in ("tokens", "seconds", "peak_memory_bytes")})


def quiet(event: Event) -> None:
    if isinstance(event, Line):
        print(event.text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=ROOT / "release.yaml")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rows", type=int, default=32)
    options = parser.parse_args()
    config = configs.load(options.config)
    base = bases.resolve(config.model, quiet)
    with tempfile.TemporaryDirectory() as folder:
        training, answering, adapter, other = ours(config, options.steps, Path(folder))
        plain_training = plain("train", str(options.config), str(base.folder), str(options.steps))
        plain_answering = plain("generate", str(options.config), str(base.folder), str(options.rows), str(adapter))
    print(f"{'':34}{'plain':>10}{'ours':>10}{'ratio':>8}")
    for name, theirs, mine in (
        ("training, tokens/s", plain_training.speed, training.speed),
        ("answering, tokens/s", plain_answering.speed, answering.speed),
        ("training, peak memory, GiB", plain_training.peak_memory_bytes / 2**30, training.peak_memory_bytes / 2**30),
        ("answering, peak memory, GiB", plain_answering.peak_memory_bytes / 2**30, answering.peak_memory_bytes / 2**30),
    ):
        print(f"{name:34}{theirs:10.2f}{mine:10.2f}{mine / theirs:8.2f}")
    whole_training = config.training.num_train_epochs * tokens_in(config) / training.speed
    share = other / (other + whole_training + answering.seconds)
    print(f"the line's own time: {other:.1f} s, {share:.1%} of a whole release with {whole_training:.0f} s of training")


def tokens_in(config: Config) -> int:
    """The training set's size as the tokenizer counts it."""
    train, _ = sources.load(config, quiet)
    chat = chats.read(bases.resolve(config.model, quiet).folder)
    return sum(chat.example(row.prompt, row.gold or "").total for row in train.rows)


if __name__ == "__main__":
    main()
