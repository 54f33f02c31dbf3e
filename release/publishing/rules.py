"""What may be published: the rules of the publishing half, from its own checkout or its options.

The job that trained wrote the candidate's record, so nothing in it decides where it goes or what it must pass.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gates
from release import inputs
from release.config import reading, tree
from release.config.rules import HubFile
from release.config.settings import Config, Publishing
from release.data import apart, dataset, sources
from release.hub import address
from release.hub.address import HubAddress
from release.importing import base_commit, declared
from release.inputs import there
from release.judging import recording, terms
from release.judging.released import Released
from release.publishing import making_machine
from release.values import layout
from release.values.as_json import to_json
from release.values.errors import ConfigError, VerificationError, shown
from release.values.events import Line, Say
from release.values.record import Record

TERMS: Mapping[str, str] = {
    "policy": layout.POLICY,
    "contract": layout.CONTRACT,
    "schema": layout.ANSWER_SCHEMA,
    "golden": layout.DATA["golden"],
}
"""What it is judged by, and the file of a release whose sha256 `publish` takes for it."""
LEFT_TO_THE_CANDIDATE = (
    "adapter", "training", "generation", "container", "budget", "run.seed", "run.threads", "data.max_length",
)  # fmt: skip
"""How the adapter is made, and on which machine: the gates say whether that was good. All else must be equal."""
ELSEWHERE = ("publishing.endpoint", "contract", "gates")
"""Compared by what they mean: the address that was opened, and the digests of the terms."""
MOST = 8  # lines of one file's differences


@dataclass(frozen=True, kw_only=True)
class Given:
    """What options say, in place of a configuration or beside it."""

    hub: str | None = None
    repo: str | None = None
    tag: str | None = None
    private: bool = False
    weaker_because: str | None = None
    signing_key: Path | None = None
    keyless: bool = False
    digests: Mapping[str, str]
    """sha256 by the names of `TERMS`."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a candidate must be to be published, and where it goes."""

    source: str
    """Who says so, in messages."""
    publishing: Publishing
    hub: HubAddress
    endpoints: frozenset[str]
    """What a candidate may have recorded of its Hub."""
    settings: Mapping[str, object]
    """By the dotted key of a configuration."""
    digests: Mapping[str, frozenset[str]]
    """All of them; two differing ones can be met by nothing."""
    files: Mapping[str, object]
    """The terms that are here, as JSON: to say what differs."""
    config: Config | None = None
    """Whose rules these are, all of them: the candidate may have no other settings. None where they are those of
    options: who made a candidate is then its own word."""


def of_config(config: Config, given: Given, say: Say) -> Rules:
    """The rules of a configuration and of the files it names; ``given`` are digests of rows that are not here."""
    contract = there(inputs.read_contract(config))
    policy = there(inputs.read_policy(config, contract.declares))
    files = terms.contract_files(contract, config)
    found = {
        "policy": policy.digest,
        "contract": hashlib.sha256(files[layout.CONTRACT]).hexdigest(),
        "schema": hashlib.sha256(files[layout.ANSWER_SCHEMA]).hexdigest(),
        **_rows(config, given, contract, policy, say),
    }
    both = [*found.items(), *given.digests.items()]
    hub = address.parse(given.hub, Path.cwd()) if given.hub else address.of(config)
    return Rules(
        source=str(config.path),
        publishing=config.publishing,
        hub=hub,
        endpoints=_endpoints(hub, given, address.of(config).recorded),
        settings=_settings(config),
        config=config,
        digests={name: frozenset(sha256 for one, sha256 in both if one == name) for name, _ in both},
        files={
            "policy": policy.as_dict(),
            "contract": json.loads(files[layout.CONTRACT]),
            "schema": json.loads(files[layout.ANSWER_SCHEMA]),
        },
    )


