"""What the template of a page writes: every part of it as plain values, counted and worded in one place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gates
from gates import human_review, report, statistics
from gates.comparison import Pairing
from gates.policy import HUMAN_REVIEW
from gates.shown import counted
from release.config.settings import Publishing
from release.judging import tried
from release.publishing import programs, snippet
from release.publishing.page import charts
from release.publishing.page.charts import Bar, Curve, History
from release.publishing.page.shown import Shown
from release.values import layout
from release.values.layout import TRAINED
from release.values.record import CURVES, Record, Training
from release.values.training_metrics import Evaluation, turned

Cells = Sequence[str]
OF_HISTORY = 30
"""Previous releases that a chart shows, at most: the last ones."""
HERE = "this one"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A line of the table of gates."""

    name: str
    state: str
    required: bool
    counts: str
    says: str
    reason: str
    wrong: int
    bar: Bar


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form in which the adapter was judged, and how it is used if it passed."""

    name: str
    state: str
    required: bool
    says: str
    program: str
    needs: str


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A comparison with the base or a previous release."""

    against: str
    state: str
    says: Cells
    rows: Sequence[Cells]
    """Gate, against which, before, now, lost, won, p."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A link of the chain from data to publication."""

    name: str
    what: str
    digest: str
    check: str
    """The command that checks it."""


def parts(shown: Shown, publishing: Publishing) -> dict[str, object]:
    """Every value that the template names."""
    record, verdict, repo, tag = shown.record, shown.alone.verdict, publishing.hf_repo, publishing.tag
    called = shown.before.called if shown.before else report.AGAINST["last"]
    return {
        "record": record,
        "called": called,
        "differences": shown.differences,
        "release": f"{repo}@{tag}",
        "method": str(record.setting("adapter", "method")),
        "verdict": verdict,
        "stopped": list(_stopped(shown)),
        "notes": report.notes(verdict),
        "gates": [_gate(one, _last(shown).get(one.name), called) for one in verdict.gates],
        "advisory": [(name, f"{score.k}/{score.n}") for name, score in verdict.advisory.items()],
        "people": shown.people.found if shown.people else None,
        "people_say": list(_people(shown)),
        "forms": list(_forms(shown, repo, tag)),
        "form_rows": _side_by_side(shown),
        "slices": list(_slices(verdict)),
        "beside": list(_compared(shown)),
        "earlier": record.earlier,
        "histories": list(_histories(shown)),
        "tries": tried.told(record.tries) if record.tries else None,
        "curves": list(_curves(shown)),
        "kept": _kept(shown.record.training),
        "stages": list(_stages(record)),
        "spent": list(_spent(record)),
        "chain": list(_chain(record, f"{repo}@{tag}")),
        "trained": TRAINED,
    }


def _last(shown: Shown) -> dict[str, Pairing]:
    """Each gate on the rows that the last release answered too, by name."""
    found = shown.beside.comparisons.get(layout.COMPARISON_LAST)
    return {one.gate: one for one in found.pairings if one.n} if found else {}


def _gate(one: gates.GateVerdict, last: Pairing | None, called: str) -> Gate:
    before = last.right_before / last.n if last else None
    return Gate(
        name=one.name,
        state=one.state,
        required=one.bar.required,
        counts=f"{one.units.k}/{one.units.n}",
        says=report.line(one) + (f"; {called} {last.right_before}/{last.n}" if last else ""),
        reason=one.reason if one.state != "PASS" else "",
        wrong=len(one.score.misses),
        bar=charts.bar(one.value, one.bound, one.bar.target, one.bar.floor, before),
    )


def _stopped(shown: Shown) -> Iterator[str]:
    """Everything because of which it may not be released."""
    yield from shown.alone.verdict.problems
    yield from (
        f"{one.name}: {one.state}, {one.reason}"
        for one in shown.alone.verdict.gates
        if one.bar.required and one.state != "PASS"
    )
    for comparison in _comparisons(shown):
        if not comparison.passed:
            against = _against(shown, comparison)
            yield from (f"beside {against}: {fault}" for fault in (*comparison.problems, *comparison.faults))
    yield from (f"in the form {one.name}: {one.state}, and it must pass" for one in shown.forms if one.in_the_way)
    if shown.people and not shown.people.passed:
        found = shown.people.found
        why = (f"{found.gate.state}, {found.gate.reason}",) if found else shown.people.waits
        yield from (f"{HUMAN_REVIEW}: {one}" for one in why)


def _people(shown: Shown) -> Iterator[str]:
    """What people said, as far as it counts."""
    if shown.people and shown.people.found:
        found = shown.people.found
        yield report.line(found.gate)
        yield from human_review.sentences(found)
        yield from (f"{miss.id}: {miss.reason}" for miss in found.gate.score.misses)


def _comparisons(shown: Shown) -> list[gates.Comparison]:
    return [*([shown.alone.comparison] if shown.alone.comparison else []), *shown.beside.comparisons.values()]


