"""`open`: a run or a release in a browser, of which nothing is shown that was not derived again."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import pytest

from release.checking import explain, opening, view
from release.values import layout
from release.values.errors import ConfigError, VerificationError
from release.values.events import Event
from tests.helpers.line import adapter_release
from tests.helpers.pages import KEPT, hostile_rows, page_of, release_in, shown_of
from tests.helpers.small_release import small_candidate, small_settings


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that did not pass: three rows are no JSON."""
    return small_candidate(small_settings(tmp_path_factory.mktemp("run")), wrong=(0, 1, 2))[1]


def page_of_run(run: Path) -> Path:
    with explain.found(str(run), Path(), "file:hub", quiet, None) as judged:
        return view.of_run(judged, quiet)


def test_a_run_shows_its_own_page_with_what_stopped_it(run: Path) -> None:
    assert page_of_run(run) == run / "report.html"
    text = (run / "report.html").read_text("utf-8")
    assert "✗ Not passed: it may not be released" in text
    assert "json_parse: FAIL, 57 of 60 are right, 60 are needed" in text
    assert "Not to be used: the adapter did not pass." in text
    assert "AutoModelForCausalLM" not in text


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_page_of_a_run_that_was_changed_is_made_again(run: Path, tmp_path: Path, change: str) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    page = folder / "report.html"
    whole = page.read_bytes()
    page.unlink()
    if change == "edited":
        page.write_bytes(whole.replace(b"57/60", b"60/60"))

    made = page_of_run(folder)

    assert made != page
    assert made.read_bytes() == whole


def test_a_run_whose_answers_were_changed_is_not_shown(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    answers = folder / "answers.jsonl"
    answers.write_text(answers.read_text("utf-8").replace("no JSON", "{}"), "utf-8")

    with pytest.raises(VerificationError, match="another verdict"):
        page_of_run(folder)


def test_a_run_without_a_record_says_what_to_do(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (folder / "record.json").unlink()

    with pytest.raises(ConfigError, match="Run `adapter-release release` again"):
        page_of_run(folder)


def test_a_kept_release_is_verified_and_shown() -> None:
    made = view.of_release(str(KEPT / "v3"), "file:hub", quiet, opening.Known())

    assert made.read_bytes() == page_of(shown_of(KEPT / "v3"))
    assert made.stat().st_mode & 0o077 == 0 or made.parent.stat().st_mode & 0o077 == 0


def test_nothing_is_shown_of_a_release_that_fails(tmp_path: Path) -> None:
    folder = release_in(tmp_path, golden=hostile_rows(tmp_path / "rows.jsonl"))
    page = folder / layout.PAGE
    page.write_bytes(page.read_bytes().replace(b"</body>", b"<p>It is the best.</p></body>"))

    done = adapter_release("open", str(folder), "--no-browser", cwd=tmp_path)

    assert done.returncode == 7
    assert "do not open it" in done.stderr
    assert "file://" not in done.stderr


def test_the_command_prints_where_the_page_is_and_begins_at_a_row(run: Path, tmp_path: Path) -> None:
    done = adapter_release("open", str(run), "--no-browser", "--row", "golden-0007", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    address = urlparse(done.stderr.split()[-1])
    assert address.scheme == "file"
    assert Path(address.path) == run / "report.html"
    assert address.fragment == "row-golden-0007"
    assert view.at_row(run, "golden 1/é").endswith("#row-golden%201%2F%C3%A9")


def test_a_row_that_is_none_is_refused_with_one_that_is(run: Path, tmp_path: Path) -> None:
    for of in (str(run), str(KEPT / "v3")):
        done = adapter_release("open", of, "--no-browser", "--row", "golden-007", cwd=tmp_path)

        assert done.returncode == ConfigError.exit_code
        assert "--row golden-007" in done.stderr
        assert "none of that id. Name one, such as golden-00" in done.stderr
        assert "file://" not in done.stderr


def test_explain_names_the_page_of_its_first_row(run: Path, tmp_path: Path) -> None:
    done = adapter_release("explain", "json_parse", str(run), cwd=tmp_path)

    assert f"adapter-release open {run} --row golden-0001" in done.stderr


@pytest.mark.parametrize(
    ("holds", "says"),
    [("attestation.json", "is an attestation, which holds no adapter"), ("notes.txt", "neither a release nor a run")],
)
def test_a_folder_that_was_never_a_release_accuses_nobody(holds: str, says: str, tmp_path: Path) -> None:
    (tmp_path / holds).write_text("{}", "utf-8")

    for command in ("open", "compare", "rejudge", "export"):
        done = adapter_release(command, str(tmp_path), *([str(tmp_path)] if command == "compare" else []), cwd=tmp_path)
        assert done.returncode == 2
        assert says in done.stderr
        assert "inform its publisher" not in done.stderr
