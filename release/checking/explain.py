"""Why a gate failed: every row that it counts as wrong, of a run here, of a release on a Hub, or of a folder."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gates
from gates import report
from release.checking import verify
from release.data import dataset
from release.judging import previous
from release.publishing import package
from release.values.errors import ConfigError, DataError, VerificationError
from release.values.events import Line, Say


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was judged, wherever it lies."""

    name: str
    folder: Path
    """Of verdict.json, answers.jsonl, policy.json and contract.json."""
    golden: Path
    before: tuple[previous.Release, ...]


def explain(gate: str, place: Judged, say: Say) -> None:
    """Say why, row by row, with the last release's answer where there is one.

    The answers are judged again; ``VerificationError`` if that is not the stored verdict.
    """
    folder, golden = place.folder, dataset.load(place.golden)
    with _reading(place.name):
        contract = gates.load_contract(json.loads((folder / "contract.json").read_bytes()), folder)
        policy = gates.load_policy(json.loads((folder / "policy.json").read_bytes()))
        outputs = gates.read_outputs(folder / "answers.jsonl")
        stored = (folder / "verdict.json").read_bytes()
    verdict = gates.judge(golden.rows, outputs, contract, policy)
    if verdict.to_json() != stored:
        raise VerificationError(
            f"The gates make another verdict of the answers in {place.name} than the one stored there: a file was "
            "changed, or another version made it. See `adapter-release verify`."
        )
    if gate not in verdict.names:
        raise ConfigError([f"{gate!r} was not measured in {place.name}. Measured are {', '.join(verdict.names)}."])
    before = _answers_before(place.before, golden, policy)
    lines = report.explain(verdict, gate, before, golden=golden.rows, outputs=outputs)
    say(Line(text="\n".join([place.name, *lines])))


def _answers_before(
    releases: tuple[previous.Release, ...], golden: dataset.Dataset, policy: gates.Policy
) -> Mapping[str, str]:
    """What the last release answered to the rows that are still the same."""
    before = previous.last(releases)
    if before is None:
        return {}
    then = previous.answered(before, previous.now(golden, policy, {}))
    same = previous.row_digests(golden.rows).items() & previous.row_digests(then.golden).items()
    ids = {name for name, _ in same}
    return {one.id: one.output for one in then.outputs if one.id in ids}


@contextlib.contextmanager
def found(place: str | None, runs: Path, endpoint: str, say: Say, data: Path | None) -> Iterator[Judged]:
    """``REPO@TAG``, the folder of a release or of a run; None: the run under ``runs`` that was judged last."""
    run = _newest(runs) if place is None else Path(place)
    if (run / "verdict.json").is_file():
        beside = json.loads((run / "earlier.json").read_bytes()) if (run / "earlier.json").exists() else {}
        before = _releases(beside, run.parent / previous.FOLDER)
        yield Judged(name=str(run), folder=run, golden=run / "data" / "golden.jsonl", before=before)
        return
    with verify.opened(str(run) if place is None else place, endpoint, say, verify.Known(data=data)) as release:
        with _reading(release.name):
            beside, golden = release.read(package.RECORD).get("earlier", {}), release.rows("golden")
        if golden is None:
            raise DataError(
                f"The golden rows of {release.name} are not in the release. Give the folder that has them as --data."
            )
        stored = release.folder / "gates"
        before = _releases(beside, stored / previous.FOLDER)
        yield Judged(name=release.name, folder=stored, golden=golden, before=before)


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{name} is neither a run that was judged nor a release: {error.filename} is missing."]
        ) from None
    except (gates.Invalid, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise VerificationError(f"{name} cannot be read: {error}. See `adapter-release verify`.") from None


def _releases(beside: Mapping[str, Any], folder: Path) -> tuple[previous.Release, ...]:
    kept = (one for one in beside.get("releases", ()) if one["kept"])
    return tuple(previous.read(one["tag"], one["commit"], folder / one["commit"]) for one in kept)


def _newest(runs: Path) -> Path:
    judged = sorted(runs.glob("*/verdict.json"), key=lambda path: path.stat().st_mtime_ns)
    if not judged:
        raise ConfigError([f"No run under {runs} was judged yet. Name a run, a release as REPO@TAG, or a folder."])
    return judged[-1].parent
