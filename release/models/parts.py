"""Answers as they come: a file for each batch, so that a stage that was killed goes on, and processes share the work.

A batch is answered whole and by one process, whichever that is: so any number of them gives the same bytes, where each
computes alike.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gates import Output
from gates.canonical import canonical_json, digest
from release.models import together
from release.models.engines import engine
from release.models.engines.engine import Answerer, Batches, Prompt
from release.running import launched
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError, shown

FOLDER = "parts"
LOOKS = 0.2
"""Seconds between two looks at what other processes have answered."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is kept of a batch."""

    outputs: tuple[Output, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The batches that one model is to answer, and where each is kept once it is."""

    folder: Path
    prompts: tuple[Prompt, ...]
    batches: tuple[tuple[Prompt, ...], ...]
    mine: tuple[int, ...]
    """Those that this process has to answer."""
    seconds: float
    """What those took that were there already, by the clock on the wall."""

    def path(self, number: int) -> Path:
        return self.folder / f"{number}.json"

    @property
    def there(self) -> int:
        """How many questions are answered, by whichever process."""
        return sum(len(batch) for number, batch in enumerate(self.batches) if self.path(number).exists())


@dataclass(frozen=True, kw_only=True)
class Answered:
    outputs: list[Output]
    """In the order of the questions."""
    seconds: float


def begun(folder: Path, key: Mapping[str, object], prompts: Sequence[Prompt], batches: Batches) -> Parts:
    """What is answered of these questions under this key, and what is left to do; every process sees the same.

    The key holds all that the answers depend on. No answer is written before `agree`.
    """
    none = Parts(
        folder=folder / FOLDER / digest(key)[:32],
        prompts=tuple(prompts),
        batches=tuple(tuple(batch) for batch in batches(prompts)),
        mine=(),
        seconds=0.0,
    )
    found = [_read(none.path(number), batch) for number, batch in enumerate(none.batches)]
    share = range(launched.rank(), len(found), launched.count())
    mine = tuple(number for number in share if found[number] is None)
    for number in mine:
        none.path(number).unlink(missing_ok=True)  # what is there is no answer
    return replace(none, mine=mine, seconds=sum(one.seconds for one in found if one) / launched.count())


def agree(key: Mapping[str, object]) -> None:
    """Wait until every process has seen what is there; ``PreflightError`` where one of them computes otherwise."""
    must_be_alike([json.loads(one) for one in together.gathered(canonical_json(key).decode())])


def must_be_alike(told: Sequence[Mapping[str, object]]) -> None:
    """``PreflightError`` where the keys of the processes are not all the same."""
    for other in told:
        if unlike := [name for name in told[0] if told[0][name] != other.get(name)]:
            one, another = (shown(each.get(unlike[0])) for each in (told[0], other))
            raise PreflightError(
                f"The processes that are to share the questions are not alike: {unlike[0]} is {one} of one and "
                f"{another} of another, so who answers a question would decide how. Nothing was answered. Name cards "
                "of one kind in CUDA_VISIBLE_DEVICES, or take generation.processes out."
            )


def answered(parts: Parts, answerer: Answerer, done: Callable[[int], None]) -> Answered | None:
    """The batches of this process, answered; in the first process all of them, in every other None.

    ``done`` is told how many questions are answered by all processes together.
    """
    started, there = time.monotonic(), 0
    if launched.rank():
        if parts.mine:
            _answer(parts, answerer, lambda _: None)
        return None
    done(parts.there)
    _answer(parts, answerer, lambda more: done(parts.there + more))
    while there < len(parts.prompts):  # a process that ends before its share is done takes this one along
        if (now := parts.there) > there:
            done(there := now)
        else:
            time.sleep(LOOKS)
    found = [_read(parts.path(number), batch) for number, batch in enumerate(parts.batches)]
    outputs = {output.id: output for part in found if part for output in part.outputs}
    if outputs.keys() != {one.id for one in parts.prompts}:
        raise RuntimeError(f"{parts.folder} holds other answers than were written there")
    return Answered(
        outputs=[outputs[one.id] for one in parts.prompts], seconds=parts.seconds + time.monotonic() - started
    )


def forget(there: Parts | Path) -> None:
    """Take these parts away, or all in a folder, once their answers are kept as a whole."""
    shutil.rmtree(there / FOLDER if isinstance(there, Path) else there.folder, ignore_errors=True)


def _answer(parts: Parts, answerer: Answerer, tell: Callable[[int], None]) -> None:
    parts.folder.mkdir(parents=True, exist_ok=True)
    batch_of = {one.id: number for number in parts.mine for one in parts.batches[number]}
    open_ones: dict[int, list[Output]] = {number: [] for number in parts.mine}
    since, asked = time.monotonic(), [one for number in parts.mine for one in parts.batches[number]]
    for output in engine.checked(answerer, asked):
        number = batch_of[output.id]
        open_ones[number].append(output)
        if len(open_ones[number]) == len(parts.batches[number]):
            now = time.monotonic()
            kept = {"answers": [asdict(one) for one in open_ones.pop(number)], "seconds": round(now - since, 3)}
            write_atomically(parts.path(number), json.dumps(kept, ensure_ascii=False).encode())
            since = now
        tell(sum(map(len, open_ones.values())))


def _read(path: Path, batch: Sequence[Prompt]) -> Part | None:
    """What is kept of a batch; None where nothing is, or not the answers to it."""
    try:
        kept = json.loads(path.read_bytes())
        outputs = tuple(Output(**one) for one in kept["answers"])
        seconds = float(kept["seconds"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return Part(outputs=outputs, seconds=seconds) if {one.id for one in outputs} == {one.id for one in batch} else None
