"""The two files that are judged against each other: golden rows and a model's outputs, one JSON object a line."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

import schemas
from gates import strict_json
from gates.canonical import Json, digest, digest_of_texts
from gates.invalid import MESSAGE, InvalidData, unknown_keys
from gates.normal import normal
from gates.shown import shorten
from gates.words import WORD, folded, plain, spelled

if TYPE_CHECKING:
    import jsonschema_rs
    from jsonschema import ValidationError


MAX_ROWS = 1_000_000
"""Ten times the largest golden sets."""
MOST_FAULTS = 1000
"""Faulty rows that are told; no row is looked at after them."""
SHORT = 60
"""Characters of a row's value in a message: it may be all that the row says."""
LONGEST_LINE = 4 * strict_json.MAX_FILE + 1
"""Bytes of the most characters that are read of a row, and one more: whoever has as many is told, not read on."""

NOT_ASKED = "its messages are one answer, and nothing is asked: put the question before it"


class GivenMessage(TypedDict):
    """A message of a golden row."""

    role: str
    content: str
    weight: NotRequired[int]


class GoldenRow(TypedDict):
    """A row of a golden set's file, once ``schemas/golden_row.schema.json`` has passed it."""

    id: NotRequired[str | int]
    messages: NotRequired[list["GivenMessage"]]
    prompt: NotRequired[str]
    gold: NotRequired[str]
    documents: NotRequired[list[dict[str, Json]]]
    answerable: NotRequired[bool]
    support: NotRequired[list[str | int]]
    citation_required: NotRequired[bool]
    tags: NotRequired[list[str]]
    meta: NotRequired[Json]


class AnswersRow(TypedDict):
    """A row of a file of answers, once ``schemas/answers_row.schema.json`` has passed it."""

    id: str | int
    output: str | None
    finish_reason: NotRequired[str]
    meta: NotRequired[Json]


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A question, what may be cited for it, and what a right answer is."""

    id: str
    prompt: tuple[Mapping[str, str], ...]
    gold: str | None = None
    """The reference answer, if the row ends with one."""
    documents: tuple[Mapping[str, Json], ...] = ()
    answerable: bool | None = None
    """None: not labelled, so only the gates of form count this row."""
    support: tuple[str, ...] | None = None
    citation_required: bool = True
    tags: tuple[str, ...] = ()
    meta: Mapping[str, object] = field(default_factory=dict)
    row: Mapping[str, object] = field(default_factory=dict, repr=False)
    """The whole row as it was read."""
    told: str = field(default="", repr=False)
    """The digest of a row that is not at hand itself."""

    @cached_property
    def digest(self) -> str:
        """Over the whole row as it was read; made when it is asked for, since reading a row takes less."""
        return digest(self.row) if self.row else self.told


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a model wrote. Any ``finish_reason`` but ``stop`` (cut, crashed, filtered) makes it wrong everywhere."""

    id: str
    output: str
    finish_reason: str = "stop"


def id_key(value: object) -> str:
    """One spelling for an id: 1 and "1" are the same, and so are composed and decomposed letters."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return text if text.isascii() else normal("NFC", text)


def parse_golden(rows: Sequence[object], where: str = "golden") -> tuple[Golden, ...]:
    """Golden values of parsed rows; ``InvalidData`` names every row that is not one."""
    return _golden([(f"{where} row {number}", row) for number, row in enumerate(rows, 1)])


def read_golden(path: Path) -> tuple[Golden, ...]:
    """The golden set in a file of one JSON object a line; ``InvalidData`` names file and line."""
    return _golden(_lines(path, ("ok",)))


def parse_outputs(rows: Sequence[object], where: str = "answers") -> tuple[Output, ...]:
    """Outputs of parsed rows; ``InvalidData`` names every row that is not one."""
    return _outputs([(f"{where} row {number}", row) for number, row in enumerate(rows, 1)])


def read_outputs(path: Path) -> tuple[Output, ...]:
    """A model's outputs in a file of one JSON object a line; ``InvalidData`` names file and line."""
    # An output may hold half a surrogate pair: that is the model's fault, and its gate's to say.
    return _outputs(_lines(path, ("ok", "lone_surrogate")))


