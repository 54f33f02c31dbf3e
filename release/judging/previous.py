"""Previous releases of the same repository: what they answered and required, and how a new one compares with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gates
from gates import losses
from gates.policy import SPENDING
from gates.shown import plain, shorten
from release.config.settings import Config, Publishing
from release.hub import requests
from release.judging import attempts, terms
from release.judging.attempts import Entry
from release.judging.released import Released
from release.judging.terms import Terms
from release.values import bounded, bounds, clock, layout
from release.values.as_json import tree
from release.values.errors import HubError, VerificationError, shown
from release.values.events import Line, Say
from release.values.record import Previous, PreviousRelease, Record

NAMED = 10
"""Rows that a line names."""
NO_RELEASE = "it holds no release of this program"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A tag older than the one to publish, and the files that judged it."""

    tag: str
    commit: str
    released: Released | None
    """None: the tag holds no release, or its files were not kept."""


def fetch(publishing: Publishing, folder: Path, hub: Mapping[str, str], say: Say) -> tuple[Release, ...]:
    """Every tag older than the one to publish, oldest first, checked; ``HubError`` if one cannot be read.

    What judged them lies in ``folder`` afterwards; what lay there already is not fetched again.
    """
    repo = publishing.hf_repo
    request = requests.History(repo_id=repo, before=publishing.tag, folder=folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = requests.ask(request, hub, say, folder / "log")
    releases = [read(one.tag, one.commit, folder / one.commit if one.release else None) for one in found]
    for one in releases:
        wrong = faults(one)
        if wrong:
            raise HubError(
                f"{one.tag} of {repo} (commit {one.commit}) is not what its record says, so nothing can be compared "
                "with it:\n  " + "\n  ".join(wrong) + f"\nRemove {folder / one.commit} if it is there, and run again; "
                "if that does not help, delete that tag on the Hub, or publish to another repository."
            )
    return tuple(releases)


def read(tag: str, commit: str, folder: Path | None) -> Release:
    """A release whose files lie in ``folder``; ``faults`` says whether they are its own."""
    return Release(tag=tag, commit=commit, released=Released(folder=folder, name=tag) if folder else None)


def faults(release: Release) -> list[str]:
    """Why a previous release cannot be believed or understood; empty if it can."""
    if release.released is None:
        return []
    seconds = float(bounds.SECONDS)
    try:
        seconds = release.released.listed.seconds
        with clock.within(seconds):
            return list(_faults(release.released))
    except clock.TimeUp:
        return [f"its files took more than the {seconds:.0f} seconds of a processor that such a release needs"]
    except gates.Invalid as error:
        return list(error.problems)
    except (OSError, ValueError, ArithmeticError, RecursionError) as error:
        return [f"{type(error).__name__}: {error}"]


def _faults(found: Released) -> Iterator[str]:
    if found.problems:
        yield from (f"{layout.RECORD}: {problem}" for problem in found.problems)
        return
    record = found.record
    for name in (*layout.COMPARED, layout.DATA["golden"]):
        found.contents.need(name)
    # ``files`` is not under the record's own digest; what the record says of the answers is.
    digests = {**(record.files or {}), layout.ANSWERS: record.generation.answers_sha256}
    wrong = [
        f"{name} is not the file that its record names"
        for name in (*layout.COMPARED, layout.DATA["golden"])
        if name != layout.RECORD and name in found.files and digests.get(name) != found.sha256(name)
    ]
    needed = (layout.ANSWERS, layout.POLICY, *([layout.LEDGER] if layout.LEDGER in digests else []))
    wrong += [f"{name} is missing" for name in needed if name not in found.files]
    if not wrong and found.policy.digest != record.policy_sha256:
        wrong.append(f"{layout.POLICY} is not the policy that its record names")
    yield from wrong
    if not wrong:
        gates.read_outputs(found.path(layout.ANSWERS))
        _rows_then(found, ())
        ledger(found)
        _shares(found)


def _rows_then(found: Released, labels_in_meta: Sequence[str]) -> dict[str, gates.Known]:
    """What is known of each golden row that it answered, by id; nothing where it did not publish it."""
    if layout.GOLDEN_ROWS in found.files:
        return {name: _known(value) for name, value in found.json(layout.GOLDEN_ROWS).items()}
    golden = found.path(layout.DATA["golden"])
    rows = gates.read_golden(golden) if golden.exists() else ()
    return {row.id: gates.known(row, labels_in_meta) for row in rows}


def _known(value: object) -> gates.Known:
    """A row of ``gates/golden_rows.json``, which before version 3 of a policy held one digest for each."""
    if isinstance(value, str):
        return gates.Known(row=value)
    labels = value.get("labels") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and isinstance(labels, Mapping):
        digests = [value.get("row"), value.get("asked"), *labels.values()]
        if len(value) == 3 and all(isinstance(one, str) for one in digests):
            return gates.Known(row=str(value["row"]), asked=str(value["asked"]), labels=dict(labels))
    raise ValueError(f"{layout.GOLDEN_ROWS} holds no digest for each row")


def ledger(found: Released) -> list[Entry]:
    """The attempts that a release counted, itself the last; one without a ledger counts by its number."""
    if layout.LEDGER in found.files:
        return attempts.parse(found.read(layout.LEDGER), f"{layout.LEDGER} of {found.name}")
    record = found.record
    return [attempts.of_number(record.adapter.sha256, record.data.golden.sha256, record.attempt)]


def tried(releases: Sequence[Release]) -> list[Entry]:
    """Every attempt that previous releases counted, the oldest release's first."""
    return attempts.together(*(ledger(one.released) for one in releases if one.released is not None))


def _shares(found: Released) -> Mapping[str, tuple[int, int]] | None:
    """What its verdict counted, by gate; None where its verdict did not come along."""
    if layout.VERDICT not in found.files:
        return None
    if found.sha256(layout.VERDICT) != found.record.verdict_sha256:
        raise ValueError(f"{layout.VERDICT} is not the verdict that its record names")
    rows = found.record.data.golden.rows
    if wrong := [one.gate for one in found.counted if not 0 <= one.k <= one.n <= rows]:
        raise ValueError(f"{layout.VERDICT} counts other rows than there were: {', '.join(map(plain, wrong))}")
    return {one.gate: (one.k, one.n) for one in found.counted}


def uncounted(counted: Sequence[Entry], releases: Sequence[Release], now: Terms) -> list[str]:
    """The attempts on this golden set before the last one here that previous releases know and a ledger does not.

    What came after it is left out: who releases an adapter of before once more looks at nothing anew.
    """
    have, adapters = {(one.attempt, one.form) for one in counted}, {one.adapter_sha256 for one in counted}
    ledgers = [ledger(one.released) for one in releases if one.released is not None]
    known = attempts.together(*(attempts.before(one, counted[-1].attempt, now.golden_set) for one in ledgers))
    missing = [one for one in known if (one.attempt, one.form) not in have]
    # A release of before is known by its number; the machine that made it may know more of it.
    lost = [one for one in missing if one.answers_sha256 != attempts.NOBODY or one.adapter_sha256 not in adapters]
    return [f"an attempt with the adapter {one.adapter_sha256[:12]} ({one.form}) is not counted" for one in lost]


def answered(found: Released, now: Terms) -> gates.Earlier:
    """The previous answers, each with the row that it answered."""
    if found.record.data.golden.sha256 == now.golden.sha256:
        return gates.Earlier(name=found.name, golden=now.golden.rows, outputs=found.answers)
    rows = _rows_then(found, now.labels_in_meta)
    golden = [gates.Golden(id=name, prompt=(), told=one.row) for name, one in rows.items()]
    return gates.Earlier(name=found.name, golden=golden, outputs=found.answers, known=rows)


def answers_before(releases: Sequence[Release], now: Terms) -> Mapping[str, str]:
    """What the last release answered to the rows that are still the same, by id."""
    before = last(releases)
    if before is None or before.released is None:
        return {}
    then = answered(before.released, now)
    found = {one.id: one.output for one in then.outputs}
    same = gates.matched(now.golden.rows, then.rows, version=now.policy.version).same
    return {name: found[before_it] for name, before_it in same.items() if before_it in found}


def not_compared(release: Release, now: Terms) -> str:
    """Why a previous release cannot be compared with this one; empty if it can."""
    if release.released is None:
        return NO_RELEASE
    return gates.not_comparable(now.golden.rows, answered(release.released, now), version=now.policy.version)


def last(releases: Sequence[Release]) -> Release | None:
    """The youngest tag that holds a release."""
    return next((one for one in reversed(releases) if one.released is not None), None)


def weaker(releases: Sequence[Release], now: Terms) -> tuple[str, ...]:
    """Every way in which this release requires less than the last one did, or escapes the comparison with it."""
    before = last(releases)
    if before is None or before.released is None:
        return ()
    lines = list(gates.weaker(now.policy, before.released.policy))
    lines += _weaker_contract(before.released.record, now)
    lines += fewer_forms(terms.required_forms(before.released.record.config.get("serving")), now.required_forms)
    reason = not_compared(before, now)
    lines += [f"golden set: {reason}"] if reason else []
    if now.policy.version >= SPENDING:
        lines += _escaped(before.released, now, compared=not reason)
    return tuple(lines)


def _escaped(before: Released, now: Terms, *, compared: bool) -> Iterator[str]:
    """What of the last release is not compared with any more, however much is; and where that is too little."""
    then = answered(before, now)
    if then.golden is not now.golden.rows:
        yield from dropped(gates.matched(now.golden.rows, then.rows, version=now.policy.version))
    limit = now.policy.most_possible
    if compared and limit is not None:
        for gate, n in gates.blind(now.golden.rows, then, now.policy).items():
            few = f"comparison: {gate} counts {n} rows that both answered, too few to rule out a loss of"
            yield f"{few} {100 * limit:g} %: {losses.least(limit)} are needed"


def fewer_forms(then: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """The forms of `terms.required_forms` in which an adapter had to pass, and now need not, whatever their names."""
    for form in then:
        if not terms.covers(now, form):
            yield f"serving: it had to pass in the form {form}, and now need not"


def dropped(found: gates.Matched) -> Iterator[str]:
    """The rows of then that are asked no more as they were."""
    if found.gone:
        yield f"golden set: {len(found.gone)} of its rows are gone, or ask something else now: {_some(found.gone)}"
    if found.relabelled:
        labels = [f"{name} ({', '.join(labels)})" for name, labels in found.relabelled.items()]
        yield f"golden set: {len(labels)} of its rows are labelled otherwise now: {_some(labels)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(shorten(plain(name), 80) for name in names[:NAMED])}{more}"


def _weaker_contract(before: Record, now: Terms) -> Sequence[str]:
    """What the answer format may let through that the last one did not."""
    then = before.files or {}
    other = [name for name, digest in now.contract_sha256.items() if then.get(name) != digest]
    if other and now.policy.version == 1:  # such a policy compares as it did when it was recorded
        return ("contract: another one, and it may let through what the last one did not",)
    lines = ["answer schema: another one, and it may let through what the last one did not"]
    lines = lines if layout.ANSWER_SCHEMA in other else []
    if layout.CONTRACT in other:
        mapping = bounded.json_object(now.contract_files[layout.CONTRACT], layout.CONTRACT)
        then_mapping = before.config.get("contract")
        lines += gates.weaker_contract(mapping, then_mapping if isinstance(then_mapping, Mapping) else {})
    return lines


def excuses(releases: Sequence[Release], lines: Sequence[str], because: str | None) -> str:
    """What is wrong with the reason for a weaker release, if anything: none is given, or there is no need for one."""
    before = last(releases)
    if lines and because is None and before is not None:
        less = "".join(f"\n  {line}" for line in lines)
        what = (
            f"This release requires less than {before.tag} did:{less}\nGive the reason in gates.weaker_because or with "
        )
        return what + "--weaker-because: the reason is printed on the card. Or require as much as before."
    if because is not None and not lines:
        than = "and there is no previous release" if before is None else f"than {before.tag}"
        what = f"gates.weaker_because is given, but nothing is weaker {than}. "
        return what + "Take it out: left there, it would excuse whatever is weakened next."
    return ""


def tell(config: Config, releases: Sequence[Release], now: Terms, say: Say) -> None:
    """Which previous releases there are, and on how many rows each is compared."""
    if last(releases) is None:
        say(Line(text=f"  no previous release of {config.publishing.hf_repo}: compared with the base model only"))
    for one in releases:
        reason = not_compared(one, now)
        then = 0 if one.released is None else len(answered(one.released, now).rows)
        rows = f"compared on {shared(one, now)} of its {then} golden rows, {len(now.golden.rows)} are asked now"
        say(Line(text=f"  previous release {one.tag}: {f'not compared, {reason}' if reason else rows}"))


def shared(release: Release, now: Terms) -> int:
    """Golden rows that are the same as then."""
    if release.released is None:
        return 0
    then = answered(release.released, now)
    if then.golden is now.golden.rows:
        return len(then.golden)
    return len(gates.matched(now.golden.rows, then.rows, version=now.policy.version).same)


def compare(
    releases: Sequence[Release], now: Terms, outputs: Sequence[gates.Output]
) -> dict[gates.Against, gates.Comparison]:
    """The comparison with the last release and with the best of all; empty where there is none to compare with."""
    sides = {one.tag: answered(one.released, now) for one in releases if one.released and not not_compared(one, now)}
    before, rows = last(releases), now.golden.rows
    found: dict[gates.Against, gates.Comparison] = {}
    if before is not None and before.tag in sides:
        found["last"] = gates.compare(rows, outputs, [sides[before.tag]], now.contract, now.policy, against="last")
    if sides:
        found["best"] = gates.compare(rows, outputs, list(sides.values()), now.contract, now.policy, against="best")
    return found


def needed(releases: Sequence[Release], found: Mapping[gates.Against, gates.Comparison]) -> list[Release]:
    """The releases without which the comparisons would come out otherwise: the last, and each gate's best."""
    before = last(releases)
    met = {one.earlier for comparison in found.values() for one in comparison.pairings}
    met |= set() if before is None else {before.tag}
    return [one for one in releases if one.tag in met]


def in_record(release: Release, now: Terms, *, kept: bool) -> PreviousRelease:
    """What the record says of a previous release."""
    record = release.released.record if release.released else None
    return PreviousRelease(
        tag=release.tag,
        commit=release.commit,
        record_sha256=record.record_sha256 if record else None,
        kept=kept,
        rows=shared(release, now),
        not_compared=not_compared(release, now) or None,
        gates=_shares(release.released) if release.released else None,
    )


def files(releases: Sequence[PreviousRelease], output: Path) -> dict[str, Path]:
    """What travels with a release so that anybody can compare again without a network, by published name.

    ``releases`` are those of the record; their files were fetched into ``output``. ``VerificationError`` where one is
    not any more what was compared with.
    """
    found: dict[str, Path] = {}
    for one in releases:
        if not one.kept:
            continue
        folder = output / layout.PREVIOUS / one.commit
        if wrong := not_the_one(read(one.tag, one.commit, folder), one):
            raise VerificationError(
                f"{folder} changed since the candidate was compared with it:\n  "
                + "\n  ".join(wrong)
                + "\nNothing was packed. Remove that folder and run again: nothing is trained again."
            )
        names = [name for name in (*layout.COMPARED, layout.DATA["golden"]) if (folder / name).exists()]
        found |= {f"gates/{layout.PREVIOUS}/{one.commit}/{name}": folder / name for name in names}
    return found


def not_the_one(kept: Release, entry: PreviousRelease) -> list[str]:
    """Why what is kept of a previous release is not what was compared with."""
    wrong = [f"{kept.tag}: {problem}" for problem in faults(kept)]
    if kept.released and not wrong and kept.released.record.record_sha256 != entry.record_sha256:
        wrong.append(f"{kept.tag}: its record is another than the one compared with")
    return wrong


def kept(releases: Sequence[PreviousRelease], folder: Path) -> tuple[Release, ...]:
    """The releases of a record, those that were kept with their files under ``folder``."""
    return tuple(read(one.tag, one.commit, folder / one.commit if one.kept else None) for one in releases)


def kept_in(release: Released) -> tuple[Release, ...]:
    """The previous releases that are kept with a release, oldest first."""
    release.contents.need(f"gates/{layout.PREVIOUS}")
    said = release.record.earlier
    listed = [one for one in said.releases if one.kept] if said else []
    return kept(listed, release.folder / "gates" / layout.PREVIOUS)


def unnamed(said: Previous | None, found: Previous) -> tuple[str, ...]:
    """The tags that a Hub has and a record does not name, and those that it names and the Hub does not have."""
    theirs = {(one.tag, one.commit) for one in said.releases} if said else set()
    ours = {(one.tag, one.commit) for one in found.releases}
    return (
        *(f"{tag} (commit {commit}) is there" for tag, commit in sorted(ours - theirs)),
        *(f"{tag} (commit {commit}) is not there" for tag, commit in sorted(theirs - ours)),
    )


def misstated(said: Previous | None, found: Previous) -> Iterator[str]:
    """Each way in which a record says of the same releases what they themselves do not."""
    theirs = {one.tag: one for one in said.releases} if said else {}
    for ours in found.releases:
        yield from misstated_of(theirs[ours.tag], ours)
    if said and [one.tag for one in said.releases] != (tags := [one.tag for one in found.releases]):
        yield f"they are {shown(tags)} by age, the record says {shown([one.tag for one in said.releases])}"
    if said and list(said.weaker) != list(found.weaker):
        yield f"less is required than by the last one in {shown(found.weaker)}, the record says {shown(said.weaker)}"
    if said and said.comparisons != found.comparisons:
        yield f"the comparisons with them are {shown(found.comparisons)}, the record names {shown(said.comparisons)}"


def misstated_of(said: PreviousRelease, found: PreviousRelease) -> Iterator[str]:
    """Each way in which a record says of one release what it does not say itself."""
    theirs, ours = tree(said), tree(found)
    for name in theirs:  # a record of before says nothing of what its gates counted
        if theirs[name] != ours.get(name):
            yield f"{found.tag}: {name} is {shown(ours.get(name))}, the record says {shown(theirs[name])}"
