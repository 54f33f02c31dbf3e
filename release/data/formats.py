"""A row as people have it → a canonical row, whichever of the formats in ``READERS`` it has.

The canonical format is a golden row's (schemas/golden_row.schema.json). What has no place there is kept under ``meta``
and counted; what changes what should be learned is used, or stops with a sentence (``marks``).
"""

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from gates.canonical import Json
from gates.rows import NOT_ASKED
from release.data import marks, turns
from release.data.shapes import AUTO
from release.data.tables import json_in
from release.data.turns import BadRow, How, Message, Reader, Row, Taken, empty, shown

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))
COMMON = ("id", "documents", "answerable", "support", "citation_required", "tags")
LABELS = ("documents", "answerable", "support", "citation_required", "gold")
KNOWN = (*COMMON, "messages", "prompt", "gold", "meta")


@dataclass(frozen=True, kw_only=True)
class Given:
    """What one given row is."""

    row: Row = field(default_factory=dict)
    left_out: str = ""
    """Why it is not among the rows to learn."""
    told: Collection[str] = ()
    """What was kept apart or left out of it."""
    found: frozenset[str] = frozenset()
    """The fields that it has."""


def line(row: Mapping[str, Json]) -> bytes:
    """A row as one line of a canonical file."""
    return (ENCODER.encode(row) + "\n").encode("utf-8", "backslashreplace")


def is_labelled(row: Row) -> bool:
    """Whether a row with messages is a golden one: an unknown key in it is a slip of the pen."""
    return any(key in row for key in LABELS)


def canonical(form: str, names: Mapping[str, str], how: How, given: Json, name: str) -> Given:
    """The canonical row of one given row, called ``name`` where it has no id; ``BadRow`` says what it lacks."""
    if not isinstance(given, dict):
        raise BadRow(f"it is not a JSON object: {shown(given)}")
    inside = any("." in key for key in names.values())
    left: Row = json.loads(json.dumps(given)) if inside else dict(given)  # a copy to take from, as deep as is taken
    if (key := next((key for key in how.without if not empty(left.get(key))), None)) is not None:
        return Given(left_out=f"with {key}")
    take = Taken(left, how, names)
    if not isinstance(left.get("meta", {}), dict):
        left["meta"] = {"meta": left["meta"]}
    if bad := marks.bad(take):
        return Given(left_out=bad, found=frozenset(take.found))
    common = _common(take, strict=form == "canonical")
    messages = READERS[form](take, common)
    marks.refuse(take, form)
    if form == "canonical" and messages and messages[-1]["role"] != "assistant":
        return _given(take, {"id": name, "messages": list(messages), **common}, form)
    if why := _unlearnable(messages):
        raise BadRow(why)
    if messages[-1].get("weight") == 0:
        return Given(left_out="whose last answer is marked as not to be learned", found=frozenset(take.found))
    return _given(take, {"id": name, "messages": list(messages), **common}, form)


def _unlearnable(messages: Sequence[Message]) -> str:
    """Why nothing could be learned of a conversation; empty where there is a question and then an answer."""
    if not messages or messages[-1]["role"] != "assistant":
        return "it does not end with an assistant's answer: there is nothing to learn from it"
    return NOT_ASKED if len(messages) == 1 else ""


def _given(take: Taken, row: Row, form: str) -> Given:
    left = {key: value for key, value in take.left.items() if key == "meta" or value is not None}
    if form == "canonical":
        return Given(row=row | left, told=take.dropped, found=frozenset(take.found))
    if take.how.form in AUTO and (slip := _slip(left)):
        raise BadRow(slip)
    own = object_of(left.pop("meta", None))
    apart = object_of(row.pop("meta", None)) | left
    meta = own | {_free(key, own): value for key, value in apart.items()}
    told = {*take.dropped, *(f"kept under meta: {key or repr(key)}" for key in apart)}
    return Given(row=row | ({"meta": meta} if meta else {}), told=told, found=frozenset(take.found))


def _free(key: str, taken: Row) -> str:
    """The key, or with a line below it where the row's own meta has that."""
    return _free(f"{key}_", taken) if key in taken else key


def _slip(left: Row) -> str:
    """A key that is nearly one of ours, where nobody said that the file is another's."""
    for key in left:
        if near := _near(str(key)):
            other = f"If it is another's: --format chat, or --ignore {key}"
            return f"unknown key {key!r} (did you mean {near!r}?). {other}"
    return ""


@lru_cache(maxsize=1000)
def _near(key: str) -> str:
    near = difflib.get_close_matches(key, LABELS[:-1], n=1, cutoff=0.85)
    return near[0] if near and near[0] != key else ""


def _common(take: Taken, *, strict: bool) -> Row:
    """What every format may hold; an id or tags of another's meaning stay where they are, and go under meta."""
    common: Row = {}
    there = take.names.keys() | take.left.keys()
    for key in COMMON:
        if key not in there or key in take.how.ignored or (not strict and _of_another_meaning(take, key)):
            continue
        if (value := take(key)) is not None:
            common[key] = (
                json_in(value) if key in ("documents", "support", "tags") and isinstance(value, str) else value
            )
    if "documents" in common:
        common["documents"] = [*_documents(common["documents"])]
    return common


