"""A row as people have it → a canonical row: chat, prompt and completion, ShareGPT, Alpaca, interaction archives.

The canonical format is a golden row's (schemas/golden_row.schema.json). What has no place there is kept under ``meta``.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from gates.canonical import Json

AUTO = ("auto", "chat_jsonl", "jsonl")  # the first, and what older configurations call it
COMMON = ("id", "documents", "answerable", "support", "citation_required", "tags")
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant"}
LIKED = {True: 1.0, False: 0.0, "up": 1.0, "down": 0.0, "good": 1.0, "bad": 0.0, "thumbs_up": 1.0, "thumbs_down": 0.0}
Row = dict[str, Json]
Message = dict[str, str]
Take = Callable[[str], Json]
"""Takes what stands under a field's name out of the row that is read; None where there is nothing."""


class BadRow(ValueError):
    """Why a row is not one; the reader adds file and line."""


def recognise(row: object) -> str:
    """The format that a row's keys say; a row like no other counts as canonical, so that its faults are named."""
    keys = row.keys() if isinstance(row, dict) else set()
    if "gold" in keys:
        return "canonical"
    marks = {"messages": "canonical", "conversations": "sharegpt", "instruction": "alpaca"}
    marks |= {"completion": "prompt_completion", "query": "archive"}
    return next((form for key, form in marks.items() if key in keys), "canonical")


def system_to_user(messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]] | None:
    """The same conversation without system messages: each one's text stands at the start of the next user message.

    With a blank line between, for a chat template that has no place for it. None where no user message follows one.
    """
    moved: list[Mapping[str, str]] = []
    waiting: list[str] = []
    for one in messages:
        if one["role"] == "system":
            waiting.append(one["content"])
        elif one["role"] == "user" and waiting:
            moved.append({**one, "content": "\n\n".join([*waiting, one["content"]])})
            waiting = []
        else:
            moved.append(one)
    return None if waiting else moved


def line(row: Mapping[str, Json]) -> bytes:
    """A row as one line of a canonical file."""
    return (json.dumps(row, ensure_ascii=False, separators=(", ", ": ")) + "\n").encode("utf-8", "backslashreplace")


def canonical(form: str, fields: Mapping[str, str], given: Json, name: str) -> Row:
    """The canonical row of one given row, called ``name`` where it has no id; ``BadRow`` says what it lacks."""
    if not isinstance(given, dict):
        raise BadRow(f"it is {_shown(given)}, not a JSON object")
    left: Row = json.loads(json.dumps(given))  # a copy to take from, however deep
    if not isinstance(left.get("meta", {}), dict):
        left["meta"] = {"meta": left["meta"]}

    def take(key: str) -> Json:
        return take_out(left, fields.get(key, key))

    common: Row = {key: value for key in COMMON if (value := take(key)) is not None}
    if "documents" in common:
        common["documents"] = [*_documents(common["documents"])]
    messages = READERS[form](take, common)
    if not messages or messages[-1]["role"] != "assistant":
        raise BadRow("it does not end with an assistant's answer: there is nothing to learn from it")
    row: Row = {"id": name, "messages": [{**one} for one in messages], **common}
    if form == "canonical":
        return row | left  # an unknown key here is a slip of the pen, which the schema names
    meta = object_of(left.pop("meta", None)) | object_of(common.get("meta")) | left
    return row | ({"meta": meta} if meta else {})


def object_of(value: Json) -> Row:
    """A JSON object to change; empty where there is none."""
    return dict(value) if isinstance(value, dict) else {}


def take_out(left: Row, path: str) -> Json:
    """The value at a dotted key, which is taken out; None where there is none."""
    *above, last = path.split(".")
    inside: Json = left
    for key in above:
        inside = inside.get(key) if isinstance(inside, dict) else None
    return inside.pop(last, None) if isinstance(inside, dict) else None


def _chat(take: Take, _: Row) -> list[Message]:
    return _messages(take("messages"), "role", "content")


def _canonical_row(take: Take, _: Row) -> list[Message]:
    if (messages := take("messages")) is not None:
        return _messages(messages, "role", "content")
    return [*_turns(take("prompt"), "user", "prompt"), *_turns(take("gold"), "assistant", "gold")]


def _prompt_completion(take: Take, _: Row) -> list[Message]:
    asked, answered = _turns(take("prompt"), "user", "prompt"), _turns(take("completion"), "assistant", "completion")
    return [*_system(take), *asked, *answered]


def _sharegpt(take: Take, _: Row) -> list[Message]:
    return [*_system(take), *_messages(take("conversations"), "from", "value")]