def of_options(given: Given) -> Rules:
    """The rules of options alone; ``ConfigError`` names those that are missing, and the other way."""
    said = {"--repo": given.repo, "--tag": given.tag}
    said |= {f"--{name}-sha256": given.digests.get(name) for name in TERMS}
    repo, tag = given.repo, given.tag
    if repo is None or tag is None or not all(said.values()):
        missing = [option for option, value in said.items() if not value]
        here = f"There is no release.yaml here, and {', '.join(missing)} {'are' if missing[1:] else 'is'} not given:"
        why = f"{here} only the candidate itself would say what may be published, and where. Nothing was published."
        do = "Run this in the checkout that it was made from, or name its configuration with --config FILE."
        raise ConfigError([f"{why} {do} Or give all of {', '.join(said)}."])
    endpoint = given.hub or os.environ.get("HF_ENDPOINT") or Publishing.endpoint
    hub = address.parse(endpoint, Path.cwd())
    where = {"publishing.hf_repo": repo, "publishing.tag": tag, "publishing.private": given.private}
    return Rules(
        source="the options",
        publishing=Publishing(
            hf_repo=repo,
            tag=tag,
            private=given.private,
            endpoint=endpoint,
            license="",  # the card has it already
            signing_key=given.signing_key,
            keyless=given.keyless,
        ),
        hub=hub,
        endpoints=_endpoints(hub, given, hub.recorded),
        settings={**where, "gates.weaker_because": given.weaker_because},
        digests={name: frozenset({sha256}) for name, sha256 in given.digests.items()},
        files={},
    )


def check(found: Released, rules: Rules) -> None:
    """``VerificationError`` with everything in which a candidate is not what the rules ask for."""
    made, rules = reading.parse(found.record.config, found.folder / layout.RECORD), _settled(found.record, rules)
    lines = [*_other_settings(made, rules), *_other_terms(found, rules), *_made_otherwise(found.record, rules)]
    if lines:
        raise VerificationError(
            f"{found.name} is not what {rules.source} may publish:\n  "
            + "\n  ".join(lines)
            + f"\nNothing was published. If the candidate is right, correct {rules.source}, or give `publish` the same "
            "--set, --tag and --weaker-because as `candidate`; a digest is that of a file which you have from "
            "elsewhere. If it is wrong, make it again, and look at the machine that made this one."
        )


def unchecked(found: Released, rules: Rules) -> list[str]:
    """What a candidate says of its making that the rules cannot tell, where they are a configuration's."""
    if rules.config is None:
        return []
    settled = _settled(found.record, rules).config
    lines = list(making_machine.unchecked(found.record, settled or rules.config))
    if settled != rules.config:
        lines.append(
            f"not checked: the commit of its base, {found.record.base.revision}, for {rules.source} names none"
        )
    return lines


def _settled(record: Record, rules: Rules) -> Rules:
    """The rules with the commit that a candidate found for its base, where an imported adapter's names none."""
    config = rules.config
    if config is None or not base_commit.is_looked_up(config):
        return rules
    revision = record.base.revision
    settled = replace(config, model=replace(config.model, revision=revision))
    return replace(rules, config=settled, settings={**rules.settings, "model.revision": revision})


def _made_otherwise(record: Record, rules: Rules) -> Iterator[str]:
    there = replace(rules.publishing, endpoint=rules.hub.recorded)
    yield from making_machine.unpinned_problems(there, pinned=record.image_digest is not None)
    if rules.config:
        yield from making_machine.problems(record, rules.config)
        theirs, ours = record.origin.reproduce_with if record.origin else None, declared.of(rules.config)
        if theirs != ours:
            yield _line("adapter.reproduce_with", to_json(theirs), to_json(ours), rules)


