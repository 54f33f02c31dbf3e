"""An answer: one golden row and what the model wrote for it, read once so that each gate only has to look."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

from gates import citations, correctness, pointer, strict_json
from gates.answer_schema import Fault
from gates.canonical import Json
from gates.contract import EACH_SINCE, Citations, Contract
from gates.correctness import Expected
from gates.invalid import InvalidData
from gates.patterns import Pattern, TooMuchWork
from gates.rows import Golden, Output, id_key, near_key, near_words, prompt_key
from gates.rules import Fields, broken
from gates.shown import some
from gates.strict_json import Reading

T = TypeVar("T", bound=Hashable)
NAMED = 10
"""Ids that one message names."""
NOTHING_FOUND = citations.Found(markers=(), strange=(), prose="")


class Document(NamedTuple):
    """What the prompt holds and an answer may cite; a tuple, for each answer has several."""

    fields: Mapping[str, Json]
    text: str
    """Empty where the document has none."""
    score: float | None
    """Of the retrieval, where it is known."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An output beside its golden row. What was cut, crashed or does not parse has neither citations nor a refusal."""

    golden: Golden
    output: str
    reading: Reading
    fenced: bool
    """Whether it parses once a code fence is taken away."""
    schema_faults: tuple[Fault, ...]
    rule_faults: tuple[Fault, ...]
    fields: Fields
    sources: Mapping[str, Document]
    """The documents of the prompt by their ids."""
    confident: bool
    provenance: Mapping[str, str]
    """What each citation object must repeat, as the contract says."""
    expected: tuple[Expected, ...]
    """What the row's reference asks of the places that the contract compares; empty where nothing is compared."""
    contract: Contract | None
    """What it was read by; None: nothing was read, as in a plan."""

    @cached_property
    def stray(self) -> tuple[str, ...]:
        """What looks like a citation in its text and is not a document of the prompt."""
        if self.contract is None or self.fields.text is None:
            return ()
        if self.contract.version > 1 and not self.fields.unreadable:
            return self.fields.strange
        try:
            documents = {name: source.fields for name, source in self.sources.items()}
            return citations.read(self.contract.markers, self.fields.text, documents, self.fields.found).strange
        except TooMuchWork:
            return (self.fields.text,)

    def given(self, one: Expected) -> Json | pointer.Missing:
        """What stands at a place that is compared: the answer's text without its markers, all else as it is."""
        if self.contract is not None and one.place.at in self.contract.answers and self.fields.prose is not None:
            return self.fields.prose
        return pointer.get(self.reading.value, one.place.at)

    @property
    def mistaken(self) -> Expected | None:
        """The first place that does not say what the reference says."""
        for one in self.expected:
            given = self.given(one)
            if given is pointer.MISSING or not correctness.right(one, given):
                return one
        return None

    @cached_property
    def documents(self) -> frozenset[str]:
        return frozenset(self.sources)

    @property
    def prose(self) -> str:
        """The text without its markers; empty where there is none."""
        return self.fields.prose or ""

    @cached_property
    def cited_text(self) -> str:
        """The text of all documents that it cites."""
        return "\n".join([self.sources[one].text for one in sorted(self.cited & self.sources.keys())])

    @property
    def id(self) -> str:
        return self.golden.id

    @property
    def parsed(self) -> bool:
        return self.reading.ok

    @property
    def refused(self) -> bool:
        return self.fields.refused is True

    @property
    def answered(self) -> bool:
        return self.fields.refused is False

    @property
    def answers_from_texts(self) -> bool:
        """Whether it answers an answerable row whose documents have text: there is something to compare."""
        return self.answered and bool(self.golden.answerable) and any(one.text for one in self.sources.values())

    @cached_property
    def cited(self) -> frozenset[str]:
        return frozenset(self.fields.cited or ())

    @property
    def cites_documents(self) -> bool:
        """Whether every citation is a document of the prompt; true where there is none."""
        return self.cited <= self.sources.keys()

    @property
    def markers_agree(self) -> bool:
        """Whether the markers in the text are the citations; true where the contract declares no markers."""
        same = self.fields.markers is None or self.cited == set(self.fields.markers)
        return same and not self.fields.strange

    @property
    def in_text(self) -> frozenset[str]:
        """The citations in the text, those that are not read included."""
        return frozenset((*(self.fields.markers or ()), *self.fields.strange))


def pairing_problems(golden: Sequence[Golden], outputs: Sequence[Output], *, version: int = 1) -> list[str]:
    """Why these outputs are not one for each golden row, or the golden set is not a set; empty if all is well.

    ``version`` is the policy's: since 2, prompts that differ in case, marks or invisible characters are one.
    """
    rows, answers = [row.id for row in golden], [output.id for output in outputs]
    asked: Sequence[Hashable] = _asked(golden) if version > 1 else [prompt_key(row) for row in golden]
    again = _repeated(asked)
    repeating = [row.id for row, what in zip(golden, asked, strict=True) if what in again] if again else []
    problems = [] if golden else ["the golden set is empty: nothing can be judged"]
    problems += _named("golden ids that stand twice", _repeated(rows))
    problems += _named("golden rows that repeat a prompt", repeating)
    problems += _named("outputs that stand twice", _repeated(answers))
    problems += _named("golden rows without an output", set(rows) - set(answers))
    problems += _named("outputs without a golden row", set(answers) - set(rows))
    return problems


