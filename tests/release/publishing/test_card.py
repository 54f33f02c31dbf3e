"""The card, from a kept record: what it must say of what was not judged."""

from dataclasses import replace
from typing import Any

from release.config.settings import Publishing
from release.judging.released import Released
from release.publishing import card
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
