"""Record → model card: what was measured, on what, and how to load, check and make the adapter again."""

import json
import re
from collections.abc import Sequence

import yaml

from gates.report import cell
from gates.shown import plain
from release.config.settings import Publishing
from release.data.checks import CHECKS
from release.judging import tried
from release.judging.released import Counted
from release.publishing import programs, snippet
from release.values.as_json import tree
from release.values.layout import PAGE, PICTURE, TRAINED
from release.values.record import PreviousRelease, Record, Training
from release.values.training_metrics import turned

LIBRARY = "peft"


def render(
    record: Record,
    counted: Sequence[Counted],
    gate_table: str,
    publishing: Publishing,
    *,
    content_judged: object = None,
    page: bool = False,
) -> bytes:
    """README.md of the release: metadata the Hub reads, then text for people.

    ``content_judged`` is what the verdict says of it; None where it says nothing. ``page``: whether there is one.
    """
    metadata = yaml.safe_dump(_metadata(record, counted, publishing), sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n{_body(record, gate_table + _page(page=page), publishing, content_judged)}".encode()


def _metadata(record: Record, counted: Sequence[Counted], publishing: Publishing) -> dict[str, object]:
    """The card's YAML, with the gate results as ``model-index`` (Hub documentation, "Model Cards")."""
    golden = record.data.golden
    return {
        "base_model": record.base.base_model_id,
        "base_model_relation": "adapter",
        "library_name": LIBRARY,
        "license": publishing.license,
        "language": list(publishing.language),
        "pipeline_tag": "text-generation",
        "tags": ["lora", "adapter-release", *publishing.tags],
        "model-index": [
            {
                "name": record.name,
                "results": [
                    {
                        "task": {"type": "text-generation", "name": "Answers that cite or refuse"},
                        "dataset": {"name": "golden set", "type": "golden", "revision": golden.sha256},
                        "metrics": [_metric(gate) for gate in counted if gate.n],
                    }
                ],
            }
        ],
    }


def _metric(gate: Counted) -> dict[str, object]:
    return {
        "type": gate.gate,
        "name": gate.gate.replace("_", " "),
        "value": round(gate.k / gate.n, 6),
        "args": {"k": gate.k, "n": gate.n, "lower_bound": gate.bound, "state": gate.state},
    }


def _source(record: Record) -> str:
    """The commits that it was made from: this program's, and the user's own where the record knows one."""
    source, program = record.source, record.program
    commit = f"commit `{source.commit}`{' with uncommitted changes' if source.dirty else ''}"
    if source.project is None and program.distribution_sha256 is None:
        return f"| source | {commit} |"
    installed = f"distribution sha256 `{program.distribution_sha256}`" if program.distribution_sha256 else ""
    made_by = ", ".join(part for part in (f"adapter-release {program.version}", installed) if part)
    made_by += f", {commit}" if source.commit else ""
    if source.project is None:
        return f"| program | {made_by} |"
    changed = " with uncommitted changes" if source.project.dirty else ""
    return f"| source | commit `{source.project.commit}`{changed} |\n| program | {made_by} |"


def _body(record: Record, gate_table: str, publishing: Publishing, content_judged: object) -> str:
    base, golden = record.base, record.data.golden
    repo, tag = publishing.hf_repo, publishing.tag
    base_id = _said(base.base_model_id)
    what = _said(record.setting("adapter", "method")) if record.origin is None else "LoRA"
    where = "it was trained and judged on" if record.origin is None else "it was judged on"
    decoding = _said(json.dumps(tree(record.generation.decoding), sort_keys=True))
    return f"""
# {_said(record.name)}

A {what} adapter for [{base_id}](https://huggingface.co/{base_id}).
Base weights {where}: {_said(base.origin)}.

## Gates

The saved files were loaded in a fresh process, answered the golden set by greedy decoding without constraints, and
passed every required gate. The bytes in this repository are the bytes that were judged.

{gate_table}
{_addresses(record)}
{_earlier(record)}This is adapter number {record.attempt} judged on this golden set of {golden.rows} rows
(sha256 `{golden.sha256}`). Decoding: `{decoding}`.

{_tries(record)}{_load(record, repo, tag)}
## Check it

```
adapter-release verify {repo}@{tag}
```

Every file's sha256 stands in `release.json`; `gates/` holds the answers, the golden set and the policy, so that the
verdict can be derived again without a GPU.

{_origin(record) if record.training is None else _training(record, record.training)}
## Limits

The gates say what they measured: {golden.rows} questions of one kind. They say nothing about other
questions, other languages, or other base weights than those named above.
{_unjudged(record, content_judged)}"""


def _tries(record: Record) -> str:
    """What was tried before, on other rows than the golden ones; nothing where one training was asked for."""
    return f"## Tries\n\n{tried.markdown(record.tries)}\n" if record.tries else ""


def _training(record: Record, training: Training) -> str:
    """How it was trained here."""
    losses, train = training.losses, record.data.train
    assert train is not None  # what is trained here is trained on rows
    hardware = training.hardware
    return f"""## Training

| | |
|---|---|
| rows | {train.rows} (sha256 `{train.sha256}`) |
| steps, tokens | {training.steps}, {training.tokens:,} |
| loss, first and last logged | {losses[0][1]:.4g} → {losses[-1][1]:.4g} |
{_back(training)}| trainable parameters | {training.trainable_parameters:,} |
| seed, threads | {_said(record.setting("run", "seed"))}, {hardware.threads} |
| hardware | {_said(hardware.gpu.name if hardware.gpu else hardware.cpu)} |
{_source(record)}
| locks | sha256 `{record.source.locks_sha256}` |
{_image(record)}"""


def _back(training: Training) -> str:
    """A row for each time that training went back, and one where it went on on another kind of machine."""
    machines = ", then ".join(map(cell, training.machines or ()))
    several = f"| trained on | {machines}: no other training need come to these bytes |\n" if machines else ""
    return "".join(f"| it diverged | {turned(one)} |\n" for one in training.interventions or ()) + several


def _origin(record: Record) -> str:
    """Where it comes from that was trained elsewhere, and whether golden rows may have been among its training rows."""
    found, train = record.origin, record.data.train
    assert found is not None  # a record has the one or the other
    tool = f"{found.tool}{f' {found.tool_version}' if found.tool_version else ''}" if found.tool else "not known"
    told = "".join(f"| {cell(name)} | {cell(value)} |\n" for name, value in found.told.items())
    seen = _UNSEEN
    if train:
        seen = f"No golden row is among the {train.rows} rows that it was trained on by its publisher's word"
        seen += f" (sha256 `{train.sha256}`)."
    return f"""## Trained elsewhere

This adapter was not trained by the program that judged it. What follows is what its files say; nobody checked it.
{seen}

| | |
|---|---|
| trained by | {cell(tool)} |
| brought as | {cell(found.form)}, weights with sha256 `{found.weights_sha256}` |
| from | {cell(found.source or "files of its publisher")} |
| base as it names it | {cell(found.base or "none")} |
| chat template | {_TEMPLATES.get(found.chat_template, cell(found.chat_template))} |
{told}{_image(record)}
Not known: {cell("; ".join(found.unknown))}.
"""


_UNSEEN = (
    "**The rows that it was trained on are not known here: nobody could check whether the golden rows, by which it is "
    "judged, were among them.**"
)
_TEMPLATES = {
    "base": "the base's",
    "adapter": "its own, which came with it and is not the base's",
    "configuration": "one that its publisher named, not that of the adapter's files",
}


def _page(*, page: bool) -> str:
    """Where the same is to be looked at, row by row; early releases have no page."""
    if not page:
        return ""
    return (
        f"\n![Each gate's share that is right, beside what is proved and asked]({PICTURE})\n"
        f"\nRow by row, with what each answered: [`{PAGE}`]({PAGE}), a page for a browser that asks nobody for "
        "anything. `adapter-release open` verifies the release first.\n"
    )


def _unjudged(record: Record, content_judged: object) -> str:
    """Whether what answers say was judged, and which checks of the rows could not stop the release.

    Nothing where the verdict does not say it, as those by policies of version 1 do not.
    """
    if content_judged is None:
        return ""
    content = "The content of answers is not judged: no gate compares what they say with a reference.\n"
    if content_judged is True:
        content = "What answers say was compared with a reference where the contract declares it, and nowhere else.\n"
    levels = record.setting("data", "checks")
    given = levels if isinstance(levels, dict) else {}
    lowered = [name for name, check in CHECKS.items() if check.level == "error" and given.get(name) == "warning"]
    head = (
        "\n**Checks of the rows that were lowered to warnings**, so it may be true of a row that\n\n" if lowered else ""
    )
    return content + head + "".join(f"- `{name}`: {cell(CHECKS[name].says)}\n" for name in lowered)


def _load(record: Record, repo: str, tag: str) -> str:
    """How to load it; for a record that does not say how its base was loaded, in the words of its time."""
    if not _says_how(record):
        return _load_then(record, repo, tag)
    return f"""## Load it as it was judged

{_form(record)}
{_programs(record, repo, tag)}
In each, `answer([{{"role": "user", "content": "..."}}])` gives what was judged. In any other form, such as another
precision or engine, it is another model, which these gates say nothing of.
"""


def _says_how(record: Record) -> bool:
    """Whether it says how its base was loaded and asked, as every record does since version 3."""
    return record.generation.loaded is not None and record.generation.chat is not None


def _load_then(record: Record, repo: str, tag: str) -> str:
    return f"""## Load it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{record.base.base_model_id}")
tokenizer = AutoTokenizer.from_pretrained("{repo}", revision="{tag}")
model = PeftModel.from_pretrained(base, "{repo}", revision="{tag}")
```
"""


def _image(record: Record) -> str:
    """The line on the container image, which early cards did not have."""
    if not _says_how(record):
        return ""
    image = record.image_digest
    return f"| container image | {f'`{image}`' if image else 'none: made outside the pinned image'} |\n"


def _said(value: object) -> str:
    """A value of the record within a line: it can begin no other, no cell, and no markup."""
    return re.sub(r"[<>|`\[\]\\]", lambda found: f"&#{ord(found.group())};", plain(str(value)))


def _addresses(record: Record) -> str:
    """Of which forms nobody can say what bytes answered."""
    named = [cell(name) for name, form in (record.forms or {}).items() if form.settings["engine"] == "openai"]
    return f"Where an address answered ({', '.join(named)}) no bytes were judged.\n" if named else ""


def _programs(record: Record, repo: str, tag: str) -> str:
    """A program for each form that passed."""
    asked = snippet.as_trained(record)
    found = {TRAINED: programs.block(snippet.python(record, asked, repo, revision=tag))}
    for name, form in (record.forms or {}).items():
        if form.passed and (program := programs.of_form(record, form, repo, tag)):
            found[name] = program
    if len(found) == 1:
        return found[TRAINED]
    return "\n".join(f"### As {cell(name)}\n\n{program}" for name, program in found.items())


def _form(record: Record) -> str:
    """What the judged model was, in words, and where its base is to be had."""
    loaded, chat = record.generation.loaded, record.generation.chat
    assert loaded is not None
    assert chat is not None
    precision = dtype = _said(loaded.dtype)
    if loaded.quantization:
        kind = _said(loaded.quantization.bnb_4bit_quant_type)
        precision = f"{kind}, computing in {dtype}{', de-quantized once' if loaded.dequantized else ''}"
    ends = " or ".join(cell(one.token) for one in chat.ends)
    lines = [f"Base in {precision}; an answer ends with {ends}.", *map(cell, chat.changed), ""]
    if record.base.revision is None:
        lines += [f"No Hub has the base in these weights: `adapter-release base {snippet.EMBEDDED}` unpacks them.", ""]
    return "\n".join(lines)


def _earlier(record: Record) -> str:
    """What was compared with, and in which ways, for what reason, less is required than before."""
    if record.earlier is None:
        return ""
    lines = [_compared(one) for one in record.earlier.releases] or ["There was no earlier release to compare with."]
    if record.earlier.weaker:
        lines += ["", "**This release asks for less than the last one did:**", ""]
        lines += [*(f"- {cell(line)}" for line in record.earlier.weaker), ""]
        lines += [f"The reason given: {cell(str(record.setting('gates', 'weaker_because')))}"]
    return "\n".join([*lines, "", ""])


def _compared(one: PreviousRelease) -> str:
    how = f"not compared with, {one.not_compared}" if one.not_compared else f"compared on {one.rows} rows"
    return f"- {cell(one.tag)} (commit `{one.commit}`): {cell(how)}"
