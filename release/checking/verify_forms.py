"""The forms of a release: each verdict follows from its answers, and only what passed is offered."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from release.judging.released import Released
from release.judging.served import Served
from release.models.exports import files, modelfile
from release.publishing import snippet_gguf
from release.values import layout
from release.values.contents import shown
from release.values.record import Form


def problems(release: Released, judged: Sequence[Served]) -> Iterator[str]:
    """A line for whatever is not as it should be; ``judged`` are its forms, judged again."""
    forms = release.record.forms or {}
    if {name: form.settings for name, form in forms.items()} != (release.record.config.get("serving") or {}):
        yield "the forms of the record are not those that its configuration lists"
    for name, form in forms.items():
        yield from _bound(release, name, form)
    for one in judged:
        for file, content in one.files.items():
            if content != release.read(file):
                yield f"computed again, {file} differs ({one.state}): answers or the stored result were changed"
        if one.passed != forms[one.name].passed:
            yield f"{one.name}: the record says passed = {forms[one.name].passed}, its answers say {one.state}"
        if one.in_the_way:
            yield f"{one.name}: {one.state}, and it is a form that must pass"
    yield from _exports(release, forms)
    yield from unnamed(release)


def unnamed(release: Released) -> Iterator[str]:
    """What lies where forms lie, and belongs to none of the record."""
    forms = release.record.forms or {}
    known = {name for form in forms for name in layout.of_form(form).values()}
    for name in release.names:
        if name.startswith("gates/forms/") and name not in known:
            yield f"{shown(name)} belongs to no form of the record"
        if not forms and name.startswith(f"{layout.EXPORTS}/"):
            yield f"{shown(name)} belongs to no form that passed"


def _bound(release: Released, name: str, form: Form) -> Iterator[str]:
    """The record names these very files, and one adapter."""
    named = {
        "answers.jsonl": form.answering.answers_sha256,
        "verdict.json": form.verdict_sha256,
        "comparison.json": form.comparison_sha256,
    }
    for file, published in layout.of_form(name).items():
        if release.sha256(published) != named[file]:
            yield f"{published} is not the one that the record names"
    loaded = form.answering.loaded.get("files")
    answered = loaded if isinstance(loaded, Mapping) else {}
    if form.settings["engine"] == "llama.cpp" and {one: answered.get(one) for one in form.files} != dict(form.files):
        yield f"{name}: llama.cpp answered with other files than those of the record"
    if form.files and form.settings["engine"] != "llama.cpp" and form.settings["merged"] is not True:
        yield f"{name}: files are named for a form that loads none of its own"
    if form.answering.adapter_sha256 != release.record.adapter.sha256:
        yield f"{name}: another adapter answered than the one published"


def _exports(release: Released, forms: Mapping[str, Form]) -> Iterator[str]:
    """What was made for forms that passed is there, and nothing else."""
    passed = [form for form in forms.values() if form.passed]
    pairs = {(f"{layout.EXPORTS}/{name}", sha256) for form in passed for name, sha256 in form.exports.items()}
    wanted = dict(sorted(pairs))
    times = Counter(name for name, _ in pairs)
    yield from (f"{name} is named with two digests" for name in sorted(wanted) if times[name] > 1)
    there = {name for name in release.names if name.startswith(f"{layout.EXPORTS}/")}
    for name in sorted(wanted.keys() | there):
        if name not in there:
            yield f"{name} is missing"
        elif name not in wanted:
            yield f"{name} belongs to no form that passed"
        elif release.sha256(name) != wanted[name]:
            yield f"{name} is not the file that was judged"
    for name, form in forms.items():
        yield from _ollama(release, name, form)


def _ollama(release: Released, name: str, form: Form) -> Iterator[str]:
    """The Modelfile loads what was judged, and its template writes the golden prompts as they were judged."""
    if form.ollama is None:
        return
    loaded, told, chat = snippet_gguf.loaded(form), form.ollama, form.answering.chat
    says = modelfile.Says(
        model=loaded.model,
        adapter=loaded.lora,
        context=told.context,
        max_new_tokens=form.answering.decoding.max_new_tokens,
        ends=[one.token for one in chat.ends],
    )
    name_there = f"{layout.EXPORTS}/{told.file}"
    if form.settings["constraint"] != "none" or told.file not in (None, files.modelfile(loaded)):
        yield f"{name}: the record names {shown(str(told.file))} for Ollama, which is not for what was judged"
    elif (told.file is None) != (told.sha256 is None):
        yield f"{name}: of Ollama's file the record has a name or a digest, and not both"
    elif form.passed and name_there in release.files:  # one that is missing was said
        content = release.read(name_there).decode("utf-8")
        prompts = [row.prompt for row in release.terms.golden.rows]
        if problem := modelfile.problem(content, says, told.adds, prompts, form.answering.prompts_sha256):
            yield f"{shown(name_there)} {problem}"
