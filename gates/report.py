"""A verdict for people: a line per gate, a table for the terminal, Markdown for a job summary."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from gates import losses
from gates.comparison import EVERY, Against, Comparison, Pairing
from gates.policy import SPENDING, Bar, Policy, not_judged
from gates.provable import DROP, RATES, TRIES, GatePlan, slips_through
from gates.rows import Golden, Output
from gates.score import Miss, Score
from gates.shown import p_value, plain
from gates.verdict import CONTENT, GateVerdict, Verdict

ROWS_SHOWN = 10
EXCERPT = 1000
"""Characters of a question or an answer that an explanation shows."""
AGAINST: Mapping[Against, str] = {
    "base": "the base",
    "last": "the last release",
    "best": "the best release",
    "trained": "the form it was trained in",
}
DETAILS = ("at", "expected", "given", "question", "answer", "reference", "earlier")


def line(gate: GateVerdict) -> str:
    """``38/40 = 95.0 % (≥ 85.1 % at 95 %), needs 37, target 90 %, floor 80 %``."""
    needs = f", needs {gate.needs}" if gate.needs is not None else ""
    rows = f" clusters of {gate.score.n} rows" if gate.units.n < gate.score.n else ""
    enough = gate.state == "FAIL" and gate.needs is not None and gate.units.k >= gate.needs
    return f"{_rate(gate.units)}{rows}{_proved(gate)}{needs}{_asked(gate.bar)}{f'; {gate.reason}' if enough else ''}"


def _rate(score: Score) -> str:
    if not score.n:
        return "0/0"
    # 2,999 of 3,000 must not read as all of them.
    shown = 100.0 if score.k == score.n else min(100 * score.k / score.n, 99.9)
    return f"{score.k}/{score.n} = {shown:.1f} %"


def _proved(gate: GateVerdict) -> str:
    if gate.bound is None:
        return ""
    return f" (≥ {100 * gate.bound:.1f} % at {100 * gate.bar.confidence:g} %)"


def _asked(bar: Bar) -> str:
    if bar.mode == "zero_failures":
        return ", no failures allowed"
    floor = "" if bar.floor is None else f", floor {100 * bar.floor:g} %"
    return f", target {100 * bar.target:g} %{floor}"


def terminal(verdict: Verdict) -> list[str]:
    """The whole verdict as lines of plain text."""
    wide = max(map(len, (*(gate.name for gate in verdict.gates), *verdict.advisory)))
    lines = [f"INVALID: {plain(problem)}" for problem in verdict.problems]
    for gate in verdict.gates:
        advisory = "" if gate.bar.required else " (advisory)"
        reason = f": {plain(gate.reason)}" if gate.state not in ("PASS", "FAIL") else ""
        lines.append(f"{gate.state:12} {gate.name:{wide}}  {line(gate)}{advisory}{reason}")
    lines += [f"{'not gated':12} {name:{wide}}  {_rate(score)}" for name, score in verdict.advisory.items()]
    return [*lines, *notes(verdict), f"{verdict.state}: {_consequence(verdict)}"]


def notes(verdict: Verdict) -> list[str]:
    """What these gates did not judge, as sentences: no number shows it."""
    said = []
    if not verdict.content_judged:
        said.append(f"The content of answers is not judged: no required gate is {CONTENT}.")
    if verdict.unlabelled:
        said.append(
            f"{verdict.unlabelled} of {verdict.rows} rows have no `answerable`: only the gates of form count them."
        )
    said += [
        f"{count} answerable rows have nothing that {name} could compare: it says nothing of them."
        for name, count in (verdict.uncompared.items() if verdict.passed else ())
    ]
    if verdict.policy.version > 1 and verdict.self_test == "not run":
        said.append("The gates were not tested: nothing proves that one can fail.")
    return [*said, *_no_json(verdict)]


def unfinished(outputs: Sequence[Output]) -> list[str]:
    """That answers were not finished, and by which reasons, as one line; nothing where all were."""
    reasons = Counter(one.finish_reason for one in outputs if one.finish_reason != "stop")
    said = ", ".join(name if len(reasons) == 1 else f"{name}: {n}" for name, n in reasons.most_common())
    return [f"{reasons.total()} of {len(outputs)} were not finished: {plain(said)}"] if reasons else []


def left_out(declares: Collection[str]) -> list[str]:
    """What the default policy does not ask for under a contract that declares no more than this, as a sentence."""
    parts: dict[str, list[str]] = {}
    for gate, part in not_judged(declares).items():
        parts.setdefault(part, []).append(gate)
    said = [f"{', '.join(gates)} (no {part})" for part, gates in parts.items()]
    return [f"Not judged, for the contract does not declare what they need: {'; '.join(said)}."] if said else []


def _no_json(verdict: Verdict) -> Iterator[str]:
    """What a table of zeros means where a model answers in another form than the gates read."""
    score = next((gate.score for gate in verdict.gates if gate.name == "json_parse"), None)
    if score is None or score.k or not score.n:
        return
    kinds = Counter(miss.reason.partition(":")[0] for miss in score.misses)
    yield (
        f"None of the {score.n} answers is JSON ({', '.join(f'{kind}: {n}' for kind, n in kinds.most_common())}): the "
        "model was not asked for it, or has not learned it, and other gates count that again. Ask for JSON in the "
        "system message, show it in the rows to train on, or hold answers to the schema (`constraint: json_schema`)."
    )


def _consequence(verdict: Verdict) -> str:
    if verdict.passed:
        labelled = verdict.rows - verdict.unlabelled
        rows = f"{verdict.rows} rows" if labelled == verdict.rows else f"the rows that it counts, {labelled} labelled"
        rows = f"the rows that each counts, {labelled} labelled" if verdict.uncompared else rows
        return f"every required gate passes on {rows}"
    stopped = [gate.name for gate in verdict.gates if gate.bar.required and gate.state != "PASS"]
    return f"not to be released, because of {', '.join(stopped)}"


def explain(
    verdict: Verdict,
    name: str,
    earlier: Mapping[str, str] | None = None,
    *,
    golden: Sequence[Golden] = (),
    outputs: Sequence[Output] = (),
) -> list[str]:
    """One gate and every row that it counts as wrong: why, and the shortest path to what is wrong.

    With the rows and outputs that were judged: question, answer and reference; with ``earlier`` another output by id.
    ``name`` may be one that is not gated.
    """
    if name in verdict.advisory:
        score, lines = verdict.advisory[name], [f"not gated {name}: {_rate(verdict.advisory[name])}"]
    else:
        gate = verdict.gate(name)
        score, lines = gate.score, [f"{gate.state} {gate.name}: {line(gate)}", *([gate.reason] if gate.reason else [])]
        lines += [f"  {plain(tag)}: {_rate(scores[name])}" for tag, scores in verdict.slices.items() if scores[name].n]
    asked, answers = {row.id: row for row in golden}, {one.id: one.output for one in outputs}
    for miss in score.misses:
        lines.append(f"  {plain(miss.id)}: {plain(miss.reason)}")
        details = {"at": miss.path, "expected": miss.expected, "given": miss.given}
        if miss.id in asked:
            row = asked[miss.id]
            details |= {"question": row.prompt[-1]["content"], "reference": row.gold or ""}
        if miss.id in answers:
            details |= {"answer": answers[miss.id], "given": "" if answers[miss.id] else "nothing"}
        if miss.id in (earlier or {}):
            details["earlier"] = (earlier or {})[miss.id] or "nothing"
        lines += [f"      {what:9} {plain(_excerpt(details[what]))}" for what in DETAILS if details.get(what)]
    return lines if score.misses else [*lines, "no row is counted as wrong"]


def _excerpt(text: str) -> str:
    """Beginning and end of a long text: a question often stands behind its documents."""
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT // 2]} … {text[-EXCERPT // 2 :]}"


def markdown(verdict: Verdict) -> str:
    """The verdict for a job summary or a card; text of answers cannot become markup."""
    lines = [f"**{verdict.state}**: {cell(_consequence(verdict))}", ""]
    # A card of a policy of version 1 keeps its bytes.
    said = notes(verdict) if verdict.policy.version > 1 else []
    lines += [f"- {cell(one)}" for one in (*verdict.problems, *said)]
    lines += [""] if len(lines) > 2 else []
    lines += ["| gate | state | result |", "|---|---|---|"]
    lines += [f"| {cell(gate.name)} | {gate.state} | {cell(line(gate))} |" for gate in verdict.gates]
    lines += [f"| {cell(name)} | not gated | {cell(_rate(score))} |" for name, score in verdict.advisory.items()]
    lines += _slices(verdict)
    for gate in verdict.gates:
        lines += _failing(gate) if gate.score.misses else []
    return "\n".join(lines) + "\n"


def _slices(verdict: Verdict) -> list[str]:
    """A table of tags and gates, for the tags that have wrong rows; the others are in the verdict file."""
    wrong = {
        (tag, name): score for tag, scores in verdict.slices.items() for name, score in scores.items() if score.misses
    }
    if not wrong:
        return []
    rows = [
        f"| {cell(tag)} | {cell(name)} | {cell(_rate(score))} | {', '.join(cell(miss.id) for miss in score.misses)} |"
        for (tag, name), score in wrong.items()
    ]
    return ["", "| tag | gate | result | wrong |", "|---|---|---|---|", *rows]


def _failing(gate: GateVerdict) -> list[str]:
    misses = gate.score.misses
    lines = ["", f"**{cell(gate.name)}**: {len(misses)} wrong", ""]
    lines += ["| row | why | expected | given |", "|---|---|---|---|"]
    lines += [_miss_row(miss) for miss in misses[:ROWS_SHOWN]]
    if len(misses) > ROWS_SHOWN:
        lines += ["", "also " + ", ".join(cell(miss.id) for miss in misses[ROWS_SHOWN:])]
    return lines


def _miss_row(miss: Miss) -> str:
    return f"| {cell(miss.id)} | {cell(miss.reason)} | {cell(miss.expected)} | {cell(miss.given)} |"


def cell(text: str) -> str:
    """Text as Markdown that renders as itself: ASCII punctuation becomes entities."""
    return re.sub(r"[^\w\s%,=()]|_", lambda match: _entity(match.group()), plain(text))


def _entity(character: str) -> str:
    return f"&#{ord(character)};" if character.isascii() else character


def comparison_terminal(comparison: Comparison) -> list[str]:
    """The whole comparison as lines of plain text."""
    wide = max(map(len, (EVERY, *(one.gate for one in comparison.pairings))))
    lines = [f"{_state(one):12} {one.gate:{wide}}  {plain(_pairing(one))}" for one in comparison.pairings]
    lines += [f"not compared with {plain(reason)}" for reason in comparison.skipped]
    return [*lines, *(plain(line) for line in _outcome(comparison))]


def comparison_markdown(comparison: Comparison) -> str:
    """The comparison for a job summary or a card."""
    first, *others = _outcome(comparison)
    lines = [f"**{comparison.state}**: {cell(first)}", "", *(f"- {cell(line)}" for line in others)]
    lines += [f"- not compared with {cell(reason)}" for reason in comparison.skipped]
    if comparison.pairings:
        lines += ["", "| gate | against | before | now | lost | won | p |", "|---|---|---|---|---|---|---|"]
        lines += [_pairing_row(one) for one in comparison.pairings]
    return "\n".join(lines) + "\n"


def _state(one: Pairing) -> str:
    if one.fault:
        return "FAIL"
    return "PASS" if one.required else "(advisory)"


def _pairing(one: Pairing) -> str:
    changes = f"{len(one.lost)} lost, {len(one.won)} won, p {p_value(one.p)}"
    return f"{one.right_now}/{one.n}, {one.earlier} {one.right_before}/{one.n}: {changes}"


def _outcome(comparison: Comparison) -> list[str]:
    same = f"{comparison.identical} of {comparison.rows} answers are the same to the byte"
    if comparison.state == "INVALID":
        return [f"not compared with {AGAINST[comparison.against]}", *comparison.problems]
    lost = [f"rows lost: {', '.join(comparison.regressed)}"] if comparison.regressed else []
    lost += _could_have_seen(comparison)
    if comparison.faults:
        worse = "does not beat" if comparison.against == "base" else "worse than"
        return [f"{worse} {AGAINST[comparison.against]}", *comparison.faults, *lost, same]
    better = "beats" if comparison.against == "base" else "not worse than"
    return [f"{better} {AGAINST[comparison.against]}", *lost, same]


def _could_have_seen(comparison: Comparison) -> Iterator[str]:
    """What so many rows could have seen, and what they leave possible: of required gates, where a policy asks."""
    asked = [one for one in comparison.pairings if one.required and one.bound is not None]
    for n in sorted({one.n for one in asked}):
        here = [one for one in asked if one.n == n]
        drop = f"on {n} rows a drop of {DROP:.0%} passes {max(one.unseen or 0.0 for one in here):.0%} of the time"
        most = max(here, key=lambda one: one.bound or 0.0)
        blind = [one.gate for one in here if one.blind]
        few = f"; too few rows to rule out what must be: {', '.join(blind)}" if blind else ""
        yield f"{drop}; a loss of up to {100 * (most.bound or 0.0):.1f}% stays possible ({most.gate}){few}"


def _pairing_row(one: Pairing) -> str:
    cells = (one.gate, one.earlier, f"{one.right_before}/{one.n}", f"{one.right_now}/{one.n}")
    rows = (
        ", ".join(one.lost) or "none",
        ", ".join(one.won) or "none",
        f"{one.p:.3f}",
    )  # cards and pages keep their bytes
    return f"| {' | '.join(map(cell, (*cells, *rows)))} |"


def plan_lines(plans: Sequence[GatePlan], policy: Policy | None = None) -> list[str]:
    """What the golden set can prove, as lines of plain text; with the policy also how attempts are corrected for."""
    wide = max(len(one.bar.gate) for one in plans)
    lines = [f"{one.bar.gate:{wide}}  {_plan_line(one)}" for one in plans]
    lines += _attempts(policy) if policy is not None and policy.version >= SPENDING else []
    chances = {tries: slips_through(plans, tries) for tries in (1, *TRIES)}
    easiest = max(chances[1], key=lambda gate: chances[1][gate], default="")
    for where, gate in (("everywhere", ""), (f"at {easiest} and always at the others", easiest)):
        most = {tries: each.get(gate, min(each.values(), default=0.0)) for tries, each in chances.items()}
        more = ", ".join(f"one of {tries} such: at most {100 * most[tries]:.1f} %" for tries in TRIES)
        who = f"an adapter of perfect form that is right {100 * RATES[0]:g} % of the time {where}"
        lines.append(f"chance that {who} passes every required gate: at most {100 * most[1]:.1f} %; {more}")
    rows = {one.n: one.unseen for one in sorted(plans, key=lambda one: one.n) if one.bar.required and one.n}
    seen = ", ".join(f"{chance:.0%} on {n} rows" for n, chance in rows.items())
    lines.append(f"chance that a gate passes the comparison although it lost {DROP:.0%} of its rows: {seen}")
    return [*lines, *_blind(plans, policy)]


def _attempts(policy: Policy) -> list[str]:
    """How much of the error that all attempts may make this one may."""
    share = policy.attempt * (policy.attempt + 1)
    alpha = max((1 - bar.confidence for bar in policy.bars if bar.required and bar.floor is not None), default=0.0)
    which = f"this is attempt {policy.attempt} on this golden set, at least: its bounds may err with 1/{share} of what "
    over_all = f"an adapter at a gate's floor passes in one of them with at most {alpha:.1%}"
    return [f"{which}all attempts together may, so that {over_all}"]


def _blind(plans: Sequence[GatePlan], policy: Policy | None) -> Iterator[str]:
    """Which gates count too few rows for a comparison with the release after this one."""
    limit = None if policy is None else policy.most_possible
    few = [] if limit is None else [one for one in plans if one.bar.required and not losses.sees(one.n, limit)]
    if limit is not None and few:
        yield (
            f"too few rows to rule out a loss of {100 * limit:g} % in the next release: "
            f"{', '.join(f'{one.bar.gate} counts {one.n}' for one in few)}; {losses.least(limit)} are needed. {WIDER}"
        )


WIDER = "Add golden rows before this release, or each later one must give its reason; or set a higher loss_margin."


def _plan_line(one: GatePlan) -> str:
    if not one.possible:
        return f"INSUFFICIENT  {one.n} rows are counted, {one.bar.minimum} are needed: add {one.missing}"
    chances = ", ".join(f"{one.passing[rate]:.1%} if right {rate:.0%} of the time" for rate in RATES)
    proves = f"{one.n}/{one.n} proves ≥ {100 * one.proves:.1f} %"
    return f"needs {one.needs}/{one.n}{_asked(one.bar)}; {proves}; passes {chances}"
