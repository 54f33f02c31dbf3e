"""Gate zero: the reference answers must pass, and answers broken on purpose must not.

A gate that cannot fail is not a gate. Each control breaks the reference answers in one way; the gate that exists to
catch it must count every broken row as wrong and must not pass.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from gates import pointer, strict_json
from gates.answer import pair, pairing_problems, read_answer
from gates.canonical import Json
from gates.clusters import cluster_problems, clustered, clusters
from gates.contract import EACH_SINCE, Contract
from gates.patterns import Found, TooMuchWork
from gates.policy import Bar, Policy
from gates.rows import Golden, Output, gold_outputs
from gates.table import ABOUT, GATES
from gates.verdict import SelfTest, Verdict, decide, judge

NO_DOCUMENT = "no such document"
NEIGHBOURS = 20
"""Rows whose values are tried as wrong ones."""
WRONG: tuple[Json, ...] = (None, 0, "", [], True)
Break = Callable[[Golden, Sequence[Golden], Contract], str | None]
"""Of a row, all rows and the contract: the broken answer, or None where this row cannot be broken so."""


def gate_zero(golden: Sequence[Golden], contract: Contract, policy: Policy) -> Verdict:
    """The verdict on the reference answers; INVALID if a gate cannot fail."""
    outputs = gold_outputs(golden)
    unsound = pairing_problems(golden, outputs, version=policy.version) + cluster_problems(golden, policy)
    problems = () if unsound else prove_gates_can_fail(golden, contract, policy)
    verdict = judge(golden, outputs, contract, policy, problems=problems)
    return replace(verdict, self_test="passed" if verdict.passed else "failed")


def self_test(golden: Sequence[Golden], contract: Contract, policy: Policy) -> SelfTest:
    """What came of ``gate_zero``, for a verdict that says so; policies of version 1 do not ask."""
    if policy.version == 1:
        return "not run"
    return gate_zero(golden, contract, policy).self_test


def prove_gates_can_fail(golden: Sequence[Golden], contract: Contract, policy: Policy) -> tuple[str, ...]:
    """A line for each gate that does not fail on its control; empty if all gates can fail."""
    made = negative_controls(golden, contract)
    problems = (_cannot_fail(bar, golden, made[ABOUT[bar.gate].control], contract, policy) for bar in policy.bars)
    return tuple(problem for problem in problems if problem)


def negative_controls(golden: Sequence[Golden], contract: Contract) -> dict[str, tuple[Output, ...]]:
    """For each control the broken outputs, for those rows that can be broken so."""
    return {name: tuple(_broken(golden, contract, control)) for name, control in CONTROLS.items()}


def _broken(golden: Sequence[Golden], contract: Contract, control: Break) -> Iterator[Output]:
    for row in golden:
        if row.gold is not None and (output := control(row, golden, contract)) is not None:
            yield Output(id=row.id, output=output)


def _cannot_fail(
    bar: Bar, golden: Sequence[Golden], broken: Sequence[Output], contract: Contract, policy: Policy
) -> str:
    control = ABOUT[bar.gate].control
    ids = {output.id for output in broken}
    if not ids:
        return f"gate {bar.gate} was not proved able to fail: no reference answer could be broken as {control!r}"
    outputs = [output for output in gold_outputs(golden) if output.id not in ids] + list(broken)
    score = GATES[bar.gate](pair(golden, outputs, contract))
    if passed := sorted(ids & score.right):
        return f"gate {bar.gate} cannot fail: it accepts the broken answer {control!r} for {passed[0]}"
    if not ids & set(score.counted) and not ABOUT[bar.gate].counts_outputs:
        return f"gate {bar.gate} cannot fail: it counts none of the rows broken as {control!r}"
    units = clustered(score, clusters(golden, policy))
    if decide(bar, units)[0] == "PASS":
        return f"gate {bar.gate} cannot fail: {units.k}/{units.n} with {control!r} answers still passes its threshold"
    return ""


def _parsed(row: Golden) -> Json:
    return strict_json.read(row.gold or "").value


def _truncated(row: Golden, _: Sequence[Golden], __: Contract) -> str | None:
    gold = row.gold or ""
    return gold[: len(gold) // 2]


def _breaking(keyword: str, row: Golden, _: Sequence[Golden], contract: Contract) -> str | None:
    """An answer that breaks this keyword of the schema, or for an empty one any."""
    value = _parsed(row)
    if not isinstance(value, dict):
        return None
    candidates: list[Json] = [{key: member for key, member in value.items() if key != name} for name in value]
    candidates += [pointer.replaced(value, contract.answer, wrong) for wrong in WRONG]
    candidates += [{**value, name: wrong} for name in value for wrong in WRONG]
    candidates += [{**value, "no such member": 0}, {}]
    return _first(candidates, lambda one: any(keyword in ("", fault.rule) for fault in contract.check(one)))


def _no_unknowns(row: Golden, _: Sequence[Golden], contract: Contract) -> str | None:
    value = _parsed(row)
    if row.answerable is not False or not isinstance(value, dict):
        return None
    for place in contract.unknowns:
        value = pointer.replaced(value, place, [])
    return _written(value)


def _wrong_provenance(row: Golden, _: Sequence[Golden], contract: Contract) -> str | None:
    value, where = _parsed(row), contract.citations
    first = _first_entry(value, contract)
    if where is None or not where.provenance or not isinstance(first, dict):
        return None
    name = next((name for name in where.provenance if name != where.key), where.key)
    return _written(_citing(value, contract, [{**first, str(name): "unknown"}]))


def _wrong_citation(row: Golden, _: Sequence[Golden], contract: Contract) -> str | None:
    value, where = _parsed(row), contract.citations
    first = _first_entry(value, contract)
    if not row.answerable or where is None or first is None:
        return None
    wrong = _wrong_id(row, first, contract)
    entry: Json = {**first, where.key: wrong} if where.key and isinstance(first, dict) else wrong
    value = _citing(value, contract, [entry])
    return _written(_with_markers(value, contract, str(wrong)))


def _places(value: Json, contract: Contract) -> list[str]:
    """Where this answer has lists of citations."""
    if contract.citations is None:
        return []
    at = contract.citations.at
    return pointer.every(value, at) if contract.version > EACH_SINCE else [at]


def _first_entry(value: Json, contract: Contract) -> Json:
    lists = (pointer.get(value, place) for place in _places(value, contract))
    return next((one[0] for one in lists if isinstance(one, list) and one), None)


def _citing(value: Json, contract: Contract, entries: list[Json]) -> Json:
    """The answer with these citations at the first place, and none at the others."""
    places = _places(value, contract)
    here = next((place for place in places if isinstance(pointer.get(value, place), list)), "")
    for place in places:
        if place == here or isinstance(pointer.get(value, place), list) or len(places) == 1:
            value = pointer.replaced(value, place, list(entries) if place == here or len(places) == 1 else [])
    return value


def _wrong_id(row: Golden, like: Json, contract: Contract) -> int | str:
    """An id of no document; a number where ids are cited as numbers, however the documents spell theirs."""
    if isinstance(like, int):
        ids = read_answer(row, Output(id=row.id, output=""), contract).documents
        return max([0, *(int(one) for one in ids if one.isdecimal())]) + 1
    return NO_DOCUMENT


def _with_markers(value: Json, contract: Contract, name: str) -> Json:
    at = contract.text_at(value)
    text = pointer.get(value, at)
    if contract.markers is None or not isinstance(text, str):
        return value

    def renamed(found: Found) -> str:
        start, end = (place - found.start for place in found.spans[0])
        return found.text[:start] + name + found.text[end:] if name else ""

    try:
        return pointer.replaced(value, at, contract.markers.replaced(text, renamed))
    except TooMuchWork:
        return value


def _borrowed(row: Golden, golden: Sequence[Golden], _: Contract, *, answerable: bool) -> str | None:
    """The answer of a row with the other label, word for word."""
    if row.answerable is not answerable:
        return None
    others = (other for other in golden if other.answerable is (not answerable) and other.gold is not None)
    other = next(others, None)
    return None if other is None else other.gold


def _stray_citation(row: Golden, _: Sequence[Golden], contract: Contract) -> str | None:
    """The text with a citation behind it of what is no document, in a form that no pattern has to take."""
    value = _parsed(row)
    at = contract.text_at(value)
    text = pointer.get(value, at)
    if not isinstance(text, str):
        return None
    return _written(pointer.replaced(value, at, f"{text} \u3010{NO_DOCUMENT}\u2020source\u3011"))


def _other_text(row: Golden, golden: Sequence[Golden], contract: Contract) -> str | None:
    """The answer with the text of a row with the other label, so that field and text disagree."""
    value, other = _parsed(row), None
    for one in golden:
        if row.answerable is not None and one.answerable is (not row.answerable) and one.gold is not None:
            said = _parsed(one)
            other = pointer.get(said, contract.text_at(said))
            break
    return _written(pointer.replaced(value, contract.text_at(value), other)) if isinstance(other, str) else None


def _wrong_value(row: Golden, golden: Sequence[Golden], contract: Contract) -> str | None:
    """The answer with another row's value, or any other, in a place that is compared."""
    value = _parsed(row)
    if not row.answerable or not isinstance(value, dict):
        return None
    others = [_parsed(one) for one in golden if one.answerable and one.id != row.id][:NEIGHBOURS]
    candidates = []
    for place in contract.correctness:
        found = (pointer.get(other, place.at) for other in others)
        values = [one for one in found if not isinstance(one, pointer.Missing)]
        candidates += [pointer.replaced(value, place.at, one) for one in (*values, NO_DOCUMENT, *WRONG)]

    def mistaken(candidate: Json) -> bool:
        return read_answer(row, Output(id=row.id, output=_written(candidate)), contract).mistaken is not None

    return _first(candidates, mistaken)