def _alpaca(take: Take, _: Row) -> list[Message]:
    instruction, more = _text(take("instruction"), "instruction"), take("input")
    asked = f"{instruction}\n\n{_text(more, 'input')}" if more else instruction
    history = take("history") or []
    turns = [turn for turn in history if isinstance(turn, list) and len(turn) == 2] if isinstance(history, list) else []
    if not isinstance(history, list) or len(turns) < len(history):
        raise BadRow(f"history is {_shown(history)}; expected a list of [question, answer]")
    earlier = [
        {"role": role, "content": _text(said, "history")}
        for turn in turns
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]
    last = [{"role": "user", "content": asked}, {"role": "assistant", "content": _text(take("output"), "output")}]
    return [*_system(take), *earlier, *last]


def _archive(take: Take, common: Row) -> list[Message]:
    """A query with the documents that were retrieved for it, as ``[id] text`` lines in front, and the answer."""
    query, answer, rating = _text(take("query"), "query"), _text(take("answer"), "answer"), take("rating")
    documents = _documents(common.get("documents") or [])
    shown = [f"[{document['id']}] {document['text']}" for document in documents if "text" in document]
    if rating is not None:
        common["meta"] = {"rating": rating}
    return [
        *_system(take),
        {"role": "user", "content": "\n".join([*shown, "", query] if shown else [query])},
        {"role": "assistant", "content": answer},
    ]


def _system(take: Take) -> list[Message]:
    said = take("system")
    return [{"role": "system", "content": _text(said, "system")}] if said else []


def _turns(value: Json, role: str, name: str) -> list[Message]:
    """One message of a text or an object, or the messages of a list."""
    if isinstance(value, list):
        return _messages(value, "role", "content")
    return [{"role": role, "content": _text(value, name)}]


def _messages(value: Json, role: str, content: str) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise BadRow(f"its messages are {_shown(value)}, not a list of messages")
    return [_message(one, number, role, content) for number, one in enumerate(value, 1)]


def _message(one: Json, number: int, role: str, content: str) -> Message:
    if not isinstance(one, dict) or role not in one or content not in one:
        raise BadRow(f"message {number} is {_shown(one)}; expected {role!r} and {content!r}")
    strange = [key for key, value in one.items() if key not in (role, content) and value is not None]
    if strange:
        raise BadRow(f"message {number} has {', '.join(sorted(strange))}, which a chat for training has no place for")
    name = one[role]
    said = ROLES.get(name, name) if isinstance(name, str) else None
    if said not in ("system", "user", "assistant"):
        raise BadRow(f"message {number} is by {_shown(name)}; expected system, user or assistant")
    return {"role": said, "content": _text(one[content], f"message {number}")}


def _text(value: Json, name: str) -> str:
    """Text as it is, text parts joined, an object as compact JSON."""
    if isinstance(value, list) and value:
        parts = [part for part in value if isinstance(part, dict) and part.get("type") == "text"]
        value = "".join(str(part.get("text", "")) for part in parts) if len(parts) == len(value) else value
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, str) or not value:
        raise BadRow(f"{name} is {_shown(value)}; expected text")
    return value


def _documents(value: Json) -> list[Row]:
    """Documents as objects with an id: texts get their number, and ``content`` is called ``text``."""
    if not isinstance(value, list):
        raise BadRow(f"documents is {_shown(value)}; expected a list")
    listed = []
    for number, one in enumerate(value, 1):
        document = {"text": one} if isinstance(one, str) else one
        if not isinstance(document, dict):
            raise BadRow(f"document {number} is {_shown(one)}; expected an object or text")
        if "text" not in document and isinstance(document.get("content"), str):
            document = {**document, "text": document["content"]}
        listed.append({"id": number, **document})
    return listed


def rating(row: Row) -> float:
    """A rating as a number; a row without one is below any."""
    value = object_of(row.get("meta")).get("rating")
    if isinstance(value, bool | str) and value in LIKED:
        return LIKED[value]
    if value is None:
        return float("-inf")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(f"rating is {_shown(value)}; expected a number, true or false, or one of {_words()}")
    return float(value)


def _words() -> str:
    return ", ".join(word for word in LIKED if isinstance(word, str))


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)[:60]


READERS: Mapping[str, Callable[[Take, Row], list[Message]]] = {
    "canonical": _canonical_row,
    "chat": _chat,
    "prompt_completion": _prompt_completion,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "archive": _archive,
}
FORMS = ("auto", *READERS)
