"""What Ollama writes with a template of the few actions that a Modelfile here has: Go's templates, read strictly."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from release.data.chat import Messages
from release.values.errors import PreflightError

ACTIONS = 16  # those written here have 11 at most: two around what begins, four and six around and in three roles
NONE: Mapping[str, str] = {"role": "", "content": ""}
"""Stands for a message where there is none, so that what is written for one is read all the same."""
ACTION = re.compile(r"\{\{ (.*?) \}\}", re.DOTALL)


@dataclass(kw_only=True)
class _Reader:
    """The parts of a template, and how far it was read."""

    parts: list[str]
    place: int = 0
    system: str = ""
    written: list[str] = field(default_factory=list)


def rendered(template: str, messages: Messages) -> str:
    """What Ollama writes: messages of one role in a row are one, and the system text is known as a whole."""
    joined = list(_collated(messages))
    system = "\n\n".join(one["content"] for one in joined if one["role"] == "system")
    if (found := template.count("{{")) > ACTIONS:
        raise PreflightError(f"Not a template that is written here: it has {found:,} actions.")
    reader = _Reader(parts=_parts(template), system=system)
    _must_be(_block(reader, joined, None, live=True), "")
    return "".join(reader.written)


def _parts(template: str) -> list[str]:
    """Texts and actions in turn; ``PreflightError`` where Go begins an action within a text."""
    parts = ACTION.split(template)
    texts = parts[::2]
    if any("{{" in one for one in texts) or any(one.endswith("{") for one in texts[:-1]):
        raise PreflightError("Not a template that is written here: a text in it has a brace that begins an action.")
    return parts


def _must_be(found: str, wanted: str) -> None:
    """What ends a block, that nothing is left unread behind it; empty for the end of the template."""
    if found != wanted:
        said = f"{{{{ {found} }}}}" if found else "its end"
        raise PreflightError(f"Not a template that is written here: {said} ends a block that it cannot end.")


def _collated(messages: Messages) -> Iterator[Mapping[str, str]]:
    """As ollama/template's ``collate`` does."""
    held: dict[str, str] | None = None
    for one in messages:
        if held and held["role"] == one["role"]:
            held["content"] += "\n\n" + one["content"]
            continue
        if held:
            yield held
        held = dict(one)
    if held:
        yield held


def _block(reader: _Reader, messages: Messages, message: Mapping[str, str] | None, *, live: bool) -> str:
    """Write up to the ``end`` or ``else`` of this block, which is returned; empty at the end of the template."""
    while reader.place < len(reader.parts):
        part, text = reader.parts[reader.place], reader.place % 2 == 0
        reader.place += 1
        if text:
            reader.written += [part] if live else []
        elif part == "end" or part.startswith("else"):
            return part
        else:
            _act(reader, part, messages, message, live=live)
    return ""


def _act(reader: _Reader, part: str, messages: Messages, message: Mapping[str, str] | None, *, live: bool) -> None:
    if part == "range .Messages" and message is None:
        _range(reader, messages, live=live)
    elif part.startswith("if "):
        _choice(reader, part, messages, message, live=live)
    elif part == ".Content" and message is not None:
        reader.written += [message["content"]] if live else []
    else:
        raise PreflightError(f"Not a template that is written here: {{{{ {part} }}}}.")


def _range(reader: _Reader, messages: Messages, *, live: bool) -> None:
    start = reader.place
    for one in messages or [NONE]:
        reader.place = start
        _must_be(_block(reader, messages, one, live=live and one is not NONE), "end")


def _choice(reader: _Reader, part: str, messages: Messages, message: Mapping[str, str] | None, *, live: bool) -> None:
    """The first branch whose condition holds; the others are read and not written."""
    taken = False
    while part.startswith(("if ", "else if ")):
        true = _holds(reader, part.removeprefix("else ").removeprefix("if "), message)
        holds = live and true and not taken
        taken = taken or holds
        part = _block(reader, messages, message, live=holds)
    _must_be(part, "end")


def _holds(reader: _Reader, condition: str, message: Mapping[str, str] | None) -> bool:
    if condition == "not .System" and message is None:  # a message has none, and Go stops there
        return not reader.system
    role = re.fullmatch(r'eq \.Role "(\w+)"', condition)
    if role is None or message is None:
        raise PreflightError(f"Not a condition that is written here: {condition}.")
    return message["role"] == role[1]
