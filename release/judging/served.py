"""The same adapter in the forms in which it is served: each is judged, and set beside the form it was trained in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gates
from gates import report
from gates.report import cell
from release.judging.released import Released
from release.judging.terms import Terms
from release.values import layout
from release.values.layout import TRAINED
from release.values.record import Parity

PARITY = "KL from the weights it was made of, same first token"
"""The row of the table of forms that says how near llama.cpp's probabilities are to those in transformers."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What came of the answers in one form."""

    name: str
    required: bool
    verdict: gates.Verdict
    comparison: gates.Comparison
    """Row by row beside the form it was trained in: shown, while the verdict decides."""
    parity: Parity | None = None
    """How near llama.cpp's probabilities are to those of what its file was made of: shown, unless a most is set."""
    max_kl: float | None = None
    """The most that their mean divergence may be; None: whatever it is."""

    @property
    def files(self) -> dict[str, bytes]:
        """By published name."""
        names = layout.of_form(self.name)
        return {names["verdict.json"]: self.verdict.to_json(), names["comparison.json"]: self.comparison.to_json()}

    @property
    def near(self) -> bool:
        """Whether the probabilities are as near as was set."""
        return self.max_kl is None or (self.parity is not None and self.parity.mean_kl <= self.max_kl)

    @property
    def passed(self) -> bool:
        """Whether every required gate passes, and it is as near as was set."""
        return self.verdict.passed and self.near

    @property
    def state(self) -> str:
        """``PASS``, or what stands in the way."""
        return self.verdict.state if self.near or not self.verdict.passed else "FAIL"

    @property
    def in_the_way(self) -> bool:
        """Whether nothing may be published because of it."""
        return self.required and not self.passed


def judged(
    terms: Terms,
    name: str,
    answers: Sequence[gates.Output],
    trained: Sequence[gates.Output],
    settings: Mapping[str, object],
    parity: Parity | None,
) -> Served:
    """The verdict on the answers in a form, beside those in the form it was trained in.

    ``settings`` are the form's, as under ``serving``.
    """
    rows = terms.golden.rows
    then = gates.Earlier(name=TRAINED, golden=rows, outputs=trained)
    return Served(
        name=name,
        required=settings["required"] is True,
        parity=parity,
        max_kl=float(str(most)) if (most := settings.get("max_kl")) is not None else None,
        verdict=terms.verdict(answers),
        comparison=gates.compare(rows, answers, [then], terms.contract, terms.policy, against="trained"),
    )


def of_release(release: Released) -> tuple[Served, ...]:
    """Every form of a release, judged again."""
    return tuple(
        judged(release.terms, name, release.answers_as(name), release.answers, form.settings, form.parity)
        for name, form in (release.record.forms or {}).items()
    )


def lines(forms: Sequence[Served]) -> list[str]:
    """A line for each form, for a terminal."""
    wide = max((len(one.name) for one in forms), default=0)
    return [f"{one.state:12} {one.name:{wide}}  {_why(one)}; {_beside(one)}" for one in forms]


def markdown(trained: gates.Verdict, forms: Sequence[Served]) -> str:
    """All forms in one table, gate by gate; then what is wrong in those that did not pass."""
    verdicts = [trained, *(one.verdict for one in forms)]
    head = ["gate", TRAINED, *(cell(one.name) for one in forms)]
    rows = [[cell(gate), *(_result(verdict, gate) for verdict in verdicts)] for gate in _gates(trained)]
    rows.append(["**verdict**", f"**{trained.state}**", *(f"**{one.state}**" for one in forms)])
    rows.append(["required", "yes", *("yes" if one.required else "no" for one in forms)])
    rows.append(["answers as trained", "all", *(f"{one.comparison.identical}/{one.comparison.rows}" for one in forms)])
    rows.append(["rows lost, won", "", *(_changed(one.comparison) for one in forms)])
    if any(one.parity or one.max_kl is not None for one in forms):
        rows.append([PARITY, "", *(_parity(one) for one in forms)])
    text = [_line(head), "|---" * len(head) + "|", *map(_line, rows)]
    for one in forms:
        if not one.verdict.passed:
            text += ["", f"In the form {cell(one.name)}:", "", report.markdown(one.verdict)]
    return "\n".join(text) + "\n"


def _parity(one: Served) -> str:
    """Mean and largest divergence in nats, and how many tokens of how many come first in both."""
    found, most = one.parity, "" if one.max_kl is None else f" (≤ {one.max_kl:g}){'' if one.near else ' FAIL'}"
    if found is None:
        return f"not measured{most}" if most else ""
    return f"{found.mean_kl:.2g}{most}, at most {found.max_kl:.2g}; {found.same_first}/{found.tokens}"


def _changed(comparison: gates.Comparison) -> str:
    """Rows that a required gate took for right in the form it was trained in and does not in this one, and back."""
    return ", ".join(f"{len(one.lost)}, {len(one.won)}" for one in comparison.pairings[:1])


def _gates(trained: gates.Verdict) -> list[str]:
    return [gate.name for gate in trained.gates if gate.bar.required]


def _result(verdict: gates.Verdict, name: str) -> str:
    gate = verdict.gate(name)
    bound = "" if gate.bound is None else f" (≥ {100 * gate.bound:.1f} %)"
    return f"{gate.units.k}/{gate.units.n}{bound}{'' if gate.state == 'PASS' else f' {gate.state}'}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _why(one: Served) -> str:
    stopped = [gate.name for gate in one.verdict.gates if gate.bar.required and gate.state != "PASS"]
    if not one.passed:
        stopped += [] if one.near else [f"max_kl: {_parity(one)}"]
        return f"{', '.join(stopped) or 'its answers'}{'' if one.required else ' (not required)'}"
    return f"every required gate passes on {one.verdict.rows} rows"


def _beside(one: Served) -> str:
    return f"{one.comparison.identical} of {one.comparison.rows} answers are those of the form it was trained in"
