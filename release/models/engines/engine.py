"""What an answering engine is given, and what it gives: the loop over prompts, `generate`, knows nothing else of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from gates import Golden, Output
from release.config.settings import Config, Form
from release.data import chat as chats
from release.data.chat import Chat, Messages
from release.values import layout


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One question, in each form in which an engine may take it."""

    id: str
    messages: Messages
    """For an engine that renders the chat template itself, such as a server that is spoken to over HTTP."""
    text: str
    """As the template writes it, up to where the answer begins."""
    ids: tuple[int, ...]
    """The tokens of that text, nothing added: what is judged is the answer to these."""


def prompts(rows: Sequence[Golden], chat: Chat) -> list[Prompt]:
    """What rows ask, as the chat template writes it."""
    texts = [chat.text(row.prompt, generation_prompt=True) for row in rows]
    return [
        Prompt(id=row.id, messages=row.prompt, text=text, ids=chat.ids(text))
        for row, text in zip(rows, texts, strict=True)
    ]


Answerer = Callable[[Sequence[Prompt]], Iterator[Output]]
"""An output for each prompt, in any order, each as soon as it is there.

Decoding is greedy and free. The text is what stands before the first end; ``finish_reason`` is ``stop`` where one came.
"""


Batches = Callable[[Sequence[Prompt]], Sequence[Sequence[Prompt]]]
"""The questions in the groups that an engine computes with at once; no answer depends on another group."""


def together(prompts: Sequence[Prompt]) -> Sequence[Sequence[Prompt]]:
    """All in one group."""
    return [prompts] if prompts else []


def checked(answerer: Answerer, prompts: Sequence[Prompt]) -> Iterator[Output]:
    """An answer to each prompt and to no other, in whichever order the engine gives them."""
    asked, found = {one.id for one in prompts}, set[str]()
    for output in answerer(prompts) if prompts else ():
        if output.id in found:
            raise RuntimeError(f"The engine answered row {output.id} twice: nobody can tell which answer counts.")
        found.add(output.id)
        if output.id in asked:
            yield output
    if found != asked:
        raise RuntimeError(f"The engine gave answers to other rows than it was asked, see row {min(found ^ asked)}.")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which model answers, and how it is asked."""

    base: Path
    """A folder as `models.base` seals it."""
    adapter: Path
    """A folder as PEFT writes it, with tokenizer and chat template."""
    chat: Chat
    """What renders a prompt, and which tokens end an answer."""
    settings: Config
    form: Form
    """How it is loaded and asked; what is not said there is as in training."""
    schema: Path
    """The answer schema, for a form whose decoding it constrains."""
    exports: Path
    """The folder with the files that `models.exports` made of this adapter for this form."""


def of_run(run: Path, base: Path, settings: Config, form: Form) -> Asked:
    """The adapter of a run folder in a form, asked as its chat template and arguments say."""
    wanted = chats.Wanted(arguments=settings.model.chat_template_kwargs)
    return Asked(
        base=base,
        adapter=run / "adapter",
        chat=chats.read(run / "adapter", wanted, base=base),
        settings=settings,
        form=form,
        schema=run / layout.in_run(layout.ANSWER_SCHEMA),
        exports=run / layout.EXPORTS,
    )


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A base model that is ready to answer."""

    loaded: Mapping[str, object]
    """How it was loaded, in the engine's own words: what is judged is the adapter over that."""
    alone: Answerer | None
    """The base without an adapter; None where the engine cannot be asked that."""
    adapted: Callable[[], Answerer]
    """Puts the adapter on, whole or with an error, and gives what answers with it; nobody asks the base after that."""
    ran_on: Callable[[], Mapping[str, object]]
    """Hardware, versions, packages and arithmetic, so far: keys and values as in ``release.json``."""
    batches: Batches = together
    """Each can be answered by itself, whatever else is asked, to the same bytes."""
    cards: int = 1
    """On how many cards the base lies."""


Engine = Callable[[Asked], AbstractContextManager[Opened]]
"""Loads a base and holds it, or a process that has it, until the block ends."""
