"""Earlier releases of the same repository: what they answered and asked for, and how a new one stands beside them."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gates
from gates.canonical import canonical_json
from release.config.reading import Config
from release.data import dataset
from release.hub import address
from release.values import layout, record
from release.values.artifacts import sha256_file
from release.values.errors import HubError
from release.values.events import Line, Say

FOLDER = "earlier"
RECORD = layout.FILE
ANSWERS, POLICY, ROWS = "gates/answers.jsonl", "gates/policy.json", "gates/golden_rows.json"
GOLDEN = layout.DATA["golden"]
NO_RELEASE = "it holds no release of this program"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A tag older than the one to publish, and the files that judged it."""

    tag: str
    commit: str
    folder: Path | None
    """None: the tag holds no release, or its files were not kept."""
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Now:
    """What the new release is judged by."""

    golden: Sequence[gates.Golden]
    golden_sha256: str
    policy: gates.Policy
    contract: Mapping[str, str]
    """The sha256 of contract and answer schema, by published name."""


def now(golden: dataset.Dataset, policy: gates.Policy, contract: Mapping[str, bytes]) -> Now:
    """What a release is judged by, from what was checked; ``contract`` as ``contract_files`` gives it."""
    digests = {f"gates/{name}": hashlib.sha256(content).hexdigest() for name, content in contract.items()}
    return Now(golden=golden.rows, golden_sha256=golden.sha256, policy=policy, contract=digests)


def fetch(config: Config, hub: Mapping[str, str], say: Say) -> tuple[Release, ...]:
    """Every tag older than the one to publish, oldest first, checked; ``HubError`` if one cannot be read."""
    folder, repo = config.run.output_dir / FOLDER, config.publishing.hf_repo
    request = {"do": "history", "repo_id": repo, "before": config.publishing.tag, "folder": str(folder)}
    folder.mkdir(parents=True, exist_ok=True)
    found = address.ask(request, hub, say, folder / "log")["tags"]
    releases = [read(one["tag"], one["commit"], folder / one["commit"] if one["release"] else None) for one in found]
    for one in releases:
        wrong = faults(one)
        if wrong:
            raise HubError(
                f"{one.tag} of {repo} (commit {one.commit}) is not what its record says, so nothing can be compared "
                "with it:\n  " + "\n  ".join(wrong) + f"\nRemove {one.folder} and run again; if it stays so, delete "
                "that tag on the Hub, or publish to another repository."
            )
    return tuple(releases)


def read(tag: str, commit: str, folder: Path | None) -> Release:
    """A release whose files lie in ``folder``; ``faults`` says whether they are its own."""
    content = None
    if folder is not None and (folder / RECORD).is_file():
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads((folder / RECORD).read_bytes())
    return Release(tag=tag, commit=commit, folder=folder, record=content if isinstance(content, dict) else {})


def faults(release: Release) -> list[str]:
    """Why an earlier release cannot be believed or understood; empty if it can."""
    if release.folder is None:
        return []
    wrong = [f"{RECORD}: {problem}" for problem in record.problems(release.record)]
    if wrong:
        return wrong
    # ``files`` is not under the record's own digest; what the record says of the answers is.
    digests = {**release.record.get("files", {}), ANSWERS: release.record["generation"]["answers_sha256"]}
    names = [name for name in (ANSWERS, POLICY, ROWS, GOLDEN) if (release.folder / name).exists()]
    wrong += [
        f"{name} is not the file that its record names"
        for name in names
        if digests.get(name) != sha256_file(release.folder / name)
    ]
    wrong += [f"{name} is missing" for name in (ANSWERS, POLICY) if name not in names]
    return wrong or list(_unreadable(release))


def _unreadable(release: Release) -> Iterator[str]:
    assert release.folder is not None
    try:
        if policy(release).digest != release.record["policy_sha256"]:
            yield f"{POLICY} is not the policy that its record names"
        gates.read_outputs(release.folder / ANSWERS)
        _rows_then(release)
    except gates.Invalid as error:
        yield from error.problems
    except (ValueError, RecursionError) as error:
        yield f"{type(error).__name__}: {error}"


def policy(release: Release) -> gates.Policy:
    """What an earlier release was judged by."""
    assert release.folder is not None
    return gates.load_policy(json.loads((release.folder / POLICY).read_bytes()), where=f"the policy of {release.tag}")


def _rows_then(release: Release) -> dict[str, str] | None:
    """The digest of each golden row that it answered, by id; None where it did not publish them."""
    assert release.folder is not None
    if (release.folder / ROWS).exists():
        rows = json.loads((release.folder / ROWS).read_bytes())
        if not isinstance(rows, dict) or not all(isinstance(digest, str) for digest in rows.values()):
            raise ValueError(f"{ROWS} holds no digest for each row")
        return rows
    if (release.folder / GOLDEN).exists():
        return row_digests(gates.read_golden(release.folder / GOLDEN))
    return None


def row_digests(golden: Sequence[gates.Golden]) -> dict[str, str]:
    """What ``gates/golden_rows.json`` holds: rows without a licence stay here, and can be compared all the same."""
    return {row.id: row.digest for row in golden}


def answered(release: Release, now: Now) -> gates.Earlier:
    """The earlier answers, each with the row that it answered."""
    assert release.folder is not None
    if release.record["data"]["golden"]["sha256"] == now.golden_sha256:
        golden: Sequence[gates.Golden] = now.golden
    else:
        rows = _rows_then(release) or {}
        golden = [gates.Golden(id=name, prompt=(), digest=digest) for name, digest in rows.items()]
    return gates.Earlier(name=release.tag, golden=golden, outputs=gates.read_outputs(release.folder / ANSWERS))


