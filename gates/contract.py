"""A user's answer contract: a JSON Schema, and where in an answer text, citations, refusal and confidence live."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict, TypeVar, cast

from gates import correctness, pointer
from gates.answer_schema import SchemaCheck, read_schema, schema_check
from gates.canonical import Json, digest
from gates.correctness import CorrectnessEntry, Place
from gates.invalid import InvalidConfig, against_schema
from gates.patterns import Pattern, read_pattern
from gates.pointer import EACH
from gates.reach import Part, Reach
from gates.refusal_text import PHRASES
from gates.rules import CONDITIONS, Rule, RuleEntry, parse_rules

CONFIDENT_FROM = 0.8
EACH_SINCE = 2
"""The last version of a contract in which ``*`` is a key like any other."""
KINDS = {"string": "text", "array": "a list", "number": "a number", "boolean": "true or false"}
MAX_CHARACTERS = 20_000
"""About 5,000 tokens."""


@dataclass(frozen=True, kw_only=True)
class Citations:
    """Where citations stand: ids, or objects whose ``key`` is equal to the ``matches`` field of a document."""

    at: str
    key: str | None = None
    matches: str = "id"
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Fields of a citation object, and the document field whose value each must repeat."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A field that says whether the answer refuses: it is true, or a test of ``rules.CONDITIONS`` holds for it."""

    at: str
    test: str = "equals"
    value: Json = True

    @property
    def is_flag(self) -> bool:
        """Whether the field must be true or false."""
        return self.test == "equals" and self.value is True

    def means(self, found: Json | pointer.Missing) -> bool:
        """Whether what stands there refuses."""
        return CONDITIONS[self.test](found, self.value)


@dataclass(frozen=True, kw_only=True)
class RefusalText:
    """In what words a text refuses: those of some languages, and the contract's own."""

    languages: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What an answer must be. It exists only if its schema can be checked whole and offline."""

    schema: Mapping[str, Json]
    check: SchemaCheck = field(compare=False, repr=False)
    answer: str
    """The first place of the text."""
    answers: tuple[str, ...]
    """Every place that may hold the text: the first that does counts, as in a union of an answer and a refusal."""
    citations: Citations | None
    refusal: tuple[Refusal, ...]
    confidence: str | None
    confident_from: float
    """The confidence from which an answer counts as a confident one."""
    unknowns: tuple[str, ...]
    markers: Pattern | None
    documents: Pattern | None
    """Finds the documents in a prompt, for golden rows that do not list them; group ``id`` names each."""
    document_text: str
    """The document field that holds its text."""
    document_score: str
    """The document field that holds its retrieval score."""
    rules: tuple[Rule, ...]
    max_characters: int
    version: int
    """How citations in the text are read, since 2: see ``gates.citations``. Since 3 what is null or left out is none,
    where the schema allows it, and ``*`` in the place of citations is every member of a list."""
    correctness: tuple[Place, ...]
    """The places that are compared with the reference; empty: nobody judges what an answer says."""
    refusal_text: RefusalText | None
    digest: str
    """Over the mapping as it was given, with the schema's content in place of the path to it."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """How the schema's file was read, where it is not a schema as it stands."""

    def text_at(self, parsed: Json) -> str:
        """The place of an answer's text: the first that holds one, else the first."""
        if len(self.answers) == 1:
            return self.answer
        return next((at for at in self.answers if isinstance(pointer.get(parsed, at), str)), self.answer)

    @property
    def declares(self) -> frozenset[str]:
        """The optional parts that are there: a gate that needs another part cannot be measured."""
        parts = {
            "citations": self.citations is not None,
            "provenance": self.citations is not None and bool(self.citations.provenance),
            "refusal": bool(self.refusal),
            "confidence": self.confidence is not None,
            "unknowns": bool(self.unknowns),
            "markers": self.markers is not None,
            "rules": bool(self.rules),
            "correctness": bool(self.correctness),
            "refusal_text": self.refusal_text is not None,
        }
        return frozenset(name for name, there in parts.items() if there)


T = TypeVar("T")


class CitationsEntry(TypedDict):
    at: str
    key: NotRequired[str]
    matches: NotRequired[str]
    provenance: NotRequired[Mapping[str, str]]


RefusalEntry = TypedDict(
    "RefusalEntry",
    {
        "at": str,
        "equals": NotRequired[Json],
        "in": NotRequired[list[Json]],
        "empty": NotRequired[bool],
        "present": NotRequired[bool],
    },
)


class DocumentFields(TypedDict, total=False):
    text: str
    score: str


class RefusalTextEntry(TypedDict, total=False):
    languages: list[str]
    phrases: list[str]


