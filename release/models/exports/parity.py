"""How far an engine's probabilities are from those of the trained form: token by token over the judged answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release.data.chat import Chat
from release.models.engines.llama_cpp import Connected

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST = 64  # tokens of which the engine tells the probability at each place; the rest count as one


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Over all tokens of the answers that were compared."""

    tokens: int
    mean_kl: float
    """Of the engine's probabilities from the trained form's, in nats: what is lost by believing the engine's."""
    max_kl: float
    same_first: int
    """Tokens at which both find the same token the most probable."""


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


def measured(
    trained: "PreTrainedModel",
    server: Connected,
    asked: Sequence[tuple[Sequence[int], Sequence[int]]],
    chosen: int,
    more: Mapping[str, object],
) -> Parity:
    """Of prompts, each with the tokens of its judged answer, end included; ``more`` is asked of the server each time.

    The trained form's model must be on a CPU or a card in this process.
    """
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
    mean = math.fsum(distances) / len(distances)
    return Parity(tokens=len(distances), mean_kl=mean, max_kl=max(distances), same_first=same)


def distance(ours: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """The Kullback-Leibler divergence of two distributions over the tokens that are known, and one for the rest."""
    known = math.fsum(math.exp(ours[one]) * (ours[one] - theirs[one]) for one in ours)
    left, right = (max(1 - math.fsum(map(math.exp, one.values())), 1e-12) for one in (ours, theirs))
    return max(0.0, known + left * math.log(left / right))
