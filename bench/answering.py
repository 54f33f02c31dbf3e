"""How fast engines answer, in one run: transformers in batches, one by one, and llama.cpp, over a kept release.

usage: python bench/answering.py [--rows 20] [--as engine=llama.cpp,merged=true,file_type=Q8_0 ...]
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from gates.canonical import canonical_json  # noqa: E402
from release.checking import laid_out, opening, serve_check  # noqa: E402
from release.config import forms, reading  # noqa: E402
from release.config.settings import Config, Form  # noqa: E402
from release.judging.released import Released  # noqa: E402
from release.models import generate  # noqa: E402
from release.models.engines import engine, table  # noqa: E402
from release.models.exports import making  # noqa: E402
from release.running.place import Here  # noqa: E402

KEPT = ROOT / "tests" / "data" / "releases" / "v2"
DEFAULT = ["base=unquantized", *(f"engine=llama.cpp,{one},file_type=Q8_0" for one in ("merged=true", "base=nf4"))]


def quiet(_: object) -> None:
    """Say nothing."""


def measured(run: Path, base: Path, config: Config, form: Form, rows: int) -> tuple[int, float]:
    """Tokens of the answers to the first rows, and seconds from the first question on; loading is not counted."""
    asked = engine.of_run(run, base, config, form)
    prompts = generate.prompts_of(run, asked.chat)[:rows]
    with table.ENGINES[form.engine](asked) as opened:
        answerer = opened.adapted()
        list(answerer(prompts[:1]))  # what is built at the first question
        started = time.perf_counter()
        outputs = list(answerer(prompts))
        seconds = time.perf_counter() - started
    return sum(len(asked.chat.ids(one.output)) for one in outputs), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--as", dest="forms", action="append", default=[])
    options = parser.parse_args()
    served = serve_check.forms(options.forms or DEFAULT)
    found = opening.Opened(release=Released(folder=KEPT, name="v2"))
    settings = {**laid_out.settings_of(found.release.record), "serving": served}
    config = reading.parse(settings, ROOT / "release.yaml")
    base = laid_out.base_of(found, quiet)
    with tempfile.TemporaryDirectory() as folder:
        run = laid_out.answering_run(found, settings, Path(folder) / "run")
        (run / "config.yaml").write_bytes(canonical_json(settings))
        one_by_one = replace(config, generation=replace(config.generation, batch_size=1))
        each = [("trained", config, Form()), ("trained, one by one", one_by_one, Form())]
        for name, form in config.serving.items():
            if forms.has_files(form):
                making.exported(run, base, Here(), quiet, name)
            each.append((name, config, form))
        results = {name: measured(run, base.folder, at, form, options.rows) for name, at, form in each}
    baseline = results["trained, one by one"]
    print(f"{'':34}{'tokens/s':>10}{'ratio':>8}")
    for name, (tokens, seconds) in results.items():
        print(f"{name:34}{tokens / seconds:10.1f}{tokens / seconds * baseline[1] / baseline[0]:8.2f}")
    print(json.dumps({name: {"tokens": tokens, "seconds": round(s, 1)} for name, (tokens, s) in results.items()}))


if __name__ == "__main__":
    main()
