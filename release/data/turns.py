"""What people write as messages and texts → messages of a canonical row: by whom, the text, and whether it is learned.

Nothing in a message is passed over: what changes what should be learned stops with a sentence, all else is counted.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gates.canonical import Json
from gates.shown import shorten
from release.data import tables

Row = dict[str, Json]
Message = dict[str, Json]
SPEAKERS: Mapping[str, str] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "question", "instruction"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "chatbot", "model", "bot", "ai", "answer"), "assistant"),
}
"""Who speaks, by the names that files have for it."""
NOT_LEARNED = {"weight": (0, False), "train": (False,), "training": (False,), "loss": (0, False), "masked": (1, True)}
"""Keys of a message, and the values that say that it is not to be learned: OpenAI, Axolotl, Swift."""
LEARNED = {"weight": (1, True), "train": (True,), "training": (True,), "loss": (1, True), "masked": (0, False)}
SAYS_NOTHING = {("prefix", "false"), ("type", '"message"')}
"""What a message says of itself that changes nothing: Mistral's, and the items' of OpenAI's Responses."""
HARMLESS = ("cache_control", "citations_enabled")
"""Keys of a part of a text that say nothing of the text: they are left out and counted."""
SYSTEM = ("system", "system_prompt", "system_message")
"""Keys of a system text that stands beside the messages."""
SHOWN = 60  # characters of a row's value in a message
OTHER = {
    **dict.fromkeys(("tool_calls", "function_call", "tools", "functions", "tool_call_id"), "a call of a tool"),
    **dict.fromkeys(("images", "image", "image_url", "videos", "video", "audios", "audio"), "a picture, film or sound"),
    **dict.fromkeys(("reasoning_content", "reasoning", "thinking", "thoughts", "thought"), "a thought"),
    "refusal": "a refusal beside the text",
}
"""What keys hold that an answer of text has no place for."""


class BadRow(ValueError):
    """Why a row is not one; the reader adds file and line."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How the rows of a file are to be read."""

    form: str = "auto"
    fields: Mapping[str, str] = field(default_factory=dict)
    """The key that holds a field, where it has another name; dots lead inside."""
    least: float | None = None
    """The rating that a row needs."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Whom another name for a speaker means."""
    ignored: frozenset[str] = frozenset()
    """Keys that mean nothing for learning: kept under ``meta``, or left out of a message, and counted."""
    without: frozenset[str] = frozenset()
    """Keys whose rows are left out."""


class Taken:
    """A row that is read: what was taken out, what is left, and what is to be told."""

    def __init__(self, left: Row, how: How, names: Mapping[str, str]) -> None:
        self.left, self.how, self.names = left, how, names
        self.dropped: set[str] = set()
        self.found: set[str] = set()

    def key(self, name: str) -> str:
        """The key that holds a field."""
        return self.names.get(name, name)

    def __call__(self, name: str) -> Json:
        """What a field holds, taken out; None where there is nothing."""
        value = take_out(self.left, self.key(name))
        if value is not None:
            self.found.add(name)
        return value

    def missing(self, name: str) -> BadRow:
        """Why a field that is needed has nothing."""
        called = self.key(name) if self.key(name) == name else f"{self.key(name)} ({name})"
        keys = ", ".join(map(str, self.left)) or "none"
        say = f"Say which key holds it: --field {name}=KEY (data.fields in a configuration)"
        return BadRow(f"{called} is missing. Other keys of the row: {shorten(keys, 200)}. {say}")


def take_out(left: Row, path: str) -> Json:
    """The value at a dotted key, which is taken out; None where there is none."""
    if path in left:
        return left.pop(path)
    *above, last = path.split(".")
    inside: Json = left
    for key in above:
        inside = inside.get(key) if isinstance(inside, dict) else None
    return inside.pop(last, None) if isinstance(inside, dict) else None


def inside(row: Row, path: str) -> Json:
    """The value at a dotted key; None where there is none."""
    if path in row:
        return row[path]
    found: Json = row
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def option(name: str, key: str) -> str:
    """How a field's key is said on a command line, in a shell too."""
    return f"--field {shlex.quote(f'{name}={key}')}"