def not_compared(release: Release, now: Now) -> str:
    """Why an earlier release tells nothing about this one; empty if it does."""
    return NO_RELEASE if release.folder is None else gates.not_comparable(now.golden, answered(release, now))


def last(releases: Sequence[Release]) -> Release | None:
    """The youngest tag that holds a release."""
    return next((one for one in reversed(releases) if one.folder is not None), None)


def weaker(releases: Sequence[Release], now: Now) -> tuple[str, ...]:
    """Every way in which this release asks for less than the last one did, or escapes the comparison with it."""
    before = last(releases)
    if before is None:
        return ()
    lines = list(gates.weaker(now.policy, policy(before)))
    if any(before.record["files"].get(name) != digest for name, digest in now.contract.items()):
        lines.append("contract: another one, and it may let through what the last one did not")
    if reason := not_compared(before, now):
        lines.append(f"golden set: {reason}")
    return tuple(lines)


def excuses(releases: Sequence[Release], lines: Sequence[str], because: str | None) -> str:
    """What is wrong with the reason for a weaker release, if anything: none is given, or there is no need for one."""
    before = last(releases)
    if lines and because is None and before is not None:
        asked = "".join(f"\n  {line}" for line in lines)
        what = f"This release asks for less than {before.tag} did:{asked}\nSay why in gates.weaker_because or with "
        return what + "--weaker-because: the reason is printed on the card. Or ask for as much as before."
    if because is not None and not lines:
        than = "and there is no earlier release" if before is None else f"than {before.tag}"
        what = f"gates.weaker_because is given, but nothing is weaker {than}. "
        return what + "Take it out: left there, it would excuse whatever is weakened next."
    return ""


def tell(config: Config, releases: Sequence[Release], now: Now, say: Say) -> None:
    """Which earlier releases there are, and on how many rows each is compared."""
    if last(releases) is None:
        say(Line(text=f"  no earlier release of {config.publishing.hf_repo}: the base alone is compared with"))
    for one in releases:
        reason = not_compared(one, now)
        then = 0 if one.folder is None else len(answered(one, now).golden)
        rows = f"compared on {shared(one, now)} of its {then} golden rows, {len(now.golden)} are asked now"
        say(Line(text=f"  earlier release {one.tag}: {f'not compared, {reason}' if reason else rows}"))


def shared(release: Release, now: Now) -> int:
    """Golden rows that are the same as then."""
    then = row_digests(answered(release, now).golden)
    return sum(then.get(row.id) == row.digest for row in now.golden)


def compare(
    releases: Sequence[Release], now: Now, outputs: Sequence[gates.Output], contract: gates.Contract
) -> dict[gates.Against, gates.Comparison]:
    """The comparison with the last release and with the best of all; empty where there is none to compare with."""
    sides = {one.tag: answered(one, now) for one in releases if not not_compared(one, now)}
    before = last(releases)
    found: dict[gates.Against, gates.Comparison] = {}
    if before is not None and before.tag in sides:
        found["last"] = gates.compare(now.golden, outputs, [sides[before.tag]], contract, now.policy, against="last")
    if sides:
        found["best"] = gates.compare(now.golden, outputs, list(sides.values()), contract, now.policy, against="best")
    return found


def needed(releases: Sequence[Release], found: Mapping[gates.Against, gates.Comparison]) -> list[Release]:
    """The releases without which the comparisons would come out otherwise: the last, and each gate's best."""
    before = last(releases)
    met = {one.earlier for comparison in found.values() for one in comparison.pairings}
    met |= set() if before is None else {before.tag}
    return [one for one in releases if one.tag in met]


def file_of(against: gates.Against) -> str:
    return f"comparison_{against}.json"


def in_record(releases: Sequence[Release], now: Now, kept: Sequence[Release]) -> dict[str, Any]:
    """What the record says of earlier releases."""
    tags = {one.tag for one in kept}
    return {
        "releases": [
            {
                "tag": one.tag,
                "commit": one.commit,
                "record_sha256": one.record.get("record_sha256"),
                "kept": one.tag in tags,
                "rows": 0 if one.folder is None else shared(one, now),
                "not_compared": not_compared(one, now) or None,
            }
            for one in releases
        ],
        "weaker": list(weaker(releases, now)),
    }


def files(releases: Sequence[Mapping[str, Any]], output: Path) -> dict[str, Path]:
    """What travels with a release so that anybody can compare again without a network, by published name.

    ``releases`` are those of the record; their files were fetched into ``output``.
    """
    found: dict[str, Path] = {}
    for one in releases:
        folder = output / FOLDER / one["commit"]
        names = (name for name in (RECORD, ANSWERS, POLICY, ROWS, GOLDEN) if (folder / name).exists())
        found |= {f"gates/{FOLDER}/{one['commit']}/{name}": folder / name for name in names if one["kept"]}
    return found


def contract_files(mapping: Mapping[str, Any], contract: gates.Contract) -> dict[str, bytes]:
    """Contract and answer schema as they are published in ``gates/``."""
    name = Path(layout.ANSWER_SCHEMA).name
    written = {**mapping, "schema": name}
    return {"contract.json": canonical_json(written), name: canonical_json(contract.schema)}


def attempts(releases: Sequence[Release], golden_sha256: str) -> list[tuple[str, int]]:
    """The adapters that were released after being judged on this golden set, and which attempt each was."""
    found = (one.record for one in releases if one.folder is not None)
    return [
        (one["adapter"]["sha256"], one["attempt"]) for one in found if one["data"]["golden"]["sha256"] == golden_sha256
    ]
