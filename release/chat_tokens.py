"""Token lengths of chat rows by the base model's own tokenizer and chat template, without torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.errors import PreflightError

START, STOP = "\ufdd0", "\ufdd1"  # noncharacters: no text may hold them (Unicode 23.7), and the data gate refuses them


@dataclass(frozen=True, kw_only=True)
class Length:
    """Of one row as training sees it."""

    prompt: int
    total: int
    learns_to_stop: bool
    """Whether the end-of-sequence token is among the tokens that are learned."""
    asks_alike: bool
    """Whether the prompt's tokens before an answer are those with which generation asks for one."""


@dataclass(frozen=True, kw_only=True)
class ChatTokens:
    tokenizer: Any
    template: Any
    special: Mapping[str, str]
    end: int

    def text(self, messages: Sequence[Mapping[str, str]], *, generation_prompt: bool) -> str:
        """A conversation as the template writes it, with ``START`` and ``STOP`` where it marks what is generated."""
        return str(
            self.template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=generation_prompt,
                **self.special,
            )
        )

    def ids(self, messages: Sequence[Mapping[str, str]], *, generation_prompt: bool) -> list[int]:
        """The token ids of a conversation, as ``apply_chat_template`` gives them."""
        text = self.text(messages, generation_prompt=generation_prompt).replace(START, "").replace(STOP, "")
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def measure(self, prompt: Sequence[Mapping[str, str]], answer: str) -> Length:
        """The length of a prompt with its answer, split as TRL splits prompt and completion."""
        asked = self.ids(prompt, generation_prompt=True)
        whole = self.ids([*prompt, {"role": "assistant", "content": answer}], generation_prompt=False)
        return Length(
            prompt=len(asked),
            total=len(whole),
            learns_to_stop=self.end in whole[len(asked) :],
            asks_alike=whole[: len(asked)] == asked,
        )


def read(folder: Path) -> ChatTokens:
    """The tokenizer and chat template in a base model's folder; ``PreflightError`` where a chat cannot be rendered."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    except Exception as error:  # noqa: BLE001  tokenizers raises nothing narrower
        raise PreflightError(
            f"{folder} has no tokenizer that can be read: {error}. Use a base model with a tokenizer.json."
        ) from None
    source = _template(folder, settings)
    special = {name: _text(value) for name, value in settings.items() if name.endswith("_token") and value}
    end = tokenizer.token_to_id(special.get("eos_token", ""))
    if source is None or end is None:
        lack = "chat template" if source is None else "end-of-sequence token"
        raise PreflightError(f"The tokenizer in {folder} has no {lack}. Use an instruction-tuned base model.")
    return ChatTokens(tokenizer=tokenizer, template=_compiled(source), special=special, end=end)


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text("utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = {one["name"]: one["template"] for one in template}.get("default")
    return template


def _text(token: Any) -> str:
    """Older tokenizers write a token as an object."""
    return str(token["content"] if isinstance(token, dict) else token)


def _compiled(source: str) -> Any:
    """The template in the environment that transformers gives it: sandboxed, blocks trimmed."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise PreflightError(f"The base model's chat template refuses a row: {message}")

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _generation_tag()]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: form  # a date of any day: lengths stay the same every day
    return environment.from_string(source)


def _generation_tag() -> Any:
    """Jinja's extension for ``{% generation %}``, which marks what an assistant says; the marks are kept as text."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012  Jinja's own declaration

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            inside = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            start, stop = (nodes.Output([nodes.TemplateData(mark)], lineno=line) for mark in (START, STOP))
            return [start, nodes.Scope(inside, lineno=line), stop]

    return Generation