def empty(value: Json) -> bool:
    """Whether a key says nothing: null, or an empty text, list or object; a text of spaces is empty."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list | dict) and not value)


def shown(value: object) -> str:
    """A row's value in a message: not more of it than is needed to find it."""
    try:
        return shorten(json.dumps(value, ensure_ascii=False, default=repr), SHOWN)
    except RecursionError:
        return "a value of many levels"


def system(take: Taken) -> list[Message]:
    """The system text that stands beside the messages, if any."""
    named = next((key for key in SYSTEM if not empty(take.left.get(key)) and key not in take.how.ignored), "system")
    if "system" not in take.names:
        take.names = {**take.names, "system": named}
    said = take("system")
    return [] if empty(said) else [{"role": "system", "content": text(take, said, "system")}]


def turns(take: Taken, name: str, role: str) -> list[Message]:
    """One message of a text, or the messages of a list; of an answer an object too, as compact JSON."""
    value = tables.json_in(given) if isinstance(given := take(name), str) and given.startswith("[{") else given
    if isinstance(value, list) and value and all(isinstance(one, dict) and _named(take, one) for one in value):
        return messages(take, value)
    if isinstance(value, dict) and _named(take, value):
        return messages(take, [value])
    if value is None:
        raise take.missing(name)
    return [{"role": role, "content": text(take, value, name, learned=role == "assistant")}]


def messages_of(take: Taken, name: str) -> list[Message]:
    """The messages that a field holds; a list that stands as a text is read."""
    value = take(name)
    if value is None:
        raise take.missing(name)
    if isinstance(value, dict) and (parts := _columns(take, value)):
        return messages(take, parts)
    if isinstance(value, dict) and (inner := next((key for key, one in value.items() if isinstance(one, list)), "")):
        key = take.key(name)
        raise BadRow(f"{key} is an object. If {inner} in it are the messages: {option(name, f'{key}.{inner}')}")
    return messages(take, tables.json_in(value) if isinstance(value, str) else value)


def _columns(take: Taken, value: Mapping[str, Json]) -> list[Json]:
    """Messages that stand as columns, as `datasets` keeps a list of objects; empty for any other object."""
    lists = [one for one in value.values() if isinstance(one, list)]
    if len(lists) < len(value) or len({len(one) for one in lists}) != 1 or _named(take, value) is None:
        return []
    return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]


def messages(take: Taken, value: Json) -> list[Message]:
    if not isinstance(value, list) or not value:
        python = isinstance(value, str) and value.lstrip().startswith("[{'")
        do = ". It is how Python shows a list: write `json.dumps(messages)`" if python else ""
        raise BadRow(f"its messages are not a list of messages: {shown(value)}{do}")
    plain = not take.how.roles and "role" not in take.names and "content" not in take.names
    return [(plain and _plain(one)) or _message(take, one, number) for number, one in enumerate(value, 1)]


def _plain(one: Json) -> Message | None:
    """A message of a role and a text and nothing else, as most are: what ``_message`` makes of it, at a third of it."""
    if not isinstance(one, dict) or len(one) > 2:
        return None
    who, said = one.get("role"), one.get("content")
    if isinstance(who, str) and who in SPEAKERS and isinstance(said, str) and said.strip():
        return {"role": SPEAKERS[who], "content": said}
    return None


def _named(take: Taken, one: Mapping[str, Json]) -> tuple[str, str] | None:
    """The two keys that a message has for who speaks and what is said."""
    own = (take.names.get("role", "role"), take.names.get("content", "content"))
    known = (own, ("role", "content"), ("from", "value"), ("role", "parts"), ("from", "content"), ("role", "value"),
             ("type", "content"))  # fmt: skip
    return next((pair for pair in known if pair[0] in one and pair[1] in one), None)


def _message(take: Taken, one: Json, number: int) -> Message:
    if not isinstance(one, dict):
        raise BadRow(f"message {number} is not an object: {shown(one)}")
    if (keys := _named(take, one)) is None:
        had = ", ".join(map(str, one))
        raise BadRow(f"message {number} has the keys {shorten(had, 120)}; expected 'role' and 'content'. {_NAMES}")
    who, what = keys
    if one[what] is None:
        calls = next((f", and {key}" for key in OTHER if not empty(one.get(key))), "")
        raise BadRow(f"message {number} has no text: {what} is null{calls}. {_LEAVE}")
    said: Message = {"role": _speaker(take, one[who], number)}
    said["content"] = text(take, one[what], f"message {number}")
    for key, value in one.items():
        if key not in keys and not empty(value):
            said |= _beside(take, key, value, number)
    return said


