"""How a base model is asked, and where its answers end: chat template, tokenizer and rows as token ids. Needs no torch.

Three rules hold in training, answering, judging and reproduction, because all of them come here:

- what is *asked* is what the template writes before an answer, header of the answer included;
- what is *learned* is the answer and one token that ends it, nothing before and nothing after;
- what is *judged* is what stands before the first token that ends an answer.

Templates are rendered in `rendering`, by transformers' own renderer.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gates.canonical import Json, canonical_json
from release.data import rendering
from release.data.token_ids import Reader, panicked
from release.data.turns import system_to_user
from release.values import clock
from release.values import tokenizer_settings as of_tokenizer
from release.values.errors import PreflightError
from release.values.layout import CHAT_TEMPLATE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Messages = Sequence[Mapping[str, str]]
SETTLED = "chat.json"
"""Where a run folder says what is otherwise than in the base's own template."""
PROBE: Messages = ({"role": "user", "content": "Is it?"},)
PROBE_ANSWER = "Yes."
CLOCK = "strftime_now"
"""The function that transformers gives a template for today's date."""
NO_THINKING = ({"enable_thinking": False}, {"thinking": False}, {"reasoning": False})
"""The template arguments by which hybrid models leave out their thinking: Qwen3, SmolLM3 and GLM; DeepSeek, Granite."""
BRING = (
    f"Bring a template of your own: set model.chat_template to a file (start from the base's own {CHAT_TEMPLATE}; the "
    "prompt for an answer must be the beginning of the conversation with it, and one special token must end it)."
)
MOVE = (
    "Put the system text at the start of the first user message: `adapter-release data convert FILE --to FILE "
    "--system-to-user` does."
)
WORDS = (
    "The tokenizer of this base has no tokens for that, whatever the template: write it with other characters, or in "
    "JSON as an escape (\\uXXXX)."
)
LAST = "Or learn the last answer of each conversation alone: data.learn: last."
SHOWN = 80  # characters of a text in a message


