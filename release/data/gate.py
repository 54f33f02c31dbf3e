"""The data gate: nothing expensive starts on rows that are broken, leaked or cannot be measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import gates
from release.data import evidence, expectations, golden_checks
from release.data.checks import (
    CHECKS,
    FOLLOW_FROM_JSON,
    NEED_TOKENS,
    OF_GOLDEN_ONLY,
    OF_TRAINING_ONLY,
    Finding,
    Level,
    Report,
    Split,
)
from release.data.dataset import Dataset, refuse
from release.data.evidence import Limits, Shown
from release.values.events import Say

FEWEST_TRAINING_ROWS = 8  # fewer teach nothing, and an expectation over an empty table passes

WITHOUT_TRAINING = "there are no rows that it was trained on: nobody can tell whether golden rows were among them"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a check may know beside rows and contract."""

    levels: Mapping[str, str] = field(default_factory=dict)
    """``data.checks``: another level for a check."""
    without_tokens: str = ""
    """Why the rows have no examples, if they have none."""
    docs: Path | None = None
    """A folder for Great Expectations' own pages."""
    limits: Limits = field(default_factory=Limits)
    policy: gates.Policy | None = None
    tuning: Dataset | None = None
    """Rows to evaluate by while it trains."""
    say: Say = lambda _: None


def check(report: Report) -> None:
    """Raise ``DataError`` with every error's row."""
    refuse([report.line(finding) for finding in report.errors])


def examine(
    train: Dataset | None, golden: Dataset | None, contract: gates.Contract, options: Options | None = None
) -> Report:
    """What the checks find in the files; without one of them what compares them counts as not checked."""
    options = options or Options()
    datasets = [
        (name, one)
        for name, one in (("train", train), ("tuning", options.tuning), ("golden", golden))
        if one is not None
    ]
    read = evidence.splits(datasets, contract, options.say)
    shown = [evidence.facts(one, read, contract, options.limits, options.say) for one in read]
    splits = [replace(one, unanswerable=found.unanswerable) for one, found in zip(read, shown, strict=True)]
    unchecked = _unchecked(splits, golden, contract, options)
    if train is None:
        unchecked |= dict.fromkeys(("leakage", "near_duplicates"), WITHOUT_TRAINING)
    both = zip(splits, shown, strict=True)
    findings = [one for split, found in both for one in _findings(split, found, options, unchecked)]
    if golden is not None:
        findings += _golden_findings(golden, contract, options.policy)
        findings += _cluster_findings(splits[-1], options.policy)
    return Report(
        splits=tuple(splits), findings=tuple(findings), unchecked=unchecked, max_length=options.limits.max_length
    )


def unprovable(golden: Dataset, policy: gates.Policy) -> list[str]:
    """A line for each required gate that this golden set cannot prove, however good the adapter is.

    Or why its rows cannot be counted as the policy says. None where an id stands twice: such rows are not counted, and
    the check of ids says it.
    """
    if len({row.id for row in golden.rows}) < len(golden.rows):
        return []
    try:
        plan = gates.plan(golden.rows, policy)
    except gates.InvalidData as error:
        return list(error.problems)
    return [
        f"Gate {one.bar.gate} counts {one.n} rows of {golden.path.name}, so no adapter could pass it. "
        f"Add {one.missing} such rows, or lower gates.{one.bar.gate}."
        for one in plan
        if one.bar.required and not one.possible
    ] + list(_too_few_to_read(golden, policy))


def _too_few_to_read(golden: Dataset, policy: gates.Policy) -> Iterator[str]:
    """A line where people are to read more rows than there are."""
    if policy.review is None:
        return
    rows = policy.review.at(policy.attempt, policy.version).minimum
    if rows > len(golden.rows):
        yield (
            f"Gate human_review needs {rows} rows that people read, and {golden.path.name} has {len(golden.rows)}. "
            f"Add {rows - len(golden.rows)} rows, or lower gates.human_review."
        )


