"""The rows of a release: where they are by their licence, and that none asks what a row asks that it is judged by."""

from collections.abc import Iterator, Mapping

from gates.shown import counted, plain, shorten
from release.checking import recorded_config
from release.checking.steps import Unchecked
from release.config import settings
from release.data import evidence
from release.data.checks import CHECKS
from release.judging.released import Released
from release.values import bounds, layout
from release.values.errors import shown
from release.values.record import Data

APART = (("train", "golden", "leakage"), ("tuning", "golden", "leakage"), ("train", "tuning", "tuning_leakage"))
"""Two kinds of rows, and the check of the data gate by which none of the first asks what one of the second asks."""


def problems(release: Released) -> Iterator[str | Unchecked]:
    """A line for whatever the record says otherwise than its configuration, and for files that share questions."""
    config = recorded_config.read(release.record).data
    yield from _told(release.record.data, config)
    if release.golden is not None:  # that it is not there is said where it is needed
        yield from _asked_again(release, config.checks)


def _told(data: Data, config: settings.Data) -> Iterator[str]:
    """Whether the record names the licence of its configuration, and places the rows as that licence allows."""
    for what, told, said in (("license", data.license, config.license), ("source", data.source, config.source)):
        if told != said:
            yield f"the {what} of its rows is {shown(told)}, its configuration says {shown(said)}"
    for kind in ("train", "tuning", "golden"):
        rows, file = data.of(kind), layout.DATA[kind] if config.license is not None else None
        if rows is not None and rows.file != file:
            yield f"its {kind} rows are said to be in {shown(rows.file)}, by its licence they are in {shown(file)}"


def _asked_again(release: Released, levels: Mapping[str, str]) -> Iterator[str | Unchecked]:
    """A line for two files that share questions; what its configuration only warned of is told, and is no fault."""
    contract = release.terms.contract
    there = {"train": release.train, "tuning": release.tuning, "golden": release.golden}
    for kind, other, check in APART:
        rows, others = there[kind], there[other]
        if rows is None or others is None:
            continue
        if again := list(evidence.asked_again(rows.rows, others.rows, contract)):
            one, same = (shorten(plain(id_), bounds.SHOWN) for id_ in again[0])
            how_many = f"{counted(len(again), f'{kind} row')} {'ask' if again[1:] else 'asks'}"
            says = f"{how_many} what {other} rows ask, the first {one}, as {other} row {same} does"
            warned = levels.get(check, CHECKS[check].level) != "error"
            yield Unchecked(why=f"{says}; data.checks.{check} of its configuration allows it") if warned else says
