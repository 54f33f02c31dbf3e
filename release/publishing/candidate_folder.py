"""A candidate's folder, between the job that makes it and the one that publishes it: laid out, and looked at again."""

import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from release.judging.released import Released
from release.values import bounds, contents, layout
from release.values.artifacts import Manifest, is_half, write_atomically
from release.values.bounds import Kind
from release.values.errors import ConfigError

SUMS = "SHA256SUMS"
"""As sha256sum writes it, so that others can check and attest it; a folder without it holds no candidate."""
PACKAGE = "package"
ROWS = "rows"
"""The rows that the verdict and that of its tries are derived from, where they are not published themselves."""
REPORT = "report.md"
REFUSED = "refused"
MESSAGE = "message.txt"
"""In that folder: why there is no adapter that could be judged on the golden set."""
REVIEW = "review.json"
"""What people say of a candidate that waits for them; it comes after the checksums."""
BESIDE: Mapping[str, Kind] = {
    SUMS: bounds.STATEMENT,
    REPORT: bounds.CARD,
    REVIEW: bounds.RESULT,
    **{f"{ROWS}/{kind}.jsonl": bounds.ROWS for kind in ("golden", "tuning")},
}
"""What lies in a candidate's folder beside the package, and how much of it is read."""


def replaceable(folder: Path) -> None:
    """Refuse, before anything is trained, a folder that holds something else than a previous candidate."""
    if folder.is_symlink():
        raise ConfigError([f"{folder} is a link, and a candidate's folder is replaced whole. Name the folder itself."])
    if folder.exists() and not _is_candidate(folder):
        raise ConfigError([f"{folder} is not empty and has no previous candidate. Name another folder with --to."])


def _is_candidate(folder: Path) -> bool:
    """Whether it is empty, or all that is there was laid out here; SHA256SUMS alone is in many folders."""
    there = {path.name for path in folder.iterdir() if not is_half(path.name, REVIEW)} if folder.is_dir() else {""}
    return not there or (there <= {SUMS, REPORT, PACKAGE, ROWS, REFUSED, REVIEW} and bool(there & {SUMS, REFUSED}))


def lay_out(folder: Path, files: Mapping[str, Path | bytes], *, sums: bool) -> None:
    """The files, or these bytes, in ``folder``, which appears when it is whole, in place of a previous candidate."""
    temporary, before = (folder.with_name(f".{folder.name}.{what}") for what in ("tmp", "before"))
    if before.exists() and not folder.exists():
        before.rename(folder)  # a kill came between: what people say may be there alone
    for left in (temporary, before):
        shutil.rmtree(left, ignore_errors=True)
    for name, source in files.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(source) if isinstance(source, bytes) else shutil.copyfile(
            source, temporary / name
        )
    if sums:
        summed(temporary)
    if (folder / REVIEW).is_file():
        shutil.copyfile(folder / REVIEW, temporary / REVIEW)  # somebody's work; whether it counts is told later
    if folder.exists():
        folder.rename(before)  # in one step: a kill leaves no half of a candidate in the way of the next
    temporary.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def summed(folder: Path) -> None:
    """Write the digests of all that is there."""
    lines = (f"{file.sha256}  {file.path}\n" for file in Manifest.of_folder(folder).files)
    write_atomically(folder / SUMS, "".join(lines).encode())


def problems(folder: Path, found: Released) -> list[str]:
    """A line for whatever keeps a folder from being the one that was laid out."""
    return _refused(folder, found) or _differences(folder)


def _refused(folder: Path, found: Released) -> list[str]:
    """A line for whatever no candidate holds, by names, kinds and sizes: nothing is opened before this look."""
    problems = [f"{PACKAGE}/{line}" for line in found.listed.problems()] if (folder / PACKAGE).is_dir() else []
    problems += [
        f"{PACKAGE}/{name} is a text that nothing here writes or judges, and no candidate has one. The licence's name "
        "is published by publishing.license; keep the text in the repository of your configuration"
        for name in layout.TERMS
        if os.path.lexists(folder / PACKAGE / name)
    ]
    for entry in [*folder.glob("*"), *(folder / ROWS).glob("*")]:
        name = entry.relative_to(folder).as_posix()
        state = entry.lstat()
        if is_half(name, REVIEW):
            continue
        if stat.S_ISDIR(state.st_mode) and name in (PACKAGE, ROWS):
            continue
        kind = BESIDE.get(name)
        if kind is None:
            problems.append(f"extra: {contents.shown(name)}")
        elif not stat.S_ISREG(state.st_mode):
            problems.append(f"{name} is not a regular file")
        elif state.st_size > kind.most:
            problems.append(f"{name} has {state.st_size:,} bytes; at most {kind.most:,} are read")
    return problems[: bounds.PROBLEMS]


def _differences(folder: Path) -> list[str]:
    """A line for each file that is missing, extra, or not what SHA256SUMS says."""
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [f"{SUMS} cannot be read: {error}"]
    told: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        parts = re.fullmatch("([0-9a-f]{64})  (.+)", line)
        if parts is None or parts[2] in told:
            problems.append(f"{SUMS}:{number} is not a line of sha256sum, or repeats a file: {line[:120]!r}")
        else:
            told[parts[2]] = parts[1]
    found = {file.path: file.sha256 for file in Manifest.of_folder(folder).files}
    there = {name: sha256 for name, sha256 in found.items() if name not in (SUMS, REVIEW) and not is_half(name, REVIEW)}
    problems += [f"missing: {name}" for name in sorted(told.keys() - there.keys())]
    problems += [f"extra: {name}" for name in sorted(there.keys() - told.keys())]
    problems += [
        f"different: {name} has sha256 {there[name]}, {SUMS} says {told[name]}"
        for name in sorted(told.keys() & there.keys())
        if told[name] != there[name]
    ]
    if not any(name.startswith(f"{PACKAGE}/") for name in told):
        problems.append(f"{SUMS} names no file of {PACKAGE}/")
    return problems
