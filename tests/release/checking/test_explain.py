"""Why a gate failed: of a run, of a release on a Hub and of a folder, row by row."""

import json
import os
import shutil
from pathlib import Path

import pytest

from release import pipeline
from release.checking import explain
from release.hub import address
from release.judging import previous
from release.values import bounds, layout
from release.values.errors import ConfigError, VerificationError
from release.values.events import Event, Line
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.small_release import small_candidate, small_settings

KEPT = ROOT / "tests" / "data" / "releases" / "v1"
LOOSE = {"json_parse": {"mode": "point", "target": 0.5}}


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Hub that holds v0.1.0, and a run of v0.2.0 that lost a row."""
    folder = tmp_path_factory.mktemp("line")
    for tag, wrong in (("v0.1.0", ()), ("v0.2.0", (3,))):
        loaded = small_settings(folder, gates=LOOSE, publishing={"tag": tag}, run={"output_dir": f"runs/{tag}"})
        with address.parse(loaded.publishing.endpoint, folder).opened() as hub:
            candidate, run = small_candidate(
                loaded, previous.fetch(loaded.publishing, loaded.run.output_dir / layout.PREVIOUS, hub, quiet), wrong
            )
            if tag == "v0.1.0":
                pipeline.publish(loaded.publishing, pipeline.pack(loaded, candidate, run), run, hub, quiet)
    return folder


def test_the_run_that_was_judged_last_is_explained_with_question_answer_reference_and_the_last_release(
    line: Path,
) -> None:
    done = adapter_release("explain", "json_parse", cwd=line)

    assert done.returncode == 0, done.stderr
    row = json.loads((line / "golden.jsonl").read_text("utf-8").splitlines()[3])
    question, reference = row["messages"][-2]["content"], row["messages"][-1]["content"]
    assert "PASS json_parse: 59/60 = 98.3 %" in done.stderr
    assert f"      question  {question.replace(chr(10), ' ')}" in done.stderr
    assert "      answer    no JSON" in done.stderr
    assert f"      reference {reference}" in done.stderr
    assert f"      earlier   {reference}" in done.stderr


def explained(gate: str, place: str, line: Path) -> str:
    """What is said, in this process."""
    said: list[str] = []
    with explain.found(place, line / "runs", f"file:{line}/hub", quiet, None) as judged:
        explain.explain(gate, judged, lambda event: said.append(event.text) if isinstance(event, Line) else None)
    return "\n".join(said)


def test_a_release_on_a_hub_and_what_is_not_gated_are_explained(line: Path) -> None:
    text = explained("answer_rate", "local/elements@v0.1.0", line)

    assert "not gated answer_rate" in text
    assert "no row is counted as wrong" in text


def test_a_release_of_0_1_0_is_explained(line: Path) -> None:
    assert "PASS refusal_recall" in explained("refusal_recall", str(KEPT), line)


@pytest.mark.parametrize(
    ("gate", "place", "says"),
    [
        ("json_parse", str(KEPT / "data"), "neither a run that was judged nor a release"),
        ("answer_quality", str(KEPT), "'answer_quality' was not measured"),
        ("json_parse", "nowhere", "neither a folder here nor REPO@TAG"),
    ],
)
def test_what_cannot_be_explained_says_why(line: Path, gate: str, place: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        explained(gate, place, line)


def test_without_any_run_there_is_nothing_to_explain(tmp_path: Path) -> None:
    small_settings(tmp_path)

    done = adapter_release("explain", "json_parse", cwd=tmp_path)

    assert done.returncode == 2
    assert "was judged yet" in done.stderr


@pytest.mark.parametrize(
    "name", ["verdict.json", "answers.jsonl", "policy.json", "contract.json", "answer.schema.json"]
)
def test_a_run_that_was_changed_is_not_explained(name: str, line: Path, tmp_path: Path) -> None:
    (run,) = (path.parent for path in (line / "runs" / "v0.2.0").glob("*/verdict.json"))
    changed = Path(shutil.copytree(run, tmp_path / "run"))
    (changed / name).write_text("{}", "utf-8")

    with pytest.raises(VerificationError):
        explained("json_parse", str(changed), line)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("earlier.json", None),
        ("earlier.json", "/dev/zero"),
        ("answers.jsonl", "/etc/passwd"),
        ("policy.json", "/dev/zero"),
        ("data/golden.jsonl", "/etc/passwd"),
        ("data", None),
        ("forms", None),
    ],
)
def test_nothing_of_a_run_that_somebody_laid_out_is_read_through_a_link_or_a_pipe(
    name: str, other: str | None, line: Path, tmp_path: Path
) -> None:
    (run,) = (path.parent for path in (line / "runs" / "v0.2.0").glob("*/verdict.json"))
    laid_out = Path(shutil.copytree(run, tmp_path / "run"))
    (laid_out / "forms" / "form").mkdir(parents=True)
    (laid_out / "forms" / "form" / "verdict.json").write_text("{}", "utf-8")
    place = laid_out / name
    if place.is_dir():
        place.rename(laid_out / "other")
        place.symlink_to(laid_out / "other")
    else:
        place.unlink(missing_ok=True)
        place.symlink_to(other) if other else os.mkfifo(place)

    with pytest.raises(VerificationError, match="is not a plain file"):
        explained("json_parse", str(laid_out), line)


def test_what_takes_longer_than_its_size_allows_is_not_explained(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = (path.parent for path in (line / "runs" / "v0.2.0").glob("*/verdict.json"))
    monkeypatch.setattr(bounds, "SECONDS", 0)
    monkeypatch.setattr(bounds, "PER_MEGABYTE", dict.fromkeys(bounds.PER_MEGABYTE, 0.001))

    with pytest.raises(VerificationError, match="seconds of a processor that files of its size need"):
        explained("json_parse", str(run), line)
