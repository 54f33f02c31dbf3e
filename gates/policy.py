"""What must hold for a release: for each gate a mode, a target and how sure one must be, read from a plain mapping."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, TypedDict, cast

from gates import statistics
from gates.canonical import Json, digest
from gates.invalid import InvalidConfig, against_schema
from gates.table import ABOUT, COUNT_OUTPUTS

CONFIDENCE: Final = 0.95
FLOOR_BELOW_TARGET: Final = statistics.exact(0.10)
LOSS_MARGIN: Final = 0.10
"""What of a loss beyond ``max_net_loss`` may stay possible, at 95 %. It means this number for ever, likewise."""
MAX_NET_LOSS: Final = 0.05
"""Rows lost to an earlier release less rows won from it, as a share of the rows: 2 of 40. A policy that says nothing
means this number for ever: its digest holds only what differs."""
SPENDING: Final = 3
"""The version since which attempts are corrected for and losses bounded."""
SMALLEST: Final = 14
"""Rows below which even a perfect score does not prove 80 %; the default minimum where no bound demands more."""

DEFAULT_POLICY: Mapping[str, object] = {
    "version": 3,
    "json_parse": {"mode": "zero_failures"},
    "schema_compliance": {"mode": "zero_failures"},
    "contract_rules": {"mode": "zero_failures"},
    "citation_coverage": {"target": 0.90, "floor": 0.80},
    "citation_precision": {"target": 0.90, "floor": 0.80},
    "refusal_precision": {"target": 0.85, "floor": 0.75},
    "refusal_recall": {"target": 0.80, "floor": 0.70},
    "answer_rate": {"target": 0.90, "floor": 0.80},
    "no_stray_citations": {"target": 0.95, "floor": 0.85},
}
DECLARED: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "correctness": ("answer_correctness", {"target": 0.90, "floor": 0.80}),
    "refusal_text": ("refusal_agreement", {"target": 0.95, "floor": 0.85}),
}
"""What the default policy asks for too, where the contract declares the means."""


HUMAN_REVIEW: Final = "human_review"
"""The gate that people are: no function of the answers, so it stands beside the table of those."""
ROWS: Final = 20
"""Rows that they read, where a policy does not say."""
REFUSABLE: Final = "answer_rate"
"""A gate of the default policy that can only fail where a contract says who refuses."""
NEVER: Final[Mapping[str, str]] = {
    "context_alignment": (
        "Its cosines differ between machines, so a verdict by them would too. Take it out: `python -m gates context` "
        "shows it; lexical_grounding, unsupported_specifics and retrieval_utilisation can have a threshold with "
        "required: false"
    ),
    "json_parse_fence_tolerant": "It is shown, and json_parse decides: take it out",
    "schema_compliance_of_parsed": "It is shown, and schema_compliance decides: take it out",
}
"""What is measured and never decided on, with why and what to do."""
_ALONE = "Here all gates are named: what stands here takes the place of the default policy"


def default_policy(declares: Collection[str] | None) -> Mapping[str, object]:
    """The policy of who names none, under a contract that declares these parts (``Contract.declares``).

    No gate is asked for that needs a part which the contract need not declare and does not; None: nobody knows.
    """
    if declares is None:
        return DEFAULT_POLICY
    left_out = not_judged(declares)
    kept = {gate: bar for gate, bar in DEFAULT_POLICY.items() if gate not in left_out}
    return {**kept, **dict(bar for part, bar in DECLARED.items() if part in declares)}


def not_judged(declares: Collection[str]) -> Mapping[str, str]:
    """The gates of the default policy that a contract with these parts leaves out, each with the part it lacks."""
    lacking = {
        gate: [part for part in ABOUT[gate].needs if part not in declares] for gate in DEFAULT_POLICY.keys() & ABOUT
    }
    if "refusal" not in declares:
        lacking[REFUSABLE] = ["refusal"]
    return {gate: lacking[gate][0] for gate in DEFAULT_POLICY if lacking.get(gate)}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """How high one gate stands. ``floor`` is what the exact bound must reach; None where no bound is asked for."""

    gate: str
    mode: str
    target: float
    floor: float | None
    confidence: float
    minimum: int
    """Rows that must be counted: of the golden set, or, where answers decide what is counted, the support."""
    required: bool

    def needs(self, n: int) -> int | None:
        """How many of n must be right; None if n right of n would not be enough."""
        return statistics.needed(n, self.target, self.floor, self.confidence)

    def at(self, attempt: int) -> "Bar":
        """The same for the attempt of this number on one golden set: its bound must be surer."""
        confidence = statistics.spent(self.confidence, attempt)
        if self.floor is None:
            return self
        proving = statistics.minimum_n(self.floor, confidence)
        return replace(self, confidence=confidence, minimum=max(self.minimum, proving))

    def passing(self, n: int, rate: float) -> float:
        """The chance that an adapter which is right at this rate passes on n rows."""
        k = self.needs(n) if n >= self.minimum else None
        return 0.0 if k is None else statistics.at_least(k, n, rate)


@dataclass(frozen=True, kw_only=True)
class HumanReview:
    """What people must say of a sample of the answers."""

    bar: Bar
    """Its minimum is how many rows are drawn."""
    reviewers: int

    def at(self, attempt: int, version: int) -> Bar:
        """What this attempt must meet under a policy of this version: a surer bound, and as many rows as prove it."""
        return self.bar if version < SPENDING else self.bar.at(attempt)

    def as_dict(self) -> dict[str, Json]:
        """As a policy writes it."""
        bar = self.bar
        numbers = {"target": bar.target, "floor": bar.floor, "confidence": bar.confidence}
        return {"rows": bar.minimum, "reviewers": self.reviewers, **numbers}


@dataclass(frozen=True, kw_only=True)
class Policy:
    bars: tuple[Bar, ...]
    cluster_key: str | None = None
    """The key in a golden row's ``meta`` that names its cluster; None: each row is an observation of its own."""
    max_net_loss: float = MAX_NET_LOSS
    """How much of what an earlier release had right a gate may lose, net, as a share of its rows."""
    loss_margin: float = LOSS_MARGIN
    """What of a loss beyond that may stay possible, since version 3."""
    version: int = 1
    """Since 2 advisory rates count what they compared, near-copies are one, and a verdict says what was tested. Since 3
    each attempt on a golden set needs a surer bound, and a comparison with earlier releases one on what is lost."""
    review: HumanReview | None = None
    """What people must say before a release; None: nobody is asked."""
    attempt: int = 1
    """Which attempt on its golden set is judged, at least. No part of the policy as it is written out."""

    @property
    def digest(self) -> str:
        """sha256 of the policy with its defaults filled in."""
        return digest(self.as_dict())

    @property
    def most_possible(self) -> float | None:
        """The loss against an earlier release that must be ruled out; None where none must."""
        if self.version < SPENDING:
            return None
        return min(0.999, float(statistics.exact(self.max_net_loss) + statistics.exact(self.loss_margin)))

    def at(self, attempt: int) -> "Policy":
        """The same policy for the attempt of this number on one golden set."""
        return replace(self, attempt=attempt)

    @property
    def bars_now(self) -> tuple[Bar, ...]:
        """What this attempt must meet."""
        return self.bars if self.version < SPENDING else tuple(bar.at(self.attempt) for bar in self.bars)

    def as_dict(self) -> dict[str, Json]:
        """The policy written out; ``load_policy`` gives it back."""
        clusters = {} if self.cluster_key is None else {"cluster_key": self.cluster_key}
        losses = {} if self.max_net_loss == MAX_NET_LOSS else {"max_net_loss": self.max_net_loss}
        margin = {} if self.loss_margin == LOSS_MARGIN else {"loss_margin": self.loss_margin}
        bars = {bar.gate: {key: value for key, value in asdict(bar).items() if key != "gate"} for bar in self.bars}
        versions = {} if self.version == 1 else {"version": self.version}
        people = {} if self.review is None else {HUMAN_REVIEW: self.review.as_dict()}
        return {**versions, **clusters, **losses, **margin, **bars, **people}