class ContractFile(TypedDict):
    """The mapping once ``schemas/contract.schema.json`` has passed it: the same keys, as a test asks."""

    version: NotRequired[int]
    schema: str
    answer: str | list[str]
    citations: NotRequired[str | CitationsEntry]
    refusal: NotRequired[str | RefusalEntry | list[str | RefusalEntry]]
    confidence: NotRequired[str]
    confident_from: NotRequired[float]
    unknowns: NotRequired[str | list[str]]
    markers: NotRequired[str]
    documents: NotRequired[str]
    document_fields: NotRequired[DocumentFields]
    rules: NotRequired[list[str | RuleEntry]]
    max_characters: NotRequired[int]
    correctness: NotRequired[list[CorrectnessEntry]]
    refusal_text: NotRequired[RefusalTextEntry]


def load_contract(
    mapping: Mapping[str, object], folder: Path, *, where: str = "contract", kept: bool = False
) -> Contract:
    """The contract that a YAML mapping describes; ``InvalidConfig`` with every problem at once.

    One that was published (``kept``) is read as it was then, whether or not its places can be in an answer.
    """
    problems = against_schema(mapping, "contract", where)
    if problems:
        raise InvalidConfig(problems)
    given = cast("ContractFile", mapping)
    schema, problems, notes = read_schema(folder / given["schema"])
    refusal, vague = _refusals(given)
    rules, rule_problems = parse_rules(given.get("rules", []), f"{where}.rules")
    patterns, faulty = _read_patterns(given)
    faulty += [*_pointer_problems(given, refusal, rules), *_needs(rules, given), *_comparison_problems(given)]
    problems = [f"{where}.{problem}" for problem in [*problems, *vague]] + rule_problems
    problems += [f"{where}.{problem}" for problem in faulty]
    citations = read_citations(given.get("citations"))
    if not problems and schema is not None and not kept:
        problems += [f"{where}.{problem}" for problem in _unreachable(given, refusal, citations, Reach(schema=schema))]
    if citations and citations.provenance and citations.key is None:
        problems.append(f"{where}.citations.provenance: needs citations.key, for an id alone has no other fields")
    if problems or schema is None:
        raise InvalidConfig(problems)
    return Contract(
        schema=schema,
        check=schema_check(schema),
        answer=listed(given["answer"])[0],
        answers=tuple(listed(given["answer"])),
        citations=citations,
        refusal=tuple(refusal),
        confidence=given.get("confidence"),
        confident_from=float(given.get("confident_from", CONFIDENT_FROM)),
        unknowns=tuple(listed(given.get("unknowns", []))),
        markers=patterns.get("markers"),
        documents=patterns.get("documents"),
        document_text=given.get("document_fields", {}).get("text", "text"),
        document_score=given.get("document_fields", {}).get("score", "score"),
        rules=rules,
        max_characters=given.get("max_characters", MAX_CHARACTERS),
        version=given.get("version", 1),
        correctness=tuple(map(correctness.place, given.get("correctness", ()))),
        refusal_text=_refusal_text(given.get("refusal_text")),
        digest=digest({**mapping, "schema": schema}),
        notes=notes,
    )


def _refusals(given: ContractFile) -> tuple[list[Refusal], list[str]]:
    """Who refuses, and what of it says so in two ways."""
    entries: list[str | RefusalEntry] = listed(given.get("refusal", []))
    vague = [entry for entry in entries if isinstance(entry, dict) and len(entry.keys() & CONDITIONS.keys()) > 1]
    problems = [f"refusal: {entry['at']}: one of {', '.join(CONDITIONS)} can say who refuses" for entry in vague]
    return [read_refusal(entry) for entry in entries], problems


def listed(value: T | list[T]) -> list[T]:
    """What may be written as one or as a list of them."""
    return value if isinstance(value, list) else [value]


def read_citations(entry: "str | CitationsEntry | None") -> Citations | None:
    """Where citations stand, with every default."""
    if entry is None:
        return None
    return Citations(at=entry) if isinstance(entry, str) else Citations(**entry)


def read_refusal(entry: "str | RefusalEntry") -> Refusal:
    """A field that says whether the answer refuses, with every default."""
    if isinstance(entry, str):
        return Refusal(at=entry)
    said = [(test, value) for test, value in entry.items() if test in CONDITIONS]
    test, value = said[0] if said else ("equals", True)
    return Refusal(at=entry["at"], test=test, value=cast("Json", value))


def _refusal_text(entry: RefusalTextEntry | None) -> RefusalText | None:
    if entry is None:
        return None
    return RefusalText(languages=tuple(entry.get("languages", ())), phrases=tuple(entry.get("phrases", ())))


def _comparison_problems(given: ContractFile) -> list[str]:
    """What is wrong with what answers are compared with: their reference, and the words of refusals."""
    found = [
        f"correctness.{number}.{problem}"
        for number, entry in enumerate(given.get("correctness", ()))
        for problem in correctness.problems(entry)
    ]
    unknown = [one for one in given.get("refusal_text", {}).get("languages", ()) if one not in PHRASES]
    known = f"{', '.join(PHRASES)} are known; write your own words under refusal_text.phrases"
    found += [f"refusal_text.languages: {one!r} is not known: {known}" for one in unknown]
    if "refusal_text" in given and "refusal" not in given:
        found.append("refusal_text: needs refusal, the field with which the text must agree")
    return found


