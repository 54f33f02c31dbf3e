"""A release on this disk, read and hashed once: what verify, explain, rejudge and the next release look at.

Nothing of it is believed, and no file is opened that the first look refused (`release.values.contents`): each property
raises ``ValueError``, ``OSError`` or ``gates.Invalid`` where its file is not what it should be, and a caller says so in
its own words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gates
from release.data import dataset
from release.data.dataset import Dataset
from release.judging import terms
from release.judging.terms import Terms
from release.values import bounded, bounds, contents, layout, record
from release.values.artifacts import FileDigest, Manifest, sha256_file
from release.values.as_json import part
from release.values.contents import Contents
from release.values.errors import DataError
from release.values.record import Record, Rows


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A gate's line in ``gates/verdict.json``."""

    gate: str
    state: str
    required: bool
    k: int
    n: int
    bound: float | None
    target: float | None
    floor: float | None


@dataclass(frozen=True, kw_only=True)
class Released:
    """A release in a folder: downloaded, kept from before, or just made."""

    folder: Path
    name: str = ""
    """What to call it in messages."""
    data: Path | None = None
    """Where the rows are, for a release that does not carry them."""

    @cached_property
    def listed(self) -> Contents:
        """What the folder holds, before any of it is read."""
        return contents.look(self.folder)

    @cached_property
    def contents(self) -> Contents:
        """What the folder holds, and which of it may be opened."""
        return contents.checked(self.folder, self.listed)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every file, less what git and the Hub's client keep beside it."""
        return self.contents.names

    @cached_property
    def files(self) -> Mapping[str, FileDigest]:
        """Size and sha256 of every file that may be opened, through the links of the Hub's cache."""
        paths = [(name, self.folder / name, size) for name, size in self.contents.sizes.items()]
        return {name: FileDigest(path=name, size=size, sha256=sha256_file(path)) for name, path, size in sorted(paths)}

    def path(self, name: str) -> Path:
        """Where a file is, to be opened; ``NotOpened`` where it may not be."""
        self.contents.need(name)
        return self.folder / name

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self.path(name).read_bytes()

    def manifest(self, names: Sequence[str] | None = None) -> Manifest:
        """The manifest of these files, or of all; ``NotOpened`` where one may not be opened."""
        for name in [""] if names is None else names:
            self.contents.need(name)
        return Manifest(files=tuple(self.files[name] for name in sorted(self.names if names is None else names)))

    def sha256(self, name: str) -> str | None:
        """Of one file; None where there is none, ``NotOpened`` where it may not be opened."""
        self.contents.need(name)
        found = self.files.get(name)
        return found.sha256 if found else None

    def json(self, name: str) -> dict[str, object]:
        """A file that holds a JSON object."""
        return dict(bounded.json_object(self.read(name), name))

    @cached_property
    def raw(self) -> dict[str, object]:
        """The record as it is in the file."""
        return self.json(layout.RECORD)

    @cached_property
    def problems(self) -> list[str]:
        """What is wrong with the record."""
        return record.problems(self.raw)

    @cached_property
    def record(self) -> Record:
        """The record as a value."""
        if self.problems:
            raise ValueError(f"{layout.RECORD} is not a record: {self.problems[0]}")
        return record.known(self.raw)

    @cached_property
    def verdict(self) -> dict[str, object]:
        """The stored verdict."""
        return self.json(layout.VERDICT)

    @cached_property
    def counted(self) -> list[Counted]:
        """The gates of the stored verdict."""
        return counted(self.verdict)

    @cached_property
    def golden(self) -> Dataset | None:
        """The rows that it was judged by; None where neither the release nor ``data`` holds them."""
        return self.rows("golden")

    @cached_property
    def train(self) -> Dataset | None:
        """The rows that it was trained on, likewise."""
        return self.rows("train")

    @cached_property
    def tuning(self) -> Dataset | None:
        """The rows that it was evaluated by while it trained, likewise."""
        return self.rows("tuning")

    def rows(self, kind: str) -> Dataset | None:
        """The rows of ``train``, ``tuning`` or ``golden``: in the release, or in ``data`` with the recorded sha256."""
        inside = self.path(layout.DATA[kind])
        if inside.exists():
            return dataset.load(inside)
        return self.rows_of(self.record.data.of(kind))

    def rows_of(self, facts: Rows | None) -> Dataset | None:
        """The rows in ``data`` with a sha256; None where there are none."""
        if self.data is None:
            return None
        found = (_rows(path) for path in sorted(self.data.rglob("*.json*")))
        return next((one for one in found if one is not None and facts and one.sha256 == facts.sha256), None)

    @cached_property
    def terms(self) -> Terms:
        """What it was judged by; ``DataError`` without its golden rows."""
        if self.golden is None:
            raise DataError(f"The golden rows of {self.name} are not in the release.")
        for name in (layout.CONTRACT, layout.ANSWER_SCHEMA, layout.POLICY, layout.LEDGER):
            self.contents.need(name)
        return terms.read(self.folder / "gates", self.golden, self.record.config.get("serving"))

    @cached_property
    def policy(self) -> gates.Policy:
        """The policy as it was written down before training."""
        return gates.load_policy(self.json(layout.POLICY), where=f"the policy of {self.name}" if self.name else "gates")

    @cached_property
    def answers(self) -> Sequence[gates.Output]:
        """The adapter's answers."""
        return gates.read_outputs(self.path(layout.ANSWERS))

    @cached_property
    def base_answers(self) -> Sequence[gates.Output] | None:
        """The base's; None where its record does not name them."""
        if self.record.generation.base_answers_sha256 is None:
            return None
        return gates.read_outputs(self.path(layout.BASE_ANSWERS))

    def answers_as(self, form: str) -> Sequence[gates.Output]:
        """The adapter's answers in one of the record's forms."""
        return gates.read_outputs(self.path(layout.answers_as(form)))


def counted(verdict: Mapping[str, object]) -> list[Counted]:
    """The gates of a verdict file."""
    found = verdict.get("gates")
    if not isinstance(found, list):
        raise ValueError(f"{layout.VERDICT} holds no gates")  # noqa: TRY004  a fault of the file
    return [part(Counted, one) for one in found]


def _rows(path: Path) -> Dataset | None:
    """A file's rows; None for one that holds none, or that is no more than a pipe or too large."""
    try:
        if not path.is_file() or path.stat().st_size > bounds.ROWS.most:
            return None
        return dataset.load(path)
    except DataError:
        return None
