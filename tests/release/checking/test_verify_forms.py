"""A release that lies about a form is found out by the step on forms."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from release.checking import verify
from release.judging.released import Released
from release.values.artifacts import sha256_file
from tests.helpers.small_release import edit, reseal, small_release

STEP = "every form it is served in was judged, and what is offered passed"
FORMS = {
    "gguf": {"engine": "llama.cpp", "merged": True},
    "plain": {"base": "unquantized"},
    "bad": {"engine": "llama.cpp", "file_type": "F32", "required": False},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("kept"), serving=FORMS).folder


@pytest.fixture
def release(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "release"))


def problems(folder: Path) -> tuple[str, ...]:
    (step,) = verify.check(verify.Opened(release=Released(name="release", folder=folder)), [STEP])
    return step.problems


def worse(answers: Path) -> None:
    rows = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    answers.write_text("".join(json.dumps({**row, "output": "no JSON"}) + "\n" for row in rows), "utf-8")


def an_answer(folder: Path) -> None:
    """The record and its verdict still say PASS."""
    answers = folder / "gates/forms/plain/answers.jsonl"
    worse(answers)
    reseal(folder, lambda it: it["forms"]["plain"]["answering"].update(answers_sha256=sha256_file(answers)))


def a_verdict(folder: Path) -> None:
    path = folder / "gates/forms/plain/verdict.json"
    edit(path, lambda it: it.update(rows=61))
    reseal(folder, lambda it: it["forms"]["plain"].update(verdict_sha256=sha256_file(path)))


def another_adapter(folder: Path) -> None:
    reseal(folder, lambda it: it["forms"]["plain"]["answering"].update(adapter_sha256="0" * 64))


def a_form_less(folder: Path) -> None:
    reseal(folder, lambda it: it["forms"].pop("plain"))


def other_settings(folder: Path) -> None:
    reseal(folder, lambda it: it["forms"]["plain"]["settings"].update(base="nf4"))


def another_file(folder: Path) -> None:
    (folder / "exports/gguf.gguf").write_bytes(b"GGUF, another")
    reseal(folder)


def a_file_more(folder: Path) -> None:
    (folder / "exports/other.gguf").write_bytes(b"GGUF")
    reseal(folder)


def a_file_less(folder: Path) -> None:
    (folder / "exports/gguf.gguf").unlink()
    reseal(folder)


def a_pass_of_what_failed(folder: Path) -> None:
    reseal(folder, lambda it: it["forms"]["plain"].update(passed=False))


def a_prettier_count(folder: Path) -> None:
    card = folder / "README.md"
    text = card.read_text("utf-8")
    head, _, table = text.partition("| gate | trained |")
    card.write_text(head + "| gate | trained |" + table.replace("60/60", "61/61", 1), "utf-8")
    reseal(folder)


def a_prettier_state(folder: Path) -> None:
    card = folder / "README.md"
    text = card.read_text("utf-8")
    card.write_text(text.replace("| **verdict** | **PASS** | **PASS**", "| **verdict** | **PASS** | **FAIL**"), "utf-8")
    reseal(folder)


def no_table(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text("utf-8").replace("| gate | trained |", "| gate | it |"), "utf-8")
    reseal(folder)


LIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "answers under another verdict": (an_answer, "computed again, gates/forms/plain/verdict.json differs"),
    "an edited verdict": (a_verdict, "computed again, gates/forms/plain/verdict.json differs"),
    "another adapter": (another_adapter, "plain: another adapter answered"),
    "a form that is left out": (a_form_less, "not those that its configuration lists"),
    "other settings": (other_settings, "not those that its configuration lists"),
    "another exported file": (another_file, "exports/gguf.gguf is not the file that was judged"),
    "an exported file more": (a_file_more, "exports/other.gguf belongs to no form that passed"),
    "an exported file less": (a_file_less, "exports/gguf.gguf is missing"),
    "another outcome in the record": (a_pass_of_what_failed, "plain: the record says passed = False"),
    "a prettier count on the card": (a_prettier_count, "the card's table of forms says"),
    "a prettier state on the card": (a_prettier_state, "the card's table of forms says"),
    "no table on the card": (no_table, "the card has no table of forms"),
}


def test_an_untouched_release_with_forms_passes_every_step(release: Path) -> None:
    steps = verify.check(verify.Opened(release=Released(name="release", folder=release)))

    assert [step.name for step in steps if step.problems] == []


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_form_is_told(lie: str, release: Path) -> None:
    tell, why = LIES[lie]

    tell(release)

    assert any(why in problem for problem in problems(release)), problems(release)