@dataclass(frozen=True, kw_only=True)
class Example:
    """A row as token ids, as training sees it."""

    asked: tuple[int, ...] = ()
    learned: tuple[int, ...] = ()
    """The answer and the one token that ends it."""
    earlier: tuple[tuple[int, int], ...] = ()
    """Where in ``asked`` earlier answers stand that are learned too, each with the token that ends it."""
    special: tuple[str, ...] = ()
    """Special tokens of the base in the row's own text: they would be read as real ones."""
    fault: str = ""
    """Why it cannot be learned as it would be asked, and what to do; empty for a sound row."""

    @property
    def total(self) -> int:
        return len(self.asked) + len(self.learned)

    @property
    def measured(self) -> "Measured":
        return Measured(asked=len(self.asked), learned=len(self.learned), special=self.special, fault=self.fault)

    def labels(self, ignored: int) -> list[int]:
        """For each token itself where it is learned, and ``ignored`` where it is not."""
        labels = [ignored] * len(self.asked)
        for start, end in self.earlier:
            labels[start:end] = self.asked[start:end]
        return [*labels, *self.learned]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the checks know of an example: of a million rows their tokens are not held."""

    asked: int
    """Tokens of the prompt."""
    learned: int
    """Tokens of the answer and of what ends it."""
    special: tuple[str, ...] = ()
    fault: str = ""

    @property
    def total(self) -> int:
        return self.asked + self.learned


@dataclass(frozen=True, kw_only=True)
class Chat:
    tokenizer: "Tokenizer"
    template: str
    """As it is published: with a fixed date, and with the header of an answer in the prompt for one."""
    arguments: Mapping[str, object]
    """HF's ``chat_template_kwargs``."""
    special: Mapping[str, str]
    """bos_token, eos_token and so on, which a template may write."""
    ends: tuple[int, ...]
    """Every token that ends an answer, by id."""
    changed: tuple[str, ...] = ()
    """What is otherwise than in the base's own template and without arguments, a sentence each."""
    allowance: clock.Allowance = field(default_factory=rendering.allowance, compare=False, repr=False)
    """What rendering may take, of everything that this chat is asked for."""

    def in_time(self) -> AbstractContextManager[None]:
        """For a block that renders one conversation: ``DataError`` when the template does not end."""
        return rendering.in_time(self.template, self.allowance)

    def in_turn(self) -> AbstractContextManager[None]:
        """For a block that renders many, one after the other: the same in less time."""
        return rendering.in_turn(self.template, self.allowance)

    def text(self, messages: Messages, *, generation_prompt: bool) -> str:
        """A conversation as the template writes it; ``PreflightError`` with the template's own words if it refuses."""
        with self.in_time():
            return self._text(messages, generation_prompt=generation_prompt)

    def _text(self, messages: Messages, *, generation_prompt: bool) -> str:
        variables = {**self.special, **self.arguments}
        return rendering.render(self.template, messages, variables, generation_prompt)[0]

    def ids(self, text: str) -> tuple[int, ...]:
        """The token ids of a text, within time and room: a tokenizer's own rules may write it many times over."""
        with self.in_time():
            return self._reader.ids(text)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self.tokenizer)

    def ask(self, messages: Messages) -> tuple[int, ...]:
        """The token ids of a prompt, up to where an answer begins."""
        return self.ids(self.text(messages, generation_prompt=True))

    def example(self, prompt: Messages, answer: str) -> Example:
        """A row with its answer, and what is wrong with it if anything."""
        try:
            with self.in_time():
                before = self._text(prompt, generation_prompt=True)
                whole = self._text([*prompt, {"role": "assistant", "content": answer}], generation_prompt=False)
                asked, ids = self._reader.both(before, whole)
        except PreflightError as refused:
            return Example(fault=f"{refused} {self._for_prompt(prompt, answer)}")
        if lost := [one for one in prompt if str(one["content"]).strip() not in before]:
            what = f"The chat template drops the {lost[0]['role']} message {_shown(str(lost[0]['content']))}."
            return Example(asked=asked, fault=f"{what} {self._for_prompt(prompt, answer)}")
        if ids[: len(asked)] == asked:
            return self._learned(asked, ids[len(asked) :], answer)
        if whole.startswith(before):
            return Example(asked=asked, fault=_joined(whole[len(before) :]))
        what = (
            "The chat template writes a prompt otherwise before an answer than with it: what is trained is not asked."
        )
        return Example(asked=asked, fault=f"{what} {self._for_prompt(prompt, answer)}")

    def conversation(self, prompt: Messages, answer: str, unlearned: frozenset[int] = frozenset()) -> Example:
        """A row of which every answer is learned, but for those of the messages with these numbers."""
        whole = self.example(prompt, answer)
        spans = []
        for number, one in enumerate(prompt):
            if one["role"] != "assistant" or number in unlearned or whole.fault:
                continue
            turn = self.example(prompt[:number], str(one["content"]))
            ids = (*turn.asked, *turn.learned)
            if turn.fault or whole.asked[: len(ids)] != ids:
                what = turn.fault or "The chat template writes it otherwise here than at the end of a conversation."
                return replace(whole, fault=f"Message {number + 1}, an earlier answer: {what} {LAST}")
            spans.append((len(turn.asked), len(ids)))
        return replace(whole, earlier=tuple(spans))

    @cached_property
    def _reserved(self) -> "re.Pattern[str] | None":
        added = self.tokenizer.get_added_tokens_decoder()
        named = {one.content for id_, one in added.items() if one.special or id_ in self.ends}
        written = sorted((one for one in named if one.strip()), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, written))) if written else None

    def reserved(self, texts: Iterable[str]) -> tuple[str, ...]:
        """The special tokens of the base that stand in texts, each once."""
        found = (
            {}
            if self._reserved is None
            else dict.fromkeys(one for text in texts for one in self._reserved.findall(text))
        )
        return tuple(found)

    def _learned(self, asked: tuple[int, ...], after: tuple[int, ...], answer: str) -> Example:
        """A row whose prompt is sound, by what the template writes after it."""
        end = next((number for number, one in enumerate(after) if one in self.ends), None)
        if end is None:
            what = "The chat template ends an answer without the end-of-sequence token: the model would never stop."
            return Example(asked=asked, learned=after, fault=f"{what} {BRING}")
        learned = after[: end + 1]
        if (read := self.decoded(learned[:-1]).strip()) != answer.strip():
            at = next((n for n, (a, b) in enumerate(zip(read, answer.strip(), strict=False)) if a != b), len(read))
            parts = f"{_shown(read[at:])} where the row says {_shown(answer.strip()[at:])}"
            what = f"The chat template and tokenizer turn this answer into another one: from character {at} {parts}."
            kept = self.decoded(self.ids(answer)).strip() == answer.strip()
            do = f"Take special tokens of the base, and thoughts, out of the row's text. Or: {BRING}" if kept else WORDS
            return Example(asked=asked, learned=learned, fault=f"{what} {do}")
        return Example(asked=asked, learned=learned)

    def _for_prompt(self, prompt: Messages, answer: str) -> str:
        """What to do about a prompt that the template refuses or changes; of the rows only what helps."""
        moved = system_to_user(prompt)
        helps = moved is not None and list(moved) != list(prompt) and not self.example(moved, answer).fault
        return f"{MOVE} Or: {BRING}" if helps else BRING

    def decoded(self, ids: Sequence[int]) -> str:
        """Token ids as text, special tokens as they are written, nothing tidied up."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def judged(self, ids: Sequence[int]) -> tuple[str, bool]:
        """What of a generated sequence is judged, and whether it ended by itself."""
        end = next((number for number, one in enumerate(ids) if one in self.ends), None)
        return self.decoded(ids if end is None else ids[:end]), end is not None

    def marked(self, prompt: Messages, answer: str) -> str | None:
        """What ``{% generation %}`` marks of a conversation, for those who train by it; None where nothing does."""
        if not re.search(r"\{%-?\s*generation\s*-?%\}", self.template):
            return None
        messages = [*prompt, {"role": "assistant", "content": answer}]
        special = {**self.special, **self.arguments}
        with self.in_time():
            text, marks = rendering.render(self.template, messages, special, generation_prompt=False, marks=True)
        return "".join(text[start:end] for start, end in marks)

    def token(self, id_: int) -> str:
        return str(self.tokenizer.id_to_token(id_))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a configuration says of the template."""

    template: Path | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    day: date | None = None
    """The day that a template which writes today's date is given; None: today, in UTC."""


