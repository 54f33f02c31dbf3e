"""Rows as people have them → canonical rows: chat, prompt and completion, ShareGPT, Alpaca, and interaction archives.

The canonical format is a golden row's (schemas/golden_row.schema.json), one JSON object a line. What has no place
there is kept under ``meta``. A row that cannot be read is named by file and line, never dropped silently.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gates
from gates import strict_json
from release.values.errors import ConfigError, DataError

AUTO = ("auto", "chat_jsonl", "jsonl")  # the first, and what older configurations call it
SHOWN = 20  # bad rows listed in a message; the rest is counted
COMMON = ("id", "documents", "answerable", "support", "citation_required", "tags")
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant"}
LIKED = {True: 1.0, False: 0.0, "up": 1.0, "down": 0.0, "good": 1.0, "bad": 0.0, "thumbs_up": 1.0, "thumbs_down": 0.0}
LONGEST = 10_000_000  # characters of a row: far more than any context holds
ADVICE = {
    "bom": "Save the file as UTF-8 without a byte order mark",
    "not_utf8": "Save the file as UTF-8",
    "too_long": "Leave the row out, or cut it into several",
}
Row = dict[str, Any]
Message = dict[str, str]
_Parsed = tuple[list[tuple[int, Any]], list[str]]


class _BadRow(ValueError):
    """Why a row is none; the reader adds file and line."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file's rows, and their bytes in the canonical format."""

    rows: tuple[gates.Golden, ...]
    lines: tuple[int, ...]
    canonical: bytes
    form: str
    apart: Mapping[str, int]
    """Keys that were kept under ``meta``, and in how many rows."""
    below: tuple[int, ...]
    """Lines whose rating is missing or below the one asked for: not among the rows."""


def read(path: Path, form: str = "auto", fields: Mapping[str, str] | None = None, least: float | None = None) -> Read:
    """The rows of a file; ``DataError`` names each line that is none. ``least`` is the rating that an archive needs."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Check the path, here or under data in the configuration."
        ) from None
    lines, problems = _parsed(path, data)
    if form in AUTO:
        form = recognise(lines[0][1] if lines else {})
    array = data.lstrip().startswith(b"[")
    if form == "canonical" and not fields and least is None and not array:
        _refuse(problems)
        return _canonical(path, data, tuple(number for number, _ in lines))
    return _converted(path, form, fields or {}, least, (lines, problems))


def recognise(row: object) -> str:
    """The format that a row's keys say; a row like no other counts as canonical, so that its faults are named."""
    keys = row.keys() if isinstance(row, dict) else set()
    if "gold" in keys:
        return "canonical"
    marks = {"messages": "canonical", "conversations": "sharegpt", "instruction": "alpaca"}
    marks |= {"completion": "prompt_completion", "query": "archive"}
    return next((form for key, form in marks.items() if key in keys), "canonical")


def convert(
    sources: Sequence[Path], form: str, fields: Mapping[str, str], least: float | None = None
) -> tuple[bytes, list[Read]]:
    """Several files as one canonical file's bytes; a row whose id an earlier one has gets another by file and place."""
    reads = [read(source, form, fields, least) for source in sources]
    seen: set[str] = set()
    lines: list[bytes] = []
    for source, one in zip(sources, reads, strict=True):
        for text in one.canonical.splitlines():
            row = json.loads(text)
            if "id" not in row or str(row["id"]) in seen:
                row["id"] = f"{source.stem}-{len(lines) + 1:05}"
            seen.add(str(row["id"]))
            lines.append(_line(row))
    return b"".join(lines), reads


def system_to_user(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]] | None:
    """The same conversation without system messages: each one's text stands at the start of the next user message.

    With a blank line between, for a chat template that has no place for it. None where no user message follows one.
    """
    moved: list[Mapping[str, Any]] = []
    waiting: list[str] = []
    for one in messages:
        if one["role"] == "system":
            waiting.append(str(one["content"]))
        elif one["role"] == "user" and waiting:
            moved.append({**one, "content": "\n\n".join([*waiting, str(one["content"])])})
            waiting = []
        else:
            moved.append(one)
    return None if waiting else moved


