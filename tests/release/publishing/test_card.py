"""The card, from a kept record: what it must say of what was not judged."""

from dataclasses import replace
from typing import Any

from release.config.settings import Publishing
from release.judging.released import Released
from release.publishing import card
from release.values.record import Project
from tests.helpers.line import ROOT

KEPT = Released(folder=ROOT / "tests" / "data" / "releases" / "v3")
PUBLISHING = Publishing(hf_repo="a/b", tag="v1", license="mit")


def text(content_judged: bool | None = False, **checks: str) -> str:
    config: dict[str, Any] = {**KEPT.record.config}
    config["data"] = {**config["data"], "checks": checks}
    record = replace(KEPT.record, config=config)
    return card.render(record, KEPT.counted, "", PUBLISHING, content_judged=content_judged).decode()


def test_it_says_plainly_whether_the_content_of_answers_was_judged() -> None:
    assert "The content of answers is not judged" in text(False)
    assert "What answers say was compared with a reference" in text(True)
    assert "content of answers" not in text(None)


def test_a_check_that_was_lowered_is_named_on_the_card() -> None:
    lowered = text(leakage="warning", near_duplicates="warning", secrets="error")

    assert "- `leakage`: its question is in the golden set too" in lowered
    assert "- `near_duplicates`:" in lowered
    assert "`secrets`" not in lowered
    assert "lowered" not in text(questions="warning")  # a warning by itself
    assert "lowered" not in text(None, leakage="warning")  # a card of before


def test_it_names_the_users_commit_beside_the_program_that_made_it() -> None:
    record = replace(
        KEPT.record,
        source=replace(KEPT.record.source, commit="b" * 40, project=Project(commit="a" * 40, dirty=True)),
        program=replace(KEPT.record.program, version="9.9.9", distribution_sha256="c" * 64),
    )

    rendered = card.render(record, KEPT.counted, "", PUBLISHING, content_judged=True).decode()

    assert f"| source | commit `{'a' * 40}` with uncommitted changes |" in rendered
    made_by = f"adapter-release 9.9.9, distribution sha256 `{'c' * 64}`, commit `{'b' * 40}`"
    assert f"| program | {made_by} |" in rendered
    assert "| program |" not in text()


def test_it_names_the_kinds_of_machines_where_a_training_went_on_on_another() -> None:
    assert KEPT.record.training is not None
    training = replace(KEPT.record.training, machines=["A, AVX2", "a | b"])

    rendered = card.render(
        replace(KEPT.record, training=training), KEPT.counted, "", PUBLISHING, content_judged=True
    ).decode()

    assert "| trained on | A, AVX2, then a &#124; b: no other training need come to these bytes |" in rendered
    assert "| trained on |" not in text()