def _read_patterns(given: ContractFile) -> tuple[dict[str, Pattern], list[str]]:
    """The contract's patterns by their keys, and what is wrong with them."""
    patterns, problems = {}, []
    asked = (("markers", given.get("markers"), 0), ("documents", given.get("documents"), re.MULTILINE))
    for name, source, flags in asked:
        if source is None:
            continue
        pattern, problem = read_pattern(source, flags)
        if pattern is None:
            problems.append(f"{name}: {source!r} {problem}")
            continue
        patterns[name] = pattern
        if name == "markers" and pattern.groups != 1:
            problems.append(rf"markers: {source!r} needs one group, around the id, as in \[(\d+)\]")
        elif name == "documents" and "id" not in dict(pattern.names):
            problems.append(f"documents: {source!r} needs a group named id: (?P<id>...)")
    return patterns, problems


def _pointers(given: ContractFile, refusal: Sequence[Refusal], rules: Sequence[Rule]) -> list[tuple[str, str]]:
    citations = read_citations(given.get("citations"))
    named = [("answer", text) for text in listed(given["answer"])]
    named += [("citations", citations.at)] if citations else []
    named += [("refusal", entry.at) for entry in refusal]
    named += [("confidence", given["confidence"])] if "confidence" in given else []
    named += [("unknowns", text) for text in listed(given.get("unknowns", []))]
    for entry in given.get("correctness", ()):
        named += [("correctness", text) for text in (entry["at"], entry.get("reference", ""))]
    return named + [(f"rules.{rule.name}", text) for rule in rules for text in rule.pointers]


def _pointer_problems(given: ContractFile, refusal: Sequence[Refusal], rules: Sequence[Rule]) -> Iterator[str]:
    for name, text in _pointers(given, refusal, rules):
        try:
            pointer.parse(text)
        except ValueError as error:
            yield f"{name}: {error}"


def _unreachable(
    given: ContractFile, refusal: Sequence[Refusal], citations: Citations | None, reach: Reach
) -> list[str]:
    """Places that no answer which fits the schema can have, or not as what they are for."""
    if not reach.certain:
        return []
    wanted = [("answer", at, "string") for at in listed(given["answer"])]
    wanted += [("refusal", one.at, "boolean" if one.is_flag else "") for one in refusal if one.test in ("equals", "in")]
    wanted += [("confidence", given["confidence"], "number")] if "confidence" in given else []
    wanted += [("unknowns", at, "array") for at in listed(given.get("unknowns", []))]
    wanted += [("correctness", entry["at"], "") for entry in given.get("correctness", ())]
    for number, rule in enumerate(given.get("rules", ())):
        said = [rule[key] for key in ("if", "then", "only_if") if key in rule] if isinstance(rule, dict) else []
        wanted += [(f"rules.{number}", str(one["at"]), "") for one in said if {"equals", "in"} & one.keys()]
    found = [_unfit(name, at, reach.at(at), kind, reach) for name, at, kind in wanted]
    if citations is not None:
        each = given.get("version", 1) > EACH_SINCE
        part = reach.at(citations.at, each=each)
        problem = _unfit("citations", citations.at, part, "array", reach)
        starred = "/*" in citations.at and not each
        found.append(f"{problem}. With `version: 3` * is every member of a list" if problem and starred else problem)
        found.append("" if problem else _unfit_entries(citations, reach.member(part, EACH), reach))
    return [problem for problem in found if problem]


def _unfit(name: str, at: str, part: Part, kind: str, reach: Reach) -> str:
    if part is not False and (not kind or reach.can_be(part, kind)):
        return ""
    near = reach.nearest(at) if part is False else ""
    what = "cannot be there" if part is False else f"is never {KINDS[kind]}"
    return f"{name}: {at} {what} in an answer that fits the schema{f' (did you mean {near}?)' if near else ''}"


def _unfit_entries(citations: Citations, entry: Part, reach: Reach) -> str:
    if citations.key is None:
        named = any(reach.can_be(entry, kind) for kind in ("string", "number"))
        return "" if named else f"citations: {citations.at} never holds ids: name the key of its objects that does"
    inner = reach.member(entry, citations.key)
    named = any(reach.can_be(inner, kind) for kind in ("string", "number"))
    return "" if named else f"citations.key: no entry of {citations.at} can have an id under {citations.key!r}"


def _needs(rules: Sequence[Rule], given: ContractFile) -> list[str]:
    return [
        f"rules: {rule.name} needs {part!r}, which the contract does not declare"
        for rule in rules
        for part in rule.needs
        if part not in given
    ]
