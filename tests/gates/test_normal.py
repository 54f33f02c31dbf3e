"""Normal forms are Python's own for what anybody writes, and take no time to speak of for what nobody does."""

import json
import re
import time
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gates
from gates import normal, rows, words
from gates.canonical import Json
from tests.helpers.line import ROOT

Form = Literal["NFC", "NFKC"]
FORMS = st.sampled_from(["NFC", "NFKC"])
MARKS = "\u0301\u0323\u0344\u0f71\u0f73\u3099\uff9e\uff9f\U0001e94a"
ANY = st.text(
    st.one_of(st.sampled_from(f"{MARKS}ae\u00e9\u0958\uac00\u1161\u11a8\u30ab\uff76\ufdfa "), st.characters())
)


@given(ANY, FORMS)
def test_an_honest_text_has_the_normal_form_that_python_gives_it(text: str, form: Form) -> None:
    assert normal.normal(form, text) == unicodedata.normalize(form, text)


@given(
    st.integers(0, 40),
    st.integers(0, normal.RUN - 3),
    st.integers(0, 2),
    st.sampled_from(["", "\u1161", "e\u0301", "\uff9e"]),
)
@settings(max_examples=300)
def test_it_does_wherever_a_run_of_marks_stands_that_is_not_too_long(before: int, n: int, m: int, after: str) -> None:
    text = "x" * before + "a" + "\u0301" * n + "\u0323" * m + after
    for form in ("NFC", "NFKC"):
        assert normal.normal(form, text * 3) == unicodedata.normalize(form, text * 3)


@pytest.mark.parametrize("before", range(2 * normal.RUN))
def test_a_run_that_is_too_long_is_found_wherever_it_stands(before: int) -> None:
    text = "x" * before + "\u0301" * normal.RUN + "\u0323"

    assert normal.normal("NFC", text) == text
    assert unicodedata.normalize("NFC", text) != text  # it puts the last mark first


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
@pytest.mark.parametrize("above", ["\u0301", "\u0344", "\U0001d185"])
@pytest.mark.parametrize("below", ["\u0323", "\uff9e", "\u3099", "\u0f73", "\U0001d165"])
def test_marks_without_end_are_put_in_order_in_time(form: Form, above: str, below: str) -> None:
    text, started = "a" + above * 100_000 + below * 100_000, time.process_time()

    normal.normal(form, text)
    normal.normal(form, (above * (normal.RUN - 1) + "a") * 5000 + below * 50_000)

    assert time.process_time() - started < 2


@pytest.mark.parametrize("marks", ["\u0301", "\u0323\u0301", "\u0301\u0323"])
def test_keys_of_marks_without_end_take_no_time(marks: str) -> None:
    text, started = "a" + marks[0] * 100_000 + marks[-1] * 100_000, time.process_time()

    rows.id_key(text)
    rows.prompt_key(rows.Golden(id="a", prompt=({"role": "user", "content": text},)))
    words.spelled(text)

    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "wrong",
    [{"id": "x" * 1001}, {"documents": [{"id": "x" * 1001}]}, {"documents": [{"id": 1}], "support": ["x" * 1001]}],
)
def test_an_id_of_more_than_a_thousand_characters_is_refused_by_its_line(
    wrong: dict[str, Json], tmp_path: Path
) -> None:
    right = {"id": "x" * 1000, "prompt": "a", "documents": [{"id": "y" * 1000}], "support": ["y" * 1000]}
    (tmp_path / "rows").write_text(f"{json.dumps(right)}\n{json.dumps({'prompt': 'a', **wrong})}\n", "utf-8")
    answer = {"id": "x" * 1001, "output": "a"}

    with pytest.raises(
        gates.Invalid, match=r"rows line 2: .*: is too long \(1,001 characters, where 1000 are read; shorten"
    ):
        gates.read_golden(tmp_path / "rows")
    with pytest.raises(gates.Invalid, match=r"answers row 1: id: is too long") as told:
        gates.parse_outputs([answer])

    assert len(str(told.value)) < 300
    assert gates.parse_golden([right])
    assert gates.parse_outputs([{**answer, "id": "x" * 1000}])


def test_every_character_that_becomes_a_mark_is_known() -> None:
    marks = normal._marks()[0]
    for one in map(chr, range(0x110000)):
        first = unicodedata.normalize("NFKD", one)[0] if unicodedata.decomposition(one) else one
        assert (one in marks) == bool(unicodedata.combining(first))


def test_nothing_else_asks_python_for_a_normal_form() -> None:
    asks = re.compile(r"unicodedata\s*\.\s*(?:is_)?normalized?\b|from unicodedata import[^\n]*normalize")
    files = [path for wing in ("release", "gates", "hub_folder", "schemas") for path in (ROOT / wing).rglob("*.py")]

    found = {path.relative_to(ROOT) for path in files if asks.search(path.read_text("utf-8"))}

    assert found == {Path("gates/normal.py")}
