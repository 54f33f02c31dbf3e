"""What comes home from another machine: bounded plain files of a candidate, and what was counted over there."""

import re
import shutil
import tarfile
from pathlib import Path
from typing import IO

from release.config.settings import Config
from release.judging import attempts, ledger
from release.publishing import candidate_folder
from release.publishing.candidate_folder import BESIDE, PACKAGE, REFUSED, REPORT, REVIEW
from release.remote import there
from release.running import spending
from release.values import bounds, contents, layout
from release.values.artifacts import write_atomically
from release.values.errors import PreflightError, VerificationError

DIST = Path(there.MADE).name
LEDGER, SPENT = (name.removeprefix("work/") for name in there.COUNTED)
_REFUSED = re.compile(rf"{REFUSED}/(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/@-]{{0,200}}", re.ASCII)
_READ = (".json", ".jsonl", ".md", ".txt")
"""What is laid down of a refused candidate, which nobody proves: its page would run a script of that machine's."""
_PIECE = 1 << 20


class Plain(tarfile.TarInfo):
    """An entry that is a plain file: no link, no device, and none of the kinds that change the entry after them."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Plain":
        entry = super().frombuf(buf, encoding, errors)
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise VerificationError(f"{contents.shown(entry.name)} is not a plain file. {_NOTHING}")
        return entry


_NOTHING = "Nothing of it was kept. Look at the machine that made it."


def unpack(stream: IO[bytes], folder: Path) -> None:
    """What the program over there gives back, in a new folder; ``VerificationError`` for what no candidate holds."""
    total = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=Plain) as tar:
            for count, entry in enumerate(tar):
                total += entry.size
                most = _most(entry.name)
                if most is None:
                    raise VerificationError(f"{contents.shown(entry.name)} is no file of a candidate. {_NOTHING}")
                if entry.size > most or total > bounds.TOTAL or count >= bounds.FILES:
                    says = f"{contents.shown(entry.name)} has {entry.size:,} bytes; at most {most:,} are read"
                    raise VerificationError(f"{says}, in at most {bounds.FILES:,} files. {_NOTHING}")
                content = tar.extractfile(entry)
                assert content is not None
                path = folder / entry.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(content, file, _PIECE)
            stream.read(tarfile.RECORDSIZE)  # what a tar is filled up with: who sends it is not cut off
    except (tarfile.TarError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise VerificationError(f"What came home cannot be read: {error}. {_NOTHING}") from None


def _most(name: str) -> int | None:
    """The bytes that are read of a file; None for one that is not awaited."""
    if name in (LEDGER, SPENT):
        return bounds.LEDGER.most
    within = name.removeprefix(f"{DIST}/")
    if within == name:
        return None
    if within == REVIEW:
        return None  # people speak here
    if kind := BESIDE.get(within):
        return kind.most
    if _REFUSED.fullmatch(within):
        return bounds.ANSWERS.most
    published = within.removeprefix(f"{PACKAGE}/")
    above = [published[:at] for at, one in enumerate(published) if one == "/"]
    kind = layout.kind_of(published) if published != within and all(map(layout.is_folder, above)) else None
    return kind.most if kind else None


def count(came: Path, config: Config) -> None:
    """Put what was judged and spent over there to what is counted here."""
    try:
        judged = attempts.parse((came / LEDGER).read_bytes(), LEDGER) if (came / LEDGER).exists() else []
        theirs = spending.read((came / SPENT).parent)
    except (ValueError, PreflightError) as error:
        raise VerificationError(f"What was counted over there cannot be read: {error}. {_NOTHING}") from None
    ledger.add(config, judged)
    known = spending.read(config.run.output_dir)
    here = {(one.run, one.attempt) for one in known}
    both = [*known, *(one for one in theirs if (one.run, one.attempt) not in here)]
    if len(both) > len(known):
        write_atomically(config.run.output_dir / spending.NAME, spending.written(both))


def lay(came: Path, to: Path, *, refused: bool) -> None:
    """What came home in place of a previous candidate: one, or the report on one that was refused."""
    folder = came / DIST
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if refused:
        found = {name: path for name, path in found.items() if name == REPORT or _REFUSED.fullmatch(name)}
        found = {name: path for name, path in found.items() if path.suffix in _READ}
    if REPORT not in found:
        raise VerificationError(f"What came home has no {REPORT}. {_NOTHING}")
    candidate_folder.lay_out(to, found, sums=False)
