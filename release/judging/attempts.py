"""Attempts: every adapter that was judged on a golden set, counted whether it passed or not, in ``ledger.jsonl``.

Who tries until one passes makes every gate weaker, so each attempt must meet a surer bound than the one before
(`gates.policy.Bar.at`). An attempt is one adapter with its answers, policy, answer format and labels: other decoding, a
loosened policy and corrected labels are another look at the same rows. A golden set is the same while at least half of
its rows ask in words that were asked before, whatever file, ids, order, documents, system text or tags they have.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Final, cast

import gates
from gates.canonical import digest
from gates.report import cell
from gates.rows import wording
from gates.shown import plain, shorten
from release.values import bounded
from release.values.layout import TRAINED

ROWS_KEPT: Final = 256
"""Beginnings of digests that are kept of a golden set: those of larger sets are a sample (Broder, "On the resemblance
and containment of documents", 1997)."""
MOST: Final = 100_000
"""Lines of a ledger that are read."""
REASONS: Final = 20
"""Thresholds that a line names."""
SHOWN: Final = 20
"""Attempts that a report lists."""
OF_BEFORE: Final = frozenset(("golden_sha256", "adapter_sha256", "passed"))
"""What a line of a ledger held before version 3 of a policy."""
PEOPLE: Final = "people"
"""The form in a line that says what people refused; in a form of that name it stays unsaid."""
NOBODY: Final = "0" * 64
"""The digest of what such a line does not say."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the ledger; ``schemas/attempt.schema.json`` says what each is."""

    attempt: str
    form: str
    adapter_sha256: str
    answers_sha256: str
    policy_sha256: str
    golden_sha256: str
    data_sha256: str
    golden_rows: tuple[str, ...]
    passed: bool
    refused_by: tuple[str, ...]
    before: int = 0


@dataclass(frozen=True, kw_only=True)
class GoldenSet:
    """A golden set as a ledger knows it."""

    golden_sha256: str
    data_sha256: str
    golden_rows: tuple[str, ...]
    """Of the words of each row, so that a space, a mark or another system text makes no new golden set."""

    def had(self, entry: Entry) -> bool:
        """Whether at least half of these rows were asked in that attempt."""
        if entry.data_sha256 == self.data_sha256:
            return True
        # Beyond the last beginning that a sample holds nothing is known of what it does not hold.
        ends = [rows[-1] for rows in (self.golden_rows, entry.golden_rows) if len(rows) == ROWS_KEPT]
        mine = {row for row in self.golden_rows if not ends or row <= min(ends)}
        return bool(mine) and 2 * len(mine & set(entry.golden_rows)) >= len(mine)


def golden_set(rows: Iterable[gates.Golden], known: Iterable[gates.Known], data_sha256: str) -> GoldenSet:
    """What a ledger keeps of rows of which this is known."""
    begins = sorted(wording(one)[:16] for one in rows)
    return GoldenSet(
        golden_sha256=digest(sorted([one.asked, *sorted(one.labels.values())] for one in known)),
        data_sha256=data_sha256,
        golden_rows=tuple(dict.fromkeys(begins))[:ROWS_KEPT],
    )


def parse(data: bytes, where: str) -> list[Entry]:
    """The lines of a ledger; ``ValueError`` names the first that is not one, for it may hide an attempt."""
    lines = data.decode("utf-8").removesuffix("\n").split("\n") if data else []
    if len(lines) > MOST:
        raise ValueError(f"{where} has {len(lines):,} lines; at most {MOST:,} are read")
    return [_entry(line, f"{where}:{number}") for number, line in enumerate(lines, 1)]


def _entry(line: str, where: str) -> Entry:
    value = bounded.json_object(line.encode(), where)
    if value.keys() == OF_BEFORE:
        return _of_before(value, where)
    if wrong := list(_validator().iter_errors(value)):
        raise ValueError(f"{where}: {shorten(wrong[0].message, 200)}")
    found = cast("dict[str, Any]", value)
    return Entry(**{**found, "golden_rows": tuple(found["golden_rows"]), "refused_by": tuple(found["refused_by"])})


@cache  # a ledger has many lines
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    import schemas

    return Draft202012Validator(schemas.load("attempt"))


def _of_before(value: Mapping[str, object], where: str) -> Entry:
    golden, adapter, passed = value["golden_sha256"], value["adapter_sha256"], value["passed"]
    if not isinstance(golden, str) or not isinstance(adapter, str) or not isinstance(passed, bool):
        raise ValueError(f"{where} is not a line of a ledger")  # noqa: TRY004  a fault of the file
    return of_number(adapter, golden, 1, passed=passed)


def of_number(adapter: str, data_sha256: str, number: int, *, passed: bool = True) -> Entry:
    """An attempt of which only its adapter, its rows as they were written and its number are known."""
    return Entry(
        attempt=digest(["before", adapter, data_sha256]),
        form=TRAINED,
        adapter_sha256=adapter,
        answers_sha256=NOBODY,
        policy_sha256=NOBODY,
        golden_sha256=NOBODY,
        data_sha256=data_sha256,
        golden_rows=(),
        passed=passed,
        refused_by=(),
        before=number - 1,
    )


def written(entries: Iterable[Entry]) -> bytes:
    """A ledger's bytes, a line for each entry."""
    return b"".join(json.dumps(asdict(one), sort_keys=True).encode() + b"\n" for one in entries)


def together(*ledgers: Iterable[Entry]) -> list[Entry]:
    """Each entry once, where it stands first."""
    found: dict[tuple[str, str], Entry] = {}
    for entries in ledgers:
        for one in entries:
            found.setdefault((one.attempt, one.form), one)
    return list(found.values())


def before(entries: Iterable[Entry], attempt: str, rows: GoldenSet) -> list[Entry]:
    """What was judged on a golden set before this attempt; all of it where it is not there yet."""
    found = []
    for one in entries:
        if one.attempt == attempt:
            break
        if rows.had(one):
            found.append(one)
    return found


def number(tried: Sequence[Entry]) -> int:
    """Which attempt comes after these, at least: of an attempt in several forms, what its highest line says."""
    most: dict[str, int] = {}
    for one in tried:
        most[one.attempt] = max(most.get(one.attempt, 0), 1 + one.before)
    return 1 + sum(most.values())


def refusals(verdict: gates.Verdict, comparisons: Iterable[gates.Comparison]) -> tuple[str, ...]:
    """Each threshold that was not met."""
    lines = [*verdict.problems]
    lines += [f"{one.name}: {one.reason}" for one in verdict.gates if one.bar.required and one.state != "PASS"]
    for one in comparisons:
        lines += [f"against {one.against}: {why}" for why in (*one.problems, *one.faults)]
    return tuple(shorten(plain(line), 300) for line in lines[:REASONS])


def by_people(entry: Entry, why: str) -> Entry:
    """The line after ``entry``, of the same attempt, which people refused."""
    return replace(entry, form=PEOPLE, passed=False, refused_by=(shorten(plain(why), 300),))


def markdown(tried: Sequence[Entry]) -> str:
    """What was tried on this golden set before, and which threshold refused it."""
    k = number(tried)
    which = f"This is at least attempt {k} on this golden set: its bounds may err with 1/{k * (k + 1)} of what all "
    elsewhere = "What was judged elsewhere, or on a machine whose ledger was lost, is not counted."
    lines = [f"{which}attempts together may. {elsewhere}", ""]
    refused = [one for one in tried if not one.passed]
    if refused:
        lines += ["Tried on this golden set before, and refused:", ""]
        lines += [_line(one) for one in refused[:SHOWN]]
        more = len(refused) - SHOWN
        lines += [f"- and {more} more, in gates/ledger.jsonl"] if more > 0 else []
    return "\n".join(lines).rstrip() + "\n"


def _line(one: Entry) -> str:
    why = "; ".join(map(cell, one.refused_by)) or "which threshold is not known"
    return f"- adapter `{one.adapter_sha256[:12]}`, {cell(one.form)}, policy `{one.policy_sha256[:12]}`: {why}"
