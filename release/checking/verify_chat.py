"""How it was asked: by the published chat template, with the configured arguments, in every form alike."""

from collections.abc import Iterator

from gates.canonical import canonical_json
from release.data.chat import NO_THINKING
from release.judging.released import Released
from release.values import layout
from release.values.as_json import to_json
from release.values.errors import shown
from release.values.record import Chat, Decoding, Form, Generation, Record


def problems(release: Released) -> Iterator[str]:
    """A line for each way in which it was judged otherwise than it is asked; early records say less of it."""
    record = release.record
    if record.generation.chat is not None:
        yield from _template(release, record.generation.chat)
        yield from _arguments(record, record.generation.chat)
    yield from _decoding("the golden set", record.generation.decoding, record, None)
    for name, form in (record.forms or {}).items():
        held = form.settings.get("constraint")
        yield from _decoding(name, form.answering.decoding, record, None if held == "none" else held)
        yield from _as_trained(name, form, record.generation)
    yield from _copied(release)


def _template(release: Released, chat: Chat) -> Iterator[str]:
    """The digest is that of the file that lies beside the adapter, to the byte."""
    published = release.sha256(layout.CHAT_TEMPLATE)
    if chat.chat_template_sha256 != published:
        yield (
            f"it was asked with a chat template of sha256 {chat.chat_template_sha256}, "
            f"{layout.CHAT_TEMPLATE} has {published}"
        )


def _arguments(record: Record, chat: Chat) -> Iterator[str]:
    """Those of the configuration; or with one more, by which a template leaves out its thinking."""
    configured = record.setting("model", "chat_template_kwargs")
    known = dict(configured) if isinstance(configured, dict) else {}
    honest = [known, *({**known, **one} for one in NO_THINKING if not one.keys() & known.keys())]
    asked = _spelt(chat.chat_template_kwargs)
    if asked not in [_spelt(one) for one in honest]:
        yield (
            f"it was asked with chat_template_kwargs {shown(to_json(chat.chat_template_kwargs))}, "
            f"its configuration says {shown(known)}"
        )


def _decoding(name: str, told: Decoding, record: Record, constraint: object) -> Iterator[str]:
    """As the configuration says, and greedily."""
    settings = {one: record.setting("generation", one) for one in ("max_new_tokens", "batch_size")}
    asked = {"do_sample": False, **settings, "constraint": constraint}
    for what, value in asked.items():
        if _spelt(getattr(told, what)) != _spelt(value):
            yield f"{name}: {what} was {shown(getattr(told, what))}, its configuration says {shown(value)}"


def _as_trained(name: str, form: Form, trained: Generation) -> Iterator[str]:
    """Every engine is asked the very same: prompts, template, arguments, and what ends an answer."""
    if form.answering.prompts_sha256 != trained.prompts_sha256:
        theirs, ours = form.answering.prompts_sha256, trained.prompts_sha256
        yield f"{name}: its prompts have sha256 {theirs}, in the form it was trained in {ours}"
    if trained.chat is not None and _spelt(form.answering.chat) != _spelt(trained.chat):
        theirs, ours = shown(to_json(form.answering.chat)), shown(to_json(trained.chat))
        yield f"{name}: it was asked as {theirs}, in the form it was trained in as {ours}"


def _copied(release: Released) -> Iterator[str]:
    """A merged model is asked by the tokenizer and template that lie beside it: they are the adapter's own."""
    for name in release.files:
        own = name.rpartition("/")[2]
        copied = name.startswith(f"{layout.EXPORTS}/") and own in layout.TOKENIZER
        if copied and release.sha256(name) != release.sha256(own):
            yield f"{name} is not the adapter's own {own}"


def _spelt(value: object) -> bytes:
    """Two values are the same if they are spelt so: 1 is not true, and 1.0 is not 1."""
    return canonical_json(to_json(value))
