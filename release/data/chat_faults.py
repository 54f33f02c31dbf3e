"""What is wrong with a chat template, by the rows that are at hand; each kind of fault is told once."""

import re
from collections.abc import Iterator, Sequence

from gates.shown import some
from release.data.chat import PROBE, PROBE_ANSWER, Chat, Measured, Messages
from release.values.errors import PreflightError


def faults(examples: Sequence[tuple[str, Measured]]) -> Iterator[str]:
    """Each kind of fault once: the first row that has it, and how many more."""
    faulty = [(name, one.fault) for name, one in examples if one.fault]
    kinds: dict[str, list[str]] = {}
    for name, fault in faulty:
        kinds.setdefault(re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", fault), []).append(name)
    for names in kinds.values():
        said = next(fault for name, fault in faulty if name == names[0])
        yield f"row {some(names, 1)}: {said}" if names[0] else said


def doubled(chat: Chat, prompt: Messages) -> Iterator[str]:
    """A beginning-of-sequence token that stands twice, as where template and tokenizer both write it."""
    try:
        asked = chat.ask(prompt)
    except PreflightError:
        return  # it is told of the row
    if len(asked) > 1 and asked[0] == asked[1] and asked[0] in chat.tokenizer.get_added_tokens_decoder():
        what = f"The chat template begins with {chat.token(asked[0])} twice: a doubled beginning-of-sequence token."
        yield f"{what} Take one out of a copy of the template, and name that in model.chat_template."


def markers(chat: Chat) -> str:
    """What ``{% generation %}`` marks, for those who train by it: here the answer and its end are learned."""
    try:
        marked = chat.marked(PROBE, PROBE_ANSWER)
    except PreflightError:
        return "the template refuses a question of one word, so they were not looked at"
    if marked is None:
        return "none, and none are needed: the answer and its end are learned"
    learned = chat.decoded(chat.example(PROBE, PROBE_ANSWER).learned)
    same = "as is learned here" if marked.strip() == learned.strip() else f"but {learned!r} is learned here"
    return f"they mark {marked!r}, {same}"