def is_golden(row: object) -> bool:
    """Whether a parsed row surely is a golden one; of one that is not ``golden_problems`` says why."""
    return _sound(row, "golden_row") and not _label_problems(cast("GoldenRow", row))


def golden_problems(row: object, where: str) -> list[str]:
    """Why a parsed row is not a golden one; empty if it is."""
    try:
        _check([(where, row)], "golden_row")
    except InvalidData as error:
        return list(error.problems)
    return [f"{where}: {problem}" for problem in _label_problems(cast("GoldenRow", row))]


def golden_row(row: object, number: int) -> Golden:
    """The golden value of a sound row; ``number`` names it where it has no id."""
    return _golden_row(cast("GoldenRow", row), number)


def golden_digest(golden: Sequence[Golden]) -> str:
    """One value for the whole golden set, in its order."""
    return digest([row.digest for row in golden])


def outputs_digest(outputs: Sequence[Output]) -> str:
    """One value for all outputs, whatever their order."""
    return digest_of_texts(sorted((row.id, row.output, row.finish_reason) for row in outputs))


def gold_outputs(golden: Sequence[Golden]) -> tuple[Output, ...]:
    """The reference answers as if a model had given them."""
    return tuple(Output(id=row.id, output=row.gold) for row in golden if row.gold is not None)


def _lines(path: Path, good: Sequence[str]) -> list[tuple[str, Json]]:
    """Each line with its place. A file is read line by line, and no further than the bounds."""
    rows: list[tuple[str, Json]] = []
    problems: list[str] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
                if not line.strip():
                    continue
                if len(rows) == MAX_ROWS:
                    raise InvalidData([f"{path} line {number}: at most {MAX_ROWS:,} rows are read. Split the file"])
                reading = strict_json.read(line.removesuffix(b"\n"), max_characters=strict_json.MAX_FILE)
                if reading.code not in good:
                    says = f"{path} line {number}: {reading.code}: {reading.detail}"
                    problems.append(f"{says}. Write one JSON object a line")
                rows.append((f"{path} line {number}", reading.value))
                if len(line) == LONGEST_LINE or len(problems) == MOST_FAULTS:
                    break  # in the first case, what follows is the rest of a line that is refused already
    except OSError as error:
        raise InvalidData([f"{path}: {error.strerror}"]) from None
    if problems:
        raise InvalidData(problems)
    return rows


def _check(rows: Iterable[tuple[str, object]], schema_name: str) -> None:
    from jsonschema import Draft202012Validator

    validator = None
    problems = []
    for where, row in rows:
        if _sound(row, schema_name):
            continue
        validator = validator or Draft202012Validator(schemas.load(schema_name))
        errors = sorted(validator.iter_errors(row), key=lambda error: str(error.absolute_path))
        problems += [f"{where}: {_described(error)}" for error in errors]
        if len(problems) >= MOST_FAULTS:
            break
    if problems:
        raise InvalidData(problems)


def _sound(row: object, schema_name: str) -> bool:
    """Whether a row surely follows its schema: a thousand times faster than the validator that says why it does not."""
    try:
        return _fast(schema_name).is_valid(row)
    except (ValueError, TypeError):  # what Rust has no value for, such as half of a surrogate pair or a huge number
        return False


@cache
def _fast(schema_name: str) -> "jsonschema_rs.Draft202012Validator":
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(schemas.load(schema_name))


def _described(error: "ValidationError") -> str:
    path = ".".join(map(str, error.absolute_path))
    if not path and (unknown := unknown_keys(error)):
        return "; ".join(f"unknown key {key!r}{hint}" for key, hint in unknown.items())
    return f"{path + ': ' if path else ''}{shorten(_reason(error), MESSAGE)}"


def _reason(error: "ValidationError") -> str:
    """What is wrong, and then the value, which may be long: jsonschema says it first."""
    value = repr(error.instance)
    if error.validator == "maxLength":
        much = f"{len(str(error.instance)):,} characters, where {error.validator_value} are read"
        return f"is too long ({much}; shorten it in golden rows and answers alike): {shorten(value, SHORT)}"
    if len(value) <= SHORT or not error.message.startswith(value):
        return error.message
    return f"{error.message.removeprefix(value).strip()}: {shorten(value, SHORT)}"


