"""A line whose slow stages are done: an adapter lent by a kept release, and if asked for its answers too."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gates
from gates.canonical import canonical_json
from release import begin
from release.config import reading
from release.data import sources
from release.judging import recording
from release.models import base as bases
from release.running import environment
from release.values.artifacts import Manifest, sha256_file
from tests.helpers.line import ROOT, small_config
from tests.helpers.small_release import ASKED, decoding, write_answers

RELEASED = ROOT / "tests" / "data" / "releases" / "v2"
ANSWERABLE, UNANSWERABLE = 19, 19
"""Golden rows of each kind: the fewest that prove the default's floors, and rule out a loss, where all are right."""
GOLDEN_ROWS = ANSWERABLE + UNANSWERABLE
BABBLE = "The answer is JSON."
TRAINED_ON = 40  # rows: checking them is most of what a line takes whose slow stages are done
EPOCHS = 16  # over them are the steps of the kept release
FEW = 6
SHARES = {"json_parse": 1.0, "schema_compliance": 1.0, "citation_coverage": 0.9}
"""The default's targets, of which a few rows prove no bound."""


def prepared_config(
    folder: Path, *, few: bool = False, serving: Mapping[str, Any] = MappingProxyType({}), **publishing: Any
) -> Path:
    """A configuration in ``folder`` over fewer rows, that the kept release's adapter fits.

    Over a ``few`` golden ones where they are answered for real, with gates that compare shares alone.
    """
    golden = folder / "golden.jsonl"
    rows = gates.read_golden(ROOT / "data" / "elements" / "golden.jsonl")
    kinds = [[one.id for one in rows if one.answerable is kind] for kind in (True, False)]
    answerable, unanswerable = (FEW, FEW) if few else (ANSWERABLE, UNANSWERABLE)
    taken = {*kinds[0][:answerable], *kinds[1][:unanswerable]}
    lines = (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines(keepends=True)
    golden.write_text("".join(line for line in lines if json.loads(line)["id"] in taken), "utf-8")
    rows_to_train_on = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(rows_to_train_on[:TRAINED_ON]), "utf-8")
    shares = {name: {"mode": "point", "target": target, "min_n": 1} for name, target in SHARES.items()}
    lora = json.loads((RELEASED / "adapter_config.json").read_bytes())
    return small_config(
        folder,
        run={"output_dir": "run"},
        data={"train_file": str(folder / "train.jsonl"), "golden_file": str(golden)},
        adapter={"lora": {"r": lora["r"], "alpha": lora["lora_alpha"]}},
        training={"over": ["nf4"], "num_train_epochs": EPOCHS},
        generation={"max_new_tokens": 48},
        serving=serving,
        publishing=publishing,
        **({"gates": shares} if few else {}),
    )


def trained(line: Path, base: bases.Base, **settings: str) -> Path:
    """The run folder of this configuration as it is after training, with the adapter of the kept release."""
    loaded = reading.load(line / "release.yaml", {key.replace("__", "."): value for key, value in settings.items()})
    train, golden = sources.load(loaded, lambda _: None)
    assert train is not None
    digests = {"train": train.sha256, "golden": golden.sha256}
    run = begin.run_folder(loaded, recording.inputs(loaded, base, digests))
    lent(run)
    return run


def lent(run: Path) -> None:
    """The adapter of the kept release in a run folder, as training leaves it."""
    adapter = run / "adapter"
    adapter.mkdir()
    released = json.loads((RELEASED / "release.json").read_bytes())
    for name in released["adapter"]["files"]:
        shutil.copyfile(RELEASED / name, adapter / name)
    files = [asdict(file) for file in Manifest.of_folder(adapter).files]
    told = {**released["training"], "over": ["nf4"], "files": files, **_here(released["training"])}
    (run / "training.json").write_bytes(canonical_json(told))


def _here(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Its hardware with as many threads as what goes on from it will have, and its libraries."""
    return {
        "hardware": {**stage["hardware"], "threads": environment.threads(None)},
        "versions": environment.versions(),
        "packages": environment.packages(),
    }


def answered(run: Path, golden: Path, *, well: bool = True) -> None:
    """Answers in a trained run folder: the reference answers, or babble; the base babbles."""
    outputs = gates.gold_outputs(gates.read_golden(golden))
    rows = [asdict(output) for output in outputs]
    babble = [{**row, "output": BABBLE} for row in rows]
    write_answers(run / "answers.jsonl", rows if well else babble)
    write_answers(run / "base_answers.jsonl", babble)
    generation = json.loads((RELEASED / "release.json").read_bytes())["generation"] | {
        **ASKED,
        "chat": {**ASKED["chat"], "chat_template_sha256": sha256_file(run / "adapter" / "chat_template.jinja")},
        "decoding": decoding(reading.load(golden.with_name("release.yaml"))),
        **_here(json.loads((RELEASED / "release.json").read_bytes())["generation"]),
        "adapter_sha256": Manifest.of_folder(run / "adapter").digest,
        "answers_sha256": sha256_file(run / "answers.jsonl"),
        "base_answers_sha256": sha256_file(run / "base_answers.jsonl"),
    }
    (run / "generation.json").write_bytes(canonical_json(generation))
