"""The rows of a new repository: read in any format, labelled by their own answers, and split without leakage."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import gates
from gates.shown import some
from release.data import apart, convert, dataset, formats, split
from release.data.turns import How, Row
from release.repository import proposal
from release.repository.proposal import Proposal
from release.values.errors import DataError

SHARES = (0.2, 0.3, 0.4, 0.5)
"""Of rows to judge by, the first that is enough for every gate."""
SHOWN = 5
"""Rows that are named; the others are counted."""
GROUPS = ("group", "topic", "cluster", "document_id", "source", "conversation_id", "session", "user")
"""Keys of ``meta`` by which rows belong together, where every row has one."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The files of a new repository, how they are read, and the seed of a split."""

    data: Path
    golden: Path | None = None
    seed: int = 42
    how: How = field(default_factory=How)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Canonical rows to train on and to judge by, and the answer format that they speak for."""

    train: bytes
    golden: bytes
    proposal: Proposal
    told: tuple[str, ...]
    """What was done with the rows, a line each."""


def read(given: Given) -> Rows:
    """The rows of the files, split where there is only one; ``DataError`` where they are not what gates can judge."""
    sources = [given.data, *([given.golden] if given.golden else [])]
    reads = [_canonical(source, given.how) for source in sources]
    proposed = proposal.propose([row for one in reads for row in one.rows])
    contract = proposed.loaded()
    unanswerable = [row.id for one in reads for row in one.rows if row.answerable is False]
    if unanswerable and not contract.refusal:
        raise DataError(
            f"{len(unanswerable)} rows are labelled unanswerable ({some(unanswerable, SHOWN)}), and no field of their "
            "answers says so: none has one value in these and another in all others. The gates read a refusal at one "
            'place: give every answer such a field, as "refusal": true or false, or take the label `answerable` off. '
            "Nothing was written."
        )
    labelled = [_labelled(one, contract) for one in reads]
    guessed = sum(count for _, count in labelled)
    parts, told = (
        tuple(data for data, _ in labelled),
        [_said(source, one) for source, one in zip(sources, reads, strict=True)],
    )
    if guessed:
        labels = "`answerable` and `support` are" if contract.citations else "`answerable` is"
        told.append(f"{guessed} rows had no labels: {labels} now what their answers say. Look at them")
    if contract.citations and (silent := [one for data, _ in labelled for one in _unsupported(data)]):
        told.append(
            f"{len(silent)} answerable rows cite nothing, so nothing says what supports them, and none of them can be "
            f"judged by: give them `support`, or let their answers cite: {some(silent, SHOWN)}"
        )
    if len(parts) == 1:
        whole = replace(reads[0], canonical=parts[0], rows=gates.parse_golden(_objects(parts[0])))
        parts, how = _split(whole, contract, given.seed)
        told.append(how)
    return Rows(train=parts[0], golden=parts[1], proposal=proposed, told=tuple(told))


def _canonical(source: Path, how: How) -> dataset.Read:
    """A file's rows with ids of their own, each with a JSON object as its answer."""
    account = dataset.Account(source, how)
    lines = list(convert.joined([account]))
    dataset.refuse(account.problems, done="written")
    rows = gates.parse_golden([dict(one.row) for one in lines])
    where = [f"{source} line {one.line}" for one in lines]
    dataset.refuse(
        [f"{place}: it has no reference answer" for row, place in zip(rows, where, strict=True) if row.gold is None],
        done="written",
    )
    if not rows:
        raise DataError(f"{source} holds no rows. Nothing was written.")
    proposal.parsed(rows, where)
    return dataset.Read(
        rows=rows,
        lines=tuple(one.line for one in lines),
        canonical=b"".join(one.text for one in lines),
        form=account.shown_form,
        told=tuple(account.sentences()),
        unused=account.unused,
    )


def _objects(data: bytes) -> list[Row]:
    return [json.loads(line) for line in data.splitlines() if line.strip()]


def _labelled(one: dataset.Read, contract: gates.Contract) -> tuple[bytes, int]:
    """The rows with the labels that they lack, and how many lacked one."""
    lines, guessed = [], 0
    for row, whole in zip(one.rows, _objects(one.canonical), strict=True):
        said = gates.read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract)
        if row.answerable is None or row.support is None:
            guessed += 1
        whole.setdefault("answerable", not said.refused)
        if said.cited or not whole["answerable"]:  # an answer that cites nothing says nothing of what supports it
            whole.setdefault("support", [*sorted(said.cited)] if whole["answerable"] else [])
        lines.append(formats.line(whole))
    return b"".join(lines), guessed


def _unsupported(data: bytes) -> list[str]:
    """The ids of answerable rows of which nothing says what supports them."""
    return [row.id for row in gates.parse_golden(_objects(data)) if row.answerable and row.support is None]


def _said(source: Path, one: dataset.Read) -> str:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"{source}: {one.form}, {len(one.rows)} rows, sha256 {digest}"


def _split(whole: dataset.Read, contract: gates.Contract, seed: int) -> tuple[tuple[bytes, bytes], str]:
    """Rows to train on and to judge by: none of one side is nearly one of the other."""
    policy = gates.load_policy(gates.default_policy(contract.declares))
    together = _together(whole)
    tried = (_apart(whole, contract, split.Wanted(share=share, seed=seed, together=together)) for share in SHARES)
    there = [one for one in tried if all(one)]
    if not there:
        raise DataError(
            f"All {len(whole.rows)} rows belong together: they ask the same, or nearly. So none can be kept to judge "
            "by. Nothing was written. Give more rows, or a file of its own to judge by, with --golden."
        )
    enough = (one for one in there if _proves(gates.parse_golden(_objects(one[1])), policy))
    parts = next(enough, there[-1])
    train, golden = (len(_objects(part)) for part in parts)
    by = f", rows with the same {together} on one side (guessed)" if together else ""
    says = (
        f"{train} rows to train on and {golden} to judge by, by seed {seed}{by}; none nearly repeats one of the other"
    )
    return parts, f"{says} side"


def _proves(golden: Sequence[gates.Golden], policy: gates.Policy) -> bool:
    """Whether there are enough rows for every gate to be passed."""
    return all(one.possible for one in gates.plan(golden, policy) if one.bar.required)


def _apart(whole: dataset.Read, contract: gates.Contract, wanted: split.Wanted) -> tuple[bytes, bytes]:
    """The split in which the rows that the data gate calls alike are on one side."""
    texts = whole.texts()
    return split.parts(texts, apart.chosen(whole.rows, texts, contract, wanted))


def _together(whole: dataset.Read) -> str | None:
    """A key of ``meta`` by which rows belong together: every row has it, and some share a value."""
    metas = [row.meta for row in whole.rows]
    for name in GROUPS:
        values = [json.dumps(meta[name], sort_keys=True) for meta in metas if name in meta]
        count = Counter(values)
        if len(values) == len(whole.rows) and 4 < len(count) < len(values):
            return f"meta.{name}"
    return None
