"""Keys beside the messages that change what should be learned: marked bad, a row is left out; unusable, it stops.

A key that says nothing (null, empty) is not there. Every other key goes under ``meta``, and is counted.
"""

from typing import TypeGuard

from gates.canonical import Json
from release.data.turns import OTHER, BadRow, Taken, empty, shown

GOOD = ("label", "kto_tag", "liked", "is_good", "is_correct", "correct", "is_valid", "approved", "accepted")
"""Keys whose ``false`` marks an answer as bad: KTO of TRL and LLaMA-Factory, reviewed and graded rows."""
BAD = (
    *("toxic", "flagged", "deleted", "rejected", "is_bad", "is_toxic", "is_rejected"),
    *("was_cancelled", "cancelled", "discarded", "archived"),
)
"""Keys whose ``true`` does: WildChat, OpenAssistant, Label Studio."""
SAID = (
    *("label", "kto_tag", "quality", "feedback", "vote", "verdict", "grade", "thumbs", "decision"),
    *("status", "review", "review_status", "annotation_status"),
)
"""Keys whose text may be a word for bad, or say that people put the row aside: Argilla, Langfuse."""
BAD_WORDS = (
    *("bad", "wrong", "incorrect", "undesirable", "down", "thumbs_down", "thumbs down", "dislike", "disliked"),
    *("reject", "rejected", "discard", "discarded", "declined", "archived", "cancelled", "failed", "error"),
)
PRODIGY, PASSED_OVER = "_input_hash", ("reject", "ignore")
"""A key of every row of Prodigy, and what its ``answer`` says of rows that people did not accept."""
ENDED = ("finish_reason", "stop_reason", "done_reason", "finishReason", "stopReason")
CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "content_filter", "safety", "recitation", "error")
"""How an answer ended that is not whole: OpenAI, Anthropic, Gemini, Mistral, Ollama."""
TRUTH = {"true": True, "false": False}
"""What stands as a text where a program meant true or false."""
MODERATED = "openai_moderation"
"""LMSYS and WildChat: a list with ``flagged`` for each message."""
LIKED = {True: 1.0, False: 0.0, "up": 1.0, "down": 0.0, "good": 1.0, "bad": 0.0, "thumbs_up": 1.0, "thumbs_down": 0.0}
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
TOOLS = ("tools", "functions", "tool_calls", "function_call")
ORDERED = ("chosen", "rejected_response", "non_preferred_output")
"""Halves of a preference in a row that is read as something else."""
MASKS = ("loss_mask", "label_mask", "train_mask")
"""Lists that say which messages or tokens are learned."""
BETTER = ("corrected", "correction", "corrected_output")
"""A better answer beside the one that is read: Axolotl's reflection."""


MARKED = frozenset((*GOOD, *BAD, *SAID, *ENDED, PRODIGY, MODERATED, "weight"))
USED_UP = frozenset((*MEDIA, *TOOLS, *ORDERED, *MASKS, *BETTER))
"""What most rows have nothing of."""


def bad(take: Taken) -> str:
    """Why a row is left out because it says itself that it is bad; empty for any other."""
    if take.how.least is None and MARKED.isdisjoint(take.left) and take.key("rating") not in take.left:
        return ""
    for key in (*GOOD, *BAD):
        value, means = _truth(take.left.get(key)), key in GOOD
        if key in take.how.ignored or not isinstance(value, bool):
            _unclear(take, key, value)
        elif value is not means:
            return f"marked as bad ({key}: {'true' if value else 'false'})"
    return _said(take) or _moderated(take) or _weighed(take) or _rated(take)


def _said(take: Taken) -> str:
    """Words for bad, and for an answer that is not whole."""
    words: list[tuple[str, tuple[str, ...], str]] = [(key, BAD_WORDS, "marked as bad") for key in SAID]
    words += [(key, CUT, "whose answer was cut") for key in ENDED]
    words += [("answer", PASSED_OVER, "marked as bad")] if PRODIGY in take.left else []
    for key, bad_ones, why in words:
        said = take.left.get(key)
        if key not in take.how.ignored and isinstance(said, str) and said.strip().lower() in bad_ones:
            return f"{why} ({key}: {shown(said)})"
    return ""


