"""An answer: one golden row and what the model wrote for it, read once so that each gate only has to look."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gates import pointer, strict_json
from gates.answer_schema import Fault
from gates.contract import Contract
from gates.rows import Golden, Output, id_key, prompt_key
from gates.rules import Fields, broken, same
from gates.strict_json import Reading

NAMED = 10
"""Ids that one message names."""


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
    documents: frozenset[str]

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
    def cited(self) -> frozenset[str]:
        return frozenset(self.fields.cited or ())

    @property
    def markers_agree(self) -> bool:
        """Whether the markers in the text are the citations; true where the contract declares no markers."""
        return self.fields.markers is None or set(self.fields.markers) == self.cited


def pairing_problems(golden: Sequence[Golden], outputs: Sequence[Output]) -> list[str]:
    """Why these outputs are not one for each golden row, or the golden set is not a set; empty if all is well."""
    rows, answers = Counter(row.id for row in golden), Counter(output.id for output in outputs)
    prompts = Counter(map(prompt_key, golden))
    problems = [] if golden else ["the golden set is empty: nothing can be judged"]
    problems += _named("golden ids that stand twice", (one for one, count in rows.items() if count > 1))
    problems += _named("golden rows that repeat a prompt", (row.id for row in golden if prompts[prompt_key(row)] > 1))
    problems += _named("outputs that stand twice", (one for one, count in answers.items() if count > 1))
    problems += _named("golden rows without an output", rows.keys() - answers.keys())
    problems += _named("outputs without a golden row", answers.keys() - rows.keys())
    return problems


def _named(what: str, ids: Iterable[str]) -> list[str]:
    found = sorted(set(ids))
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"{what}: {', '.join(found[:NAMED])}{more}"] if found else []


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
        fields = read_fields(reading.value, contract, documents)
    return Answer(
        golden=golden,
        output=output.output,
        reading=reading,
        fenced=reading.ok or _fenced(output, contract),
        schema_faults=faults,
        rule_faults=broken(contract.rules, reading.value, fields) if reading.ok else (),
        fields=fields,
        documents=frozenset(documents),
    )


def _reading(output: Output, contract: Contract) -> Reading:
    if output.finish_reason != "stop":
        code = {"length": "cut", "error": "error"}.get(output.finish_reason, "not_finished")
        return Reading(code=code, detail=f"finish_reason is {output.finish_reason!r}")
    return strict_json.read(output.output, max_characters=contract.max_characters)


def _fenced(output: Output, contract: Contract) -> bool:
    if output.finish_reason != "stop":
        return False
    return strict_json.read_fenced(output.output, max_characters=contract.max_characters).ok


def _documents(golden: Golden, contract: Contract) -> dict[str, Mapping[str, Any]]:
    listed = list(golden.documents)
    if not listed and contract.documents is not None:
        for message in golden.prompt:
            listed += [match.groupdict() for match in contract.documents.finditer(message["content"])]
    return {id_key(document["id"]): document for document in listed}


def read_fields(parsed: Any, contract: Contract, documents: Mapping[str, Mapping[str, Any]]) -> Fields:
    """What the contract's pointers find; what is there but cannot be read is a fault, never a guess."""
    faults: list[Fault] = []
    text = _text(parsed, contract, faults)
    return Fields(
        text=text,
        cited=_cited(parsed, contract, documents, faults),
        markers=_markers(text, contract),
        refused=_refused(parsed, contract, faults),
        confidence=_confidence(parsed, contract, faults),
        unknowns=_unknowns(parsed, contract),
        unreadable=tuple(faults),
    )


def _text(parsed: Any, contract: Contract, faults: list[Fault]) -> str | None:
    text = pointer.get(parsed, contract.answer)
    if isinstance(text, str):
        return text
    faults.append(Fault(path=contract.answer, rule="answer", message="there is no text"))
    return None


def _markers(text: str | None, contract: Contract) -> tuple[str, ...] | None:
    if contract.markers is None:
        return None
    found = contract.markers.findall(text or "")
    return tuple(id_key(part) for ids in found for part in re.split(r"[,;\s]+", ids) if part)


def _cited(
    parsed: Any, contract: Contract, documents: Mapping[str, Mapping[str, Any]], faults: list[Fault]
) -> tuple[str, ...] | None:
    if contract.citations is None:
        return None
    where = contract.citations
    entries = pointer.get(parsed, where.at)
    if where.key is not None and isinstance(entries, list):
        entries = [entry.get(where.key) if isinstance(entry, dict) else None for entry in entries]
    if not isinstance(entries, list) or not all(map(_is_id, entries)):
        faults.append(Fault(path=where.at, rule="citations", message="there is no list of citations"))
        return None
    if where.matches == "id":
        return tuple(map(id_key, entries))
    known = {id_key(document.get(where.matches)): name for name, document in documents.items()}
    return tuple(known.get(id_key(entry), f"unknown {id_key(entry)}") for entry in entries)


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _refused(parsed: Any, contract: Contract, faults: list[Fault]) -> bool | None:
    if not contract.refusal:
        return False  # a contract without refusals: every answer answers
    said: dict[str, bool] = {}
    for place in contract.refusal:
        found = pointer.get(parsed, place.at)
        readable = found is not pointer.MISSING and (place.equals is not True or isinstance(found, bool))
        if readable:
            said[place.at] = said.get(place.at, False) or same(found, place.equals)
    if len(set(said.values())) == 1:
        return said.popitem()[1]
    message = f"{' and '.join(said)} disagree" if said else "it is not said whether the answer refuses"
    faults.append(Fault(path=contract.refusal[0].at, rule="refusal", message=message))
    return None


def _confidence(parsed: Any, contract: Contract, faults: list[Fault]) -> float | None:
    if contract.confidence is None:
        return None
    found = pointer.get(parsed, contract.confidence)
    if found is pointer.MISSING:
        return None
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= 1:
        return float(found)
    faults.append(Fault(path=contract.confidence, rule="confidence", message=f"{found!r:.40} is not between 0 and 1"))
    return None


def _unknowns(parsed: Any, contract: Contract) -> tuple[str, ...] | None:
    if not contract.unknowns:
        return None
    found = [pointer.get(parsed, place) for place in contract.unknowns]
    return tuple(entry for entries in found if isinstance(entries, list) for entry in entries if isinstance(entry, str))
