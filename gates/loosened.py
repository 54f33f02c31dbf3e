"""Every way in which one contract may let through what another did not: what is gone, read otherwise, or looser.

A rule more, a place more that is compared, a field more that is read for a gate of its own, and a newer version ask for
more. What changes how answers are read may let through others, so it counts too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, cast

from gates import correctness
from gates.canonical import Json, canonical_json
from gates.contract import (
    CONFIDENT_FROM,
    MAX_CHARACTERS,
    ContractFile,
    RefusalEntry,
    listed,
    read_citations,
    read_refusal,
)
from gates.correctness import Place
from gates.invalid import against_schema
from gates.rules import RuleEntry
from gates.shown import shorten

LONGEST: Final = 80
"""Characters of a part that a line shows."""


def weaker_contract(contract: Mapping[str, object], than: Mapping[str, object]) -> tuple[str, ...]:
    """What a contract may let through that another did not, a line each; the schemas of answers are not looked at.

    ``contract`` is one that loads; of the other nothing is believed.
    """
    if problems := against_schema(than, "contract", "contract"):
        return (f"contract: another one, and the last one cannot be read any more ({shorten(problems[0], LONGEST)})",)
    now, then = cast("ContractFile", contract), cast("ContractFile", than)
    lines = (*_read_otherwise(now, then), *_limits(now, then), *_provenance(now, then), *_rules(now, then))
    return tuple(f"contract.{line}" for line in (*lines, *_correctness(now, then)))


def _citations(given: ContractFile) -> Json:
    found = read_citations(given.get("citations"))
    return None if found is None else {"at": found.at, "key": found.key, "matches": found.matches}


def _answer(given: ContractFile) -> Json:
    places: list[str] = listed(given["answer"])
    several: list[Json] = list(places)
    return several if len(places) > 1 else places[0]


def _refusals(given: ContractFile) -> Json:
    given_ones: list[str | RefusalEntry] = listed(given.get("refusal", []))
    return _in_order({"at": one.at, one.test: one.value} for one in map(read_refusal, given_ones))


def _refusal_text(given: ContractFile) -> Json:
    words = given.get("refusal_text")
    if words is None:
        return None
    return {
        "languages": _in_order({*words.get("languages", ())}),
        "phrases": _in_order({*words.get("phrases", ())}),
    }


def _unknowns(given: ContractFile) -> Json:
    places: list[str] = listed(given.get("unknowns", []))
    return _in_order(places)


def _document_fields(given: ContractFile) -> Json:
    named = given.get("document_fields", {})
    return {"text": named.get("text", "text"), "score": named.get("score", "score")}


def _in_order(values: Iterable[Json]) -> Json:
    return sorted(values, key=canonical_json)


READ: Mapping[str, Callable[[ContractFile], Json]] = {
    "answer": _answer,
    "citations": _citations,
    "refusal": _refusals,
    "confidence": lambda given: given.get("confidence"),
    "confident_from": lambda given: float(given.get("confident_from", CONFIDENT_FROM)),
    "unknowns": _unknowns,
    "markers": lambda given: given.get("markers"),
    "documents": lambda given: given.get("documents"),
    "document_fields": _document_fields,
    "refusal_text": _refusal_text,
}
"""What each part means, with its defaults: two spellings of one meaning are equal."""
OWN_GATES: Final = ("citations", "confidence", "unknowns", "refusal_text")
"""Parts that, where there was none, only let more be asked. A refusal is not one: who refuses is counted less."""


def _read_otherwise(now: ContractFile, then: ContractFile) -> Iterator[str]:
    for part, meaning in READ.items():
        before, after = meaning(then), meaning(now)
        added = part in OWN_GATES and not before
        unused = part == "confident_from" and not ("confidence" in then and "confidence" in now)
        if canonical_json(before) != canonical_json(after) and not added and not unused:
            yield f"{part}: {_shown(after)}, was {_shown(before)}"


def _shown(value: Json) -> str:
    return shorten(json.dumps(value, ensure_ascii=False, sort_keys=True), LONGEST) if value else "none"


def _limits(now: ContractFile, then: ContractFile) -> Iterator[str]:
    most, was = (one.get("max_characters", MAX_CHARACTERS) for one in (now, then))
    if most > was:
        yield f"max_characters: {most}, was {was}"
    version, older = (one.get("version", 1) for one in (now, then))
    if version < older:
        yield f"version: {version}, was {older}"


def _provenance(now: ContractFile, then: ContractFile) -> Iterator[str]:
    before, after = (read_citations(one.get("citations")) for one in (then, now))
    kept = {} if after is None else after.provenance
    gone = [] if before is None else [key for key, asked in before.provenance.items() if kept.get(key) != asked]
    if gone and after is not None:
        yield f"citations.provenance: {', '.join(sorted(gone))} gone or another, was required"


def _rules(now: ContractFile, then: ContractFile) -> Iterator[str]:
    kept = {_meaning(one) for one in now.get("rules", ())}
    for rule in then.get("rules", ()):
        if _meaning(rule) not in kept:
            name = rule if isinstance(rule, str) else rule["name"]
            yield f"rules: {shorten(name, LONGEST)} gone or another, was required"


def _meaning(rule: str | RuleEntry) -> bytes:
    """A rule without its name, which may change."""
    return canonical_json(rule if isinstance(rule, str) else {key: rule[key] for key in rule if key != "name"})  # type: ignore[literal-required]


def _correctness(now: ContractFile, then: ContractFile) -> Iterator[str]:
    places = [correctness.place(one) for one in now.get("correctness", ())]
    for before in map(correctness.place, then.get("correctness", ())):
        same = [one for one in places if (one.at, one.reference) == (before.at, before.reference)]
        if not any(_as_strict(one, before) for one in same):
            after = " and ".join(map(_how, same)) or "not compared"
            yield f"correctness: {before.at} is {after}, was {_how(before)}"


def _as_strict(now: Place, then: Place) -> bool:
    """Whether what is right by the one is right by the other."""
    if (now.by, then.by) == ("exact", "normalized"):
        return True
    return now.by == then.by and now.tolerance <= then.tolerance and now.relative <= then.relative


def _how(place: Place) -> str:
    off = [f"{name} {value}" for name, value in (("tolerance", place.tolerance), ("relative", place.relative)) if value]
    return " ".join([f"compared by {place.by}", *off])
