"""The ledger in a release: its own attempt comes out again, what comes before is its number, and none is left out."""

from collections.abc import Iterator, Sequence

from release.judging import attempts, derive, previous
from release.judging.derive import Alone, Beside
from release.judging.previous import Release
from release.judging.released import Released
from release.judging.served import Served
from release.values import layout


def problems(
    release: Released, found: tuple[Alone, Beside, Sequence[Served]], before: Sequence[Release]
) -> Iterator[str]:
    """A line for whatever is not so; nothing for a release that came without a ledger."""
    if layout.LEDGER not in release.files:
        return
    record, terms, tried = release.record, release.terms, release.terms.tried
    answers = {layout.TRAINED: record.generation.answers_sha256}
    answers |= {name: form.answering.answers_sha256 for name, form in (record.forms or {}).items()}
    own = derive.entries(terms, record.adapter.sha256, answers, found)
    if attempts.written([*tried, *own]) != release.read(layout.LEDGER):
        yield f"computed again, {layout.LEDGER} differs: its last attempt is not this one, or a line was changed"
    if len(attempts.together(tried)) < len(tried):
        yield f"{layout.LEDGER} holds an attempt twice"
    if other := sum(not terms.golden_set.had(one) for one in tried):
        yield f"{layout.LEDGER} holds {other} attempts on other golden rows"
    if record.attempt != (number := attempts.number(tried)):
        yield f"it is attempt {number} by {layout.LEDGER}, the record says {record.attempt}"
    yield from (f"{layout.LEDGER}: {line}" for line in previous.uncounted([*tried, *own], before, terms))