class BarEntry(TypedDict, total=False):
    """What a policy says of one gate, once ``schemas/policy.schema.json`` has passed it."""

    mode: str
    target: float
    floor: float | None
    confidence: float
    min_n: int
    min_support: int
    required: bool
    minimum: int


class ReviewEntry(TypedDict, total=False):
    """What a policy says of people's word, likewise."""

    rows: int
    reviewers: int
    target: float
    floor: float
    confidence: float


class PolicyFile(TypedDict, total=False):
    """What a policy says of all gates together, beside a ``BarEntry`` for each."""

    human_review: ReviewEntry
    cluster_key: str
    max_net_loss: float
    loss_margin: float
    version: int


def load_policy(mapping: Mapping[str, object], *, where: str = "gates") -> Policy:
    """The policy that a mapping of gate names describes, as people write it in YAML or as ``as_dict`` spells it out.

    ``InvalidConfig`` with every problem at once.
    """
    if problems := [_never(line, where) or line for line in against_schema(mapping, "policy", where)]:
        raise InvalidConfig(problems)
    given = cast("PolicyFile", mapping)
    entries = {gate: cast("BarEntry", entry) for gate, entry in mapping.items() if gate in ABOUT}
    for gate, entry in entries.items():
        problems += [f"{where}.{gate}.{problem}" for problem in _problems(gate, entry)]
    review = given.get(HUMAN_REVIEW)
    problems += [] if review is None else [f"{where}.{HUMAN_REVIEW}.{one}" for one in _review_problems(review)]
    if not any(entry.get("required", True) for entry in entries.values()):
        problems.append(f"{where}: no gate is required, so anything would pass. {_ALONE}")
    if "loss_margin" in given and given.get("version", 1) < SPENDING:
        problems.append(f"{where}.loss_margin: has no effect before version {SPENDING}; write version: {SPENDING}")
    elif (
        given.get("loss_margin", LOSS_MARGIN) + given.get("max_net_loss", MAX_NET_LOSS) >= 1 and "loss_margin" in given
    ):
        problems.append(f"{where}.loss_margin: with max_net_loss it is 1 or more, and would rule no loss out")
    if problems:
        raise InvalidConfig(problems)
    return Policy(
        bars=tuple(_bar(gate, entries[gate]) for gate in ABOUT if gate in entries),
        cluster_key=given.get("cluster_key"),
        max_net_loss=float(given.get("max_net_loss", MAX_NET_LOSS)),
        loss_margin=float(given.get("loss_margin", LOSS_MARGIN)),
        version=given.get("version", 1),
        review=None if review is None else _review(review),
    )