def read(folder: Path, wanted: Wanted | None = None, *, base: Path | None = None) -> Chat:
    """The tokenizer and chat template in a folder, made fit to be asked and published.

    ``base`` is the folder of the base model, which declares what ends an answer; None: the same. A template that fits
    already comes out as it is, so that a published one asks as it did. ``PreflightError`` where a chat cannot be asked.
    """
    from tokenizers import Tokenizer

    wanted = wanted or Wanted()
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()  # some files say how long a text may be; transformers takes it off too
        tokenizer.no_padding()
        settings = _object(folder / "tokenizer_config.json")
    except BaseException as error:  # tokenizers raises nothing narrower
        if not (isinstance(error, Exception) or panicked(error)):
            raise
        raise PreflightError(
            f"{folder} has no tokenizer that can be read: {error}. Use a base model with a tokenizer.json."
        ) from None
    special = _special(_optional(folder / "special_tokens_map.json")) | _special(settings)
    chat = Chat(
        tokenizer=tokenizer,
        template=_source(folder, settings, wanted.template),
        arguments=dict(wanted.arguments),
        special=special,
        ends=_declared(base or folder, tokenizer, special),
    )
    chat = _with_header(_dated(chat, wanted.day or datetime.now(UTC).date()))
    chat = replace(chat, ends=tuple(sorted({*chat.ends, *_written_end(chat)})))
    if not chat.ends:
        raise PreflightError(f"The tokenizer in {folder} has no end-of-sequence token. {BRING}")
    return chat


def tokenizer_settings(folder: Path) -> dict[str, Json]:
    """A base's tokenizer_config.json as a release holds it: no template, no code, a class that reads tokenizer.json.

    transformers 5 builds the words of ``LlamaTokenizer`` and its like anew where no config.json says which model it is,
    as beside an adapter: Mistral's and Phi's prompts would begin with other tokens than here. What it writes itself,
    ``TokenizersBackend``, version 4 and what is built on it do not know (verl 5078, LlamaFactory 10310).
    """
    said = of_tokenizer.kept(_object(folder / "tokenizer_config.json"))
    settings = {name: value for name, value in said.items() if name not in _OWN}
    names = settings.get("model_input_names", ["input_ids", "attention_mask"])  # version 4 adds one that models refuse
    return {**settings, "tokenizer_class": of_tokenizer.CLASS, "model_input_names": names}