def _rows(config: Config, given: Given, contract: gates.Contract, policy: gates.Policy, say: Say) -> dict[str, str]:
    """sha256 of the golden rows, and of the rows to train on and to tune by where they are here."""
    data = config.data
    found = {}
    if isinstance(data.golden_file, HubFile) or data.golden_file.exists():
        golden = sources.local(data.golden_file, say)
        found["golden"] = dataset.load(golden, data.format, data.fields).sha256
    elif "golden" not in given.digests:
        what = f"{config.path}: data.golden_file {data.golden_file} is not here, so only the candidate would say which "
        do = (
            "rows it was judged by. Nothing was published. Put the file there, or give --golden-sha256: `sha256sum` of "
        )
        raise ConfigError([f"{what}{do}data/golden.jsonl in a release that you trust, or of the file in that form."])
    if isinstance(data.tuning_file, Path) and data.tuning_file.exists():
        found["tuning"] = dataset.load(data.tuning_file, data.format, data.fields).sha256
    if isinstance(data.train_file, Path) and data.train_file.exists():
        train = dataset.load(data.train_file, data.format, data.fields)
        if data.tuning_share:
            train, tuning = apart.tuning(train, data.tuning_share, config.run.seed, contract, policy.cluster_key)
            found["tuning"] = tuning.sha256
        found["train"] = train.sha256
    elif data.train_file:
        say(Line(text=f"  not checked: the rows it was trained on, for {data.train_file} is not here"))
    return found


def _endpoints(hub: HubAddress, given: Given, configured: str) -> frozenset[str]:
    """One Hub; where ``--hub`` chose it, a candidate that was made for the configured or a usual one may go there."""
    usual = (Publishing.endpoint, address.EMBEDDED, configured) if given.hub else ()
    return frozenset((hub.recorded, *usual))


def _settings(config: Config) -> dict[str, object]:
    """The settings that are rules, by dotted key, as a record spells them."""
    published = recording.as_published(config)
    ruled = {key: tree.get(published, key) for key in tree.leaves(published) if not _within(key, LEFT_TO_THE_CANDIDATE)}
    ruled = {key: value for key, value in ruled.items() if not _within(key, ELSEWHERE)}
    if config.adapter.method == "imported":  # the adapter's own settings count, whatever it is
        ruled = {key: value for key, value in ruled.items() if not _within(key, ("adapter.lora",))}
    return {**ruled, "gates.weaker_because": config.weaker_because}


def _within(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _other_settings(made: Config, rules: Rules) -> Iterator[str]:
    theirs = _settings(made)
    asked = rules.settings.keys() | (theirs.keys() if rules.config else set())
    for key in sorted(asked):
        if theirs.get(key) != rules.settings.get(key):
            yield _line(key, theirs.get(key), rules.settings.get(key), rules)
    recorded = made.publishing.endpoint
    if recorded not in rules.endpoints:
        line = _line("publishing.endpoint", recorded, rules.hub.recorded, rules)
        yield f"{line}. If the first is right, give --hub {recorded}: the token goes there"


def _other_terms(found: Released, rules: Rules) -> Iterator[str]:
    record = found.record
    theirs = {
        "policy": record.policy_sha256,
        "contract": found.sha256(layout.CONTRACT),
        "schema": found.sha256(layout.ANSWER_SCHEMA),
        "golden": record.data.golden.sha256,
        "train": record.data.train.sha256 if record.data.train else None,
        "tuning": record.data.tuning.sha256 if record.data.tuning else None,
    }
    for name, asked in sorted(rules.digests.items()):
        if asked != {theirs[name]}:
            yield _line(f"sha256 of the {_CALLED[name]}", theirs[name], " and ".join(sorted(asked)), rules)
            yield from _inside(found, name, rules)


_CALLED = {
    "policy": "policy",
    "contract": "answer format",
    "schema": "answer schema",
    "golden": "golden rows",
    "train": "rows it was trained on",
    "tuning": "rows it was evaluated by while it trained",
}


def _inside(found: Released, name: str, rules: Rules) -> Iterator[str]:
    """What differs within a file of which the right one is here."""
    ours = rules.files.get(name)
    if not isinstance(ours, dict):
        return
    theirs = found.json(TERMS[name])
    lines = [
        f"  {_line(key, tree.get(theirs, key), tree.get(ours, key), rules)}"
        for key in sorted({*tree.leaves(ours), *tree.leaves(theirs)})
        if tree.get(theirs, key) != tree.get(ours, key)
    ]
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"  and {len(lines) - MOST} more"


def _line(what: str, theirs: object, ours: object, rules: Rules) -> str:
    return (
        f"{what}: the candidate has {shown(theirs)}, {rules.source} {'says' if rules.config else 'say'} {shown(ours)}"
    )
