"""Contract rules: what must hold between the fields of an answer and no JSON Schema can say.

A rule is a name from ``NAMED``, or a mapping: ``{name, then}``, ``{name, if, then}`` or ``{name, if, only_if}``
(both or neither), with conditions ``{at: POINTER, equals|in|empty|present: VALUE}``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gates import pointer
from gates.answer_schema import Fault
from gates.problems import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Fields:
    """What the contract's pointers found in a parsed answer; None where a field is undeclared or cannot be read."""

    text: str | None = None
    prose: str | None = None
    """The text without its markers."""
    entries: tuple[Any, ...] | None = None
    """The citations as they stand, beside ``cited``."""
    cited: tuple[str, ...] | None = None
    markers: tuple[str, ...] | None = None
    refused: bool | None = None
    confidence: float | None = None
    unknowns: tuple[str, ...] | None = None
    unreadable: tuple[Fault, ...] = ()


Test = Callable[[Any, Fields], str]
"""Of the parsed answer and its fields: why the rule is broken, or an empty string."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    name: str
    needs: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()
    test: Test


def broken(rules: Sequence[Rule], parsed: Any, fields: Fields) -> tuple[Fault, ...]:
    """A fault for each field that cannot be read and each rule that does not hold."""
    said = ((rule.name, rule.test(parsed, fields)) for rule in rules)
    return (*fields.unreadable, *(Fault(path="", rule=name, message=message) for name, message in said if message))


def _markers_equal_citations(_: Any, fields: Fields) -> str:
    in_text, in_field = set(fields.markers or ()), set(fields.cited or ())
    if in_text == in_field:
        return ""
    return f"markers in the text: {_names(in_text)}; citations: {_names(in_field)}"


def _refusal_has_no_citations(_: Any, fields: Fields) -> str:
    return f"refuses and cites {_names(fields.cited)}" if fields.refused and fields.cited else ""


def _answer_has_citations(_: Any, fields: Fields) -> str:
    return "answers and cites nothing" if fields.refused is False and not fields.cited else ""


def _refusal_has_unknowns(_: Any, fields: Fields) -> str:
    said = [entry for entry in fields.unknowns or () if entry.strip()]
    return "refuses and does not say what is missing" if fields.refused and not said else ""


def _names(ids: Any) -> str:
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

CONDITIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": lambda found, value: found is not pointer.MISSING and same(found, value),
    "in": lambda found, value: found is not pointer.MISSING and any(same(found, one) for one in value),
    "empty": lambda found, value: (found is pointer.MISSING or found in (None, "", [], {})) == value,
    "present": lambda found, value: (found is not pointer.MISSING) == value,
}


def same(found: Any, value: Any) -> bool:
    """JSON's equality: true is not 1."""
    return isinstance(found, bool) == isinstance(value, bool) and bool(found == value)


def parse_rules(entries: Sequence[Any], where: str) -> tuple[tuple[Rule, ...], list[str]]:
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
    problems += [f"{where}: rule {name!r} stands twice" for name in sorted(set(names)) if names.count(name) > 1]
    return tuple(rules), problems


def _entry_problems(entry: Mapping[str, Any], where: str) -> list[str]:
    problems = []
    if ("then" in entry) == ("only_if" in entry) or ("only_if" in entry and "if" not in entry):
        problems.append(f"{where}: a rule is {{name, then}}, {{name, if, then}} or {{name, if, only_if}}")
    given = [key for key in ("if", "then", "only_if") if key in entry]
    vague = [key for key in given if len(entry[key].keys() & CONDITIONS.keys()) != 1]
    return problems + [f"{where}.{key}: needs one of {', '.join(CONDITIONS)} beside 'at'" for key in vague]


def _declared(entry: Mapping[str, Any]) -> Rule:
    conditions = {key: entry[key] for key in ("if", "then", "only_if") if key in entry}

    def test(parsed: Any, _: Fields) -> str:
        holds = {key: _holds(condition, parsed) for key, condition in conditions.items()}
        both = "only_if" in holds
        kept = holds["if"] == holds["only_if"] if both else holds["then"] or not holds.get("if", True)
        return "" if kept else _described(conditions, parsed)

    return Rule(name=entry["name"], pointers=tuple(one["at"] for one in conditions.values()), test=test)


def _holds(condition: Mapping[str, Any], parsed: Any) -> bool:
    found = pointer.get(parsed, condition["at"])
    return all(CONDITIONS[key](found, value) for key, value in condition.items() if key != "at")


def _described(conditions: Mapping[str, Mapping[str, Any]], parsed: Any) -> str:
    parts = []
    for condition in conditions.values():
        found = pointer.get(parsed, condition["at"])
        parts.append(f"{condition['at']} is {'missing' if found is pointer.MISSING else f'{found!r:.60}'}")
    return "; ".join(dict.fromkeys(parts))
