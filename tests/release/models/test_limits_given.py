"""The limits of a search's try reach the process that trains it, however many there are."""

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from release.config import reading
from release.models import train
from release.models.base import Base
from release.values.artifacts import Manifest
from release.values.events import Event, Say
from tests.helpers.line import small_config


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A place whose process is started with all that it is given, and trains nothing."""

    source: str | None = None
    image_digest: str | None = None
    given: list[list[str]] = field(default_factory=list)

    def of(self, processes: int, cards: int) -> "Elsewhere":
        assert (processes, cards) == (1, 1)
        return self

    def call(
        self,
        stage: str,
        arguments: Sequence[str | Path],
        *,
        reads: Iterable[Path] = (),
        writes: Iterable[Path] = (),
        say: Say,  # noqa: ARG002  it has nothing to say
        log: Path,
    ) -> None:
        words = [str(one) for one in arguments]
        folders = [*reads, *writes]
        assert all(Path(one) in folders or Path(one).parent in folders for one in words)
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass", stage, *words], check=True)
        self.given.append(words)
        assert log.parent in folders


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.mark.parametrize("several", [0, 1, 20_000])
def test_as_many_as_there_are_evaluations_are_what_the_training_has(
    tmp_path: Path, several: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {2 * step: 2.3456789012345678 + step / 1e7 for step in range(1, several + 1)}
    run, place = tmp_path / "run", Elsewhere()
    run.mkdir()
    settings = reading.effective(reading.load(small_config(tmp_path)))
    (run / "config.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    (tmp_path / "base").mkdir()
    base = Base(folder=tmp_path / "base", base_model_id="a/b", revision=None, origin="x", files=Manifest(files=()))

    with pytest.raises(RuntimeError, match="training ended without"):
        train.train(run, base, place, quiet, limits)

    seen = list[Mapping[int, float]]()
    monkeypatch.setattr(train, "run_training", lambda _run, _base, _say, found: seen.append(found))
    train._stage(place.given[0], quiet)
    assert seen == [limits]