def _against(shown: Shown, comparison: gates.Comparison) -> str:
    """What a comparison is with, in words."""
    last = comparison.against == "last" and shown.before
    return shown.before.called if last and shown.before else report.AGAINST[comparison.against]


def _forms(shown: Shown, repo: str, tag: str) -> Iterator[Form]:
    record, verdict = shown.record, shown.alone.verdict
    loads = record.passed and record.generation.loaded is not None and record.generation.chat is not None
    program = snippet.python(record, snippet.as_trained(record), repo, revision=tag) if loads else ""
    says = _passes(verdict)
    yield Form(name=TRAINED, state=verdict.state, required=True, says=says, program=program, needs="")
    for one in shown.forms:
        form = (record.forms or {})[one.name]
        usable = record.passed and form.passed
        yield Form(
            name=one.name,
            state=one.state,
            required=one.required,
            says=f"{_passes(one.verdict)}; {one.comparison.identical} of {one.comparison.rows} answers as trained",
            program=programs.python(record, form, repo, tag) if usable else "",
            needs=programs.needs(form, repo, tag) if usable else "",
        )


def _passes(verdict: gates.Verdict) -> str:
    failed = [one.name for one in verdict.gates if one.bar.required and one.state != "PASS"]
    return f"does not pass {', '.join(failed)}" if failed else f"passes every required gate on {verdict.rows} rows"


def _side_by_side(shown: Shown) -> list[Cells]:
    """For each gate its counts and state in every form."""
    names = [one.name for one in shown.alone.verdict.gates]
    return [[name, *(_result(verdict.gate(name)) for verdict in shown.verdicts.values())] for name in names]


def _result(one: gates.GateVerdict) -> str:
    return f"{one.units.k}/{one.units.n}{'' if one.state == 'PASS' else f' {one.state}'}"


def _slices(verdict: gates.Verdict) -> Iterator[Cells]:
    """Tag, gate, counts and how many are wrong: those that have wrong rows first."""
    counted = [
        (tag, name, score) for tag, scores in verdict.slices.items() for name, score in scores.items() if score.n
    ]
    for tag, name, score in sorted(counted, key=lambda one: not one[2].misses):
        yield tag, name, f"{score.k}/{score.n}", str(len(score.misses))


def _compared(shown: Shown) -> Iterator[Beside]:
    for one in _comparisons(shown):
        same = f"{one.identical} of {one.rows} answers are the same to the byte"
        rows = [
            (
                pairing.gate,
                pairing.earlier,
                f"{pairing.right_before}/{pairing.n}",
                f"{pairing.right_now}/{pairing.n}",
                str(len(pairing.lost)),
                str(len(pairing.won)),
                f"{pairing.p:.3f}",
            )
            for pairing in one.pairings
        ]
        says = [*one.problems, *one.faults, same, *(f"not compared with {skipped}" for skipped in one.skipped)]
        yield Beside(against=_against(shown, one), state=one.state, says=says, rows=rows)


def _histories(shown: Shown) -> Iterator[History]:
    """Each gate over the releases of the repository, this one the last, as each was counted by its own verdict."""
    earlier = shown.record.earlier
    before = [(one.tag, one.gates) for one in (earlier.releases if earlier else ()) if one.gates]
    for gate in shown.alone.verdict.gates:
        counted = [(tag, *counts[gate.name]) for tag, counts in before if gate.name in counts]
        counted = [*counted[-OF_HISTORY:], (HERE, gate.units.k, gate.units.n)]
        proved = gate.bar.confidence
        shares = [(tag, k, n, statistics.lower_bound(k, n, proved)) for tag, k, n in counted if n]
        if len(shares) > 1:
            yield charts.history(gate.name, shares, gate.bar.target)


def _curves(shown: Shown) -> Iterator[Curve]:
    """What was logged over steps, beside the same of the last release."""
    now, then = shown.record.training, shown.before.training if shown.before else None
    found = [("loss", now.losses if now else (), then.losses if then else ())]
    logged, logged_then = (one.curves if one and one.curves else {} for one in (now, then))
    found += [(says, logged.get(name, ()), logged_then.get(name, ())) for name, says in CURVES.items()]
    found += [(says, points, ()) for says, points in _evaluated(shown.evaluated)]
    yield from filter(None, (charts.curve(*one) for one in found))


def _evaluated(found: Sequence[Evaluation]) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """The loss of the tuning rows over steps, and each gate's share of right answers to some of them."""
    yield "loss of the tuning rows", [(one.step, one.loss) for one in found]
    for name in dict.fromkeys(name for one in found for name in one.gates):
        values = [(one.step, one.value(f"eval_{name}")) for one in found]
        yield f"share of right answers, {name}", [(step, value) for step, value in values if value is not None]


def _kept(training: Training | None) -> str:
    """Which state of the adapter this is, where tuning rows were evaluated while it trained, and how it went back."""
    said = training.evaluation if training else None
    back = "".join(f" {turned(one)}." for one in (training and training.interventions) or ())
    if training is None or said is None:
        return back.strip()
    which = f"the state after step {said.best_step}, the best of them," if said.best_step else "the last state"
    ended = " Training ended early, for none was better." if said.stopped_early else ""
    return f"The tuning rows were evaluated while it trained; {which} is this adapter.{ended}{back}"


