"""`data convert`: files of any format → one canonical file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release.data import dataset, formats, new_files
from release.values.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How rows are to be read and written."""

    form: str = "auto"
    pairs: Sequence[str] = ()
    """``NAME=KEY``: a field under another key."""
    least: float | None = None
    """Of an archive: the rating that a row needs."""
    system_to_user: bool = False


def to_file(sources: Sequence[Path], target: Path, wanted: Wanted) -> list[str]:
    """Write the rows of several files as one canonical file; what was read, set aside and written, in lines."""
    fields = dict(pair.split("=", 1) for pair in wanted.pairs if "=" in pair)
    if wanted.form not in formats.FORMS or len(fields) < len(wanted.pairs):
        known = ", ".join(formats.FORMS)
        raise ConfigError(
            [f"--format is {wanted.form!r}, one of {known}; --field is NAME=KEY, such as prompt=question."]
        )
    new_files.refuse(target)
    reads = [dataset.read(source, wanted.form, fields, wanted.least) for source in sources]
    data, lines = joined(sources, reads), []
    for source, one in zip(sources, reads, strict=True):
        lines.append(f"{source}: {one.form}, {len(one.rows)} rows")
        lines += [f"  kept under meta: {key} ({count} rows)" for key, count in sorted(one.apart.items())]
        if one.below:
            below = f"{len(one.below)} rows, lines {_some(one.below)}"
            lines.append(f"  rated below {wanted.least:g} or not at all: {below}")
    if wanted.system_to_user:
        data, moved, left = without_system(data)
        lines.append(f"system text put at the start of the next user message: {moved} rows")
        if left:
            why = "no user message follows their system message"
            lines.append(f"  left as they are: {len(left)} rows ({_some(left)}), because {why}. Mend them by hand")
    return [*lines, new_files.write(target, data)]


def joined(sources: Sequence[Path], reads: Sequence[dataset.Read]) -> bytes:
    """Several files' rows as one canonical file; a row whose id an earlier one has gets another by file and place."""
    seen: set[str] = set()
    lines: list[bytes] = []
    for source, one in zip(sources, reads, strict=True):
        for text in one.texts():
            row = json.loads(text)
            if "id" not in row or str(row["id"]) in seen:
                row["id"] = f"{dataset.stem(source)}-{len(lines) + 1:05}"
            seen.add(str(row["id"]))
            lines.append(formats.line(row))
    return b"".join(lines)


def without_system(canonical: bytes) -> tuple[bytes, int, list[str]]:
    """Canonical rows with their system texts in user messages, in how many, and the ids of rows left as they are."""
    lines, changed, left = [], 0, []
    for line in canonical.splitlines():
        row = json.loads(line)
        messages = row.get("messages", [])
        moved = formats.system_to_user(messages)
        if moved is None:
            left.append(str(row.get("id")))
        elif moved != messages:
            changed += 1
            row["messages"] = moved
        lines.append(formats.line(row))
    return b"".join(lines), changed, left


def _some(lines: Sequence[object]) -> str:
    return ", ".join(map(str, lines[:10])) + (f" and {len(lines) - 10} more" if len(lines) > 10 else "")
