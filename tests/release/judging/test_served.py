"""Each form that is served is judged: a required one decides, another is told, and none that failed is offered."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import gates
from release import pipeline
from release.data import sources
from release.judging import previous, terms
from release.judging.served import PARITY
from release.values import layout
from release.values.errors import GatesFailed
from tests.helpers.small_release import small_candidate, small_release, small_settings

FEW = tuple(range(10))


def quiet(_: object) -> None:
    """Say nothing."""


def forms(**settings: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    return {name: {"engine": "llama.cpp", "merged": True, **form} for name, form in settings.items()}


def test_forms_that_pass_are_released_with_their_answers_verdicts_and_files(tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, serving={**forms(gguf={"file_type": "Q8_0"}), "plain": {"base": "unquantized"}})
    candidate, run = small_candidate(loaded)
    packed = pipeline.accept(loaded, candidate, run, quiet)
    names = {file.path for file in packed.manifest.files}

    assert candidate.passed
    assert {"gates/forms/gguf/verdict.json", "gates/forms/plain/answers.jsonl", "exports/gguf.gguf"} <= names
    card = (packed.folder / layout.CARD).read_text("utf-8")
    assert "| gate | trained | gguf | plain |" in card
    assert "| **verdict** | **PASS** | **PASS** | **PASS** |" in card
    assert "### As plain" in card


def test_a_required_form_that_fails_stops_the_release_and_is_named(tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, serving={"plain": {"base": "unquantized"}})
    candidate, run = small_candidate(loaded, wrong_as={"plain": FEW})

    assert not candidate.passed
    assert candidate.record.forms is not None
    assert not candidate.record.forms["plain"].passed
    with pytest.raises(GatesFailed, match="plain"):
        pipeline.accept(loaded, candidate, run, quiet)
    assert "In the form plain:" in (run / "report.md").read_text("utf-8")


def test_a_form_that_is_not_required_and_fails_is_told_and_not_offered(tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, serving=forms(good={}, bad={"required": False, "file_type": "Q8_0"}))
    candidate, run = small_candidate(loaded, wrong_as={"bad": FEW})
    packed = pipeline.accept(loaded, candidate, run, quiet)
    names = {file.path for file in packed.manifest.files}
    card = (packed.folder / layout.CARD).read_text("utf-8")

    assert "| **verdict** | **PASS** | **FAIL** | **PASS** |" in card
    assert "50/60" in card
    assert "gates/forms/bad/answers.jsonl" in names
    assert "exports/good.gguf" in names
    assert "exports/bad.gguf" not in names
    assert "### As bad" not in card


def test_how_near_its_probabilities_are_is_shown_and_ollama_is_told_what_to_load(tmp_path: Path) -> None:
    loaded = small_settings(
        tmp_path, serving={**forms(gguf={}, held={"constraint": "json_schema", "file_type": "F32"})}
    )
    candidate, run = small_candidate(loaded)
    packed = pipeline.accept(loaded, candidate, run, quiet)
    card = (packed.folder / layout.CARD).read_text("utf-8")

    assert f"| {PARITY} |  | 0.0012, at most 0.02; 63/64 | 0.0012, at most 0.02; 63/64 |" in card
    assert {file.path for file in packed.manifest.files if "Modelfile" in file.path} == {"exports/Modelfile-gguf"}
    assert card.count("ollama create ") == 1
    assert f"ollama create {loaded.run.name} -f exports/Modelfile-gguf" in card
    assert "exports/gguf.gguf exports/Modelfile-gguf --revision" in card


@pytest.mark.parametrize(("most", "passed"), [(None, True), (0.0012, True), (0.001, False)])
def test_what_is_farther_than_was_set_does_not_pass(most: float | None, passed: bool, tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, serving=forms(gguf={"max_kl": most}))
    candidate, run = small_candidate(loaded)
    report = (run / "report.md").read_text("utf-8")

    assert candidate.passed is passed
    assert candidate.record.forms is not None
    assert candidate.record.forms["gguf"].passed is passed
    assert f"| **verdict** | **PASS** | **{'PASS' if passed else 'FAIL'}** |" in report
    assert ("(≤ 0.001) FAIL" in report) is not passed


def test_of_an_address_the_card_says_that_no_bytes_were_judged(tmp_path: Path) -> None:
    asked = {"engine": "openai", "url": "http://127.0.0.1:1/v1", "model": "m"}
    for name, serving, said in (("with", {"api": asked}, True), ("without", {"plain": {"base": "unquantized"}}, False)):
        loaded = small_settings(tmp_path / name, serving=serving)
        packed = pipeline.accept(loaded, *small_candidate(loaded), quiet)
        card = (packed.folder / layout.CARD).read_text("utf-8")
        assert ("Where an address answered (api) no bytes were judged." in card) is said
        assert "### As api" not in card


def test_rows_that_another_form_loses_are_counted_beside_the_form_it_was_trained_in(tmp_path: Path) -> None:
    loaded = small_settings(tmp_path, serving={"plain": {"base": "unquantized", "required": False}})
    _, run = small_candidate(loaded, wrong=(0,), wrong_as={"plain": (0, 1, 2)})
    report = (run / "report.md").read_text("utf-8")

    assert "| answers as trained | all | 58/60 |" in report
    assert "| rows lost, won |  | 2, 0 |" in report


def test_a_release_that_need_not_pass_in_a_form_of_the_last_one_is_weaker(tmp_path: Path) -> None:
    small_release(tmp_path / "last", serving={"a": {"base": "unquantized"}, "b": {"merged": True, "required": False}})
    last = previous.read("v1", "0" * 40, tmp_path / "last" / "package")

    def weaker(name: str, **serving: Mapping[str, object]) -> list[str]:
        loaded = small_settings(tmp_path / name, serving=serving)
        rows, contract = sources.load(loaded, quiet)[1], gates.load_contract(loaded.contract, loaded.path.parent)
        now = terms.agreed(rows, contract, loaded, gates.load_policy(gates.DEFAULT_POLICY))
        return [line for line in previous.weaker([last], now) if line.startswith("serving")]

    (line,) = weaker("none")
    assert '"base": "unquantized"' in line
    assert weaker("optional", a={"base": "unquantized", "required": False})
    assert weaker("other", a={"base": "nf4"})
    assert not weaker("renamed", c={"base": "unquantized"})


@pytest.mark.parametrize(
    ("then", "now", "fewer"),
    [(None, None, 0), (None, 0.1, 0), (0.1, 0.1, 0), (0.1, 0.01, 0), (0.1, 0.2, 1), (0.1, None, 1)],
)
def test_a_form_that_may_be_farther_from_its_weights_than_last_time_is_weaker(
    then: float | None, now: float | None, fewer: int
) -> None:
    asked, given = (
        terms.required_forms({"a": {"merged": True, "required": True, "max_kl": one}}) for one in (then, now)
    )

    assert [terms.covers(given, one) for one in asked] == [not fewer]
    assert terms.required_forms({"a": {"merged": True, "required": True, "max_kl": None}}) == (
        terms.required_forms({"a": {"merged": True, "required": True}})  # as earlier records have it
    )


def test_on_how_many_cards_a_form_is_computed_makes_it_no_other_form() -> None:
    form = {"engine": "vllm", "base": "unquantized", "required": True}
    on_one, on_two = (terms.required_forms({"a": one}) for one in (form, {**form, "tensor_parallel_size": 2}))

    assert on_one == on_two