def _asked(golden: Sequence[Golden]) -> list[Hashable]:
    """What each row asks; the documents are only read where several rows ask in the same words."""
    asked: list[Hashable] = [near_words(row) for row in golden]
    again = _repeated(asked)
    if not again:
        return asked
    return [near_key(row) if words in again else words for row, words in zip(golden, asked, strict=True)]


def _repeated(values: Sequence[T]) -> set[T]:
    """Those that stand more than once; seldom there are any."""
    if len(set(values)) == len(values):
        return set()
    return {value for value, count in Counter(values).items() if count > 1}


def _named(what: str, ids: Iterable[str]) -> list[str]:
    found = sorted(set(ids))
    return [f"{what}: {some(found, NAMED)}"] if found else []


def pair(golden: Sequence[Golden], outputs: Sequence[Output], contract: Contract) -> tuple[Answer, ...]:
    """An answer for each golden row, in the golden set's order."""
    by_id = {output.id: output for output in outputs}
    return tuple(read_answer(row, by_id[row.id], contract) for row in golden)


def read_answer(golden: Golden, output: Output, contract: Contract) -> Answer:
    """The output read as the contract says."""
    documents = _documents(golden, contract)
    reading = _reading(output, contract)
    faults: tuple[Fault, ...] = ()
    fields = Fields()
    if reading.ok:
        faults = contract.check(reading.value)
        fields = read_fields(reading.value, contract, documents, optional=contract.version > EACH_SINCE and not faults)
    sources = {name: _document(document, contract) for name, document in documents.items()}
    return Answer(
        golden=golden,
        output=output.output,
        reading=reading,
        fenced=reading.ok or _fenced(output, contract),
        schema_faults=faults,
        rule_faults=broken(contract.rules, reading.value, fields) if reading.ok else (),
        fields=fields,
        sources=sources,
        confident=fields.confidence is not None and fields.confidence >= contract.confident_from,
        provenance={} if contract.citations is None else contract.citations.provenance,
        expected=_expected(golden, contract, documents),
        contract=contract,
    )


def _expected(golden: Golden, contract: Contract, documents: Mapping[str, Mapping[str, Json]]) -> tuple[Expected, ...]:
    """What the reference asks of an answer; nothing of a row that is not to be answered or has no reference."""
    if not contract.correctness or not golden.answerable or golden.gold is None:
        return ()

    def said(at: str, value: Json) -> Json:
        if at not in contract.answers or not isinstance(value, str):
            return value
        return _in_text(value, contract, documents, []).prose

    reference = strict_json.read(golden.gold, max_characters=contract.max_characters).value
    return correctness.expected(contract.correctness, reference, cast("Json", golden.meta), said)


def _document(document: Mapping[str, Json], contract: Contract) -> Document:
    text, score = document.get(contract.document_text), document.get(contract.document_score)
    return Document(document, text if isinstance(text, str) else "", None if score is None else _number(score))