_OWN = ("is_local", "local_files_only")  # what loading left behind


def special_tokens(folder: Path) -> bytes | None:
    """A base's special_tokens_map.json as a release holds it: its own bytes, unless they say more than tokens."""
    path = folder / of_tokenizer.SPECIAL
    if not path.exists():
        return None
    said = _optional(path)
    kept = of_tokenizer.kept_special(said)
    return path.read_bytes() if kept == said else canonical_json(kept)


def _object(path: Path) -> dict[str, Json]:
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise TypeError(f"{path.name} holds no object")
    return value


def _optional(path: Path) -> dict[str, Json]:
    try:
        return _object(path) if path.exists() else {}
    except (ValueError, TypeError) as error:
        raise PreflightError(f"{path} cannot be read: {error}. Use another revision of the base model.") from None


def _special(settings: Mapping[str, Json]) -> dict[str, str]:
    """The special tokens that a file names; older files write a token as an object."""
    named = {name: value for name, value in settings.items() if name.endswith("_token") and value}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _source(folder: Path, settings: Mapping[str, Json], own: Path | None) -> str:
    """The template that was brought, else the tokenizer's; of several the one called default."""
    if own is not None or (folder / CHAT_TEMPLATE).exists():
        file, named = (own, "model.chat_template: ") if own else (folder / CHAT_TEMPLATE, "")
        try:
            return file.read_bytes().decode("utf-8")  # its line ends as they are: its digest is recorded
        except (OSError, UnicodeDecodeError) as error:
            raise PreflightError(f"{named}{file} cannot be read: {error}. Name a Jinja file in UTF-8.") from None
    template = settings.get("chat_template")
    if isinstance(template, list):
        several = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
        if "default" not in several and several:
            names = ", ".join(sorted(map(str, several)))
            raise PreflightError(f"The tokenizer in {folder} has templates for {names}, and no default one. {BRING}")
        template = several.get("default")
    if not isinstance(template, str) or not template:
        raise PreflightError(f"The tokenizer in {folder} has no chat template. Use an instruction-tuned base. {BRING}")
    return template


def _declared(folder: Path, tokenizer: "Tokenizer", special: Mapping[str, str]) -> tuple[int, ...]:
    """Every token that the base says ends an answer.

    ``generation_config.json``, else ``config.json``, as transformers does; and the tokenizer's end-of-sequence token.
    """
    config = _optional(folder / "config.json")
    text = config.get("text_config")
    generation = folder / "generation_config.json"
    said = _optional(generation) if generation.exists() else {**(text if isinstance(text, dict) else {}), **config}
    named = said.get("eos_token_id")
    listed = [one for one in (named if isinstance(named, list) else [named]) if type(one) is int and one >= 0]
    ids = {one for one in listed if one < 1 << 32 and tokenizer.id_to_token(one) is not None}
    eos = tokenizer.token_to_id(special.get("eos_token", ""))
    return tuple(sorted(ids | ({eos} if eos is not None else set())))


def _written_end(chat: Chat) -> Iterator[int]:
    """The added token that the template itself puts after an answer, whatever the base declares."""
    try:
        before = chat.ids(chat.text(PROBE, generation_prompt=True))
        answered = [*PROBE, {"role": "assistant", "content": PROBE_ANSWER}]
        after = chat.ids(chat.text(answered, generation_prompt=False))[len(before) :]
    except PreflightError:
        return
    added = chat.tokenizer.get_added_tokens_decoder()
    for number, one in enumerate(after):
        if one in added and added[one].content.strip() and chat.decoded(after[:number]).strip() == PROBE_ANSWER:
            yield one
            return


