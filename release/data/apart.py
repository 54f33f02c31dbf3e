"""A split in which the rows that the data gate calls alike are on one side, and tuning rows that are split off so."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gates
from gates import clusters
from gates.rows import id_key
from gates.shown import counted
from release.data import evidence, split, text_checks
from release.data.dataset import Dataset
from release.data.split import Wanted
from release.values.errors import DataError

ROUNDS = 20
"""How often rows that are found to be alike are put on one side, and the split is made again."""


def chosen(
    rows: Sequence[gates.Golden],
    texts: Sequence[bytes],
    contract: gates.Contract,
    wanted: Wanted,
    cluster_key: str | None = None,
) -> set[int]:
    """The numbers of the rows that are kept apart; none of them nearly repeats one of the others.

    Rows that ``cluster_key`` in their ``meta`` says are of one cluster are on one side; one that names none is alone.
    """
    everything = Dataset(path=Path("rows"), rows=tuple(rows), sha256="")
    (asked,) = evidence.splits([("all", everything)], contract)
    alike = [[f"asks {one}" for one in some] for some in asked.asked]
    for keys, row in zip(alike, rows, strict=True):
        if cluster_key is not None and clusters.is_name(row.meta.get(cluster_key)):
            keys.append(f"cluster {id_key(row.meta[cluster_key])}")
    kept = split.chosen(texts, wanted, alike)
    for _ in range(ROUNDS):
        others, these = ([n for n in range(len(rows)) if (n in kept) is side] for side in (False, True))
        near = text_checks.near_duplicates(*([rows[n].prompt[-1]["content"] for n in some] for some in (others, these)))
        if not near:
            break
        for one, (other, _) in near.items():
            for number in (others[one], these[other]):
                alike[number].append(f"near {these[other]}")
        kept = split.chosen(texts, wanted, alike)
    return kept


def tuning(
    train: Dataset, share: float, seed: int, contract: gates.Contract, cluster_key: str | None
) -> tuple[Dataset, Dataset]:
    """The rows that are left to train on, and the share of them that is kept to evaluate by."""
    texts = train.texts()
    kept = chosen(train.rows, texts, contract, Wanted(share=share, seed=seed), cluster_key)
    if not 0 < len(kept) < len(texts):
        more = "" if cluster_key is None else f", and those of one meta.{cluster_key}"
        raise DataError(
            f"{train.path} has {counted(len(texts), 'row')}, and data.tuning_share {share:g} of them leaves none to "
            f"{'train on' if kept else 'evaluate by'}: rows that ask the same, or nearly{more}, stay together. "
            "Nothing was trained. Give more rows, or a file of their own as data.tuning_file."
        )
    told = f"{counted(len(kept), 'row')} kept apart to evaluate by (data.tuning_share {share:g}, seed {seed})"
    sides = ([number for number in range(len(texts)) if (number in kept) is side] for side in (False, True))
    left, apart = (_of(train, numbers, texts) for numbers in sides)
    return replace(left, told=(*train.told, told)), apart


def _of(data: Dataset, numbers: Sequence[int], texts: Sequence[bytes]) -> Dataset:
    """Some rows of a file, in their order."""
    canonical = b"".join(texts[number] + b"\n" for number in numbers)
    return Dataset(
        path=data.path,
        rows=tuple(data.rows[number] for number in numbers),
        sha256=hashlib.sha256(canonical).hexdigest(),
        lines=tuple(data.line(number) for number in numbers),
        whole=lambda: canonical,
        unused=data.unused,
    )