def _stages(record: Record) -> Iterator[Cells]:
    """Stage, seconds, tokens, memory, memory of the GPU; a dash is what nobody measured."""
    training, generation = record.training, record.generation
    if training is not None:
        yield _stage(
            "training", training.seconds, training.tokens, training.peak_memory_bytes, training.gpu_peak_memory_bytes
        )
    if generation.base_seconds is not None:
        reused = " (kept from before)" if generation.base_answers_reused else ""
        yield _stage(f"answering, the base alone{reused}", generation.base_seconds, None, None, None)
    yield _stage(
        f"answering, {TRAINED}",
        generation.seconds,
        generation.tokens,
        generation.peak_memory_bytes,
        generation.gpu_peak_memory_bytes,
    )
    for name, form in (record.forms or {}).items():
        yield _stage(f"answering, {name}", form.answering.seconds, form.answering.tokens, None, None)


def _stage(name: str, seconds: float, tokens: int | None, memory: int | None, gpu: int | None) -> Cells:
    counted = "–" if tokens is None else f"{tokens:,}"
    return name, f"{seconds:,.1f}", counted, *("–" if one is None else f"{one / 1e9:.2f} GB" for one in (memory, gpu))


def _spent(record: Record) -> Iterator[tuple[str, str]]:
    spent = record.spent
    tried = [*record.tries.tries, *record.tries.seeds] if record.tries else []
    trained = f"{counted(len(tried), 'training')} that {'were' if tried[1:] else 'was'} tried" if tried else "training"
    yield "time", f"{spent.seconds:,.1f} s for {trained} and answering"
    yield "energy", _estimate(None if spent.energy_kwh is None else f"{spent.energy_kwh:.6f} kWh", spent.energy_how)
    cost = None if spent.cost is None else f"{spent.cost.amount:.2f} {spent.cost.currency}"
    yield "cost", _estimate(cost, spent.cost_how)
    hardware = (record.training or record.generation).hardware
    yield "hardware", f"{hardware.gpu.name if hardware.gpu else hardware.cpu}, {hardware.threads} threads"


def _estimate(value: str | None, how: str | None) -> str:
    """A figure and how it was come by."""
    if value is None:
        return how or "not known"
    return f"{value} ({how})" if how else value


def _chain(record: Record, release: str) -> Iterator[Link]:
    """From the rows to the tag: what each thing is, its digest, and the command that checks it."""
    data, base, source = record.data, record.base, record.source
    verify = f"adapter-release verify {release}"
    tuning = (("tuning rows", data.tuning),) if data.tuning else ()
    for name, rows in (("training rows", data.train), *tuning, ("golden rows", data.golden)):
        if rows is None:
            what = "not known: it was trained elsewhere"
            yield Link(name=name, what=what, digest="not known", check="nobody can")
            continue
        check = f"sha256sum {rows.file}" if rows.file else "adapter-release verify --data FOLDER"
        yield Link(name=name, what=f"{rows.rows} rows", digest=f"sha256 {rows.sha256}", check=check)
    files = f"{base.base_model_id}, {len(base.files)} files, each with its sha256 in {layout.RECORD}"
    revision = f"commit {base.revision}" if base.revision else base.origin
    yield Link(name="base model", what=files, digest=revision, check=f"adapter-release rejudge {release}")
    dirty = ", with uncommitted changes" if source.dirty else ""
    code = f"commit {source.commit}{dirty}; locks sha256 {source.locks_sha256}"
    yield Link(name="code", what="of this program", digest=code, check=f"adapter-release reproduce {release}")
    steps = f"{record.training.steps} steps, seed {record.determinism.seed}" if record.training else "elsewhere"
    steps += "; the manifest of the adapter's files"
    yield Link(name="training", what=steps, digest=f"sha256 {record.adapter.sha256}", check=verify)
    answers = f"sha256 {record.generation.answers_sha256}"
    yield Link(name="answers", what=TRAINED, digest=answers, check=f"sha256sum {layout.ANSWERS}")
    for name, form in (record.forms or {}).items():
        file = layout.answers_as(name)
        answers = f"sha256 {form.answering.answers_sha256}"
        yield Link(name="answers", what=f"in the form {name}", digest=answers, check=f"sha256sum {file}")
    verdict = f"sha256 {record.verdict_sha256}"
    yield Link(name="verdict", what="PASS" if record.passed else "not a pass", digest=verdict, check=verify)
    what = f"{layout.RECORD} names every file; its own digest without them"
    yield Link(name="package", what=what, digest=f"sha256 {record.record_sha256}", check=verify)
    what = "of the Hub, under this tag; the page is in it, and cannot name it"
    yield Link(name="commit", what=what, digest=release, check=f"{verify} --receipt publication.json")