def _unchecked(
    splits: Sequence[Split], golden: Dataset | None, contract: gates.Contract, options: Options
) -> dict[str, str]:
    missing: dict[str, str] = {}
    if options.limits.max_length is None or not all(split.dataset.measured for split in splits):
        why = f": {options.without_tokens}" if options.without_tokens else ""
        missing |= dict.fromkeys(sorted(NEED_TOKENS), f"the base model's tokenizer is not at hand{why}")
    if golden is None:
        missing |= dict.fromkeys(("leakage", "near_duplicates"), "there is no golden set to compare with")
    if not contract.refusal and not any(label for split in splits for label in split.unanswerable):
        missing["balance"] = "the answer format has no refusal, and no label says what is unanswerable"
    return missing


def _golden_findings(golden: Dataset, contract: gates.Contract, policy: gates.Policy | None) -> Iterator[Finding]:
    """What keeps this set from measuring anything; always an error.

    Without a refusal or citations in the answer format there is none of them to measure.
    """

    def finding(says: str, row: int | None = None) -> Finding:
        name, line = ("", 0) if row is None else (golden.rows[row].id, golden.line(row))
        return Finding(check="measurable", level="error", split="golden", line=line, row=name, says=says)

    for number, row in enumerate(golden.rows):
        lacks = ["`answerable`"] if row.answerable is None else []
        lacks += ["`support`"] if row.support is None and contract.citations else []
        if lacks:
            by = "them" if len(lacks) > 1 else "it"
            yield finding(f"it has no {' and '.join(lacks)}: the gates measure by {by}", number)
    answerable = {row.answerable for row in golden.rows}
    if True not in answerable:
        yield finding("no row is answerable, so citation coverage and answer rate cannot be measured")
    if contract.refusal and False not in answerable:
        yield finding("no row is unanswerable, so refusals cannot be measured. Add rows no document answers")
    for says in unprovable(golden, policy) if policy else ():
        yield finding(says)
    for says in golden_checks.swallowing(golden.rows, policy) if policy else ():
        yield finding(says)


def _cluster_findings(golden: Split, policy: gates.Policy | None) -> Iterator[Finding]:
    """That rows which share what they ask about are counted apart; a warning, for words are a weak sign."""
    questions = [asked[0] if asked else "" for asked in golden.asked]
    says = golden_checks.shared_things(golden.dataset.rows, questions)
    if says and (policy is None or policy.cluster_key is None):
        yield Finding(check="clusters", level="warning", split="golden", line=0, row="", says=says)


def _findings(split: Split, shown: Shown, options: Options, unchecked: dict[str, str]) -> list[Finding]:
    """What Great Expectations says of one file, in words."""
    if all(label is None for label in split.unanswerable) and split.unanswerable:
        unchecked.setdefault("balance", f"no label and no answer of {split.name} says what is unanswerable")
    not_here = {*unchecked, *(OF_TRAINING_ONLY if split.name == "golden" else OF_GOLDEN_ONLY)}
    if split.name != "train" or options.tuning is None:
        not_here.add("tuning_leakage")
    limit = options.limits.max_new_tokens if split.name == "golden" else options.limits.max_length
    if limit is None:
        not_here.add("length")
    names = [name for name in CHECKS if name not in not_here]
    fewest = FEWEST_TRAINING_ROWS if split.name == "train" else 1
    docs = options.docs / split.name if options.docs else None
    results = expectations.failures(shown.columns, shown.rows, names, (fewest, limit or 1), docs)
    found = []
    for name, failed in results.items():
        level = "error" if name == "rows" else options.levels.get(name, CHECKS[name].level)
        found += [_finding(split, name, level, shown, number) for number in failed]
    no_json = {one.line for one in found if one.check == "json" and one.level == "error"}  # that says the rest
    return [one for one in found if one.check not in FOLLOW_FROM_JSON or one.line not in no_json]


def _finding(split: Split, name: str, level: str, shown: Shown, number: int | str) -> Finding:
    if isinstance(number, str):
        if expectations.NOT_DONE in number:
            level = "error"  # what was not looked at is no pass, whatever it would have been worth
        return Finding(check=name, level=_level(level), split=split.name, line=0, row="", says=number)
    return Finding(
        check=name,
        level=_level(level),
        split=split.name,
        line=split.dataset.line(number),
        row=split.dataset.rows[number].id,
        says=CHECKS[name].says + shown.says.get((number, name), ""),
        marks=shown.marks.get((number, name), ()),
    )


def _level(text: str) -> Level:
    return "warning" if text == "warning" else "error"