def _rules_broken(row: Golden, _: Sequence[Golden], contract: Contract) -> str | None:
    value = _parsed(row)
    if not isinstance(value, dict):
        return None
    candidates = [_with_markers(value, contract, "")]
    if contract.citations is not None:
        candidates.append(_citing(value, contract, []))
    for place in contract.refusal:
        found = pointer.get(value, place.at)
        flipped = (not found,) if place.is_flag else (place.value,) if place.test == "equals" else (NO_DOCUMENT, *WRONG)
        candidates += [pointer.replaced(value, place.at, one) for one in flipped]
    candidates += [pointer.replaced(value, place, []) for place in contract.unknowns]
    for rule in contract.rules:
        candidates += [pointer.replaced(value, place, wrong) for place in rule.pointers for wrong in WRONG]

    declared = {rule.name for rule in contract.rules}

    def breaks(candidate: Json) -> bool:
        faults = read_answer(row, Output(id=row.id, output=_written(candidate)), contract).rule_faults
        return any(fault.rule in declared for fault in faults)

    return _first(candidates, breaks)


def _first(candidates: Sequence[Json], broken: Callable[[Json], bool]) -> str | None:
    return next((_written(candidate) for candidate in candidates if broken(candidate)), None)


def _written(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


CONTROLS: Mapping[str, Break] = {
    "truncated": _truncated,
    "schema_broken": partial(_breaking, ""),
    "wrong_type": partial(_breaking, "type"),
    "field_missing": partial(_breaking, "required"),
    "wrong_provenance": _wrong_provenance,
    "no_unknowns": _no_unknowns,
    "wrong_citation": _wrong_citation,
    "refused": partial(_borrowed, answerable=True),
    "answered": partial(_borrowed, answerable=False),
    "rules_broken": _rules_broken,
    "stray_citation": _stray_citation,
    "other_text": _other_text,
    "wrong_value": _wrong_value,
}