def _never(line: str, where: str) -> str:
    """What to say of a key that is unknown because it is never decided on; empty of any other problem."""
    key, unknown, _ = line.removeprefix(f"{where}.").partition(": unknown key")
    near = difflib.get_close_matches(key, NEVER, 1, 0.85) if unknown else []
    return f"{where}.{key}: no threshold can be set on {near[0]}. {NEVER[near[0]]}" if near else ""


def completed(mapping: Mapping[str, object], declares: Collection[str] | None) -> Mapping[str, object]:
    """A policy as its user means it: one that names no gate but people's word asks for the default's other gates."""
    if HUMAN_REVIEW not in mapping or mapping.keys() & ABOUT.keys():
        return mapping
    return {**default_policy(declares), **mapping}


def _review_problems(entry: ReviewEntry) -> list[str]:
    floor: BarEntry = {"floor": entry["floor"]} if "floor" in entry else {}
    if problems := _floor_problems({"target": entry["target"], **floor}):
        return problems
    bar = _review(entry).bar
    if bar.minimum > (rows := entry.get("rows", ROWS)):
        return [f"rows: all of {rows} would not prove the floor {_number(bar.floor)}; {bar.minimum} would"]
    return []


def usual_review() -> HumanReview:
    """What people are asked to read where a policy asks nobody."""
    return _review({"target": 0.9})


def _review(entry: ReviewEntry) -> HumanReview:
    known: BarEntry = {"target": entry["target"], "minimum": entry.get("rows", ROWS)}
    known |= {"floor": entry["floor"]} if "floor" in entry else {}
    known |= {"confidence": entry["confidence"]} if "confidence" in entry else {}
    return HumanReview(bar=_bar(HUMAN_REVIEW, known), reviewers=entry.get("reviewers", 1))


def _problems(gate: str, entry: BarEntry) -> list[str]:
    mode = entry.get("mode", "target_and_floor")
    problems = []
    if mode == "zero_failures" and entry.get("target", 1.0) != 1.0:
        problems.append("target: zero_failures means 1.0; leave it out, or choose another mode")
    if mode != "zero_failures" and "target" not in entry:
        problems.append(f"target: missing; {mode} needs a share such as 0.9")
    if mode != "target_and_floor" and entry.get("floor") not in (None, _implied_floor(mode, entry)):
        problems.append(f"floor: has no effect in mode {mode}; leave it out, or choose target_and_floor")
    if mode == "lower_bound" and entry.get("target") == 1:
        problems.append("target: no finite set proves 1.0; choose zero_failures")
    if mode == "target_and_floor" and "target" in entry:
        problems += _floor_problems(entry)
    if ABOUT[gate].only_shown and entry.get("required", True):
        problems.append("required: compares words, which prove little, so it can only be shown: write required: false")
    return problems + _minimum_problems(gate, entry)


def _implied_floor(mode: str, entry: BarEntry) -> float | None:
    return entry.get("target") if mode == "lower_bound" else None