def _dated(chat: Chat, day: date) -> Chat:
    """A template that writes today's date, made to write this day's always, by whoever renders it."""
    with chat.in_time():  # compiling computes what is constant
        formats = _date_formats(chat.template)
    if not formats:
        return chat
    try:
        written = json.dumps({one: day.strftime(one) for one in sorted(formats)})
    except ValueError as error:
        raise PreflightError(f"The chat template asks for a date that nobody can write: {error}. {BRING}") from None
    macro = f"{{%- macro {CLOCK}(format) -%}}{{{{- {written}[format] -}}}}{{%- endmacro %}}\n"
    told = f"The template writes today's date; here it is always {day.isoformat()}."
    return replace(chat, template=macro + chat.template, changed=(*chat.changed, told))


def _date_formats(template: str) -> set[str]:
    """The formats in which a template asks for today's date."""
    from jinja2 import TemplateSyntaxError, nodes
    from transformers.utils.chat_template_utils import _compile_jinja_template

    try:
        tree = _compile_jinja_template(template).environment.parse(template)
    except (TemplateSyntaxError, RecursionError, MemoryError) as error:
        line = f"line {error.lineno}: {error.message}" if isinstance(error, TemplateSyntaxError) else repr(error)
        what = f"The chat template cannot be read: {line[:SHOWN]}"
        raise PreflightError(f"{what}. Mend it, and name the file in model.chat_template.") from None
    if any(one.name == CLOCK for one in tree.find_all(nodes.Macro)):
        return set()  # it has a date of its own
    asked = [one for one in tree.find_all(nodes.Call) if getattr(one.node, "name", None) == CLOCK]
    tested = [one for one in tree.find_all(nodes.Test) if getattr(one.node, "name", None) == CLOCK]
    named = [one for one in tree.find_all(nodes.Name) if one.name == CLOCK]
    formats = [one.args[0].value for one in asked if len(one.args) == 1 and isinstance(one.args[0], nodes.Const)]
    if len(formats) < len(asked) or len(named) > len(asked) + len(tested):
        what = "The chat template writes today's date in a way that it computes, so it cannot be kept the same."
        raise PreflightError(f"{what} {BRING}")
    return {str(one) for one in formats}


def _with_header(chat: Chat) -> Chat:
    """What the template writes before every answer, made part of the prompt.

    First by the argument that the template itself has for it; else the template is given one line more, which says in
    the prompt what it says in a conversation. A thinking block that is empty, the channel of an answer: whoever asks
    with the published template asks so too. Spaces and line ends are left to the answer.
    """
    header = _header(chat)
    if header is not None and not header.strip():
        return chat
    for arguments in NO_THINKING:
        if arguments.keys() & chat.arguments.keys():
            continue  # the configuration says how it is to be
        asked = replace(chat, arguments={**chat.arguments, **arguments})
        other = _header(asked)
        if other is not None and not other.strip():
            shown = ", ".join(f"{name}: {json.dumps(value)}" for name, value in arguments.items())
            return replace(asked, changed=(*chat.changed, f"It is asked with chat_template_kwargs {{{shown}}}."))
    if header is None:
        return chat  # each row says what is wrong
    line = f"{{% if add_generation_prompt %}}{{{{ {json.dumps(header, ensure_ascii=False)} }}}}{{% endif %}}"
    told = f"The template writes {_shown(header)} before every answer; here the prompt ends with it."
    mended = replace(chat, template=re.sub(r"\n\Z", "", chat.template) + line, changed=(*chat.changed, told))
    return mended if _header(mended) == "" else chat


def _header(chat: Chat) -> str | None:
    """What stands between the prompt for an answer and the answer; None where the one does not begin the other."""
    try:
        before = chat.text(PROBE, generation_prompt=True)
        whole = chat.text([*PROBE, {"role": "assistant", "content": PROBE_ANSWER}], generation_prompt=False)
    except PreflightError:
        return None
    if not whole.startswith(before) or PROBE_ANSWER not in whole[len(before) :]:
        return None
    return whole[len(before) :].partition(PROBE_ANSWER)[0]


def _joined(rest: str) -> str:
    """What to say of a conversation that begins with the prompt as text, and not as tokens."""
    what = f"The tokenizer joins the end of the prompt with {_shown(rest)}: what is trained is not asked."
    if rest[:1].isspace():
        return f"{what} Take spaces and line ends off the start of the answer. Or: {BRING}"
    return f"{what} {BRING}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")
