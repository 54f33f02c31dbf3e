"""Answers to the tuning rows are kept as long as they are this adapter's, whole, and made on the cards asked for."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gates import Output
from gates.canonical import canonical_json
from release.config import reading
from release.models import base as bases
from release.models import tuning_answers
from release.models.engines import table
from release.models.engines.engine import Asked, Opened
from release.running.place import Here
from release.values.artifacts import Adapter, Manifest
from tests.helpers.line import ROOT, small_config
from tests.helpers.prepared import lent
from tests.helpers.small_release import training

ON_A_CARD: dict[str, object] = {"device": "cuda", "dtype": "bfloat16"}


@dataclass
class Engine:
    """Answers every question the same, from a base that is loaded so."""

    loaded: dict[str, object]
    asked: list[int] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, asked: Asked) -> Iterator[Opened]:  # noqa: ARG002  whoever asks
        def adapted(prompts: Any) -> Iterator[Output]:
            self.asked.append(len(prompts))
            return (Output(id=one.id, output="{}") for one in prompts)

        yield Opened(loaded=self.loaded, alone=None, adapted=lambda: adapted, ran_on=dict)


@pytest.mark.parametrize(
    ("loaded", "now", "again"),
    [
        (ON_A_CARD, None, False),
        (ON_A_CARD, "auto", True),
        ({**ON_A_CARD, "device_map": "auto"}, "auto", False),
        ({**ON_A_CARD, "device_map": "auto"}, None, True),
        ({"device": "cpu"}, "auto", False),
        (None, None, False),  # of before that was kept
        (None, "auto", True),
    ],
)
def test_tuning_answers_of_one_card_are_not_kept_for_several(
    loaded: dict[str, object] | None,
    now: str | None,
    again: bool,
    base: bases.Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, engine = tmp_path / "run", Engine(loaded=loaded or ON_A_CARD)
    (run / "data").mkdir(parents=True)
    shutil.copyfile(ROOT / "data" / "elements" / "tuning.jsonl", run / "data" / "tuning.jsonl")
    lent(run)
    adapter = Adapter(folder=run / "adapter", files=Manifest.of_folder(run / "adapter"), training=training())
    monkeypatch.setattr(table, "ENGINES", {"transformers": engine})

    def called(_: Here, stage: str, arguments: list[Path], **_more: object) -> None:
        assert stage == tuning_answers.__name__
        tuning_answers.run_answers(arguments[0], arguments[1], lambda _: None)

    monkeypatch.setattr(Here, "call", called)

    def answered(device_map: str | None) -> tuning_answers.Answered:
        generation = {"device_map": device_map} if device_map else {}
        settings = reading.effective(reading.load(small_config(tmp_path, generation=generation)))
        (run / "config.yaml").write_bytes(canonical_json(settings))
        return tuning_answers.answered(run, base, adapter, Here(), lambda _: None)

    first = answered(None)
    record = run / tuning_answers.FOLDER / "generation.json"
    if loaded is None:
        made = json.loads(record.read_bytes())
        del made["loaded"]
        record.write_bytes(canonical_json(made))

    assert answered(now).sha256 == first.sha256
    assert engine.asked == [40, 40] if again else [40]
