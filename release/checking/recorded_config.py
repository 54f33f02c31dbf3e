"""The configuration of a record as a value: what it may say and what not is one law, for a file and for a record."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gates.canonical import canonical_json
from release.config import reading
from release.config import tree as trees
from release.config.settings import Config
from release.judging.released import Released
from release.values import layout
from release.values.errors import ConfigError, shown
from release.values.record import Record

NAMED: Mapping[str, str] = {
    "data.train_file": layout.DATA["train"],
    "data.tuning_file": layout.DATA["tuning"],
    "data.golden_file": layout.DATA["golden"],
    "contract.schema": layout.ANSWER_SCHEMA,
}
"""What a configuration names as it is published: the files of the release."""


def read(record: Record) -> Config:
    """It, with every path below this folder; ``ValueError`` where it is none."""
    try:
        return reading.parse(dict(record.config), Path("release.yaml").absolute())
    except ConfigError as error:
        raise ValueError(f"the recorded configuration is not one: {error.problems[0]}") from None


def problems(release: Released) -> Iterator[str]:
    """A line for each file that it names elsewhere, and for an answer format that is not the published one."""
    settings = release.record.config
    for key, own in NAMED.items():
        if (named := trees.get(settings, key)) not in (None, own):
            yield f"its configuration has {key}: {shown(named)}, and in a release that is {own}"
    contract, schema = settings.get("contract"), layout.in_run(layout.ANSWER_SCHEMA)
    asked = {**contract, "schema": schema} if isinstance(contract, Mapping) else contract
    if canonical_json(asked) != canonical_json(release.json(layout.CONTRACT)):
        yield f"{layout.CONTRACT} is another answer format than that of its configuration"
