"""What a record says of previous releases: of those that came along what they say themselves, of the others little."""

from collections import Counter
from collections.abc import Iterator

from release.judging import previous
from release.judging.derive import Beside
from release.judging.released import Released
from release.values.errors import shown
from release.values.record import Previous, PreviousRelease


def problems(release: Released, said: Previous, derived: Beside) -> Iterator[str]:
    """A line for whatever does not come out again; ``derived`` is made from the releases that came along."""
    for name in sorted(derived.files.keys() | {f"gates/{one}" for one in said.comparisons}):
        if name not in derived.files or derived.files[name] != release.read(name):
            yield f"computed again, {name} differs: the previous answers or the result were changed"
        elif not derived.comparisons[name].passed:
            yield f"{name} is not a pass"
    weaker = derived.earlier.weaker
    if weaker != said.weaker:
        yield f"it requires less than the previous release in {weaker}, the record says {said.weaker}"
    if weaker and not release.record.setting("gates", "weaker_because"):
        yield "it requires less than the previous release, without a reason"
    if said.comparisons != derived.earlier.comparisons:
        ours, theirs = shown(derived.earlier.comparisons), shown(said.comparisons)
        yield f"the comparisons have the digests {ours}, the record says {theirs}"
    yield from _named(said, derived.earlier, len(release.terms.golden.rows))


def unproved(said: Previous) -> Iterator[str]:
    """A line for each release whose numbers stand in the record alone: no comparison needed its files."""
    for one in said.releases:
        if not one.kept and one.record_sha256 is not None:
            how = f"compared on {one.rows} rows" if one.not_compared is None else "not compared"
            yield f"{one.tag} (commit {one.commit}) {how}: by its record alone, for no comparison needed its files"


def _named(said: Previous, derived: Previous, rows: int) -> Iterator[str]:
    """Each release, once, and of those that came along nothing but what comes out again."""
    times = Counter(one.tag for one in said.releases)
    yield from (f"{tag} is named {number} times" for tag, number in times.items() if number > 1)
    for theirs, ours in zip(said.releases, derived.releases, strict=True):
        if theirs.kept or theirs.record_sha256 is None:
            yield from previous.misstated_of(theirs, ours)
        else:
            yield from _left_out(theirs, rows)
    released = [one for one in said.releases if one.record_sha256 is not None]
    if released and not released[-1].kept:
        yield f"{released[-1].tag} is the last release, and its files did not come along: nothing is compared with it"
    compared = [one for one in released if one.not_compared is None]
    if compared and not any(one.kept for one in compared):
        yield f"{compared[-1].tag} was compared with, and no release came along that shows it"


def _left_out(theirs: PreviousRelease, rows: int) -> Iterator[str]:
    """No comparison comes out otherwise without it; it cannot share more rows than there are."""
    if theirs.rows > rows:
        yield f"{theirs.tag}: compared on {theirs.rows} rows, there are {rows}"
    yield from (f"{theirs.tag}: {name} is {k} of {n}" for name, (k, n) in (theirs.gates or {}).items() if k > n)
    if theirs.not_compared == previous.NO_RELEASE:
        yield f"{theirs.tag}: it has a record, and {theirs.not_compared}"
