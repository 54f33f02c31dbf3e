"""Record beside record, tensor beside tensor, answer beside answer: what came out again, and why not more."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gates
from gates.shown import shorten
from release.checking import token_places
from release.values import layout, tensors
from release.values.artifacts import Reproduction
from release.values.as_json import tree
from release.values.record import Record, Training

if TYPE_CHECKING:
    import numpy as np

LEVELS = ("bits", "answers", "verdict", "different")  # the strictest first; each holds all after it
# Each for itself, so that a record from before one of them was asked for can be compared in the others.
ARITHMETIC = ("deterministic_algorithms", "float32_matmul_precision", "onednn", "cudnn_benchmark",
              "cudnn_deterministic", "environment", "nondeterministic")  # fmt: skip
# Where the records are looked at for a cause, the strongest first: other questions have other answers (a template that
# writes today's date asks others each day), other rows or weights change everything, another
# commit may have changed nothing that matters.
PLACES = (
    ("prompts", "sha256 of the rendered prompts", "generation.prompts_sha256"),
    ("data", "sha256 of the training rows", "data.train.sha256"),
    ("data", "sha256 of the tuning rows", "data.tuning.sha256"),
    ("data", "sha256 of the golden rows", "data.golden.sha256"),
    ("base", "files of the base model", "base.files"),
    ("seed", "seed", "determinism.seed"),
    ("settings", "adapter settings", "config.adapter"),
    ("settings", "training settings", "config.training"),
    ("settings", "longest row", "config.data.max_length"),
    ("settings", "generation settings", "config.generation"),
    ("library", "version of {}", "STAGE.versions.*"),
    ("threads", "compute threads", "determinism.threads"),
    ("hardware", "machine", "STAGE.hardware.machine"),
    ("hardware", "CPU instructions in use", "STAGE.hardware.cpu_capability"),
    ("hardware", "GPU", "STAGE.hardware.gpu"),
    *(("settings", f"arithmetic: {name}", f"STAGE.arithmetic.{name}") for name in ARITHMETIC),
    ("source", "digest of this project's code", "source.code_sha256"),
    ("hardware", "processor", "STAGE.hardware.cpu"),
    ("package", "version of {}", "STAGE.packages.*"),
    ("policy", "sha256 of the gate policy", "policy_sha256"),
)
EXCERPT = 60  # characters of an answer shown from where it differs
_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Made:
    """An adapter, its answers and their verdict, with the record of how they were made."""

    record: Record
    adapter: Path
    """The folder of its files."""
    answers: Path
    verdict: Mapping[str, Any]
    base_answers: Path | None = None
    """What the base answered without the adapter; None where a release holds no such answers."""
    comparison: Mapping[str, Any] | None = None
    forms: Mapping[str, Path] = field(default_factory=dict)
    """The folder with ``answers.jsonl`` and ``verdict.json`` of each form that it answered in, by name."""


def compare(
    then: Made, now: Made, *, release: str, commit: str | None = None, seconds: float | None = None
) -> Reproduction:
    """What of a published release came out again. The same adapter folder means that nothing was trained."""
    trained = then.adapter != now.adapter
    stage = "training" if trained and then.record.training else "generation"
    found = differences(tree(then.record), tree(now.record), stage)
    adapter = _adapters(then, now) if trained else None
    answers, verdict, base = compare_answers(then, now), _verdicts(then.verdict, now.verdict), _base(then, now)
    forms = {name: _form(then, now, name) for name in then.forms}
    reached = reached_level(adapter, answers, verdict, base, forms)
    equal = reached == ("bits" if trained else "answers")
    return Reproduction(
        release=release,
        commit=commit,
        record_sha256=then.record.record_sha256,
        how="reproduce" if trained else "rejudge",
        reached=reached,
        cause=None if equal else cause(found) or unfixed(tree(then.record), tree(now.record)),
        differences=tuple(found),
        adapter=adapter,
        answers=answers,
        verdict=verdict,
        base=base,
        forms=forms,
        spent_seconds=seconds,
    )


def reached_level(
    adapter: Mapping[str, Any] | None,
    answers: Mapping[str, Any],
    verdict: Mapping[str, Any],
    base: Mapping[str, Any] | None = None,
    forms: Mapping[str, Mapping[str, Any] | None] | None = None,
) -> Any:
    """The strictest level at which all is the same; to beat the base, or not to, is part of the verdict.

    A form that was not asked again (an address, which may be another's) says nothing of it.
    """
    again = [one for one in (forms or {}).values() if one]
    if not verdict["same"] or any(one["then"] != one["now"] for one in [*([base] if base else []), *again]):
        return "different"
    if not all(one["identical"] for one in [answers, *(one["answers"] for one in again)]):
        return "verdict"
    return "bits" if adapter and adapter["identical"] else "answers"


def meets(reached: str, asked: str) -> bool:
    return LEVELS.index(reached) <= LEVELS.index(asked)


def differences(then: Mapping[str, Any], now: Mapping[str, Any], stage: str) -> list[dict[str, Any]]:
    """What the records say differently of the inputs of a stage. What one of them leaves out is not compared."""
    found = []
    for kind, what, place in PLACES:
        key = place.replace("STAGE", stage)
        if key.endswith(".*"):
            before, after = _at(then, key[:-2]), _at(now, key[:-2])
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                names = sorted(before.keys() | after.keys())
                found += [
                    {"cause": kind, "what": what.format(name), "then": before.get(name), "now": after.get(name)}
                    for name in names
                    if before.get(name) != after.get(name)
                ]
            continue
        before, after = _at(then, key), _at(now, key)
        if before is not _ABSENT and after is not _ABSENT and before != after:
            found.append({"cause": kind, "what": what, "then": before, "now": after})
    return found


def _at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        if not isinstance(tree, Mapping) or name not in tree:
            return _ABSENT
        tree = tree[name]
    return tree


def cause(found: Sequence[Mapping[str, Any]]) -> str | None:
    """The first recorded difference in words."""
    return told(found[0]) if found else None


def unfixed(*records: Mapping[str, Any]) -> str | None:
    """The operations without a deterministic implementation that the stages of these records ran, in words."""
    places = [f"{stage}.arithmetic.nondeterministic" for stage in ("training", "generation")]
    lists = [_at(one, place) for one in records for place in places]
    names = sorted({name for names in lists if isinstance(names, list) for name in names})
    ran = "ran, and gives other bytes each time on a GPU: it has no deterministic implementation"
    return f"operations: {', '.join(names)} {ran}" if names else None


def told(difference: Mapping[str, Any]) -> str:
    """One difference as ``library: version of torch: 2.13.0 then, 2.14.0 now``."""
    then, now = (_shown(difference[side]) for side in ("then", "now"))
    return f"{difference['cause']}: {difference['what']}: {then} then, {now} now"


def _shown(value: object) -> str:
    return shorten(value if isinstance(value, str) else json.dumps(value, sort_keys=True), 100)


def _adapters(then: Made, now: Made) -> dict[str, Any]:
    """Which files are not the same, how far the tensors are apart, and where training left the published path."""
    before, after = (made.record.adapter.files for made in (then, now))
    files = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    names, apart = _distances(then.adapter / layout.WEIGHTS, now.adapter / layout.WEIGHTS)
    layers: dict[str, list[_Distance]] = {}
    for one in apart:
        layers.setdefault(_layer(one.name), []).append(one)
    return {
        "identical": not files,
        "files": files,
        "tensors": names,
        "different": len(apart),
        **_together(apart),
        "layers": [
            {"layer": layer, "tensors": len(group), **_together(group)}
            for layer, group in sorted(layers.items(), key=lambda item: _number(item[0]))
        ],
        "trajectory": trajectory(then.record.training, now.record.training),
    }


@dataclass(frozen=True, kw_only=True)
class _Distance:
    """Two tensors that are not the same; None where no distance can be stated: other shape or type, not finite."""

    name: str
    max_abs: float | None
    difference: float
    """Sum of squares, of the difference and of the published tensor."""
    norm: float


def _distances(then: Path, now: Path) -> tuple[int, list[_Distance]]:
    """The number of tensors in both files together, and those that are not the same."""
    before = {name: rest for name, *rest in tensors.tensors(then)}
    after = {name: rest for name, *rest in tensors.tensors(now)}
    names = sorted(before.keys() | after.keys())
    return len(names), [
        _distance(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def _distance(name: str, before: Any, after: Any) -> _Distance:
    unknown = _Distance(name=name, max_abs=None, difference=0.0, norm=0.0)
    if before is None or after is None or before[:2] != after[:2]:
        return unknown
    one, other = (_numbers(dtype, data) for dtype, _, data in (before, after))
    if one is None or other is None:
        return unknown
    apart = one - other
    largest, difference = float(abs(apart).max()), float((apart * apart).sum())
    if not (math.isfinite(largest) and math.isfinite(difference)):
        return unknown
    return _Distance(name=name, max_abs=largest, difference=difference, norm=float((one * one).sum()))


def _numbers(dtype: str, data: bytes) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """A tensor's values; None for a type that adapters are not kept in."""
    import numpy as np

    if dtype == "BF16":  # the upper half of a float32; numpy has no type for it
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    return np.frombuffer(data, kinds[dtype]).astype(np.float64) if dtype in kinds else None


def _together(group: Sequence[_Distance]) -> dict[str, float | None]:
    """The largest difference of a value, and the norm of the difference relative to that of the published tensors."""
    largest = [one.max_abs for one in group if one.max_abs is not None]
    if len(largest) < len(group):
        return {"max_abs": None, "relative_norm": None}
    norm = sum(one.norm for one in group)
    relative = math.sqrt(sum(one.difference for one in group) / norm) if norm else None
    return {"max_abs": max(largest, default=0.0), "relative_norm": relative if group else 0.0}


def _layer(name: str) -> str:
    """``layers.3`` of a tensor's name; the name itself where it has no such part."""
    found = re.search(r"\b(?:layers|h|blocks?)\.\d+\b", name)
    return found.group() if found else name


def _number(layer: str) -> tuple[str, int]:
    kind, _, number = layer.rpartition(".")
    return (kind, int(number)) if number.isdigit() else (layer, 0)


def trajectory(then: Training | None, now: Training | None) -> str:
    """Where two trainings first differ: in the first weights, in the loss of a step, or after the last one logged."""
    if then is None or now is None:
        return "one of them was trained elsewhere"
    if then.lora_init_sha256 != now.lora_init_sha256:
        return "the runs differ from the start: other initial LoRA weights (seed, libraries, adapter shape)"
    for (step, before), (other, after) in zip(then.losses, now.losses, strict=False):
        if (step, before) != (other, after):
            return (
                f"the first LoRA weights are equal; the loss logged at step {step} was {before}, at {other} is {after}"
            )
    if len(then.losses) != len(now.losses):
        return f"they logged {len(then.losses)} and {len(now.losses)} losses, equal as far as both go"
    published, again = then.curves or {}, now.curves or {}
    both = sorted(published.keys() & again.keys())
    for name in reversed(both):  # the learning rate explains a norm of the gradient
        early, late = dict(published[name]), dict(again[name])
        if apart := [step for step in sorted(early | late) if early.get(step) != late.get(step)]:
            values = f"at step {apart[0]} was {early.get(apart[0])}, is {late.get(apart[0])}"
            return f"the first LoRA weights and every logged loss are equal; the {name} logged {values}"
    evaluated = _evaluated_otherwise(then, now)
    return f"the first LoRA weights and every logged {' and '.join(['loss', *both])} are equal{evaluated}"


def _evaluated_otherwise(then: Training, now: Training) -> str:
    """Whether two trainings differ in how they went back, in what was evaluated, or in the state that was kept."""
    if then.interventions != now.interventions:
        return "; how training went back because it diverged is not"
    if then.evaluation is None or now.evaluation is None or then.evaluation == now.evaluation:
        return ""
    return "; what was evaluated on tuning rows is not"


def compare_answers(then: Made, now: Made) -> dict[str, Any]:
    """How many rows have the same answer to the byte, and where the others first differ."""
    return _compare_answers(then.answers, now.answers, then.adapter / "tokenizer.json")


def _base(then: Made, now: Made) -> dict[str, Any] | None:
    """The same of what the base answered alone, and whether the adapter beat it; None where a release does not say."""
    if then.base_answers is None or now.base_answers is None or then.comparison is None or now.comparison is None:
        return None
    answers = _compare_answers(then.base_answers, now.base_answers, then.adapter / "tokenizer.json")
    return {"answers": answers, "then": then.comparison["state"], "now": now.comparison["state"]}


def _form(then: Made, now: Made, name: str) -> dict[str, Any] | None:
    """The same of one form; None where it was not asked again."""
    if name not in now.forms:
        return None
    before, after = then.forms[name], now.forms[name]
    answers = _compare_answers(before / "answers.jsonl", after / "answers.jsonl", then.adapter / "tokenizer.json")
    states = [json.loads((folder / "verdict.json").read_bytes())["state"] for folder in (before, after)]
    return {"answers": answers, "then": states[0], "now": states[1]}


def _compare_answers(then: Path, now: Path, tokenizer: Path) -> dict[str, Any]:
    before, after = ({row.id: row for row in gates.read_outputs(answers)} for answers in (then, now))
    ids = [*before, *(name for name in after if name not in before)]
    other = [name for name in ids if before.get(name) != after.get(name)]
    both = [name for name in other if name in before and name in after]
    pairs = [(before[name].output, after[name].output) for name in both]
    tokens = dict(zip(both, token_places.first_different(tokenizer, pairs), strict=True))
    different = [_answer(name, before.get(name), after.get(name), tokens.get(name)) for name in other]
    return {"identical": not other, "rows": len(ids), "same": len(ids) - len(other), "different": different}


def _answer(name: str, before: gates.Output | None, after: gates.Output | None, token: int | None) -> dict[str, Any]:
    """Where two answers first differ: in characters, in tokens if that could be told, and how each continues."""
    at = token_places.first_difference(before.output if before else "", after.output if after else "")
    return {
        "id": name,
        "token": token,
        "character": at,
        "then": _excerpt(before, at),
        "now": _excerpt(after, at),
    }


def _excerpt(row: gates.Output | None, at: int) -> str | None:
    """An answer from where it differs, and how it ended; None when there is none."""
    return f"{row.output[at : at + EXCERPT]} [{row.finish_reason}]" if row else None


def _verdicts(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The two verdicts; they are the same when each gate has the state it had, whatever it counted."""
    before, after = _side(then), _side(now)
    states = [{name: gate["state"] for name, gate in side["gates"].items()} for side in (before, after)]
    same = before["passed"] == after["passed"] and before["state"] == after["state"] and states[0] == states[1]
    return {"same": same, "identical": then == now, "then": before, "now": after}


def _side(verdict: Mapping[str, Any]) -> dict[str, Any]:
    counts = {gate["gate"]: {name: gate[name] for name in ("state", "k", "n")} for gate in verdict["gates"]}
    return {"passed": verdict["passed"], "state": verdict["state"], "gates": counts}


def lines(found: Reproduction) -> Iterator[str]:
    """The outcome for a terminal."""
    what = {
        "bits": "the adapter is bit-identical, with the same answers and the same verdict",
        "answers": "the same answers, and the same verdict",
        "verdict": "the same verdict, from answers that are not all the same",
        "different": "another verdict",
    }
    yield f"{found.release}: {what[found.reached]}"
    if found.adapter is not None:
        adapter = found.adapter
        apart = f"largest difference {_figure(adapter['max_abs'])}, relative norm {_figure(adapter['relative_norm'])}"
        yield f"adapter: {adapter['different']} of {adapter['tensors']} tensors are not the same; {apart}"
        if not adapter["identical"]:
            yield f"         other files: {', '.join(adapter['files'])}; {adapter['trajectory']}"
    yield from _answer_lines("answers", found.answers)
    yield f"verdict: {found.verdict['then']['state']} then, {found.verdict['now']['state']} now"
    if found.base is not None:
        yield from _answer_lines("base", found.base["answers"])
        yield f"         beaten: {found.base['then']} then, {found.base['now']} now"
    for name, form in found.forms.items():
        if form is None:
            yield f"{name}: not asked again"
            continue
        yield from _answer_lines(name, form["answers"])
        yield f"         verdict: {form['then']} then, {form['now']} now"
    if found.reached in ("verdict", "different") or (found.adapter and not found.adapter["identical"]):
        nothing = "nothing that the records hold explains it"
        yield f"cause:   {found.cause or nothing}"


def _answer_lines(whose: str, answers: Mapping[str, Any]) -> Iterator[str]:
    yield f"{whose + ':':8} {answers['same']} of {answers['rows']} answers are the same to the byte"
    for row in answers["different"][:5]:
        where = f"token {row['token']}" if row["token"] is not None else f"character {row['character']}"
        yield f"         {row['id']} differs at {where}: {row['then']!r} then, {row['now']!r} now"


def _figure(value: float | None) -> str:
    return "cannot be stated" if value is None else f"{value:.3g}"


def markdown(found: Reproduction) -> str:
    """The outcome as a report to keep, or to attach to the release's repository."""
    from gates.report import cell

    text = [f"# {cell(found.release)}: {found.how} reached {found.reached}", ""]
    text += [f"- {cell(line.strip())}" for line in lines(found)]
    text += [f"- commit {found.commit or 'unknown, a folder was given'}", f"- record sha256 {found.record_sha256}"]
    if found.differences:
        text += ["", "## What the records say differently", "", "| cause | what | then | now |", "|---|---|---|---|"]
        text += [
            f"| {one['cause']} | {cell(one['what'])} | {cell(_shown(one['then']))} | {cell(_shown(one['now']))} |"
            for one in found.differences
        ]
    text += ["", "## Verdict", "", "| gate | then | now |", "|---|---|---|"]
    sides = [found.verdict[side]["gates"] for side in ("then", "now")]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        counts = [f"{g['state']} {g['k']}/{g['n']}" if (g := side.get(name)) else "none" for side in sides]
        text.append(f"| {cell(name)} | {cell(counts[0])} | {cell(counts[1])} |")
    if found.adapter and found.adapter["layers"]:
        text += [
            "",
            "## Layers that are not the same",
            "",
            "| layer | tensors | largest | relative norm |",
            "|---|---|---|---|",
        ]
        text += [
            f"| {cell(one['layer'])} | {one['tensors']} | {_figure(one['max_abs'])} | {_figure(one['relative_norm'])} |"
            for one in found.adapter["layers"]
        ]
    if found.answers["different"]:
        text += ["", "## Answers that are not the same", "", "| row | token | then | now |", "|---|---|---|---|"]
        text += [
            f"| {cell(one['id'])} | {one['token']} | {cell(str(one['then']))} | {cell(str(one['now']))} |"
            for one in found.answers["different"]
        ]
    return "\n".join(text) + "\n"