def _minimum_problems(gate: str, entry: BarEntry) -> list[str]:
    problems = []
    without_effect = "min_n" if gate in COUNT_OUTPUTS else "min_support"
    if without_effect in entry:
        other = "min_support" if gate in COUNT_OUTPUTS else "min_n"
        counts = "the model's answers decide" if gate in COUNT_OUTPUTS else "the golden set decides"
        problems.append(f"{without_effect}: has no effect here, for {counts} what is counted; write {other}")
    if "minimum" in entry and {"min_n", "min_support"} & entry.keys():
        problems.append("minimum: stands for min_n and min_support; keep one of them")
    return problems


def _floor_problems(entry: BarEntry) -> list[str]:
    target, floor = entry["target"], entry.get("floor")
    if floor is None and "floor" in entry:
        return ["floor: null is not a floor; leave it out for target - 0.10, or choose another mode"]
    if floor is None:
        return (
            [] if statistics.exact(target) > FLOOR_BELOW_TARGET else [f"floor: missing; {target} - 0.10 is not a floor"]
        )
    if floor > target:
        return [f"floor: {floor} is above the target {target}"]
    return ["floor: no finite set proves 1.0"] if floor == 1 else []


def _bar(gate: str, entry: BarEntry) -> Bar:
    mode = entry.get("mode", "target_and_floor")
    target = float(entry.get("target", 1.0))
    confidence = float(entry.get("confidence", CONFIDENCE))
    own = entry.get("min_support") if gate in COUNT_OUTPUTS else entry.get("min_n")
    asked = entry.get("minimum", own)
    floor = None
    if mode == "lower_bound":
        floor = target
    elif mode == "target_and_floor":
        floor = float(entry.get("floor") or statistics.exact(target) - FLOOR_BELOW_TARGET)
    proving = statistics.minimum_n(floor, confidence) if floor is not None else 1
    default = proving if floor is not None else SMALLEST
    return Bar(
        gate=gate,
        mode=mode,
        target=target,
        floor=floor,
        confidence=confidence,
        minimum=max(proving, default if asked is None else int(asked)),
        required=entry.get("required", True),
    )


def weaker(policy: Policy, than: Policy) -> tuple[str, ...]:
    """Every way in which ``policy`` asks for less than another did; if none, what passes it passes the other."""
    now = {bar.gate: bar for bar in policy.bars}
    lines = [line for bar in than.bars for line in _weaker_bar(now.get(bar.gate), bar)]
    if than.review is not None:
        lines += _weaker_bar(policy.review.bar if policy.review else None, than.review.bar)
        if policy.review and policy.review.reviewers < than.review.reviewers:
            lines.append(f"{HUMAN_REVIEW}: reviewers {policy.review.reviewers}, was {than.review.reviewers}")
    # Which key clusters the rows decides which of them are wrong together: another may hide them, and so may a first.
    watched = than.cluster_key is not None or policy.version >= SPENDING
    if watched and policy.cluster_key != than.cluster_key:
        lines.append(f"cluster_key: {policy.cluster_key or 'none'}, was {than.cluster_key or 'none'}")
    if policy.version < than.version:
        lines.append(f"version: {policy.version}, was {than.version}")
    if policy.max_net_loss > than.max_net_loss:
        lines.append(f"max_net_loss: {_number(policy.max_net_loss)}, was {_number(than.max_net_loss)}")
    if than.version >= SPENDING and policy.loss_margin > than.loss_margin:
        lines.append(f"loss_margin: {_number(policy.loss_margin)}, was {_number(than.loss_margin)}")
    return tuple(lines)


def _weaker_bar(now: Bar | None, then: Bar) -> list[str]:
    if not then.required:
        return []
    if now is None:
        return [f"{then.gate}: gone, was required"]
    if not now.required:
        return [f"{then.gate}: advisory, was required"]
    # What the modes mean is in target and floor. Without a floor then, nothing depended on the confidence.
    lower = [
        (name, after, before)
        for name, after, before in (
            ("target", now.target, then.target),
            ("floor", now.floor, then.floor),
            ("confidence", now.confidence, then.confidence if then.floor is not None else None),
            ("minimum", now.minimum, then.minimum),
        )
        if before is not None and (after is None or after < before)
    ]
    lines = [f"{then.gate}: {name} {_number(after)}, was {_number(before)}" for name, after, before in lower]
    if lines and now.mode != then.mode:
        lines.append(f"{then.gate}: mode {now.mode}, was {then.mode}")
    return lines


def _number(number: float | None) -> str:
    return "none" if number is None else f"{number:g}"