def _number(value: Json) -> float | None:
    """A score as it stands in a row or in a prompt's text; None for anything else, NaN included."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _reading(output: Output, contract: Contract) -> Reading:
    if output.finish_reason != "stop":
        code = {"length": "cut", "error": "error"}.get(output.finish_reason, "not_finished")
        return Reading(code=code, detail=f"finish_reason is {output.finish_reason!r}")
    return strict_json.read(output.output, max_characters=contract.max_characters)


def _fenced(output: Output, contract: Contract) -> bool:
    if output.finish_reason != "stop":
        return False
    return strict_json.read_fenced(output.output, max_characters=contract.max_characters).ok


def _documents(golden: Golden, contract: Contract) -> dict[str, Mapping[str, Json]]:
    listed = list(golden.documents)
    if not listed and contract.documents is not None:
        for message in golden.prompt:
            if contract.version == 1 or message["role"] != "assistant":
                listed += _found_in(message["content"], golden, contract.documents)
    return {id_key(document["id"]): document for document in listed}


def _found_in(prompt: str, golden: Golden, documents: Pattern) -> list[Mapping[str, Json]]:
    try:
        return [documents.named(found) for found in documents.find(prompt)]
    except TooMuchWork as error:
        raise InvalidData([f"row {golden.id}: documents: {error}; list the row's documents in it"]) from None


def read_fields(
    parsed: Json, contract: Contract, documents: Mapping[str, Mapping[str, Json]], *, optional: bool = False
) -> Fields:
    """What the contract's pointers find; what is there but cannot be read is a fault, never a guess.

    ``optional``: what is null or left out is none, for the schema allows it.
    """
    faults: list[Fault] = []
    unsaid: list[Fault] = []
    refused = _refused(parsed, contract, unsaid, optional=optional)
    text = _text(parsed, contract, faults, optional=optional and refused is True)
    entries = _entries(parsed, contract, faults, optional=optional)
    found = NOTHING_FOUND if text is None else _in_text(text, contract, documents, faults)
    faults += unsaid
    return Fields(
        text=text,
        prose=None if text is None else found.prose,
        entries=entries,
        cited=_cited(entries, contract, documents),
        markers=None if contract.markers is None else found.markers,
        strange=found.strange,
        found=found,
        refused=refused,
        confidence=_confidence(parsed, contract, faults, optional=optional),
        unknowns=_unknowns(parsed, contract),
        unreadable=tuple(faults),
    )


def _text(parsed: Json, contract: Contract, faults: list[Fault], *, optional: bool) -> str | None:
    text = pointer.get(parsed, contract.text_at(parsed))
    if isinstance(text, str):
        return text
    if optional and _is_none(text):
        return None
    faults.append(Fault(path=contract.answer, rule="answer", message="there is no text"))
    return None


def _in_text(
    text: str, contract: Contract, documents: Mapping[str, Mapping[str, Json]], faults: list[Fault]
) -> citations.Found:
    """The citations in a text, as the contract reads them."""
    try:
        if contract.version > 1:
            return citations.read(contract.markers, text, documents)
        return citations.read_plainly(contract.markers, text)
    except TooMuchWork as error:
        faults.append(Fault(path=contract.answer, rule="markers", message=str(error)))
        return citations.Found(markers=(), strange=(), prose=text)


def _is_none(found: Json | pointer.Missing) -> bool:
    return found is None or found is pointer.MISSING


def _entries(parsed: Json, contract: Contract, faults: list[Fault], *, optional: bool) -> tuple[Json, ...] | None:
    if contract.citations is None:
        return None
    where = contract.citations
    entries = pointer.get(parsed, where.at)
    if optional:
        found = [pointer.get(parsed, place) for place in pointer.every(parsed, where.at)]
        lists = [one for one in found if not _is_none(one)]
        entries = [entry for one in lists if isinstance(one, list) for entry in one]
        entries = entries if all(isinstance(one, list) for one in lists) else None
    if isinstance(entries, list) and all(_is_id(_id(entry, where)) for entry in entries):
        return tuple(entries)
    faults.append(Fault(path=where.at, rule="citations", message="there is no list of citations"))
    return None


def _id(entry: Json, where: Citations) -> Json:
    if where.key is None:
        return entry
    return entry.get(where.key) if isinstance(entry, dict) else None


def _cited(
    entries: tuple[Json, ...] | None, contract: Contract, documents: Mapping[str, Mapping[str, Json]]
) -> tuple[str, ...] | None:
    where = contract.citations
    if where is None or entries is None:
        return None
    ids = [id_key(_id(entry, where)) for entry in entries]
    if where.matches == "id":
        return tuple(ids)
    known = {id_key(document.get(where.matches)): name for name, document in documents.items()}
    return tuple(known.get(one, f"unknown {one}") for one in ids)


def _is_id(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _refused(parsed: Json, contract: Contract, faults: list[Fault], *, optional: bool) -> bool | None:
    if not contract.refusal:
        return False  # a contract without refusals: every answer answers
    said: dict[str, bool] = {}
    for place in contract.refusal:
        found = pointer.get(parsed, place.at)
        readable = found is not pointer.MISSING and (not place.is_flag or isinstance(found, bool))
        if readable or place.test in ("empty", "present") or (optional and _is_none(found)):
            said[place.at] = said.get(place.at, False) or place.means(found)
    if len(set(said.values())) == 1:
        return said.popitem()[1]
    message = f"{' and '.join(said)} disagree" if said else "it is not said whether the answer refuses"
    faults.append(Fault(path=contract.refusal[0].at, rule="refusal", message=message))
    return None


def _confidence(parsed: Json, contract: Contract, faults: list[Fault], *, optional: bool) -> float | None:
    if contract.confidence is None:
        return None
    found = pointer.get(parsed, contract.confidence)
    if found is pointer.MISSING or (optional and found is None):
        return None
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= 1:
        return float(found)
    faults.append(Fault(path=contract.confidence, rule="confidence", message=f"{found!r:.40} is not between 0 and 1"))
    return None


def _unknowns(parsed: Json, contract: Contract) -> tuple[str, ...] | None:
    if not contract.unknowns:
        return None
    found = [pointer.get(parsed, place) for place in contract.unknowns]
    return tuple(
        [entry for entries in found if isinstance(entries, list) for entry in entries if isinstance(entry, str)]
    )