def _golden(given: Sequence[tuple[str, object]]) -> tuple[Golden, ...]:
    _check(given, "golden_row")
    rows = [(where, cast("GoldenRow", row)) for where, row in given]
    problems: list[str] = []
    golden = []
    for number, (where, row) in enumerate(rows, 1):
        problems += [f"{where}: {problem}" for problem in _label_problems(row)]
        golden.append(_golden_row(row, number))
    if problems:
        raise InvalidData(problems)
    return tuple(golden)


def _golden_row(row: GoldenRow, number: int) -> Golden:
    messages = [_said(one) for one in row.get("messages") or [{"role": "user", "content": row["prompt"]}]]
    gold = row.get("gold")
    if messages[-1]["role"] == "assistant":
        gold = messages.pop()["content"]
    support, meta = row.get("support"), row.get("meta")
    return Golden(
        id=id_key(row.get("id", f"line-{number}")),
        prompt=tuple(messages),
        gold=gold,
        documents=tuple(row.get("documents", ())),
        answerable=row.get("answerable"),
        support=None if support is None else tuple(map(id_key, support)),
        citation_required=row.get("citation_required", True),
        tags=tuple(row.get("tags", ())),
        meta=meta if isinstance(meta, dict) else {},
        row=cast("Mapping[str, object]", row),
    )


def _said(message: GivenMessage) -> dict[str, str]:
    """What is said, without what training makes of it: neither a chat template nor an engine asks for that."""
    return {"role": message["role"], "content": message["content"]}


def _label_problems(row: GoldenRow) -> list[str]:
    ids = Counter(id_key(document["id"]) for document in row.get("documents", ()))
    support = [id_key(one) for one in row.get("support") or ()]
    problems = [f"document id {one!r} appears twice" for one, times in sorted(ids.items()) if times > 1]
    messages = row.get("messages") or ()
    if len(messages) == 1 and messages[0]["role"] == "assistant":
        problems.append(NOT_ASKED)
    if "documents" in row:
        strange = [one for one in support if one not in ids]
        problems += [f"support names document {one!r}, which the row does not hold" for one in strange]
    if row.get("answerable") is False and support:
        problems.append("support is given though answerable is false")
    if row.get("answerable") is True and row.get("support") == []:
        problems.append("support is empty though answerable is true: name the documents that answer it")
    return problems


def _outputs(given: Sequence[tuple[str, object]]) -> tuple[Output, ...]:
    _check(given, "answers_row")
    rows = [cast("AnswersRow", row) for _, row in given]
    return tuple(
        Output(id=id_key(row["id"]), output=row.get("output") or "", finish_reason=row.get("finish_reason", "stop"))
        for row in rows
    )


def prompt_key(row: Golden) -> str:
    """Equal for two rows that ask the same over the same documents, whatever the spacing."""
    words = [[message["role"], *message["content"].split()] for message in row.prompt]
    documents = [sorted(map(str, document.items())) for document in row.documents]
    return normal("NFC", json.dumps([words, documents], ensure_ascii=False))


def near_key(row: Golden) -> tuple[object, ...]:
    """Equal for two rows that ask the same but for case, marks of sentences, spacing and what cannot be seen.

    Of documents their texts count, where the prompt does not show them: another score or number asks nothing else.
    """
    words = near_words(row)
    shown = " ".join(text for _, text in words)
    values = (value for one in row.documents for key, value in one.items() if key != "id")
    texts = (spelled(str(value)) for value in values if isinstance(value, (str, list, dict)))
    return words, frozenset(text for text in texts if text not in shown)


def wording(row: Golden) -> str:
    """The digest of the words that are asked: without their order, in which documents stand, marks, and system text."""
    said = [one for one in row.prompt if one["role"] != "system"] or row.prompt
    return digest(sorted(word for one in said for word in WORD.findall(folded(plain(one["content"])))))


def near_words(row: Golden) -> tuple[tuple[str, str], ...]:
    """The same of the words of the prompt alone."""
    return tuple((one["role"], spelled(one["content"])) for one in row.prompt)
