"""Where answers part in tokens, by tokenizers that would take all there is: the comparison goes on without them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from release.checking import token_places
from tests.helpers.stand_in_tokenizer import Tokens, tokenizer

GROWS = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
HOSTILE: dict[str, dict[str, Any]] = {
    "a text written a billion times over": {"normalizer": {"type": "Sequence", "normalizers": [GROWS] * 10}},
    "a pattern that goes back": {
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": "^(a|a|aa)+$"}, "behavior": "Isolated", "invert": False
        }
    },
    "no tokenizer at all": {"model": {"type": "Code", "code": "import os"}},
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "tokenizer.json"
    tokenizer(Tokens(eos="<|end|>")).save(str(path))
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}), "utf-8")
    return path


def test_answers_part_at_their_first_other_token(tmp_path: Path) -> None:
    pairs = [("a<|end|>b", "a<|end|>c"), ("x", "x"), ("x", "xy"), ("", "x")]

    assert token_places.first_different(written(tmp_path), pairs) == [2, 1, 1, 0]


def test_without_a_tokenizer_or_a_pair_nothing_is_started(tmp_path: Path) -> None:
    assert token_places.first_different(tmp_path / "tokenizer.json", [("a", "b")]) == [None]
    assert token_places.first_different(written(tmp_path), []) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tokenizer_that_takes_too_much_tells_nothing_and_ends(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_places, "SECONDS", 1)
    path, started = written(tmp_path, **HOSTILE[name]), time.monotonic()

    assert token_places.first_different(path, [("a" * 60 + "b", "a" * 60 + "c")]) == [None]
    assert time.monotonic() - started < 20
