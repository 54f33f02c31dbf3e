"""The numbers of a text: what is read as which value, what is kept as it is written, and what is none."""

import json
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

import gates
from gates.answer import pair
from gates.metrics import answer_correctness, refusal_agreement
from gates.numerals import MOST_DIGITS, Numeral, numerals, spans
from tests.gates.examples import contract, golden_rows

READ: tuple[tuple[Any, list[str]], ...] = (
    # values of JSON
    (26, ["26"]), (2.5, ["2.5"]), (1e22, ["1E+22"]), (5e-324, ["5E-324"]), (True, []), (None, []), ([1], []), ("", []),
    # signs
    ("26", ["26"]), ("-5 and +3", ["-5", "3"]), ("\u22125", ["-5"]), ("\u20135 \u00b0C", ["-5"]), ("(-5)", ["-5"]),
    ("minus 5", ["-5"]), ("minus\u00a05", ["-5"]), ("Negative 5", ["-5"]), ("moins 5", ["-5"]), ("au moins 5", ["5"]),
    ("al menos 5", ["5"]), ("-$5", ["-5"]), ("$5", ["5"]), ("\u96f6\u4e0b5\u5ea6", ["-5"]), ("-.5", ["-0.5"]),
    ("3-5", ["3", "5"]), ("3\u20135", ["3", "5"]), ("3 - 5", ["3", "5"]), ("5%\u201310%", ["5", "10"]),
    ("depth--5", ["5"]), ("COVID-19", ["19"]), ("-5 to -3", ["-5", "-3"]),
    # points, commas and groups
    ("1,000", ["1000"]), ("1.000", ["1"]), ("3,5", ["3.5"]), ("3,141", ["3141"]), ("0,001", ["0.001"]), (".5", ["0.5"]),
    ("0.001", ["0.001"]), ("1000,000", ["1000"]), ("1,000.5", ["1000.5"]), ("1.000,5", ["1000.5"]), ("3,50", ["3.5"]),
    ("1,000,000", ["1000000"]), ("1.000.000", ["1000000"]), ("1.234.567,89", ["1234567.89"]), ("1,000.000", ["1000"]),
    ("1 000", ["1000"]), ("1\u00a0000", ["1000"]), ("1\u202f000", ["1000"]), ("1\u2009000,5", ["1000.5"]),
    ("1'000", ["1000"]), ("1\u2019000'000.5", ["1000000.5"]), ("2020 300", ["2020", "300"]), ("1, 2", ["1", "2"]),
    ("100. 200.", ["100", "200"]), ("3..5", ["3", "5"]), ("12:30", ["12", "30"]), ("100/2", ["100", "2"]),
    # powers
    ("1e3", ["1000"]), ("2E-2", ["0.02"]), ("1e\u22122", ["0.01"]), ("10\u2079", ["1E+9"]), ("10^9", ["1E+9"]),
    ("10**3", ["1000"]), ("1.5 \u00d7 10\u207b\u00b3", ["0.0015"]), ("1,5x10^{3}", ["1500"]), ("2\u22c510^-1", ["0.2"]),
    # fractions and scales
    ("2\u00bd", ["2.5"]), ("2 \u00bd", ["2.5"]), ("-2\u00bd", ["-2.5"]), ("\u00be", ["0.75"]),
    ("5 million", ["5000000"]), ("1.5 Mio. km", ["1500000"]), ("2 Milliarden", ["2000000000"]),
    ("3-thousand", ["3000"]),
    ("5 hundred thousand", ["500000"]), ("2\u00bd million", ["2500000"]), ("5\u767e\u4e07", ["5000000"]),
    ("5\u5343\u7c73", ["5"]), ("5\u5343", ["5000"]), ("5\u5104\u5186", ["500000000"]), ("5 millimetres", ["5"]),
    ("5\nmillion", ["5000000"]),
    ("1\n200", ["1", "200"]), ("minus\n5", ["-5"]),
    # units, and scripts without capitals
    ("5x", ["5"]), ("5 m\u00b2", ["5"]), ("5m2", ["5"]), ("5 km^2", ["5", "2"]), ("300 K", ["300"]), ("2nd", ["2"]),
    ("50%", ["50"]), ("1990s", ["1990"]), ("\u6df1\u5ea6\u662f100\u7c73", ["100"]), ("\u0648100", ["100"]),
    ("\uff11\u0662", ["12"]), ("\u0663\u066b\u0665", ["3.5"]), ("ca.100", ["100"]), ("v.5", ["5"]),
    # names
    ("x5", []), ("H2O", []), ("H\u2082O", []), ("v2.3.1", []), ("Num5000", []), ("m\u00b2", []), ("x_5", []),
    ("two hundred", []), ("\u4e09", []), ("thousands", []),
    # how long
    ("9" * MOST_DIGITS, ["9" * MOST_DIGITS]), (f"1e{MOST_DIGITS}", [f"1e{MOST_DIGITS}"]), ("1e0000005", ["1e5"]),
)  # fmt: skip
"""A value, and the numbers in it."""
UNREAD: tuple[tuple[Any, str], ...] = (
    ("12.5.2020", "12.5.2020"), ("12,34,567", "12,34,567"), ("1,000,00", "1,000,00"), ("01.000.000", "01.000.000"),
    ("5\u2079", "5\u2079"), ("2^3", "2^3"), ("100\u2082", "100\u2082"), ("2\u207f", "2\u207f"), ("\u2153", "\u2153"),
    ("2\u2153", "2\u2153"), ("2.5\u00bd", "2.5\u00bd"), ("\u2468", "\u2468"), ("\u2167", "\u2177"),
    ("\u2079", "\u2079"),
    ("5k", "5k"), ("300K", "300k"), ("$5M", "5m"), ("5 billion", "5billion"), ("-5 Billionen", "-5billionen"),
    ("5 million and a half", "5millionandahalf"), ("2 and a half", "2andahalf"), ("5\u5146", "5\u5146"),
    ("5 thousand billion", "5thousandbillion"), ("\u00b15", "\u00b15"), ("\u00b1 5", "\u00b15"), ("+/-5", "\u00b15"),
    ("100_000", "100_000"), ("0x1F", "0x1f"), ("5x10", "5x10"), ("2h30", "2h30"), ("1e3e4", "1e3e4"),
    ("9" * (MOST_DIGITS + 1), "9" * (MOST_DIGITS + 1)), (f"1e{MOST_DIGITS + 1}", f"1e{MOST_DIGITS + 1}"),
    ("1e999999999999999999999", "1e999999999999999999999"), ("1e-99999999999", "1e-99999999999"),
    ("1 \u00d7 10^999999999", "1\u00d710^999999999"), ("0e999999999", "0e999999999"), (float("inf"), "inf"),
    (10**4000, hex(10**4000)),
)  # fmt: skip
"""A value in which one number is written that is not read, and how it is written."""


