"""Every command that looks at a release, over releases that attack it: none runs, leaks, hangs, escapes or says ok."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.helpers import hostile, hostile_records
from tests.helpers.line import ROOT
from tests.helpers.looking import MARK, MEMORY, SECONDS, Look, Looker, network
from tests.helpers.small_release import small_release

TRICKS = {**hostile.MAKERS, **hostile_records.OPEN, **hostile_records.CLOSED}
COMMANDS = {
    "verify": ("verify", "release"),
    "explain": ("explain", "citation_coverage", "release"),
    "rejudge": ("rejudge", "release"),
    "reproduce": ("reproduce", "release", "--level", "verdict", "--anyway"),
    "serve-check": ("serve-check", "release"),
    "export": ("export", "release"),
    "open": ("open", "release", "--no-browser"),
    "compare": ("compare", "release", "release", "--no-browser"),
    "tries": ("tries", "release"),
}
VERIFIES = ("verify", "open", "compare", "tries")
"""What ends well only where the release is sound."""
ALWAYS = ("verify",)
"""Met by every trick; the others take turns, and with ``HOSTILE=all`` in the environment each of them meets all."""
TRAINED_ON = 40  # rows: checking them is most of what a look takes
OURS = ("release", "runs", "exports", "home")
"""What may be in the folder after a command: the release itself, and where reports go."""
RAW = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
COMMAND_OF_A_WORKFLOW = re.compile(r"^\s*(::|##\[)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A looker, what was sent to the network, and a release that nobody has touched."""

    looker: Looker
    heard: list[bytes]
    untouched: Path
    home: Path
    before: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tricks: loading the program takes longer than most looks."""
    home = tmp_path_factory.mktemp("home")
    made = tmp_path_factory.mktemp("made")
    rows = (ROOT / "data" / "elements" / "train.jsonl").read_text("utf-8").splitlines(keepends=True)[:TRAINED_ON]
    (made / "train.jsonl").write_text("".join(rows), "utf-8")
    untouched = small_release(made, data={"train_file": str(made / "train.jsonl")}).folder
    with network() as (port, heard):
        looker = Looker(home, port)
        yield Place(looker=looker, heard=heard, untouched=untouched, home=home, before=_names(home))
        looker.end()


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def faults(place: Place, trick: str, command: str, folder: Path, look: Look) -> Iterator[str]:
    """What is wrong with what a command did."""
    said = look.terminal.encode("latin-1").decode("utf-8", "replace").replace("\r\n", "\n")
    yield from _ended_badly(look, said)
    yield from _shown(said)
    yield from _left(place, folder, said)
    if look.code == 0 and command in VERIFIES and trick not in hostile_records.OPEN:
        yield f"it says ok: {said}"
    if look.code == 0 and command not in {*VERIFIES, "explain"}:
        yield "it ended well"


def _ended_badly(look: Look, said: str) -> Iterator[str]:
    if look.seconds >= SECONDS:
        yield f"it took {look.seconds} s"
    if look.memory > MEMORY:
        yield f"it took {look.memory >> 20} MiB"
    if look.code in {-9, -11, 1} or "Traceback" in said:
        yield f"it crashed with {look.code}: {said[-500:]!r}"


def _shown(said: str) -> Iterator[str]:
    if raw := RAW.search(said):
        yield f"a raw {raw[0]!r} on the terminal: {said[max(0, raw.start() - 60) : raw.end() + 60]!r}"
    if COMMAND_OF_A_WORKFLOW.search(said):
        yield f"a workflow command: {said[-500:]!r}"
    if len(said) > 200_000:
        yield f"{len(said):,} characters on the terminal"


def _left(place: Place, folder: Path, said: str) -> Iterator[str]:
    if MARK in said or any(MARK.encode() in path.read_bytes() for path in _files(folder)):
        yield "a secret leaked"
    if place.heard:
        yield f"it spoke to the network: {place.heard.pop()[:200]!r}"
    if strange := {name for name in _names(folder) if not name.startswith(OURS)}:
        yield f"it wrote {sorted(strange)[:5]}"
    if new := {name for name in _names(place.home) - place.before if not name.startswith(".rustup")}:  # pip's rustc
        yield f"it wrote {sorted(new)[:5]} at home"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "release/" not in path.as_posix())


def _in_turn(trick: str) -> Sequence[str]:
    """The commands that look at this trick here."""
    if os.environ.get("HOSTILE") == "all":
        return list(COMMANDS)
    others = [name for name in COMMANDS if name not in ALWAYS]
    return [*ALWAYS, others[list(TRICKS).index(trick) % len(others)]]


@pytest.mark.parametrize("trick", TRICKS)
def test_whoever_looks_at_a_hostile_release_is_not_hurt(trick: str, place: Place, tmp_path: Path) -> None:
    release = hostile.copy(place.untouched, tmp_path / "release")
    TRICKS[trick](release)

    wrong: dict[str, list[str]] = {}
    for name in _in_turn(trick):
        look = place.looker.look(*COMMANDS[name], folder=tmp_path)
        wrong |= {name: found} if (found := list(faults(place, trick, name, tmp_path, look))) else {}

    assert wrong == {}


def test_an_untouched_release_is_looked_at_and_called_ok(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.untouched, tmp_path / "release")

    looks = {name: place.looker.look(*COMMANDS[name], folder=tmp_path) for name in (*VERIFIES, "explain")}

    assert {name: look.code for name, look in looks.items()} == {**dict.fromkeys(looks, 0), "tries": 2}
    assert "trained once, with no tries" in looks["tries"].terminal
