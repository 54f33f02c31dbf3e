"""Ollama's Modelfile: what it loads, and a Go template that writes a judged prompt to the byte, or no Modelfile.

The template is found by probing the chat template and kept only if it renders every golden prompt as was judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gates.canonical import digest
from release.data.chat import SHOWN, Chat, Messages
from release.models.exports.go_template import rendered
from release.values.errors import PreflightError

USER, SYSTEM, ANSWER, AGAIN = "QuserQ", "QsystemQ", "QanswerQ", "QagainQ"
"""Contents that no template changes and that can be found again."""
QUOTES = '"""'
LINES = "\n\r\t"
"""Of what is not printable all that Ollama's reader of a Modelfile keeps, within a template: the rest it drops."""

BEGINS = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano")
"""The ways to split words for which llama.cpp begins a text by itself where a GGUF says nothing: those of Llama 3."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a chat template writes around each message; what it cannot say so is not here."""

    first: str
    """Before a conversation that has no system message."""
    around: Mapping[str, tuple[str, str]]
    """Before and after a message, by its role."""
    last: str
    """The header of an answer."""


@dataclass(frozen=True, kw_only=True)
class Says:
    """All that a Modelfile says beside its template."""

    model: str
    adapter: str | None
    context: int
    """Tokens of a question and its answer."""
    max_new_tokens: int
    ends: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Asks:
    """What a Modelfile is written of."""

    says: Says
    chat: Chat
    prompts: Sequence[Messages]
    """All of them must be rendered as they were judged."""
    adds: str = ""
    """What llama.cpp itself puts before a prompt of this GGUF: the token that begins a text, where it says so."""


def text(asks: Asks) -> str:
    """The file; ``PreflightError`` says why there can be none."""
    template = go_template(asks.chat, asks.adds)
    for number, prompt in enumerate(asks.prompts, 1):
        if (told := asks.adds + rendered(template, prompt)) != (
            judged := asks.chat.text(prompt, generation_prompt=True)
        ):
            at = next((n for n, (a, b) in enumerate(zip(told, judged, strict=False)) if a != b), len(told))
            raise PreflightError(
                f"No Modelfile for Ollama: its template would write golden prompt {number} otherwise than was judged, "
                f"from character {at} on: {told[at : at + SHOWN]!r} for {judged[at : at + SHOWN]!r}. Load the GGUF in "
                "llama.cpp, with the prompt as the chat template writes it."
            )
    return written(asks.says, template)


def written(says: Says, template: str) -> str:
    """The file with this template; ``PreflightError`` where something in it would be read as more than it is."""
    words = [says.model, says.adapter or "", *says.ends]
    odd = [one for one in words if '"' in one or not one.isprintable()]
    if QUOTES in template or not template.translate(dict.fromkeys(map(ord, LINES))).isprintable():
        odd = [template]
    if odd:
        raise PreflightError(f"No Modelfile for Ollama: it has no way to write {odd[0]!r}. Load the GGUF in llama.cpp.")
    parameters = [
        ("num_ctx", str(says.context)),
        ("num_predict", str(says.max_new_tokens)),
        ("temperature", "0"),
        ("top_k", "1"),
        ("repeat_penalty", "1"),  # Ollama's own is 1.1, which changes what a greedy answer says
        *(("stop", f'"{one}"') for one in says.ends),
    ]
    loaded = [f"FROM ./{says.model}", *([f"ADAPTER ./{says.adapter}"] if says.adapter else [])]
    lines = [*loaded, f"TEMPLATE {QUOTES}{template}{QUOTES}", *(f"PARAMETER {a} {b}" for a, b in parameters)]
    return "\n".join([*lines, ""])


def problem(content: str, says: Says, adds: str, prompts: Sequence[Messages], judged: str) -> str:
    """Why a file is not the one for what was judged; ``judged`` is the digest of the prompts as texts. Empty if it is.

    Nothing of a chat template is run for that: its own template is read, by the few actions that it may have.
    """
    template = content.partition(QUOTES)[2].rpartition(QUOTES)[0]
    try:
        if content != written(says, template):
            return "does not say what was judged: files, length, stop tokens and greedy decoding"
        if digest([adds + rendered(template, one) for one in prompts]) != judged:
            return "has a template that writes golden prompts otherwise than they were judged"
    except PreflightError as error:
        return str(error)
    return ""