@pytest.mark.parametrize(("value", "found"), READ)
def test_numbers_that_are_read(value: Any, found: list[str]) -> None:
    assert [one.value for one in numerals(value)] == list(map(Decimal, found))


@pytest.mark.parametrize(("value", "written"), UNREAD)
def test_numbers_that_are_kept_as_they_are_written(value: Any, written: str) -> None:
    assert numerals(value) == (Numeral(written, None),)


def test_nothing_within_a_number_or_a_name_is_a_number() -> None:
    text = "-5 m, 26,000 and v2.3 or 10^9"
    assert [text[start:end] for start, end in spans(text)] == ["-5", "26,000", "v2.3", "10^9"]
    assert spans("none") == []


@pytest.mark.parametrize(
    "part",
    ["1e999999999999 ", "1 000", "9", "1,", "1'000", "10^", "5 minus ", "\u00bd", "1.000", "5 and a ", "a1.", "-", "m"],
)  # fmt: skip
def test_any_text_is_read_in_bounded_time(part: str) -> None:
    text = part * (50_000 // len(part))
    started = time.process_time()
    found = numerals(text)
    assert time.process_time() - started < 10
    assert all(len(f"{one.value:f}") < 3 * MOST_DIGITS for one in found if one.value is not None)


@pytest.mark.parametrize(
    "number",
    ["1e999999999999999999999", "1e300000000", "10^99999999999", "1e-99999999999", "5 billion", "10\u2079"],
)
def test_a_number_of_any_size_is_a_wrong_one_in_an_answer_and_a_new_one_in_a_refusal(number: str) -> None:
    """`f"{Decimal('1e300000000'):f}"` has 300 MB, and a larger exponent ended the run in a traceback."""
    agreed = contract(
        version=2,
        refusal_text={"languages": ["en"]},
        correctness=[{"at": "/answer", "by": "number", "reference": "/deep"}],
    )
    rows = gates.parse_golden([{**row, "meta": {"deep": 5}} for row in golden_rows(1, 1)])
    said: tuple[dict[str, Any], ...] = (
        {"answer": f"{number} [1]", "citations": [1]},
        {"answer": f"I cannot answer: {number}", "citations": []},
    )
    outputs = [
        gates.Output(id=row.id, output=json.dumps({**one, "refusal": row.answerable is False}))
        for row, one in zip(rows, said, strict=True)
    ]
    answers = pair(rows, outputs, agreed)
    assert [miss.id for miss in answer_correctness.score(answers).misses] == [rows[0].id]
    (strange,) = refusal_agreement.score(answers).misses
    assert (strange.id, strange.reason) == (
        rows[1].id,
        f"refuses and gives {''.join(number.split())}, which the prompt does not hold",
    )
    asking = [replace(row, prompt=({"role": "user", "content": f"Is it {number}?"},)) for row in rows]
    assert refusal_agreement.score(pair(asking, outputs, agreed)).misses == ()
