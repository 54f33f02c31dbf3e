"""The rows of a page as JSON: what was asked, what each answered, and why an answer is wrong."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import gates
from gates import report
from gates.answer import pair, pairing_problems
from gates.canonical import Json
from release.publishing.page.shown import Shown
from release.values import layout

MOST = 24_000_000
"""Characters of all rows: what a browser opens without a wait. Of more, those that are wrong or changed come first."""
TEXT = 120_000
"""Characters of one text; what is longer is cut, and says so."""
_ACTS = re.compile("[<>&\u2028\u2029\ud800-\udfff\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
Row: TypeAlias = dict[str, Json]


def data(shown: Shown) -> str:
    """JSON that can stand in a script element: nothing in it ends the element, or is more than text."""
    found, asked = _rows(shown)
    kept = _kept(shown, found)
    head: Row = {
        "gates": [*shown.alone.verdict.names],
        "required": [gate.name for gate in shown.alone.verdict.gates if gate.bar.required],
        "forms": [*shown.answers],
        "last": shown.before.name if shown.before else None,
        "called": shown.before.called if shown.before else report.AGAINST["last"],
        "tags": [*shown.alone.verdict.slices],
        "asked": [*asked],
        "all": len(found),
        "whole": shown.with_rows,
        "compared": _compared(shown),
    }
    lines = ",\n".join(kept)
    return f'{_written(head)[:-1]},"rows":[\n{lines}\n]}}'


def _written(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _ACTS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _kept(shown: Shown, found: Sequence[Row]) -> list[str]:
    """The rows as JSON, in their order; where they are too many, those that say the most."""
    written = [_written(row) for row in found]
    if sum(map(len, written)) <= MOST:
        return written
    wrong, lost = _wrong_ids(shown), _changed(shown)
    first = sorted(range(len(found)), key=lambda at: (found[at]["id"] not in wrong, found[at]["id"] not in lost))
    room, kept = MOST, set()
    for at in first:
        if len(written[at]) <= room:
            room -= len(written[at])
            kept.add(at)
    return [one for at, one in enumerate(written) if at in kept]


def _wrong_ids(shown: Shown) -> frozenset[str]:
    """The rows that a required gate counts as wrong in any form."""
    required = [one for verdict in shown.verdicts.values() for one in verdict.gates if one.bar.required]
    return frozenset(miss.id for one in required for miss in one.score.misses)


def _changed(shown: Shown) -> frozenset[str]:
    """The rows that were lost against the base, and lost or won against the last release."""
    sides = [
        (one.lost, one.won if against == "last" else ())
        for against, comparison in _comparisons(shown).items()
        for one in comparison.pairings
    ]
    return frozenset(name for lost, won in sides for name in (*lost, *won))


def _comparisons(shown: Shown) -> dict[str, gates.Comparison]:
    """With the base and the last release, where there are any."""
    last = shown.beside.comparisons.get(layout.COMPARISON_LAST)
    return {
        **({"base": shown.alone.comparison} if shown.alone.comparison else {}),
        **({"last": last} if last else {}),
    }


def _compared(shown: Shown) -> Row:
    """The rows that each gate lost and won against the base and the last release, by id."""
    return {
        against: {one.gate: {"lost": [*one.lost], "won": [*one.won]} for one in comparison.pairings}
        for against, comparison in _comparisons(shown).items()
    }


def _rows(shown: Shown) -> tuple[list[Row], tuple[Json, ...]]:
    """Each golden row with all that was answered to it, and the messages before the questions, once each."""
    golden = shown.terms.golden.rows
    read = {name: _read(shown, outputs) for name, outputs in shown.answers.items()}
    wrong = {name: _wrong(verdict) for name, verdict in shown.verdicts.items()}
    base = {one.id: one.output for one in shown.base_answers or ()}
    last, asked = shown.before.answers if shown.before else {}, dict[str, int]()
    tags = {tag: number for number, tag in enumerate(shown.alone.verdict.slices)}
    found: list[Row] = []
    for row in golden:
        answers: Row = {"base": _text(base[row.id])} if row.id in base else {}
        answers |= {"last": _text(last[row.id])} if row.id in last else {}
        one: Row = {"id": row.id, "a": answers}
        if shown.with_rows:
            any_form = next(iter(read.values()), {}).get(row.id)
            one |= _question(row, any_form, asked) | {"t": [tags[tag] for tag in row.tags if tag in tags]}
        for name, answered in read.items():
            _add(one, answers, name, answered.get(row.id))
        one["w"] = {name: misses[row.id] for name, misses in wrong.items() if row.id in misses}
        found.append(one)
    return found, tuple(json.loads(key) for key in asked)


def _read(shown: Shown, outputs: Sequence[gates.Output]) -> Mapping[str, gates.Answer]:
    """The answers by id; none where outputs and rows do not belong together, which the verdict says."""
    golden, terms = shown.terms.golden.rows, shown.terms
    if pairing_problems(golden, outputs, version=terms.policy.version):
        return {}
    return {one.id: one for one in pair(golden, outputs, terms.contract)}


def _question(row: gates.Golden, answer: gates.Answer | None, asked: dict[str, int]) -> Row:
    """What was asked, over which documents, and what a right answer is."""
    before = json.dumps([[one["role"], _text(one["content"])] for one in row.prompt[:-1]])
    sources = answer.sources if answer else {}
    documents: list[Json] = [[name, _text(one.text or _fields(one.fields))] for name, one in sources.items()]
    return {
        "p": asked.setdefault(before, len(asked)),
        "q": _text(row.prompt[-1]["content"]),
        "d": documents,
        "r": None if row.gold is None else _text(row.gold),
        "s": None if row.support is None else [*row.support],
        "n": row.answerable,
    }


def _fields(fields: Mapping[str, Json]) -> str:
    return json.dumps(dict(fields), ensure_ascii=False)


def _add(one: Row, answers: Row, form: str, answer: gates.Answer | None) -> None:
    """What was answered in a form; the same text as in the first one is not written again."""
    if answer is None:
        return
    text = _text(answer.output)
    if text not in (answers.get(layout.TRAINED), None):
        answers[form] = text
    cites: list[Json] = [*sorted(answer.cited)]
    told: tuple[tuple[str, Json], ...] = (("refused", answer.refused), ("cites", cites))
    for key, value in told:
        if value:
            one[key] = {**_mapping(one.get(key)), form: value}


def _mapping(value: Json | None) -> Row:
    return value if isinstance(value, dict) else {}


def _wrong(verdict: gates.Verdict) -> dict[str, list[Json]]:
    """By id, each gate that counts the row as wrong: its number, why, where, and what was expected."""
    found: dict[str, list[Json]] = {}
    scores = chain(((gate.name, gate.score) for gate in verdict.gates), verdict.advisory.items())
    for number, (_, score) in enumerate(scores):
        for miss in score.misses:
            found.setdefault(miss.id, []).append([number, miss.reason, miss.path, miss.expected])
    return found


def _text(text: str) -> str:
    if len(text) <= TEXT:
        return text
    return f"{text[:TEXT]} … [cut here: {len(text) - TEXT:,} characters more]"
