"""A chat template at work, by transformers' own renderer, whose import costs a second; within time and room.

The sandbox that transformers renders in sets no limit of either, and a template may come with somebody else's release.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from jinja2 import TemplateError

from gates.strict_json import SURROGATE
from release.values import clock, room
from release.values.errors import DataError, PreflightError

SECONDS = 60.0
"""Of a processor, for all that is rendered with one template; an honest conversation takes a thousandth of one."""
SECONDS_EACH = 0.5
"""More for each conversation."""
AFRESH = 1.0
MEMORY = 1 << 30
"""Bytes that rendering one conversation may take; an honest one takes some kilobytes."""
LONGEST = 1_000_000
"""Characters that a template may write around a conversation, whose own may be written ``TIMES`` times over."""
TIMES = 10
SHOWN = 80  # characters of a text in a message
TEMPLATE_FAULTS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError,
                   MemoryError)  # fmt: skip
"""What a template of somebody else's can raise while it is rendered."""


def allowance() -> clock.Allowance:
    """What rendering with one template may take."""
    return clock.Allowance(seconds=SECONDS, each=SECONDS_EACH)


@contextlib.contextmanager
def in_time(template: str, allowed: clock.Allowance) -> Iterator[None]:
    """Render one conversation in the block; ``DataError`` when what is allowed for all of them is used up.

    ``MemoryError`` where it takes too much room. The renderer is loaded before: a library whose import was cut short is
    not to be used by this process again.
    """
    if allowed.again is not None:
        allowed.again()
        yield
        return
    _renderer()
    try:
        with allowed.one(), room.within(MEMORY):
            yield
    except clock.TimeUp:
        sha256 = hashlib.sha256(template.encode()).hexdigest()
        number = "one conversation" if allowed.done == 1 else f"{allowed.done:,} conversations"
        raise DataError(
            f"The chat template {shortened(template)} (sha256 {sha256}), or the tokenizer, does not end: "
            f"{number} took {allowed.used:.0f} seconds of a processor, where each takes a thousandth of one. "
            "Nothing was asked with it. In a release of somebody else's: do not use it, and inform its publisher. Of "
            "your own: look for loops in it, or set model.chat_template to a file with another one."
        ) from None


@contextlib.contextmanager
def in_turn(template: str, allowed: clock.Allowance) -> Iterator[None]:
    """Render one conversation after the other in the block, within the same bounds.

    The clock is wound up, and the room measured, every ``AFRESH`` seconds and not for each of them: that would take a
    quarter of the time.
    """
    with contextlib.ExitStack() as bounds:
        begun = float("-inf")

        def again() -> None:
            nonlocal begun
            now = time.process_time()
            if now - begun < AFRESH:
                allowed.done += 1
                return
            begun, allowed.again = now, None
            bounds.pop_all().close()
            bounds.enter_context(in_time(template, allowed))
            allowed.again = again

        allowed.again = again
        try:
            yield
        finally:
            allowed.again = None


def render(
    template: str,
    messages: Sequence[Mapping[str, str]],
    variables: Mapping[str, object],
    generation_prompt: bool,
    *,
    marks: bool = False,
) -> tuple[str, list[tuple[int, int]]]:
    """The text, and where the template's generation blocks stand in it if ``marks`` are asked for."""
    why = ""
    text, places = "", list[list[tuple[int, int]]]()
    try:
        (text,), places = _renderer()(
            conversations=[[dict(message) for message in messages]],
            chat_template=template,
            add_generation_prompt=generation_prompt,
            return_assistant_tokens_mask=marks,
            **variables,
        )
    except TEMPLATE_FAULTS as error:
        why = shortened(str(error) or type(error).__name__)
        if isinstance(error, MemoryError):
            why = f"it takes more than {MEMORY >> 20:,} MiB of memory to write it"
    if why:  # here, and not above: an error that goes on from another keeps all that was at work there
        raise PreflightError(f"The base model's chat template refuses a row: {why}.")
    if len(text) > (most := LONGEST + TIMES * sum(len(str(one.get("content"))) for one in messages)):
        what = f"The base model's chat template refuses a row: it writes {len(text):,} characters for it"
        raise PreflightError(f"{what}, more than {most:,}.")
    if not text.isascii() and SURROGATE.search(text):
        what = "The base model's chat template writes half of a surrogate pair, which no tokenizer reads"
        raise PreflightError(f"{what}. Look for an escape such as \\ud800 in it.")
    return str(text), [(start, end) for start, end in places[0]] if marks else []


@cache
def _renderer() -> Callable[..., tuple[list[str], list[list[tuple[int, int]]]]]:
    """The renderer of transformers: importing it takes a second, so it is not done where nothing is rendered."""
    from transformers.utils.chat_template_utils import render_jinja_template

    renderer: Callable[..., tuple[list[str], list[list[tuple[int, int]]]]] = render_jinja_template
    return renderer


def shortened(text: str) -> str:
    """A text in a message."""
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")