def without_system(canonical: bytes) -> tuple[bytes, int, list[str]]:
    """Canonical rows with their system texts in user messages, in how many, and the ids of rows left as they are."""
    lines, changed, left = [], 0, []
    for line in canonical.splitlines():
        row = json.loads(line)
        messages = row.get("messages", [])
        moved = system_to_user(messages)
        if moved is None:
            left.append(str(row.get("id")))
        elif moved != messages:
            changed += 1
            row["messages"] = moved
        lines.append(_line(row))
    return b"".join(lines), changed, left


def _parsed(path: Path, data: bytes) -> _Parsed:
    """Every line that is JSON, with its number, and what is wrong with the others. A JSON array counts as its items."""
    rows, problems = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            reading = strict_json.read(line, max_characters=LONGEST)
            if reading.code in ("ok", "lone_surrogate"):
                rows.append((number, reading.value))
            else:
                advice = ADVICE.get(reading.code, "Write one JSON object a line")
                problems.append(f"{path} line {number}: {reading.code}: {reading.detail}. {advice}")
    if problems and data.lstrip().startswith(b"["):
        whole = strict_json.read(data, max_characters=len(data))
        if isinstance(whole.value, list):
            return list(enumerate(whole.value, 1)), []
        return [], [f"{path}: {whole.code}: {whole.detail}. Write one array of JSON objects, or one object a line"]
    return rows, problems


def _canonical(path: Path, data: bytes, lines: tuple[int, ...]) -> Read:
    try:
        rows = gates.read_golden(path)
    except gates.InvalidData as error:
        _refuse(error.problems)
        raise
    return Read(rows=rows, lines=lines, canonical=data, form="canonical", apart={}, below=())


def _converted(path: Path, form: str, fields: Mapping[str, str], least: float | None, parsed: _Parsed) -> Read:
    lines, problems = parsed
    rows: list[gates.Golden] = []
    kept: list[tuple[int, Row]] = []
    below: list[int] = []
    for number, given in lines:
        try:
            row = _row(form, fields, given, f"{path.stem}-{number:05}")
            if least is not None and _rating(row) < least:
                below.append(number)
                continue
            rows += gates.parse_golden([row], f"{path} line {number}")
        except _BadRow as error:
            problems.append(f"{path} line {number}: {error}")
        except gates.InvalidData as error:
            problems += [problem.replace(" row 1:", ":", 1) for problem in error.problems]
        else:
            kept.append((number, row))
    _refuse(problems)
    apart = Counter(key for _, row in kept for key in row.get("meta", {}) if form != "canonical")
    return Read(
        rows=tuple(rows),
        lines=tuple(number for number, _ in kept),
        canonical=b"".join(_line(row) for _, row in kept),
        form=form,
        apart=apart,
        below=tuple(below),
    )


def _line(row: Row) -> bytes:
    return (json.dumps(row, ensure_ascii=False, separators=(", ", ": ")) + "\n").encode("utf-8", "backslashreplace")


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more + "\nNothing was written. Mend the rows and run again.")


def _row(form: str, fields: Mapping[str, str], given: object, name: str) -> Row:
    """The canonical row of one given row."""
    if not isinstance(given, dict):
        raise _BadRow(f"it is {_shown(given)}, not a JSON object")
    left: Row = json.loads(json.dumps(given))  # a copy to take from, however deep
    if not isinstance(left.get("meta", {}), dict):
        left["meta"] = {"meta": left["meta"]}

    def take(key: str) -> Any:
        return _take(left, fields.get(key, key))

    common = {key: value for key in COMMON if (value := take(key)) is not None}
    if "documents" in common:
        common["documents"] = _documents(common["documents"])
    messages = READERS[form](take, common)
    if not messages or messages[-1]["role"] != "assistant":
        raise _BadRow("it does not end with an assistant's answer: there is nothing to learn from it")
    row = {"id": name, "messages": messages, **common}
    if form == "canonical":
        return row | left  # an unknown key here is a slip of the pen, which the schema names
    meta = left.pop("meta", {}) | common.get("meta", {}) | left
    return row | ({"meta": meta} if meta else {})


