"""The card, read once: its metadata as the Hub's client reads it, and the whole of it made again from the record."""

import re
from collections.abc import Iterator
from itertools import zip_longest

import yaml

from gates.shown import plain, shorten
from release.checking import recorded_config
from release.config.settings import Publishing
from release.judging.released import Released
from release.publishing import card
from release.values import bounds, layout
from release.values.record import Record
from schemas import plain_yaml

BLOCK = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
"""``REGEX_YAML_BLOCK`` of huggingface_hub, which is the Hub's own; a test compares the two."""

FIRST = 3
"""Lines that are shown of those that differ."""


def metadata(release: Released) -> dict[str, object]:
    """What a machine reads of the card; ``ValueError`` where readers could differ in it."""
    text = release.read(layout.CARD).decode("utf-8")
    found = BLOCK.search(text[: bounds.METADATA])
    if found is None:
        raise ValueError(f"{layout.CARD} does not begin with at most {bounds.METADATA:,} characters of metadata")
    if found.start(2) != len("---\n") or not text.startswith("---\n"):
        raise ValueError(f"{layout.CARD} has something before its metadata")
    try:
        value = plain_yaml.read(found[2])
    except yaml.YAMLError as error:
        raise ValueError(f"the metadata of {layout.CARD} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"the metadata of {layout.CARD} is not a mapping")  # noqa: TRY004  a fault of the file
    return value


def golden_sha256(release: Released) -> object:
    """The golden set that the card's one result names."""
    match metadata(release):
        case {"model-index": [{"results": [{"dataset": {"revision": revision}}]}]}:
            return revision
        case _:
            pass
    raise ValueError(f"the metadata of {layout.CARD} holds no result, or several")


def problems(release: Released, table: str) -> Iterator[str]:
    """The first lines in which the card is not the one that record, verdict and answers make.

    ``table`` is what verdict and comparisons say, derived from the answers.
    """
    metadata(release)
    there, made = release.read(layout.CARD), derived(release, table)
    if there == made:
        return
    lines = zip_longest(there.decode("utf-8").split("\n"), made.decode("utf-8").split("\n"))
    different = 0
    for number, (has, expected) in enumerate(lines, 1):
        different += has != expected
        if has != expected and different <= FIRST:
            yield f"line {number} of the card is {_shown(has)}, record and answers make {_shown(expected)}"
    made_by = release.record.program.version
    yield (
        f"the card is not the one that record and answers make: {different} lines differ. If adapter-release "
        f"{plain(made_by):.40} made it and writes cards otherwise, verify it with that version"
    )


def derived(release: Released, table: str) -> bytes:
    """The card that record, verdict and answers make: nothing of it is taken from the card itself."""
    record, judged = release.record, release.verdict.get("content_judged")
    page = layout.PAGE in (record.files or {})
    return card.render(record, release.counted, table, publishing(record), content_judged=judged, page=page)


def publishing(record: Record) -> Publishing:
    """Where the record says that it was to be published, and under which licence."""
    return recorded_config.read(record).publishing


def _shown(line: str | None) -> str:
    return "not there" if line is None else repr(shorten(plain(line), bounds.SHOWN))
