"""`compare`: two runs, releases or files of answers beside each other, each judged again before anything is said."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from release.checking import side_by_side
from release.checking.side_by_side import Where
from release.values.errors import ConfigError, DataError, Stop, VerificationError
from release.values.events import Event, Line
from tests.helpers.line import adapter_release
from tests.helpers.pages import KEPT
from tests.helpers.small_release import small_candidate, small_settings

V2, V3 = str(KEPT / "v2"), str(KEPT / "v3")
ANSWERS = "gates/answers.jsonl"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two runs: one gets three rows wrong, the other four, two of them the same."""
    return {
        name: str(small_candidate(small_settings(tmp_path_factory.mktemp(name)), wrong=wrong)[1])
        for name, wrong in (("three", (0, 1, 2)), ("four", (1, 2, 5, 6)))
    }


def compared(before: str, now: str, runs: str = "none") -> tuple[list[str], str]:
    """What is told, and the text of the page."""
    told: list[str] = []

    def say(event: Event) -> None:
        if isinstance(event, Line):
            told.append(event.text)

    page = side_by_side.compared(before, now, Where(endpoint="file:hub", data=None, runs=Path(runs)), say)
    return told, page.read_text("utf-8") if page else ""


def data_of(page: str) -> dict[str, object]:
    found = json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
    assert isinstance(found, dict)
    return found


def test_two_runs_are_told_gate_by_gate_with_the_rows_lost_and_won(runs: dict[str, str]) -> None:
    told, page = compared(runs["three"], runs["four"])

    row = next(line.split() for line in told if line.startswith("every_required_gate"))
    assert row[1:5] == ["57/60", "56/60", "2", "1"]
    assert "lost: golden-0006, golden-0007" in told
    assert "won: golden-0001" in told
    compared_rows = data_of(page)["compared"]
    assert isinstance(compared_rows, dict)
    assert compared_rows["last"]["every_required_gate"] == {
        "lost": ["golden-0006", "golden-0007"],
        "won": ["golden-0001"],
    }


def test_each_is_the_others_mirror(runs: dict[str, str]) -> None:
    there, back = compared(runs["three"], runs["four"])[0], compared(runs["four"], runs["three"])[0]

    assert [line for line in back if line.startswith(("lost", "won"))] == [
        "lost: golden-0001",
        "won: golden-0006, golden-0007",
    ]
    assert [line for line in there if "the same to the byte" in line] == [
        line for line in back if "the same to the byte" in line
    ]


def test_a_run_beside_itself_differs_in_nothing(runs: dict[str, str]) -> None:
    told, page = compared(runs["three"], runs["three"])

    assert told[-1] == "60 of 60 answers are the same to the byte"
    assert "Nothing that both records name." in page


def test_two_releases_are_verified_and_what_was_set_otherwise_is_named() -> None:
    told, page = compared(V2, V3)

    assert len([line for line in told if "every sha256" in line or "recorded sha256" in line]) == 2
    assert "won: golden-0077, golden-0085" in told
    assert "serving.unquantized.base: not set before, unquantized now" in told
    assert any(line.startswith("hardware: processor: AMD EPYC before") for line in told)
    assert "What is set or made otherwise" in page
    assert 'class="before"' in page
    assert data_of(page)["last"] == V2


@pytest.mark.parametrize("which", ["before", "now", "both"])
def test_a_file_of_answers_is_judged_by_the_rules_of_the_other_or_of_the_latest_run(
    which: str, runs: dict[str, str]
) -> None:
    places = dict(runs)
    for name, side in (("before", "three"), ("now", "four")):
        if which in (name, "both"):
            places[side] = f"{runs[side]}/answers.jsonl"

    told, page = compared(places["three"], places["four"], runs=str(Path(runs["three"]).parent))

    assert "lost: golden-0006, golden-0007" in told
    assert bool(page) == (which == "before")


def changed_answers(folder: Path) -> None:
    path = folder / ANSWERS
    path.write_text(path.read_text("utf-8").replace("[1]", "[2]", 1), "utf-8")


def no_answers(folder: Path) -> None:
    (folder / ANSWERS).unlink()


def a_pipe(folder: Path) -> None:
    (folder / ANSWERS).unlink()
    os.mkfifo(folder / ANSWERS)


@pytest.mark.parametrize("change", [changed_answers, no_answers, a_pipe])
@pytest.mark.parametrize("first", [True, False])
def test_nothing_is_told_of_a_release_that_is_not_what_it_says(
    change: Callable[[Path], None], first: bool, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(KEPT / "v3", tmp_path / "release"))
    change(folder)
    both = (str(folder), V2) if first else (V2, str(folder))

    done = adapter_release("compare", *both, "--no-browser", cwd=tmp_path)

    assert done.returncode == VerificationError.exit_code
    assert "every_required_gate" not in done.stderr
    assert "file://" not in done.stderr


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"not JSON\n", DataError),
        (b"", DataError),
        (b'{"id":"another","output":"x"}\n', DataError),
        (b'{"id":"golden-0001","output":"' + b"[" * 100_000 + b'"}\n', DataError),
        (b"\xff\xfe", DataError),
    ],
)
def test_a_file_that_holds_no_answers_to_these_rows_says_so(
    content: bytes, kind: type[Stop], runs: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content)

    for both in ((str(path), runs["three"]), (runs["three"], str(path))):
        with pytest.raises(kind):
            compared(*both)


def test_a_pipe_is_no_file_of_answers(runs: dict[str, str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ConfigError, match="not a plain file"):
        compared(str(tmp_path / "pipe"), runs["three"])


def test_a_run_that_was_changed_is_not_compared(runs: dict[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs["three"], tmp_path / "run"))
    answers = folder / "answers.jsonl"
    answers.write_text(answers.read_text("utf-8").replace("no JSON", "{}"), "utf-8")

    with pytest.raises(VerificationError, match="another verdict"):
        compared(str(folder), runs["four"])


def test_the_command_prints_the_table_and_where_the_page_is(runs: dict[str, str], tmp_path: Path) -> None:
    done = adapter_release("compare", runs["three"], runs["four"], "--no-browser", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "lost: golden-0006" in done.stderr
    assert Path(done.stderr.split()[-1].removeprefix("file://")).read_bytes().startswith(b"<!doctype html>")