def _moderated(take: Taken) -> str:
    moderated = take.left.get(MODERATED)
    if MODERATED not in take.how.ignored and isinstance(moderated, list) and any(map(_flagged, moderated)):
        return f"marked as bad ({MODERATED}: flagged)"
    return ""


def _truth(value: Json) -> Json:
    return TRUTH.get(value.strip().lower(), value) if isinstance(value, str) else value


def _unclear(take: Taken, key: str, value: Json) -> None:
    """Stop at 0 and 1, which are true and false in one file and two classes in another."""
    if key in GOOD and key not in take.how.ignored and isinstance(value, int) and not isinstance(value, bool):
        raise BadRow(
            f"{key} is the number {value}: a mark of good and bad (KTO), or a class? For the first write true and "
            f"false; for the second: `data convert` with --ignore {key}"
        )


def _flagged(one: Json) -> bool:
    return isinstance(one, dict) and one.get("flagged") is True


def _weighed(take: Taken) -> str:
    """What a row's own weight says: it is learned, or it is not; part of it cannot be."""
    value = take.left.get("weight")
    if "weight" in take.how.ignored or value is None:
        return ""
    if value in (0, False):
        return "of weight 0"
    if value not in (1, True):
        raise BadRow(
            f"weight is {shown(value)}: each row is learned once here. Leave out rows of little weight, or, if all "
            "should count the same: `data convert` with --ignore weight"
        )
    return ""


def _rated(take: Taken) -> str:
    """What a row's rating says: too low for what was asked, or, without being asked, a word for bad."""
    key, least = take.key("rating"), take.how.least
    said = take.left.get(key)
    if key in take.how.ignored:
        return ""
    if least is not None:
        return f"rated below {least:g} or not at all" if rating(said, key) < least else ""
    return f"marked as bad ({key}: {shown(said)})" if _is_word(said) and LIKED.get(said) == 0 else ""


def _is_word(value: Json) -> TypeGuard[bool | str]:
    return isinstance(value, bool | str)


def rating(value: Json, key: str = "rating") -> float:
    """A rating as a number; a row without one is below any."""
    if isinstance(value, bool | str) and value in LIKED:
        return LIKED[value]
    if value is None:
        return float("-inf")
    if isinstance(value, str):
        try:
            return float(value)  # a cell of a table
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, int | float):
        words = ", ".join(word for word in LIKED if isinstance(word, str))
        raise BadRow(f"{key} is not a number, true or false, or one of {words}: {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise BadRow(f"{key} is a number that no float holds: {shown(value)}") from None


def refuse(take: Taken, form: str) -> None:
    """Raise ``BadRow`` for what is left of a row and cannot be used, though it is more than a remark."""
    if USED_UP.isdisjoint(take.left):
        return
    for key in (*MEDIA, *TOOLS):
        value = take.left.get(key)
        if key in take.how.ignored or empty(value) or value in ("[]", "{}", "null"):
            continue
        raise BadRow(
            f"it has {key}, {OTHER[key]}, which an answer of text cannot be learned with: {shown(value)}. Leave such "
            f"rows out with `data convert --without {key}`; if it means nothing for learning: --ignore {key}"
        )
    _refuse_other(take)
    if form != "preference":
        for key in ORDERED:
            if key not in take.how.ignored and not empty(take.left.get(key)) and key != take.key("completion"):
                raise BadRow(
                    f"it has {key}, one half of a preference. To learn the preferred answer: --format preference; if "
                    f"it means nothing for learning: `data convert` with --ignore {key}"
                )


def _refuse_other(take: Taken) -> None:
    """Raise ``BadRow`` for a better answer, or a list of what is learned, that nothing reads."""
    for key in (*MASKS, *BETTER):
        if key in take.how.ignored or empty(take.left.get(key)):
            continue
        what = (
            "which says what of it is learned. Write weight: 0 at each message that is not"
            if key in MASKS
            else f"a better answer than the one it is read with: --field completion={key} (alpaca: output={key})"
        )
        raise BadRow(f"it has {key}, {what}; if it means nothing for learning: `data convert` with --ignore {key}")