def _of_another_meaning(take: Taken, key: str) -> bool:
    if key not in ("id", "tags"):
        return False
    value = take.left.get(take.key(key))
    if key == "id":
        return isinstance(value, dict | list | float | bool) or value == ""
    texts = json_in(value) if isinstance(value, str) else value
    return key == "tags" and not (isinstance(texts, list) and all(isinstance(one, str) for one in texts))


def object_of(value: Json) -> Row:
    """A JSON object to change; empty where there is none."""
    return dict(value) if isinstance(value, dict) else {}


def _chat(take: Taken, _: Row) -> list[Message]:
    return [*turns.system(take), *turns.messages_of(take, "messages")]


def _canonical_row(take: Taken, _: Row) -> list[Message]:
    if take.left.get(take.key("messages")) is not None or take.left.get(take.key("prompt")) is None:
        return [*turns.system(take), *turns.messages_of(take, "messages")]
    asked = turns.turns(take, "prompt", "user")
    return [*asked, *([] if take.left.get(take.key("gold")) is None else turns.turns(take, "gold", "assistant"))]


def _prompt_completion(take: Taken, _: Row) -> list[Message]:
    before = turns.system(take)
    return [*before, *turns.turns(take, "prompt", "user"), *turns.turns(take, "completion", "assistant")]


def _sharegpt(take: Taken, _: Row) -> list[Message]:
    return [*turns.system(take), *turns.messages_of(take, "conversations")]


def _gemini(take: Taken, _: Row) -> list[Message]:
    own = next((key for key in ("systemInstruction", "system_instruction") if not empty(take.left.get(key))), "system")
    take.names = {"system": own, **take.names}
    return [*turns.system(take), *turns.messages_of(take, "contents")]


def _alpaca(take: Taken, _: Row) -> list[Message]:
    before = turns.system(take)
    if (given := take("instruction")) is None:
        raise take.missing("instruction")
    instruction, more = turns.text(take, given, "instruction"), take("input")
    asked = instruction if empty(more) else f"{instruction}\n\n{turns.text(take, more, 'input')}"
    history = json_in(earlier) if isinstance(earlier := take("history"), str) else earlier
    pairs = [] if empty(history) else history
    if not isinstance(pairs, list) or not all(isinstance(one, list) and len(one) == 2 for one in pairs):
        raise BadRow(f"history is not a list of [question, answer]: {shown(history)}")
    said: list[Message] = [
        {"role": role, "content": turns.text(take, one, "history")}
        for pair in pairs
        if isinstance(pair, list)
        for role, one in zip(("user", "assistant"), pair, strict=True)
    ]
    return [*before, *said, {"role": "user", "content": asked}, *turns.turns(take, "output", "assistant")]


def _archive(take: Taken, common: Row) -> list[Message]:
    """A query with the documents that were retrieved for it, as ``[id] text`` lines in front, and the answer."""
    before = turns.system(take)
    if (asked := take("query")) is None:
        raise take.missing("query")
    query, answer = turns.text(take, asked, "query"), turns.turns(take, "answer", "assistant")
    listed = common.get("documents")
    documents = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    shown_ = [f"[{document['id']}] {document['text']}" for document in documents if "text" in document]
    return [*before, {"role": "user", "content": "\n".join([*shown_, "", query] if shown_ else [query])}, *answer]


def _preference(take: Taken, _: Row) -> list[Message]:
    """What was asked, and the answer that was preferred; the other one goes under meta and is never learned."""
    before = turns.system(take)
    asked = [] if take.left.get(take.key("prompt").partition(".")[0]) is None else turns.turns(take, "prompt", "user")
    more = take("input") if isinstance(take.left.get("input"), str) else None
    if asked and not empty(more):
        asked = [*asked[:-1], {**asked[-1], "content": f"{asked[-1]['content']}\n\n{more}"}]
    chosen = turns.turns(take, "chosen", "assistant")
    if len(chosen) > 1 and chosen[0]["role"] != "assistant":
        return [*before, *chosen]  # the whole conversation, what was asked in it
    if not asked:
        raise BadRow(
            "it does not say where the question ends and the chosen answer begins: chosen is one text, and there is "
            "no prompt. Write both apart: prompt and chosen, or chosen as messages"
        )
    return [*before, *asked, *chosen]


def _documents(value: Json) -> list[Row]:
    """Documents as objects with an id: texts get their number, and ``content`` is called ``text``."""
    if not isinstance(value, list):
        raise BadRow(f"documents is not a list: {shown(value)}. Of another meaning: `data convert --ignore documents`")
    listed: list[Row] = []
    for number, one in enumerate(value, 1):
        document = {"text": one} if isinstance(one, str) else one
        if not isinstance(document, dict):
            raise BadRow(f"document {number} is not an object or text: {shown(one)}")
        if "text" not in document and isinstance(document.get("content"), str):
            document = {**document, "text": document["content"]}
        listed.append({"id": number, **{key: one for key, one in document.items() if one is not None}})
    return listed


READERS: Mapping[str, Reader] = {
    "canonical": _canonical_row,
    "chat": _chat,
    "prompt_completion": _prompt_completion,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "archive": _archive,
    "gemini": _gemini,
    "preference": _preference,
}
FORMS: Sequence[str] = ("auto", *READERS)
