"""Held to a schema, whatever a model would like to write is an answer of its form; what no grammar can say is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from release.models import constrained
from release.values.errors import PreflightError
from tests.helpers.line import ROOT

SCHEMA = ROOT / "data" / "elements" / "answer.schema.json"
END = 2


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A token for each byte, and an end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = Tokenizer(
        models.BPE({"<unk>": 0, "<s>": 1, "</s>": END} | {one: n + 3 for n, one in enumerate(alphabet)}, [])
    )
    tokens.pre_tokenizer, tokens.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokens.add_special_tokens(["</s>"])
    tokens.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def written(tokenizer: Path, schema: Path, *, held: bool, seed: int) -> list[str]:
    """What two rows of random logits write, with a short way to the end."""
    import torch
    from tokenizers import Tokenizer

    torch.manual_seed(seed)
    whole = Tokenizer.from_file(str(tokenizer))
    size = whole.get_vocab_size()
    by_grammar = constrained.ByGrammar(constrained.tokens_of(tokenizer, [END], size), schema, 2, 1, [END])
    ids = torch.zeros(2, 1, dtype=torch.long)
    for _ in range(400):
        scores = torch.randn(2, size)
        scores[:, [END, whole.token_to_id('"'), whole.token_to_id("]"), whole.token_to_id("}")]] += 3.0
        scores = by_grammar(ids, scores) if held else scores
        ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], 1)
    texts = [row[1 : row.index(END)] if END in row else row[1:] for row in ids.tolist()]
    return [whole.decode(text) for text in texts]


@pytest.mark.parametrize("seed", range(3))
def test_random_logits_write_an_answer_of_the_schema(tokenizer: Path, seed: int) -> None:
    for text in written(tokenizer, SCHEMA, held=True, seed=seed):
        assert set(json.loads(text)) == {"answer", "citations", "refusal"}


def test_the_same_logits_write_none_where_nothing_holds_them(tokenizer: Path) -> None:
    for text in written(tokenizer, SCHEMA, held=False, seed=0):
        with pytest.raises(ValueError, match=r".*"):
            json.loads(text)


def test_what_a_grammar_leaves_out_is_told() -> None:
    assert constrained.grammar_of(SCHEMA)[1] == ['Unimplemented keys: ["uniqueItems"]']


@pytest.mark.parametrize(
    "schema", [{"type": "string", "pattern": "(?=x)y"}, {"$ref": "#/nowhere"}, {"type": "object", "required": 3}]
)
def test_a_schema_that_cannot_be_a_grammar_is_refused_with_what_to_do(schema: Any, tmp_path: Path) -> None:
    path = tmp_path / "answer.schema.json"
    path.write_text(json.dumps(schema), "utf-8")

    with pytest.raises(PreflightError, match=r"take that constraint out of `serving`"):
        constrained.grammar_of(path)