def _take(left: Row, path: str) -> Any:
    """The value at a dotted key, which is taken out; None where there is none."""
    *above, last = path.split(".")
    inside: Any = left
    for key in above:
        inside = inside.get(key) if isinstance(inside, dict) else None
    return inside.pop(last, None) if isinstance(inside, dict) else None


def _chat(take: Callable[[str], Any], _: Row) -> list[Message]:
    return _messages(take("messages"), "role", "content")


def _canonical_row(take: Callable[[str], Any], _: Row) -> list[Message]:
    if (messages := take("messages")) is not None:
        return _messages(messages, "role", "content")
    return [*_turns(take("prompt"), "user", "prompt"), *_turns(take("gold"), "assistant", "gold")]


def _prompt_completion(take: Callable[[str], Any], _: Row) -> list[Message]:
    asked, answered = _turns(take("prompt"), "user", "prompt"), _turns(take("completion"), "assistant", "completion")
    return [*_system(take), *asked, *answered]


def _sharegpt(take: Callable[[str], Any], _: Row) -> list[Message]:
    return [*_system(take), *_messages(take("conversations"), "from", "value")]


def _alpaca(take: Callable[[str], Any], _: Row) -> list[Message]:
    instruction, more = _text(take("instruction"), "instruction"), take("input")
    asked = f"{instruction}\n\n{_text(more, 'input')}" if more else instruction
    history = take("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise _BadRow(f"history is {_shown(history)}; expected a list of [question, answer]")
    earlier = [
        {"role": role, "content": _text(said, "history")}
        for turn in history
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]
    last = [{"role": "user", "content": asked}, {"role": "assistant", "content": _text(take("output"), "output")}]
    return [*_system(take), *earlier, *last]


def _archive(take: Callable[[str], Any], common: Row) -> list[Message]:
    """A query with the documents that were retrieved for it, as ``[id] text`` lines in front, and the answer."""
    query, answer, rating = _text(take("query"), "query"), _text(take("answer"), "answer"), take("rating")
    shown = [f"[{document['id']}] {document['text']}" for document in common.get("documents", ()) if "text" in document]
    if rating is not None:
        common["meta"] = {"rating": rating}
    return [
        *_system(take),
        {"role": "user", "content": "\n".join([*shown, "", query] if shown else [query])},
        {"role": "assistant", "content": answer},
    ]


def _system(take: Callable[[str], Any]) -> list[Message]:
    said = take("system")
    return [{"role": "system", "content": _text(said, "system")}] if said else []


def _turns(value: Any, role: str, name: str) -> list[Message]:
    """One message of a text or an object, or the messages of a list."""
    if isinstance(value, list):
        return _messages(value, "role", "content")
    return [{"role": role, "content": _text(value, name)}]


def _messages(value: Any, role: str, content: str) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise _BadRow(f"its messages are {_shown(value)}, not a list of messages")
    return [_message(one, number, role, content) for number, one in enumerate(value, 1)]


def _message(one: Any, number: int, role: str, content: str) -> Message:
    if not isinstance(one, dict) or role not in one or content not in one:
        raise _BadRow(f"message {number} is {_shown(one)}; expected {role!r} and {content!r}")
    strange = [key for key, value in one.items() if key not in (role, content) and value is not None]
    if strange:
        raise _BadRow(f"message {number} has {', '.join(sorted(strange))}, which a chat for training has no place for")
    name = one[role]
    said = ROLES.get(name, name) if isinstance(name, str) else None
    if said not in ("system", "user", "assistant"):
        raise _BadRow(f"message {number} is by {_shown(name)}; expected system, user or assistant")
    return {"role": said, "content": _text(one[content], f"message {number}")}


def _text(value: Any, name: str) -> str:
    """Text as it is, text parts joined, an object as compact JSON."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(part, dict) and part.get("type") == "text" for part in value)
    ):
        value = "".join(str(part.get("text", "")) for part in value)
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, str) or not value:
        raise _BadRow(f"{name} is {_shown(value)}; expected text")
    return value


def _documents(value: Any) -> list[Any]:
    """Documents as objects with an id: texts get their number, and ``content`` is called ``text``."""
    if not isinstance(value, list):
        raise _BadRow(f"documents is {_shown(value)}; expected a list")
    listed = []
    for number, one in enumerate(value, 1):
        document = {"text": one} if isinstance(one, str) else one
        if not isinstance(document, dict):
            raise _BadRow(f"document {number} is {_shown(one)}; expected an object or text")
        if "text" not in document and isinstance(document.get("content"), str):
            document = {**document, "text": document["content"]}
        listed.append({"id": number, **document})
    return listed


def _rating(row: Row) -> float:
    """A rating as a number; a row without one is below any."""
    value = row.get("meta", {}).get("rating")
    if isinstance(value, bool | str) and value in LIKED:
        return LIKED[value]
    if value is None:
        return float("-inf")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _BadRow(f"rating is {_shown(value)}; expected a number, true or false, or one of {_words()}")
    return float(value)


def _words() -> str:
    return ", ".join(word for word in LIKED if isinstance(word, str))


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)[:60]


READERS: Mapping[str, Callable[[Callable[[str], Any], Row], list[Message]]] = {
    "canonical": _canonical_row,
    "chat": _chat,
    "prompt_completion": _prompt_completion,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "archive": _archive,
}
FORMS = ("auto", *READERS)


def split(read_from: Read, share: float, seed: int, group: str | None = None) -> tuple[bytes, bytes]:
    """Rows to train on and rows to judge by, as canonical bytes. What belongs together is never split.

    Rows that ask the same, and those with the same value at the dotted key ``group``, are one group. Groups are
    taken in an order that depends on ``seed`` and their own text alone, in each label to its share.
    """
    if not 0 < share < 1:
        raise ConfigError([f"--share is {share:g}; expected a number between 0 and 1, such as 0.2."])
    texts = read_from.canonical.splitlines()
    rows = [json.loads(text) for text in texts]
    groups = _groups(rows, group)
    golden = set(_chosen(rows, groups, share, seed))
    return (
        b"".join(text + b"\n" for number, text in enumerate(texts) if number not in golden),
        b"".join(text + b"\n" for number, text in enumerate(texts) if number in golden),
    )


def _chosen(rows: Sequence[Row], groups: Sequence[Sequence[int]], share: float, seed: int) -> Iterator[int]:
    import hashlib

    def order(members: Sequence[int]) -> str:
        return hashlib.sha256(f"{seed} {json.dumps(rows[members[0]], sort_keys=True)}".encode()).hexdigest()

    wanted = Counter(row.get("answerable") for row in rows)
    taken: Counter[bool | None] = Counter()
    for members in sorted(groups, key=order):
        labels = Counter(rows[number].get("answerable") for number in members)
        if all(taken[label] + count <= share * wanted[label] + 0.5 for label, count in labels.items()):
            taken += labels
            yield from members


def _groups(rows: Sequence[Row], group: str | None) -> list[list[int]]:
    """The numbers of the rows that belong together: joined by every text or key that two of them share."""
    from release.data import text_checks

    root = list(range(len(rows)))

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        asked = [message["content"] for message in row.get("messages", ()) if message["role"] == "user"]
        keys = [f"asks {text_checks.normalised(asked[-1] if asked else row.get('prompt', ''))}"]
        if group is not None:
            value = _take(json.loads(json.dumps(row)), group)
            if value is None:
                raise DataError(
                    f"Row {row.get('id')} has no {group}, by which rows belong together. Name a key that all have."
                )
            keys.append(f"{group} {json.dumps(value, sort_keys=True)}")
        for key in keys:
            root[find(number)] = find(first.setdefault(key, number))
    joined: dict[int, list[int]] = {}
    for number in range(len(rows)):
        joined.setdefault(find(number), []).append(number)
    return list(joined.values())
