"""Decoding that is held to a JSON Schema: llguidance says which tokens may follow, in transformers' own loop."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from release.values.errors import PreflightError

if TYPE_CHECKING:
    import torch
    from llguidance import LLTokenizer


def tokens_of(tokenizer: Path, ends: Sequence[int], size: int) -> "LLTokenizer":
    """A ``tokenizer.json`` as llguidance needs it, for ``size`` logits; an answer may end with each of ``ends``."""
    from llguidance import LLTokenizer

    return LLTokenizer(tokenizer.read_text("utf-8"), n_vocab=size, eos_token=list(ends))


class ByGrammar:
    """For each row of a batch: the logits of tokens that its answer may not go on with are minus infinity.

    A ``LogitsProcessor`` of transformers, for one call of ``generate``.
    """

    def __init__(self, tokens: "LLTokenizer", schema: Path, rows: int, asked: int, ends: Sequence[int]) -> None:
        """``asked`` is the length of the prompts: what comes after it is the answer."""
        from llguidance import LLMatcher

        grammar, _ = grammar_of(schema)
        self._matchers = [LLMatcher(tokens, grammar) for _ in range(rows)]
        self._asked, self._ends = asked, list(ends)

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """``input_ids`` (rows, tokens so far) and ``scores`` (rows, vocabulary), as transformers calls it."""
        import torch

        rows, size = scores.shape
        mask = torch.zeros(rows, (size + 31) // 32, dtype=torch.int32)  # a bit for each token
        for row, matcher in enumerate(self._matchers):
            if input_ids.shape[1] > self._asked and not matcher.is_stopped():
                matcher.consume_token(int(input_ids[row, -1]))
            if not matcher.is_stopped():
                matcher.unsafe_compute_mask_ptr(mask[row].data_ptr(), mask[row].nbytes)
        allowed = ((mask.unsqueeze(-1) >> torch.arange(32, dtype=torch.int32)) & 1).flatten(1)[:, :size].bool()
        over = [row for row, matcher in enumerate(self._matchers) if matcher.is_stopped()]
        for end in self._ends:
            allowed[over, end] = True  # nothing can follow a whole answer
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))


def grammar_of(schema: Path) -> tuple[str, list[str]]:
    """The grammar of a JSON Schema, and what it leaves out, which the gates measure all the same.

    ``PreflightError`` where the schema says what no grammar can.
    """
    from llguidance import LLMatcher

    grammar: str = LLMatcher.grammar_from_json_schema(json.loads(schema.read_bytes()), overrides={"lenient": True})
    broken, said = LLMatcher.validate_grammar_with_warnings(grammar)
    if broken:
        raise PreflightError(
            f"{schema.name} cannot be made a grammar: {' '.join(said[0].split())}. A form with constraint: json_schema "
            "needs one: take that constraint out of `serving`, or say the schema without it."
        )
    return grammar, said
