"""No file ends a data command in a traceback, and what is written by one is read by the next."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from release.data import convert, dataset, formats, split
from release.values.errors import Stop

NAMES = re.findall(
    r"\w+",
    "messages prompt completion gold conversations instruction output input history query answer documents contents "
    "chosen rejected label weight rating id tags support answerable meta system tools images openai_moderation body "
    "question response contexts text frage role content from value type parts user assistant gpt human",
)
ROWS = (
    {"prompt": "Is it?", "completion": "Yes."},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    {"instruction": "\ud83d", "output": "x"},
    {"prompt": "1?", "gold": "x", "support": []},
)
PIECES = st.sampled_from([
    *rb"""{ } [ ] " : , \ \ud83d null true 1e999 NaN 999999999999999999999 {"data":[{ prompt,completion""".split(),
    *(b"\n", b"\r", b"\r\n", b" ", b"\t", b"\xff", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8"),
    *(b"\x1f\x8b", b"PAR1", b"BZh9", b"\x28\xb5\x2f\xfd", b"ARROW1", b"\xfd7zXZ"),
    *(json.dumps(name).encode() for name in NAMES), *(json.dumps(row).encode() for row in ROWS),
])  # fmt: skip
TEXTS = st.text(max_size=5) | st.sampled_from(["user", "gpt", "[{}]", "model", "[]"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "a.b", ""]), inner, max_size=3)
    ),
    max_leaves=8,
)
GIVEN = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=5) | st.sampled_from(ROWS)
FORMS = st.sampled_from(formats.FORMS)
SOME = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def tried(folder: Path, data: bytes, suffix: str, form: str) -> None:
    """Convert, split and load: each ends well or with a reason, and what was written is accepted."""
    source, target, sides = folder / f"rows{suffix}", folder / "out.jsonl", (folder / "t.jsonl", folder / "g.jsonl")
    source.write_bytes(data)
    for old in (target, *sides):
        old.unlink(missing_ok=True)
    wanted = convert.Wanted(form=form, system_to_user=len(data) % 2 == 0)
    commands: list[Callable[[], object]] = [
        lambda: convert.to_file([source], target, wanted),
        lambda: split.to_files(source, sides, split.Wanted(share=0.5, seed=1)),
        lambda: dataset.load(source, form),
    ]
    said = [ended(command) for command in commands]
    assert all(said)
    for made in (target, *sides):
        if made.exists():
            again = dataset.read(made)
            assert (again.form, again.told) == ("canonical", ())
            assert again.rows


def ended(command: Callable[[], object]) -> str:
    """How a command ended, in words."""
    try:
        command()
    except Stop as stop:
        return str(stop)
    return "well"


@given(st.lists(PIECES, max_size=12).map(b"".join), st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".gz"]), FORMS)
@example(b'{"a":' * 100_000, ".jsonl", "auto")
@example(b"[" * 100_000, ".json", "auto")
@example(b"\r", ".csv", "auto")
@SOME
def test_no_bytes_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str, form: str
) -> None:
    tried(tmp_path_factory.getbasetemp(), data, suffix, form)


@given(st.lists(GIVEN, min_size=1, max_size=3), FORMS, st.booleans())
@SOME
def test_no_rows_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], form: str, array: bool
) -> None:
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    data = json.dumps(rows, indent=1).encode() if array else lines
    tried(tmp_path_factory.getbasetemp(), data, ".json" if array else ".jsonl", form)
