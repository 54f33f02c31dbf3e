"""How far llama.cpp's probabilities are from those of the weights that its file was made of, token by token."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from release.data.chat import Chat
from release.models.engines import llama_cpp
from release.models.engines.engine import Asked
from release.models.engines.llama_cpp import Connected
from release.values.record import Parity

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS, FIRST = 8, 8  # golden rows, and tokens of an answer to each: some seconds
MOST = 64  # tokens of which the engine tells the probability at each place; the rest count as one
DIGITS = 6  # after the point of a divergence


def plain(chat: Chat) -> int:
    """A token that is whole text: llama.cpp tells no probabilities where it chose half a character."""
    vocabulary: Mapping[str, int] = chat.tokenizer.get_vocab()
    return min(number for text, number in vocabulary.items() if text.isascii() and text.isalpha())


def probable(server: Connected, ids: Sequence[int], chosen: int, more: Mapping[str, object]) -> dict[int, float]:
    """The logarithm of the probability of the most probable tokens after these; ``chosen`` is written whatever it is.

    Probabilities are the model's own, from before a token is chosen.
    """
    asked = {"prompt": list(ids), "n_predict": 1, "n_probs": MOST, "logit_bias": [[chosen, 1e4]], "temperature": 0}
    told = server.ask("/completion", {**asked, **more, "cache_prompt": True})
    return {one["id"]: one["logprob"] for one in told["completion_probabilities"][0]["top_logprobs"]}


def of_a_file(model: "PreTrainedModel", asked: Asked, prompts: Sequence[Sequence[int]]) -> Parity:
    """Of what a form of llama.cpp loads, over the first of these prompts; ``model`` is what it was made of.

    Looked at are the first tokens that ``model`` itself answers.
    """
    ends = asked.chat.ends
    each = [(prompt, answered(model, prompt, ends)) for prompt in prompts[:ROWS]]
    with llama_cpp.serving(asked, max(len(prompt) for prompt, _ in each) + FIRST) as server:
        return measured(model, server, each, plain(asked.chat), {})


def answered(model: "PreTrainedModel", prompt: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The first tokens of its answer, greedily, up to an end."""
    import torch

    ids = torch.tensor([list(prompt)], device=model.device)
    with torch.inference_mode():
        whole = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=FIRST,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=list(ends),
            pad_token_id=ends[0],
        )
    tokens: list[int] = whole[0, len(prompt) :].tolist()
    return tokens


def measured(
    trained: "PreTrainedModel",
    server: Connected,
    asked: Sequence[tuple[Sequence[int], Sequence[int]]],
    chosen: int,
    more: Mapping[str, object],
) -> Parity:
    """Of prompts, each with tokens of an answer; ``more`` is asked of the server each time."""
    import torch

    distances, same = [], 0
    for prompt, answer in asked:
        whole = torch.tensor([[*prompt, *answer]], device=trained.device)
        with torch.inference_mode():
            logits = trained(input_ids=whole).logits[0, len(prompt) - 1 : -1].double()
        for number, row in enumerate(torch.log_softmax(logits, dim=-1)):
            theirs = probable(server, [*prompt, *answer[:number]], chosen, more)
            ours = {one: float(row[one]) for one in theirs}
            distances.append(distance(ours, theirs))
            same += int(row.argmax()) == max(theirs, key=lambda one: theirs[one])
    return Parity(
        rows=len(asked),
        tokens=len(distances),
        mean_kl=round(math.fsum(distances) / len(distances), DIGITS),
        max_kl=round(max(distances), DIGITS),
        same_first=same,
    )


def distance(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """The Kullback-Leibler divergence of two distributions over the tokens that are known, and one for the rest."""
    known = math.fsum(math.exp(ours[one]) * (ours[one] - theirs[one]) for one in ours)
    left, right = (max(1 - math.fsum(map(math.exp, one.values())), 1e-12) for one in (ours, theirs))
    return max(0.0, known + left * math.log(left / right))
