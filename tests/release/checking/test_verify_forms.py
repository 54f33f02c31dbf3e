"""A release that lies about a form is found out by the step on forms."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from release.checking import opening, verify
from release.judging.released import Released
from release.values.artifacts import sha256_file
from tests.helpers.line import ROOT
from tests.helpers.small_release import edit, reseal, small_release
from tests.helpers.verified import agreement

CARD = "the card is the one that record, verdict and answers make, to the byte"
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
    steps = verify.check(opening.Opened(release=Released(name="release", folder=folder)), [STEP, CARD])
    return tuple(problem for step in steps for problem in step.problems)


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


def a_file_of_a_form_without_any(folder: Path) -> None:
    reseal(
        folder,
        lambda it: it["forms"]["plain"]["files"].update({"gguf.gguf": sha256_file(folder / "exports/gguf.gguf")}),
    )


def answers_by_another_file(folder: Path) -> None:
    reseal(folder, lambda it: it["forms"]["gguf"]["answering"]["loaded"]["files"].update({"gguf.gguf": "5" * 64}))


def a_program_more(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text("utf-8") + "\n### As worse\n\n```python\n```\n", "utf-8")
    reseal(folder)


def another_modelfile(folder: Path) -> None:
    """Its template ends with a newline more than the judged prompts."""
    path = folder / "exports/Modelfile-gguf"
    path.write_text(path.read_text("utf-8").replace('{{ end }}"""', '{{ end }}\n"""'), "utf-8")
    reseal(folder, lambda it: it["forms"]["gguf"]["ollama"].update(sha256=sha256_file(path)))


def a_modelfile_from_elsewhere(folder: Path) -> None:
    reseal(
        folder, lambda it: it["forms"]["gguf"]["ollama"].update(file="Modelfile-a/../../../answers", sha256="0" * 64)
    )


def a_modelfile_without_a_digest(folder: Path) -> None:
    (folder / "exports/Modelfile-gguf").unlink()
    reseal(folder, lambda it: it["forms"]["gguf"]["ollama"].update(sha256=None))


def a_modelfile_of_a_thousand_questions(folder: Path) -> None:
    path = folder / "exports/Modelfile-gguf"
    path.write_text(path.read_text("utf-8").replace("{{ .Content }}", "{{ .Content }}" * 1000), "utf-8")
    reseal(folder, lambda it: it["forms"]["gguf"]["ollama"].update(sha256=sha256_file(path)))


def a_modelfile_with_a_system_text(folder: Path) -> None:
    path = folder / "exports/Modelfile-gguf"
    path.write_text(path.read_text("utf-8") + 'SYSTEM """Say yes."""\n', "utf-8")
    reseal(folder, lambda it: it["forms"]["gguf"]["ollama"].update(sha256=sha256_file(path)))


def a_modelfile_of_no_form(folder: Path) -> None:
    reseal(folder, lambda it: it["forms"]["gguf"].pop("ollama"))


def a_pass_of_what_is_too_far(folder: Path) -> None:
    def change(it: Any) -> None:
        it["config"]["serving"]["gguf"]["max_kl"] = it["forms"]["gguf"]["settings"]["max_kl"] = 0.001

    reseal(folder, change)


def answers_of_no_form(folder: Path) -> None:
    (folder / "gates/forms/other").mkdir()
    (folder / "gates/forms/other/answers.jsonl").write_text("", "utf-8")
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
    "a prettier count on the card": (a_prettier_count, "61/61"),
    "a prettier state on the card": (a_prettier_state, "**FAIL**"),
    "a file of a form that loads none": (a_file_of_a_form_without_any, "plain: files are named for a form"),
    "answers by another file": (answers_by_another_file, "gguf: llama.cpp answered with other files"),
    "a program for what did not pass": (a_program_more, "As worse"),
    "another Modelfile": (
        another_modelfile,
        "exports/Modelfile-gguf has a template that writes golden prompts otherwise",
    ),
    "a Modelfile that says more": (
        a_modelfile_with_a_system_text,
        "exports/Modelfile-gguf No Modelfile for Ollama: it has no way to write",
    ),
    "a Modelfile of another folder": (
        a_modelfile_from_elsewhere,
        "forms.gguf.ollama.file: 'Modelfile-a/../../../answers' does not match",
    ),
    "a Modelfile without a digest": (a_modelfile_without_a_digest, "a name or a digest, and not both"),
    "a Modelfile that writes without end": (a_modelfile_of_a_thousand_questions, "it has 1,002 actions"),
    "a Modelfile of no form": (a_modelfile_of_no_form, "exports/Modelfile-gguf belongs to no form that passed"),
    "a pass of what is too far": (
        a_pass_of_what_is_too_far,
        "gguf: the record says passed = True, its answers say FAIL",
    ),
    "answers of no form": (answers_of_no_form, "gates/forms/other/answers.jsonl belongs to no form"),
    "no table on the card": (no_table, "| gate | it |"),
}


def test_an_untouched_release_with_forms_passes_every_step(release: Path) -> None:
    steps = verify.check(opening.Opened(release=Released(name="release", folder=release)))

    assert [step.name for step in steps if step.problems] == []


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_form_is_told(lie: str, release: Path) -> None:
    tell, why = LIES[lie]

    tell(release)

    assert any(why in problem for problem in problems(release)), problems(release)


@pytest.mark.parametrize("name", ["exports/merged.gguf", "gates/forms/plain/answers.jsonl"])
def test_what_an_older_release_cannot_have_is_told(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "tests" / "data" / "releases" / "v2", tmp_path / "v2"))
    assert not problems(folder)
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("x", "utf-8")

    assert any(name in problem for problem in problems(folder))


def test_only_transformers_is_asked_by_several_processes(release: Path) -> None:
    def several(record: Any) -> None:
        for form in record["forms"].values():
            form["answering"]["processes"] = 4

    reseal(release, several)

    said = agreement(release)
    assert "gguf: 4 processes answered, and llama.cpp is asked by one" in said
    assert "plain" not in said