_NAMES = "Name them: --field role=KEY --field content=KEY"
_LEAVE = "Take the row out"


def _speaker(take: Taken, name: Json, number: int) -> str:
    said = name if isinstance(name, str) else ""
    found = take.how.roles.get(said) or SPEAKERS.get(said.strip().lower())
    if found is None:
        tool = (
            "A call of a tool cannot be learned here: take the row out" if "function" in said or "tool" in said else ""
        )
        likely = "user" if number % 2 else "assistant"
        named = shlex.quote(f"{said or 'NAME'}={likely}")
        tool = tool or f"If it is one of these: `data convert` with --role {named}"
        raise BadRow(f"message {number} is by {shown(name)}; expected system, user or assistant. {tool}")
    return found


def _beside(take: Taken, key: str, value: Json, number: int) -> Message:
    """What else a message says: whether it is learned, or nothing; what cannot be used stops."""
    if key in take.how.ignored:
        take.dropped.add(f"left out of messages: {key}")
        return {}
    if key in NOT_LEARNED and value in NOT_LEARNED[key]:
        return {"weight": 0}
    if (key in LEARNED and value in LEARNED[key]) or (key, json.dumps(value)) in SAYS_NOTHING:
        return {}
    what = f", {OTHER[key]}," if key in OTHER else ""
    raise BadRow(
        f"message {number} has {key}{what} which a chat for training has no place for: {shown(value)}. "
        f"If it means nothing for learning: `data convert` with --ignore {key}"
    )


def text(take: Taken, value: Json, name: str, *, learned: bool = False) -> str:
    """Text as it is, parts of text joined; what is learned may be an object, which becomes compact JSON."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        parts = [_part(take, one, name, number) for number, one in enumerate(value, 1) if isinstance(one, dict)]
        value = "".join(parts)
    if isinstance(value, dict) and isinstance(value.get("parts"), list):  # Gemini's own system text
        return text(take, value["parts"], name)
    if isinstance(value, dict) and learned:
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, str) and not value.strip():
        raise BadRow(f"{name} is empty; expected text")
    if not isinstance(value, str):
        do = "" if isinstance(value, dict) or value is None else ". Write it in quotes"
        do = ". Write one text, or a row for each" if isinstance(value, list) else do
        raise BadRow(f"{name} is {'null' if value is None else 'not text'}; expected text: {shown(value)}{do}")
    return value


def _part(take: Taken, part: Mapping[str, Json], name: str, number: int) -> str:
    """The text of one part, as OpenAI, Anthropic, Bedrock and Gemini write it."""
    kind = part.get("type")
    if kind not in (None, "text", "input_text", "output_text") or not isinstance(part.get("text"), str):
        what = kind or next((key for key in part if key != "type"), "nothing")
        raise BadRow(f"{name}: part {number} is {shown(what)}, which is not text. {_LEAVE}")
    for key, value in part.items():
        if key in ("type", "text") or empty(value):
            continue
        if key not in (*HARMLESS, *take.how.ignored):
            raise BadRow(
                f"{name}: part {number} has {key}: {shown(value)}. Leave it out: `data convert --ignore {key}`"
            )
        take.dropped.add(f"left out of messages: {key}")
    return str(part["text"])


def system_to_user(given: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]] | None:
    """The same conversation without system messages: each one's text stands at the start of the next user message.

    With a blank line between, for a chat template that has no place for it. None where no user message follows one.
    """
    moved: list[Mapping[str, str]] = []
    waiting: list[str] = []
    for one in given:
        if one["role"] == "system":
            waiting.append(one["content"])
        elif one["role"] == "user" and waiting:
            moved.append({**one, "content": "\n\n".join([*waiting, one["content"]])})
            waiting = []
        else:
            moved.append(one)
    return None if waiting else moved


Reader = Callable[[Taken, Row], list[Message]]