def go_template(chat: Chat, adds: str = "") -> str:
    """A Go template that writes what this chat template does; ``PreflightError`` where probing finds no such one."""
    found = probed(chat)
    first, around = found.first.removeprefix(adds), dict(found.around)
    if "system" in around:
        around["system"] = (around["system"][0].removeprefix(adds), around["system"][1])
    pieces = [first, found.last, *(one for both in around.values() for one in both)]
    if any("{{" in one or "}}" in one or one.endswith("{") for one in pieces):
        raise PreflightError("No Modelfile for Ollama: the chat template writes '{{', which Go's templates read.")
    roles = list(around)
    cases = "".join(
        f'{{{{ {"if" if role == roles[0] else "else if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
        for role, (before, after) in around.items()
    )
    start = f"{{{{ if not .System }}}}{first}{{{{ end }}}}" if first else ""
    return f"{start}{{{{ range .Messages }}}}{cases}{{{{ end }}}}{{{{ end }}}}{found.last}"


def probed(chat: Chat) -> Written:
    """What stands around each kind of message, read off conversations of one, two and three."""

    def say(*contents: str, header: bool = False) -> str:
        roles = {USER: "user", SYSTEM: "system", ANSWER: "assistant", AGAIN: "user"}
        return chat.text([{"role": roles[one], "content": one} for one in contents], generation_prompt=header)

    before, after = _cut(say(USER), USER)
    last = _less(say(USER, header=True), say(USER))
    around, first = {"user": (before, after)}, ""
    try:
        answer = _cut(_less(say(USER, ANSWER), say(USER)), ANSWER)
        user = (_cut(_less(say(USER, ANSWER, AGAIN), say(USER, ANSWER)), AGAIN)[0], after)
        if before.endswith(user[0]):
            around, first = {"user": user, "assistant": answer}, before.removesuffix(user[0])
    except PreflightError:  # it writes an answer otherwise once more follows: prompts of one question need none
        pass
    try:
        start, rest = _cut(say(SYSTEM, USER), SYSTEM)
        end, question = _cut(rest.removesuffix(after), USER)[0], around["user"][0]
        if "assistant" not in around:
            question, first = _shared_end(end, before)
            around["user"] = (question, after)
        around = {"system": (start, end.removesuffix(question)), **around}
    except PreflightError:  # it has no system message, or no place of its own for one: golden prompts decide
        pass
    return Written(first=first, around=around, last=last)


def _shared_end(one: str, other: str) -> tuple[str, str]:
    """The longest text that both end with, and what the second begins with."""
    size = next(n for n in range(len(other), -1, -1) if one.endswith(other[len(other) - n :]))
    return other[len(other) - size :], other[: len(other) - size]


def _cut(text: str, content: str) -> tuple[str, str]:
    """What stands before and after a content."""
    start, found, end = text.partition(content)
    if not found:
        raise PreflightError("No Modelfile for Ollama: the chat template moves or changes a message.")
    return start, end


def _less(longer: str, shorter: str) -> str:
    if not longer.startswith(shorter):
        raise PreflightError(
            "No Modelfile for Ollama: the chat template writes the start of a conversation otherwise when more follows."
        )
    return longer.removeprefix(shorter)


def adds(gguf: Path, chat: Chat) -> str:
    """What llama.cpp puts before every prompt of this GGUF by itself."""
    from gguf import GGUFReader

    reader = GGUFReader(str(gguf))
    said, model, pre = (reader.get_field(f"tokenizer.ggml.{name}") for name in ("add_bos_token", "model", "pre"))
    first = reader.get_field("tokenizer.ggml.bos_token_id")
    usual = bool(model and model.contents() == "llama") or bool(pre and pre.contents() in BEGINS)
    wanted = bool(said.contents()) if said else usual
    return chat.token(int(first.contents())) if wanted and first else ""
