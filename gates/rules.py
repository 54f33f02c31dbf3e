"""Contract rules: what must hold between the fields of an answer and no JSON Schema can say.

A rule is a name from ``NAMED``, or a mapping: ``{name, then}``, ``{name, if, then}`` or ``{name, if, only_if}``
(both or neither), with conditions ``{at: POINTER, equals|in|empty|present: VALUE}``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from gates import pointer
from gates.answer_schema import Fault
from gates.canonical import Json
from gates.citations import Found
from gates.invalid import did_you_mean


class Fields(NamedTuple):
    """What the contract's pointers found in a parsed answer; None where a field is undeclared or cannot be read."""

    text: str | None = None
    prose: str | None = None
    """The text without its markers."""
    entries: tuple[Json, ...] | None = None
    """The citations as they stand, beside ``cited``."""
    cited: tuple[str, ...] | None = None
    markers: tuple[str, ...] | None = None
    strange: tuple[str, ...] = ()
    """What looks like a citation in the text and is not a document; contracts of version 1 do not look."""
    found: Found | None = None
    """All that was found in the text, if there is one."""
    refused: bool | None = None
    confidence: float | None = None
    unknowns: tuple[str, ...] | None = None
    unreadable: tuple[Fault, ...] = ()


Test = Callable[[Json, Fields], str]
"""Of the parsed answer and its fields: why the rule is broken, or an empty string."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    name: str
    needs: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()
    test: Test


def broken(rules: Sequence[Rule], parsed: Json, fields: Fields) -> tuple[Fault, ...]:
    """A fault for each field that cannot be read and each rule that does not hold."""
    said = [(rule.name, message) for rule in rules if (message := rule.test(parsed, fields))]
    return (*fields.unreadable, *[Fault(path="", rule=name, message=message) for name, message in said])


def _markers_equal_citations(_: Json, fields: Fields) -> str:
    in_text, in_field = {*(fields.markers or ()), *fields.strange}, set(fields.cited or ())
    if in_text == in_field:
        return ""
    return f"markers in the text: {_names(in_text)}; citations: {_names(in_field)}"


def _refusal_has_no_citations(_: Json, fields: Fields) -> str:
    return f"refuses and cites {_names(fields.cited)}" if fields.refused and fields.cited else ""


def _answer_has_citations(_: Json, fields: Fields) -> str:
    return "answers and cites nothing" if fields.refused is False and not fields.cited else ""


def _refusal_has_unknowns(_: Json, fields: Fields) -> str:
    said = [entry for entry in fields.unknowns or () if entry.strip()]
    return "refuses and does not say what is missing" if fields.refused and not said else ""


def _names(ids: Iterable[str] | None) -> str:
    return ", ".join(sorted(ids or ())) or "none"


NAMED = {
    rule.name: rule
    for rule in (
        Rule(name="markers_equal_citations", needs=("markers", "citations"), test=_markers_equal_citations),
        Rule(name="refusal_has_no_citations", needs=("refusal", "citations"), test=_refusal_has_no_citations),
        Rule(name="answer_has_citations", needs=("citations",), test=_answer_has_citations),
        Rule(name="refusal_has_unknowns", needs=("refusal", "unknowns"), test=_refusal_has_unknowns),
    )
}


def same(found: Json | pointer.Missing, value: Json) -> bool:
    """JSON's equality: true is not 1. What is missing equals nothing."""
    return isinstance(found, bool) == isinstance(value, bool) and bool(found == value)


CONDITIONS: Mapping[str, Callable[[Json | pointer.Missing, Json], bool]] = {
    "equals": same,
    "in": lambda found, value: isinstance(value, list) and any(same(found, one) for one in value),
    "empty": lambda found, value: (found is pointer.MISSING or found in (None, "", [], {})) == value,
    "present": lambda found, value: (found is not pointer.MISSING) == value,
}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What stands at one place of an answer: a test of ``CONDITIONS`` and the value it asks for."""

    at: str
    test: str
    value: Json

    def holds(self, parsed: Json) -> bool:
        return CONDITIONS[self.test](pointer.get(parsed, self.at), self.value)


RuleEntry = TypedDict(
    "RuleEntry",
    {"name": str, "if": Mapping[str, Json], "then": Mapping[str, Json], "only_if": Mapping[str, Json]},
    total=False,
)
"""A rule as it is written in a contract."""


def parse_rules(entries: Sequence[str | RuleEntry], where: str) -> tuple[tuple[Rule, ...], list[str]]:
    """The rules of a contract, and what is wrong with them."""
    rules: list[Rule] = []
    problems: list[str] = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str) and entry in NAMED:
            rules.append(NAMED[entry])
        elif isinstance(entry, str):
            problems.append(f"{where}.{index}: unknown rule {entry!r}{did_you_mean(entry, NAMED)}")
        else:
            found = _entry_problems(entry, f"{where}.{index}")
            problems += found
            rules += [] if found else [_declared(entry)]
    names = [rule.name for rule in rules]
    problems += [f"{where}: rule {name!r} appears twice" for name, times in sorted(Counter(names).items()) if times > 1]
    return tuple(rules), problems


def _entry_problems(entry: RuleEntry, where: str) -> list[str]:
    problems = []
    if ("then" in entry) == ("only_if" in entry) or ("only_if" in entry and "if" not in entry):
        problems.append(f"{where}: a rule is {{name, then}}, {{name, if, then}} or {{name, if, only_if}}")
    vague = [key for key, condition in _conditions(entry).items() if len(condition.keys() & CONDITIONS.keys()) != 1]
    return problems + [f"{where}.{key}: needs one of {', '.join(CONDITIONS)} beside 'at'" for key in vague]


def _conditions(entry: RuleEntry) -> dict[str, Mapping[str, Json]]:
    all_of_them = {"if": entry.get("if"), "then": entry.get("then"), "only_if": entry.get("only_if")}
    return {key: condition for key, condition in all_of_them.items() if condition is not None}


def _declared(entry: RuleEntry) -> Rule:
    conditions = {key: _condition(condition) for key, condition in _conditions(entry).items()}

    def test(parsed: Json, _: Fields) -> str:
        holds = {key: condition.holds(parsed) for key, condition in conditions.items()}
        both = "only_if" in holds
        kept = holds["if"] == holds["only_if"] if both else holds["then"] or not holds.get("if", True)
        return "" if kept else _described(conditions.values(), parsed)

    return Rule(name=entry["name"], pointers=tuple(one.at for one in conditions.values()), test=test)


def _condition(entry: Mapping[str, Json]) -> Condition:
    ((test, value),) = ((key, value) for key, value in entry.items() if key in CONDITIONS)
    return Condition(at=str(entry["at"]), test=test, value=value)


def _described(conditions: Iterable[Condition], parsed: Json) -> str:
    parts = []
    for condition in conditions:
        found = pointer.get(parsed, condition.at)
        parts.append(f"{condition.at} is {'missing' if found is pointer.MISSING else f'{found!r:.60}'}")
    return "; ".join(dict.fromkeys(parts))
