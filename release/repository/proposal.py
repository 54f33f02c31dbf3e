"""The answer format that rows speak for: where text, citations and refusal are, and what each part was guessed by."""

import json
import re
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gates
from gates import strict_json
from gates.canonical import Json
from gates.rows import id_key
from gates.rules import NAMED, same
from release.data.dataset import refuse
from release.repository import shape
from release.values.errors import DataError

SCHEMA = "answer.schema.json"
TEXTS = ("answer", "text", "response", "reply", "output", "content", "message", "summary", "result", "completion")
CITES = (
    "citations",
    "citation",
    "sources",
    "references",
    "refs",
    "cited",
    "documents",
    "evidence",
    "quotes",
    "support",
)
REFUSES = re.compile(r"refus|unanswer|cannot|abstain|declin|insufficient|notfound|noanswer|outofscope|unsupported")
ANSWERS = re.compile(r"answerable|answered|cananswer|hasanswer|supported|grounded|found|sufficient")
SURE = re.compile(r"confiden|certain|score|probab")
"""In the names of what a model says of itself, which has no right value."""
MARKERS = (
    r"\[(\d+)\]", r"\[([^\[\]\s]{1,60})\]", r"\[\^([^\[\]\s]{1,60})\]", "\u3010([^\u3010\u3011\\s]{1,60})\u3011",
    r"\((\d+)\)", r"\{(\d+)\}", r"<cite>([^<>]{1,60})</cite>", r"\[(?:doc|source|ref) ?(\w{1,60})\]",
)  # fmt: skip
DOCUMENTS = (
    r"^\[(?P<id>[^\[\]\s]{1,60})\][ :]*(?P<text>[^\n]+)$",
    r"^(?P<text>[^\n]+) \[(?P<id>[^\[\]\s]{1,60})\]\.?$",
    r"^(?:Source|Document|Doc|Passage|Context|Text) \[?(?P<id>\w{1,60})\]?: ?(?P<text>[^\n]+)$",
    r"^(?P<id>\d{1,6})[.):] +(?P<text>[^\n]+)$",
)
MOST = 0.9
"""The share of rows in which a guess must hold, where one row may be a mistake."""
SHORT = 60
"""Characters of a reference answer, in the median, up to which a model can be asked to say the same."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """An answer format, and why each part of it is what it is."""

    schema: Mapping[str, Json]
    contract: Mapping[str, Json]
    """As ``contract`` in a configuration."""
    why: Mapping[str, str]
    """For each part of the contract that was guessed, by what."""
    guessed: tuple[str, ...]
    """What in the schema is a guess."""

    def loaded(self) -> gates.Contract:
        """The contract as the gates read it."""
        return _loaded(self.contract, self.schema)


@dataclass(kw_only=True)
class _Draft:
    """What is known so far; only ``propose`` sees it."""

    rows: Sequence[gates.Golden]
    full: Mapping[str, list[Json]]
    """The values at every place that each answer has."""
    schema: Mapping[str, Json]
    contract: dict[str, Json] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: Json, why: str) -> None:
        self.contract[name], self.why[name] = value, why

    def read(self, **more: Json) -> list[gates.Answer]:
        """The reference answers, read by the draft with these parts."""
        contract = _loaded({**self.contract, **more}, self.schema)
        return [gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract) for row in self.rows]


def propose(rows: Sequence[gates.Golden]) -> Proposal:
    """The answer format of rows whose reference answers are JSON objects; ``DataError`` where it cannot be told."""
    values = [strict_json.read(row.gold or "").value for row in rows]
    found = shape.of(values)
    full = {at: some for at, some in shape.places(values).items() if len(some) == len(values)}
    draft = _Draft(rows=rows, full=full, schema=found.schema, contract={"version": 2, "schema": f"data/{SCHEMA}"})
    _answer(draft)
    _citations(draft)
    _refusal(draft)
    _documents(draft)
    _markers(draft)
    _rules(draft)
    _correctness(draft)
    _loaded(draft.contract, draft.schema)  # or it says why not
    return Proposal(schema=draft.schema, contract=draft.contract, why=draft.why, guessed=found.guessed)


def parsed(rows: Sequence[gates.Golden], where: Sequence[str]) -> None:
    """Go on where every reference answer is a JSON object; ``DataError`` names each that is not."""
    read = [(place, strict_json.read(row.gold or "")) for row, place in zip(rows, where, strict=True)]
    problems = [
        f"{place}: its answer is not a JSON object ({one.code}: {one.detail})" for place, one in read if not one.ok
    ]
    if len(problems) == len(rows):
        raise DataError(
            f"No answer in these rows is a JSON object (the first: {problems[0]}). The gates judge answers of a fixed "
            'format. Write each answer as an object, the plainest is {"answer": "..."}, and ask for that in the system '
            "message. Nothing was written."
        )
    refuse(problems, done="written")


def _loaded(contract: Mapping[str, Json], schema: Mapping[str, Json]) -> gates.Contract:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / SCHEMA).write_text(json.dumps(schema), "utf-8")
        try:
            return gates.load_contract({**contract, "schema": SCHEMA}, Path(folder))
        except gates.InvalidConfig as error:
            problems = "\n".join(error.problems)
            raise DataError(f"The answers of these rows have no schema that can be checked: {problems}") from None


def _answer(draft: _Draft) -> None:
    texts = {at: _there(some) for at, some in draft.full.items()}
    texts = {at: some for at, some in texts.items() if some and all(isinstance(one, str) for one in some)}
    whole = {at: some for at, some in texts.items() if len(some) == len(draft.rows)}
    texts = whole or texts
    if not texts:
        raise DataError(
            "No field is text in every reference answer, and the gates read an answer's text at one place. Give every "
            'answer a text field, such as "answer" (null, empty or a sentence where it refuses). Nothing was written.'
        )

    def rank(at: str) -> tuple[int, float]:
        name = _word(at)
        length = statistics.mean(len(str(one)) for one in texts[at])
        return (TEXTS.index(name) if name in TEXTS else len(TEXTS), -length)

    at = min(texts, key=rank)
    named = "by its name" if _word(at) in TEXTS else "the longest text"
    draft.put("answer", at, f"{named}; text in every answer" if whole else f"{named}; text or null in every answer")
    _read_null(draft, at)


def _there(values: Sequence[Json]) -> list[Json]:
    """What is not null."""
    return [one for one in values if one is not None]


def _read_null(draft: _Draft, at: str) -> None:
    """Where a place may be null: since version 3 of a contract that is nothing, and no fault."""
    if None in draft.full[at]:
        draft.contract["version"] = 3


def _citations(draft: _Draft) -> None:
    """A list whose items, or a key of whose objects, name documents of the row; by its name where rows list none."""
    lists = {at: some for at, some in draft.full.items() if all(isinstance(one, list | None) for one in some)}
    found = [one for at, some in lists.items() for one in _citing(draft, at, some)]
    if found:
        _, entry, why = max(found, key=lambda one: one[0])
        draft.put("citations", entry, why)
        _read_null(draft, str(entry["at"] if isinstance(entry, dict) else entry))


def _citing(draft: _Draft, at: str, some: Sequence[Json]) -> Iterator[tuple[tuple[float, int], Json, str]]:
    items = [(row, item) for row, one in zip(draft.rows, some, strict=True) for item in _items(one)]
    named = _word(at) in CITES
    keys = {key for _, item in items if isinstance(item, dict) for key in item}
    plain = [(row, item) for row, item in items if isinstance(item, str | int) and not isinstance(item, bool)]
    if items and len(plain) == len(items):
        share = _share([(row, "id", item) for row, item in plain])
        if share >= MOST or (named and not any(row.documents for row in draft.rows)):
            yield (share, named), at, _by(share, "its items are the ids of documents", "a list of that name")
    if items and all(isinstance(item, dict) for _, item in items):
        for key in sorted(keys):
            yield from _citing_by(draft, at, key, [(row, _member(item, key)) for row, item in items], named=named)


def _citing_by(
    draft: _Draft, at: str, key: str, items: Sequence[tuple[gates.Golden, Json]], *, named: bool
) -> Iterator[tuple[tuple[float, int], Json, str]]:
    fields = {name for row in draft.rows for document in row.documents for name in document} or {"id"}
    for matches in sorted(fields, key=lambda name: (name != "id", name)):
        share = _share([(row, matches, item) for row, item in items])
        listed = any(row.documents for row in draft.rows)
        if share >= MOST or (named and not listed and re.fullmatch(r"(doc|document|source)?_?id", key)):
            entry: dict[str, Json] = {"at": at, "key": key, "matches": matches}
            yield (share, named), entry, _by(share, f"its {key} is a document's {matches}", "a list of that name")


def _by(share: float, seen: str, otherwise: str) -> str:
    return f"{seen}, in {share:.0%}" if share >= MOST else f"{otherwise}; the rows list no documents to compare with"


def _share(items: Sequence[tuple[gates.Golden, str, Json]]) -> float:
    """How many of these name a document of their row by this field."""
    right = [
        isinstance(item, str | int) and id_key(item) in {id_key(one.get(name)) for one in row.documents}
        for row, name, item in items
    ]
    return sum(right) / len(right) if right else 0.0


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _member(value: Json, key: str) -> Json:
    return value.get(key) if isinstance(value, dict) else None


def _refusal(draft: _Draft) -> None:
    found = next((one for sign in (_by_labels, _by_name, _by_citations) for one in sign(draft)), None)
    if found:
        at, value, why = found
        draft.put("refusal", at if value is True else {"at": at, "equals": value}, why)
        return
    for at, some in draft.full.items():  # a text where it refuses, and nothing where it answers
        refusing = [one for one in some if one]
        named = REFUSES.search(_word(at)) and at != draft.contract["answer"]
        if named and 0 < len(refusing) < len(some) and all(isinstance(one, str | None) for one in some):
            draft.put("refusal", {"at": at, "empty": False}, "a text of that name, in some answers")
            _read_null(draft, at)
            return


Sign = Iterator[tuple[str, Json, str]]
"""Places, with the value that means a refusal, and why."""


def _said(draft: _Draft) -> Iterator[tuple[str, list[Json], list[Json]]]:
    """Each place with few different values, a truth value or a short text; its values, and which there are."""
    for at, some in draft.full.items():
        if at != draft.contract["answer"] and all(isinstance(one, bool | str | None) for one in some):
            different = list({json.dumps(one): one for one in some}.values())
            if len(different) <= shape.FEW and all(len(str(one)) <= shape.LONGEST for one in different):
                yield at, some, sorted(different, key=lambda one: one is not True)


def _by_labels(draft: _Draft) -> Sign:
    labels = [row.answerable for row in draft.rows]
    if not {True, False} <= set(labels):
        return
    for at, some, different in _said(draft):
        for value in different:
            pairs = [(same(one, value), label) for one, label in zip(some, labels, strict=True) if label is not None]
            if all(refused is not label for refused, label in pairs):
                yield at, value, "says the same as the rows' `answerable`"


def _by_name(draft: _Draft) -> Sign:
    for at, some, different in _said(draft):
        name, truth = _word(at), all(isinstance(one, bool) for one in some)
        if truth and REFUSES.search(name):
            yield at, True, "a truth value of that name"
        elif truth and ANSWERS.search(name):
            yield at, False, "a truth value of that name, false where it refuses"
        elif not truth:
            named = [one for one in different if isinstance(one, str) and REFUSES.search(_letters(one))]
            yield from ((at, one, f"one of its values is {json.dumps(one)}") for one in named[:1] if len(different) > 1)


def _by_citations(draft: _Draft) -> Sign:
    if "citations" not in draft.contract:
        return
    cites = [bool(answer.cited) for answer in draft.read()]
    for at, some, different in _said(draft):
        for value in different:
            refused = [same(one, value) for one in some]
            if isinstance(value, bool) and len(set(refused)) == 2 and all(
                one is not cited for one, cited in zip(refused, cites, strict=True)
            ):  # fmt: skip
                yield at, value, "so exactly where nothing is cited"


def _documents(draft: _Draft) -> None:
    """A pattern for the documents in prompts, where rows cite and list none."""
    if "citations" not in draft.contract or any(row.documents for row in draft.rows):
        return
    for pattern in DOCUMENTS:
        citing = [answer for answer in draft.read(documents=pattern) if answer.cited]
        right = [answer for answer in citing if answer.cited <= answer.documents]
        if citing and len(right) >= MOST * len(citing):
            why = f"finds what is cited in {len(right)} of the {len(citing)} prompts whose answers cite"
            draft.put("documents", pattern, why)
            return


def _markers(draft: _Draft) -> None:
    """The pattern whose ids in the text are those that are cited, in the most rows."""
    if "citations" not in draft.contract:
        return
    counts = {}
    for pattern in MARKERS:
        marked = [answer for answer in draft.read(markers=pattern) if answer.fields.markers]
        counts[pattern] = (sum(set(one.fields.markers or ()) == one.cited for one in marked), len(marked))
    pattern = max(counts, key=lambda one: counts[one][0])
    right, marked_rows = counts[pattern]
    if right and right >= MOST * marked_rows:
        draft.put("markers", pattern, f"in the text of {marked_rows} answers, and the same as the citations in {right}")


def _rules(draft: _Draft) -> None:
    """The rules that hold in every row."""
    declared = [name for name, rule in NAMED.items() if all(part in draft.contract for part in rule.needs)]
    broken = {fault.rule for answer in draft.read(rules=[*declared]) for fault in answer.rule_faults}
    if holding := [name for name in declared if name not in broken]:
        draft.put("rules", [*holding], "hold in every row")


def _correctness(draft: _Draft) -> None:
    """What can be asked to be the same: short texts, and beside them numbers and truth values.

    Where the text itself is long nothing is: what it says would not be judged, and the card would not say so.
    """
    at = str(draft.contract["answer"])
    if _compared(_there(draft.full[at])) != "normalized":
        return
    elsewhere = [draft.contract.get("citations"), draft.contract.get("refusal")]  # which gates of their own judge
    judged = {one["at"] if isinstance(one, dict) else one for one in elsewhere}
    means = {place: _compared(some) for place, some in draft.full.items() if not SURE.search(_word(place))}
    others = [place for place, by in means.items() if by and place != at and place not in judged]
    others = [place for place in others if not _counts_rows(draft.full[place], draft.rows)]
    places: list[Json] = [{"at": one, "by": means[one]} for one in others]
    why = "short texts, numbers and truth values: the same can be asked for"
    only = "its texts are short: the same words can be asked for"
    draft.put("correctness", [{"at": at, "by": "normalized"}, *places], why if others else only)


def _counts_rows(values: Sequence[Json], rows: Sequence[gates.Golden]) -> bool:
    """Whether it is another one in each row and most prompts do not show it: a row's own number or key."""
    said = [json.dumps(one, ensure_ascii=False).strip('"') for one in values]
    shown = sum(
        one in " ".join(message["content"] for message in row.prompt) for one, row in zip(said, rows, strict=True)
    )
    return len({*said}) == len(said) > 2 and shown * 2 < len(said)


def _compared(values: Sequence[Json]) -> str:
    """By what the values of a place can be compared; empty where nobody can be asked for the same."""
    if all(isinstance(one, bool) for one in values):
        return "exact"
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        return "number"
    short = all(isinstance(one, str) for one in values) and statistics.median(map(len, map(str, values))) <= SHORT
    return "normalized" if short else ""


def _word(at: str) -> str:
    """The last name of a place, its letters alone."""
    return _letters(at.rpartition("/")[2])


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.casefold())
