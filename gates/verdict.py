"""The verdict: a pure function of saved outputs, golden set, contract and policy, with the same bytes each time."""

import gc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Literal

from gates import statistics
from gates.answer import Answer, pairing_problems, read_answer
from gates.canonical import Json, canonical_json
from gates.clusters import cluster_problems, clustered, clusters
from gates.contract import Contract
from gates.policy import SPENDING, Bar, Policy
from gates.rows import Golden, Output, golden_digest, outputs_digest
from gates.score import Gate, Score, joined
from gates.shares import in_shares
from gates.table import ABOUT, ADVISORY, COMPARED, COUNT_OUTPUTS, GATES

VERSION = 1
SelfTest = Literal["passed", "failed", "not run"]
State = Literal["PASS", "FAIL", "UNDEFINED", "INSUFFICIENT", "INVALID"]
WORST_FIRST: tuple[State, ...] = ("INVALID", "FAIL", "UNDEFINED", "INSUFFICIENT", "PASS")
UNASKED = frozenset(
    (
        "json_parse",
        "schema_compliance",
        "type_correctness",
        "required_fields",
        "contract_rules",
        "citation_coverage",
        "citation_validity",
        "citation_precision",
        "citation_recall",
        "provenance_completeness",
        "multi_source_synthesis",
        "refusal_precision",
        "refusal_recall",
        "answer_rate",
        "unknowns_completeness",
        "no_false_confidence",
    )
)
"""The gates that a verdict of this version measures though its policy does not name them. One that came later is
measured only where a policy names it, so that no verdict changes that was given before."""
CONTENT = "answer_correctness"
"""The gate that judges what an answer says."""
SUPPORTED = ("citation_precision", "citation_recall")
"""The gates that count the rows with labelled support alone."""
PART = 256
"""Answers that are read and measured together: few enough to stay in a processor's caches, and none is kept after."""
NOT_MEASURED = Score(counted=(), misses=(), empty="not measured: golden set and outputs do not belong together")


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """One gate: what was counted, what was asked for, and what follows."""

    bar: Bar
    score: Score
    """Rows."""
    units: Score
    """What is decided on: clusters, or the rows themselves."""
    state: State
    reason: str

    @property
    def name(self) -> str:
        return self.bar.gate

    @property
    def value(self) -> float | None:
        return self.units.k / self.units.n if self.units.n else None

    @property
    def bound(self) -> float | None:
        """What k of n proves, cut after six digits so that no machine's last bit shows."""
        if not self.units.n:
            return None
        proved = statistics.lower_bound(self.units.k, self.units.n, self.bar.confidence)
        return math.floor(proved * 1e6) / 1e6

    @property
    def needs(self) -> int | None:
        return self.bar.needs(self.units.n) if self.units.n else None

    def as_dict(self) -> dict[str, Json]:
        counts = {"rows": self.score.n, "k": self.units.k, "n": self.units.n}
        numbers = {**counts, "value": self.value, "bound": self.bound, "needs": self.needs}
        misses = [asdict(miss) for miss in self.score.misses]
        return {"state": self.state, "reason": self.reason, **numbers, **asdict(self.bar), "misses": misses}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What may be released: ``passed`` only if every required gate passes and nothing is amiss."""

    problems: tuple[str, ...]
    gates: tuple[GateVerdict, ...]
    advisory: Mapping[str, Score]
    slices: Mapping[str, Mapping[str, Score]]
    """For each tag of the golden set: the gates' scores on the rows that carry it."""
    rows: int
    policy: Policy
    contract_digest: str
    golden_digest: str
    outputs_digest: str
    unlabelled: int
    """Rows that do not say whether they can be answered: only the gates of form count them."""
    uncompared: Mapping[str, int]
    """Answerable rows that a required gate cannot compare, for they lack its reference or support: by gate, if any."""
    self_test: SelfTest
    """Whether the reference answers passed and broken ones failed, so that its gates are known to be able to fail."""

    @property
    def content_judged(self) -> bool:
        """Whether a required gate compares what answers say with a reference."""
        return any(gate.name == CONTENT and gate.bar.required for gate in self.gates)

    @property
    def state(self) -> State:
        required = {gate.state for gate in self.gates if gate.bar.required}
        if self.problems or not required:
            return "INVALID"
        return next(state for state in WORST_FIRST if state in required)

    @property
    def passed(self) -> bool:
        return self.state == "PASS"

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that was measured: what the policy asks for, then what is only shown."""
        return (*(gate.name for gate in self.gates), *self.advisory)

    def gate(self, name: str) -> GateVerdict:
        return next(gate for gate in self.gates if gate.name == name)

    def as_dict(self) -> dict[str, Json]:
        about = {"self_test": self.self_test, "unlabelled": self.unlabelled, "content_judged": self.content_judged}
        return {
            **(about if self.policy.version > 1 else {}),
            **({"attempt": self.policy.attempt} if self.policy.version >= SPENDING else {}),
            "verdict": VERSION,
            "state": self.state,
            "passed": self.passed,
            "problems": list(self.problems),
            "rows": self.rows,
            "gates": [gate.as_dict() for gate in self.gates],
            "advisory": {name: _counts(score) for name, score in self.advisory.items()},
            "slices": {
                tag: {name: _counts(score) for name, score in scores.items()} for tag, scores in self.slices.items()
            },
            "policy": self.policy.as_dict(),
            "policy_digest": self.policy.digest,
            "contract_digest": self.contract_digest,
            "golden_digest": self.golden_digest,
            "outputs_digest": self.outputs_digest,
        }

    def to_json(self) -> bytes:
        """The verdict file; ``schemas/verdict.schema.json`` describes it."""
        return canonical_json(self.as_dict())


def judge(
    golden: Sequence[Golden],
    outputs: Sequence[Output],
    contract: Contract,
    policy: Policy,
    *,
    problems: Iterable[str] = (),
    self_test: SelfTest = "not run",
) -> Verdict:
    """The verdict on these outputs. ``problems`` are the caller's own reasons why it must be INVALID.

    ``self_test`` is what came of ``gate_zero`` over the same rows, contract and policy.
    """
    unpaired = (*pairing_problems(golden, outputs, version=policy.version), *cluster_problems(golden, policy))
    cluster = clusters(golden, policy)
    found = (*problems, *unmeasurable(contract, policy), *unpaired)
    asked = {bar.gate: GATES[bar.gate] for bar in policy.bars}
    shown = {} if unpaired else _shown(contract, policy)
    measures = {**asked, **shown}
    scores = dict.fromkeys(measures, NOT_MEASURED) if unpaired else _measured(measures, golden, outputs, contract)
    return Verdict(
        problems=found,
        gates=tuple(_decided(bar, scores[bar.gate], cluster, found, policy) for bar in policy.bars_now),
        advisory={name: scores[name] for name in shown},
        slices={} if unpaired else _slices(golden, {bar.gate: scores[bar.gate] for bar in policy.bars}),
        rows=len(golden),
        policy=policy,
        contract_digest=contract.digest,
        golden_digest=golden_digest(golden),
        outputs_digest=outputs_digest(outputs),
        unlabelled=sum(row.answerable is None for row in golden),
        uncompared=_uncompared(golden, policy, scores),
        self_test=self_test,
    )


def _uncompared(golden: Sequence[Golden], policy: Policy, scores: Mapping[str, Score]) -> dict[str, int]:
    if policy.version == 1:  # its cards keep their bytes
        return {}
    answerable = [row for row in golden if row.answerable]
    unsupported = sum(not row.support for row in answerable)
    lacking = {CONTENT: len(answerable) - scores[CONTENT].n} if CONTENT in scores else {}
    lacking |= dict.fromkeys(SUPPORTED, unsupported)
    return {bar.gate: lacking[bar.gate] for bar in policy.bars if bar.required and lacking.get(bar.gate)}


def unmeasurable(contract: Contract, policy: Policy) -> tuple[str, ...]:
    """Gates of the policy that need a part which the contract does not declare."""
    return tuple(
        f"gate {bar.gate} needs {part!r}, which the contract does not declare: declare it, or take the gate out"
        for bar in policy.bars
        for part in ABOUT[bar.gate].needs
        if part not in contract.declares
    )


def decide(bar: Bar, score: Score) -> tuple[State, str]:
    """The state of one gate, given what it is decided on, and the reason for it."""
    if score.n == 0:
        return "UNDEFINED", score.empty
    if score.n < bar.minimum and bar.gate in COUNT_OUTPUTS:
        return "UNDEFINED", f"only {score.n} answers are counted, at least {bar.minimum} are needed to tell"
    needs = bar.needs(score.n)
    if score.n < bar.minimum or needs is None:
        return "INSUFFICIENT", f"{score.n} rows are counted, at least {bar.minimum} are needed to prove this"
    if score.k >= needs:
        return "PASS", ""
    return "FAIL", f"{score.k} of {score.n} are right, {needs} are needed"


def _decided(
    bar: Bar, score: Score, cluster: Mapping[str, str], problems: Sequence[str], policy: Policy
) -> GateVerdict:
    units = score if policy.cluster_key is None else clustered(score, cluster)
    if problems:
        return GateVerdict(bar=bar, score=score, units=units, state="INVALID", reason=problems[0])
    state, reason = decide(bar, units)
    of_rows = statistics.needed(score.n, bar.target, None, bar.confidence) or 0
    if state == "PASS" and policy.version >= SPENDING and score.k < of_rows:
        # One large cluster is one observation, and would hide all of its rows.
        state, reason = "FAIL", f"{score.k} of {score.n} rows are right, {of_rows} are needed whatever their clusters"
    return GateVerdict(bar=bar, score=score, units=units, state=state, reason=reason)


def _slices(golden: Sequence[Golden], scores: Mapping[str, Score]) -> dict[str, dict[str, Score]]:
    tags = sorted({tag for row in golden for tag in row.tags})
    rows = {tag: {row.id for row in golden if tag in row.tags} for tag in tags}
    return {tag: {name: _within(score, rows[tag]) for name, score in scores.items()} for tag in tags}


def _within(score: Score, rows: set[str]) -> Score:
    return replace(
        score,
        counted=tuple(row for row in score.counted if row in rows),
        misses=tuple(miss for miss in score.misses if miss.id in rows),
    )


def _measured(
    measures: Mapping[str, Gate], golden: Sequence[Golden], outputs: Sequence[Output], contract: Contract
) -> dict[str, Score]:
    """What each measure counts, a part of the answers after the other."""
    by_id = {output.id: output for output in outputs}

    def share(first: int, end: int) -> list[dict[str, Score]]:
        parts = []
        for start in range(first, end, PART):
            with _uncollected():
                answers = [read_answer(row, by_id[row.id], contract) for row in golden[start : min(end, start + PART)]]
                parts.append({name: measure(answers) for name, measure in measures.items()})
                del answers
        return parts

    parts = [part for one in in_shares(share, len(golden)) for part in one]
    return {name: joined([part[name] for part in parts]) for name in measures}


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles meanwhile: it would go over the whole golden set, and answers have none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _shown(contract: Contract, policy: Policy) -> dict[str, Gate]:
    """What is measured beside the policy's gates: the others, and rates that are worth seeing and never decided on."""
    barred = {bar.gate for bar in policy.bars}
    others = (name for name in GATES if name in UNASKED - barred and set(ABOUT[name].needs) <= contract.declares)
    words = (ADVISORY if policy.version == 1 else COMPARED) if "citations" in contract.declares else {}
    return {
        **{name: GATES[name] for name in others},
        "json_parse_fence_tolerant": _fence_tolerant,
        "schema_compliance_of_parsed": _schema_of_parsed,
        **{name: gate for name, gate in words.items() if name not in barred},
    }


def _fence_tolerant(answers: Sequence[Answer]) -> Score:
    """Whether an answer parses, a code fence around it or not."""
    still_broken = GATES["json_parse"]([answer for answer in answers if not answer.fenced])
    return replace(still_broken, counted=tuple(answer.id for answer in answers))


def _schema_of_parsed(answers: Sequence[Answer]) -> Score:
    """Whether the answers that parse follow the schema."""
    return GATES["schema_compliance"]([answer for answer in answers if answer.parsed])


def _counts(score: Score) -> dict[str, Json]:
    return {"k": score.k, "n": score.n, "wrong": [miss.id for miss in score.misses]}
