"""A prompt and its conversation, read once where they are alike: the ids are those of each read by itself."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from release.data.token_ids import SHORT, Reader
from release.values.errors import PreflightError
from tests.helpers.stand_in_tokenizer import PAIRS, Tokens, tokenizer

START, END, LONGER = "<|start|>", "<|end|>", "<|end|>x"
KINDS: dict[str, Tokens] = {
    "bytes": Tokens(eos=END, special=(START,)),
    "old bytes": Tokens(eos=END, special=(START,), words="old bytes"),
    "pieces": Tokens(eos=END, special=(START,), words="pieces"),
    "old pieces": Tokens(eos=END, special=(START,), words="old pieces"),
    "a token that takes the space after it": Tokens(eos=END, special=(START,), swallow=(START, END)),
    "a token that begins as another one": Tokens(eos=END, special=(START, LONGER)),
    "tokens of which none is special": Tokens(eos="\x00", plain=(START, END)),
    "no token in the texts": Tokens(eos="\x00"),
}
ODD: dict[str, Any] = {
    "a token that takes the space before it": {"lstrip": True},
    "a token that stands only between words": {"single_word": True},
    "a token of the text as it is normalised": {"normalized": True},
}
PIECES = (START, END, "x", " ", "  ", "\n", "\n\n", "a", "ab", "s", "é", "\u0301", "\U0001f600", "<|", "|>", *PAIRS)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def readers() -> dict[str, Reader]:
    made = {name: tokenizer(tokens) for name, tokens in KINDS.items()}
    for name, how in ODD.items():
        made[name] = tokenizer(Tokens(eos="\x00"))
        made[name].add_special_tokens([AddedToken(START, **how), AddedToken(END, **how)])
    for name in ("bytes", "pieces"):
        made[f"{name}, lower case"] = changed = Tokenizer.from_str(tokenizer(KINDS[name]).to_str())
        changed.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip(), normalizers.Lowercase()])
    made["words that know whether they are first"] = first = tokenizer(KINDS["bytes"])
    first.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    made["special tokens as text"] = plain = tokenizer(KINDS["bytes"])
    plain.encode_special_tokens = True
    return {name: Reader(one) for name, one in made.items()}


READERS = readers()


@pytest.mark.parametrize("name", READERS)
@given(before=TEXTS, rest=TEXTS)
@settings(deadline=None, max_examples=50)
def test_both_are_read_as_each_by_itself(name: str, before: str, rest: str) -> None:
    reader = READERS[name]

    assert reader.both(before, before + rest) == (reader.ids(before), reader.ids(before + rest))
    assert reader.both(before, rest) == (reader.ids(before), reader.ids(rest))


@pytest.mark.parametrize("name", READERS)
@given(text=TEXTS)
@settings(deadline=None, max_examples=50)
def test_a_text_has_the_ids_that_whoever_asks_the_tokenizer_itself_gets(name: str, text: str) -> None:
    reader = READERS[name]

    assert list(reader.ids(text)) == reader.tokenizer.encode(text, add_special_tokens=False).ids


def test_a_pattern_that_goes_back_without_an_end_is_a_refusal() -> None:
    endless = tokenizer(KINDS["bytes"])
    endless.pre_tokenizer = pre_tokenizers.Split(Regex("^(a|a|aa)+$"), "isolated")

    with pytest.raises(PreflightError, match="gives up on a text of 61 characters"):
        Reader(endless).ids("a" * 60 + "b")


def test_what_both_have_is_read_once_and_the_end_of_a_prompt_once_for_all_rows() -> None:
    class Counting:
        def __init__(self, within: Tokenizer) -> None:
            self.within, self.read = within, list[str]()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.within, name)

        def encode_batch_fast(self, texts: list[str], **how: Any) -> Any:
            self.read += texts
            return self.within.encode_batch_fast(texts, **how)

    counting = Counting(tokenizer(KINDS["bytes"]))
    reader = Reader(counting)  # type: ignore[arg-type]
    long = "word " * SHORT

    for _ in range(2):
        reader.both(f"{START}{long}{END}{START}a\n", f"{START}{long}{END}{START}a\nYes.{END}")

    row = [f"{START}{long}{END}", f"{START}a\nYes.{END}"]
    assert sorted(counting.read) == sorted([*row, *row, f"{START}a\n"])
