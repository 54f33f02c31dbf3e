"""Check a published release against its own record: bytes, card, verdict, signature. Seconds, and no GPU."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import gates
from gates.canonical import canonical_json
from gates.shown import plain, shorten
from release.checking import (
    allowed,
    recorded_config,
    steps,
    verify_attempts,
    verify_card,
    verify_chat,
    verify_earlier,
    verify_forms,
    verify_loaded,
    verify_rows,
    verify_stages,
    verify_training,
    verify_tries,
)
from release.checking.opening import Known, Opened, opened
from release.checking.steps import FIRST_LOOK, Step, Unchecked
from release.data.dataset import Dataset
from release.judging import derive, previous
from release.judging.released import Released
from release.publishing import attestations, page, sign
from release.values import bounds, contents, layout, lora_settings, tensors
from release.values.events import Line, Say
from release.values.record import Record, Rows, Tensor


def verify(release: str, endpoint: str, say: Say, known: Known) -> None:
    """Check a release on a Hub, or a downloaded folder. Raises ``VerificationError`` after reporting every step."""
    with opened(release, endpoint, say, known) as found:
        report(found, say)


def report(found: Opened, say: Say) -> list[Step]:
    """Every step, told with its outcome; ``VerificationError`` if any failed."""
    made = steps.told(check(found), found.name, say)
    for line in allowed.asks_for(found.release.record):
        say(Line(text=f"    --     {line}"))
    return made


def check(found: Opened, names: Iterable[str] | None = None) -> list[Step]:
    """Every check over the files of a release, or those of these names, in order; one that cannot run has failed."""
    return steps.taken(CHECKS, found, CHECKS if names is None else names, found.release)


def place(found: Opened) -> Iterator[str]:
    """Whether tag and files are those that the caller knows."""
    expected = found.expected or {}
    commit, manifest = expected.get("commit"), expected.get("manifest_digest")
    if commit and found.commit and commit != found.commit:
        yield f"{found.name} is commit {found.commit} now, it was {commit}: the tag was moved"
    if manifest:
        actual = found.release.manifest().digest
        if actual != manifest:
            yield f"its files have the manifest digest {actual}, the receipt says {manifest}"


def _files(found: Opened) -> Iterator[str]:
    release = found.release
    yield from release.contents.problems()
    for name in layout.NEEDED:
        if name not in release.names:
            yield f"{name} is missing"
    if release.record.has("model", "chat_template") and layout.CHAT_TEMPLATE not in release.names:
        yield f"{layout.CHAT_TEMPLATE} is missing"


def _digests(found: Opened) -> Iterator[str | Unchecked]:
    release, expected = found.release, found.release.record.files or {}
    actual = {name for name in release.names if name in expected or name not in layout.UNLISTED}
    for name in sorted(expected.keys() | actual):
        if name not in actual:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{contents.shown(name)} is not in the record"
        elif name in release.contents.refused:
            yield Unchecked(why=f"not looked at, as step 2 failed: {contents.shown(name)}")
        elif (sha256 := release.sha256(name)) != expected[name]:
            yield f"{name} has sha256 {sha256}, the record says {expected[name]}"


def _record(found: Opened) -> Iterator[str]:
    if found.release.read(layout.RECORD) != canonical_json(found.release.raw):
        yield f"{layout.RECORD} is not in its one canonical spelling: it was edited"
    yield from found.release.problems


def _agreement(found: Opened) -> Iterator[str | Unchecked]:
    """The record says one thing about how the adapter was made, wherever it says it."""
    record = found.release.record
    training, generation, fixed = record.ran, record.generation, record.determinism
    yield from _threads(record)
    for name in sorted(training.versions.keys() | generation.versions.keys()):
        both = {"training": training.versions.get(name), "answering": generation.versions.get(name)}
        yield from _unequal(f"versions of {name}", both)
    yield from _unequal("seeds", {"determinism": fixed.seed, "the configuration": record.setting("run", "seed")})
    yield from _unequal("names", {"the record": record.name, "the configuration": record.setting("run", "name")})
    image = training.image_digest if training.image_digest == generation.image_digest else None
    yield from _unequal("container images", {"the record": record.image_digest, "training and answering": image})
    yield from recorded_config.problems(found.release)
    yield from verify_stages.problems(record)
    yield from verify_chat.problems(found.release)
    yield from verify_training.problems(found.release)
    yield from verify_tries.problems(found.release)


def _threads(record: Record) -> Iterator[str]:
    """Each process computed with its share of the configured threads, or of one number for all stages."""
    configured = record.setting("run", "threads") if record.has("run", "threads") else record.threads
    stages = {"training": record.ran, "answering": record.generation}
    found = {
        "determinism": record.determinism.threads,
        **{name: one.hardware.threads for name, one in stages.items()},
        "the configuration": configured,
    }
    many = {f"processes of {name}": one.processes for name, one in stages.items() if one.processes}
    total = configured if isinstance(configured, int) else 0  # of which nobody has a share
    shared = [total and max(1, total // (one.processes or 1)) for one in (record.ran, *stages.values())]
    if shared != [found["determinism"], found["training"], found["answering"]]:
        yield _told("thread counts", found | many)


def _unequal(what: str, values: Mapping[str, object]) -> Iterator[str]:
    """A line when the named values are not all the same."""
    if len({json.dumps(value) for value in values.values()}) > 1:
        yield _told(what, values)


def _told(what: str, values: Mapping[str, object]) -> str:
    return f"two {what}: " + ", ".join(f"{name} {shorten(str(value), bounds.SHOWN)}" for name, value in values.items())


def _base(found: Opened) -> Iterator[str]:
    """One base model in the record, the configuration it was made with, the adapter's own settings and the card.

    The adapter's settings are those of a LoRA that was trained here: nothing else of theirs reaches PEFT.
    """
    record, settings, card = (
        found.release.record,
        found.release.json(layout.SETTINGS),
        verify_card.metadata(found.release),
    )
    names = {
        "the record": record.base.base_model_id,
        "its configuration": record.setting("model", "base_model_id"),
        layout.SETTINGS: settings["base_model_name_or_path"],
        "the card": card["base_model"],
    }
    yield from _unequal("base models", names)
    revisions = {
        "the record": record.base.revision,
        "its configuration": record.setting("model", "revision"),
        layout.SETTINGS: settings.get("revision"),
    }
    yield from _unequal("base revisions", revisions)
    imported = record.origin is not None
    if imported != (record.setting("adapter", "method") == "imported") or imported == (record.training is not None):
        yield "it says both that it was trained here and that it was trained elsewhere"
    if (own := record.adapter.files.get(TOKENIZER)) != (theirs := record.base.files.get(TOKENIZER, own)):
        yield f"{TOKENIZER} has sha256 {shorten(str(own), bounds.SHOWN)}, that of the base in the record {theirs}"
    told = record.origin.reproduce_with if record.origin else None
    if told and told.lock and told.lock not in told.files:
        yield f"the lock of its trainer, {contents.shown(told.lock)}, is not among the files that it needs"
    yield from lora_settings.problems(settings, record.setting("adapter", "lora"), imported=imported)


def _data(found: Opened) -> Iterator[str | Unchecked]:
    release, data = found.release, found.release.record.data
    for kind, rows in (("train", release.train), ("tuning", release.tuning), ("golden", release.golden)):
        yield from _rows(release, layout.DATA[kind], data.of(kind), rows)
    if release.golden is not None and layout.GOLDEN_ROWS in release.files:
        stored = release.read(layout.GOLDEN_ROWS)
        if stored != release.terms.files[layout.GOLDEN_ROWS]:
            yield f"{layout.GOLDEN_ROWS} does not hold the digests of the golden rows"
    if data.golden.sha256 != verify_card.golden_sha256(release):
        yield "the card names another golden set than the record"
    yield from verify_rows.problems(release)


def _rows(release: Released, name: str, facts: Rows | None, rows: Dataset | None) -> Iterator[str]:
    """Whether a file of rows is the one of the record, which says nothing of those that are not known or not there."""
    if facts is None:
        if name in release.files:
            yield f"{name} is there, and the record names no such rows"
    elif facts.file is not None and name not in release.files:
        yield f"{name} is missing, the record says it is published"
    elif rows is not None and rows.sha256 != facts.sha256:
        yield f"{name} has rows with sha256 {rows.sha256}; the adapter was made with {facts.sha256}"
    elif rows is not None and len(rows.rows) != facts.rows:
        yield f"{name} has {len(rows.rows)} rows, the record says {facts.rows}"


def _judged(found: Opened) -> Iterator[str | Unchecked]:
    release, record, verdict = found.release, found.release.record, found.release.verdict
    named = {
        layout.VERDICT: record.verdict_sha256,
        layout.ANSWERS: record.generation.answers_sha256,
        layout.BASE_ANSWERS: record.generation.base_answers_sha256,
        layout.COMPARISON: record.comparison_sha256,
    }
    for name, sha256 in named.items():
        if sha256 is not None and release.sha256(name) != sha256:
            yield f"{name} is not the one that the record names"
    if record.generation.adapter_sha256 != record.adapter.sha256:
        yield "the answers were made by another adapter than the one published"
    yield from _same_adapter(found)
    policies = {"the record": record.policy_sha256, "the verdict": verdict["policy_digest"]}
    yield from _unequal("policies", policies | {layout.POLICY: release.policy.digest})
    if record.passed is not True or verdict["passed"] is not True:
        yield "the verdict is not a pass"
    yield from verify_loaded.problems(release)
    for name in layout.TERMS:
        if name in release.names:
            yield Unchecked(why=f"{name} is not of the release: nothing here wrote it, and nobody judged its text")


def _same_adapter(found: Opened) -> Iterator[str]:
    release, adapter = found.release, found.release.record.adapter
    for name, sha256 in adapter.files.items():
        if release.sha256(name) != sha256:
            yield f"{name} is not the file that was judged"
    there = all(name in release.files for name in adapter.files)
    if there and release.manifest(list(adapter.files)).digest != adapter.sha256:
        yield "the adapter's files together are not the adapter that was judged"
    ours = (layout.CARD, layout.TRAINING_METRICS, layout.TRAINING_CONFIG, *layout.UNLISTED, *layout.TERMS)
    for name in release.names:
        if name not in adapter.files and name not in ours and not name.startswith(layout.FOLDERS):
            yield f"{contents.shown(name)} was not there when the adapter was judged, and may be loaded with it"


def _tensors(found: Opened) -> Iterator[str]:
    expected = found.release.record.adapter.tensors
    actual = tensors.digests(found.release.path(layout.WEIGHTS))
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            yield f"{name} is {_shown(actual.get(name))}, the record says {_shown(expected.get(name))}"
    yield from _trained(found.release.record, actual)


def _trained(record: Record, there: Mapping[str, Tensor]) -> Iterator[str]:
    """Trained are the LoRA's own numbers; and biases, where the configuration says so. What else is saved is frozen."""
    sizes = {name: math.prod(one.shape) for name, one in there.items()}
    least = sum(size for name, size in sizes.items() if ".lora_" in name)
    lora = record.setting("adapter", "lora")
    only = not isinstance(lora, dict) or lora.get("bias", "none") == "none"
    if record.training is None:
        return  # trained elsewhere: nobody here knows how many of its numbers were learned
    most, told = least if only else sum(sizes.values()), record.training.trainable_parameters
    if not least <= told <= most:
        between = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        yield f"{layout.WEIGHTS} has {between} trained parameters, the record says {told:,}"


def _shown(tensor: Tensor | None) -> str:
    return f"{tensor.dtype} {tensor.shape} sha256 {tensor.sha256}" if tensor else "not there"


def _card(found: Opened) -> Iterator[str]:
    """What a machine reads and what people see are both what record, verdict and answers make, to the byte."""
    if found.release.golden is None:
        verify_card.metadata(found.release)
        yield "the golden rows are not in the release: give their folder with --data to check the card"
    else:
        table = derive.markdown(found.alone, found.beside, found.forms, found.people)
        yield from verify_card.problems(found.release, table)


def _page(found: Opened) -> Iterator[str | Unchecked]:
    """What a browser shows of the release is what record and answers make, to the byte: no other word, no program."""
    release = found.release
    if layout.PAGE not in release.names and layout.PICTURE not in release.names:
        yield Unchecked(why="it has none, as early releases")
    elif release.golden is None:
        yield "the golden rows are not in the release: give their folder with --data to check the page"
    elif release.read(layout.PAGE) != found.page:
        made_by = plain(release.record.program.version)
        yield (
            f"{layout.PAGE} is not the page that record and answers make: do not open it. If adapter-release "
            f"{made_by:.40} made it and draws pages otherwise, verify it with that version"
        )
    elif release.read(layout.PICTURE) != page.drawn(
        release.record, release.counted, verify_card.publishing(release.record)
    ):
        yield f"{layout.PICTURE} is not the picture that record and verdict make: the card shows other gates"


def _verdict(found: Opened) -> Iterator[str | Unchecked]:
    """Verdict, and comparison with the base, come out again from the answers."""
    release = found.release
    if release.golden is None:
        yield "the golden rows are not in the release: give their folder with --data to check the verdict"
        return
    strange = [*_other_version(found, layout.VERDICT, "verdict", gates.VERDICT_VERSION)]
    if release.base_answers is not None:
        strange += _other_version(found, layout.COMPARISON, "comparison", gates.COMPARISON_VERSION)
    if strange:
        yield from strange
        return
    alone = found.alone
    for name, content in alone.files.items():
        if content != release.read(name):
            state = alone.verdict.state if name == layout.VERDICT or not alone.comparison else alone.comparison.state
            yield f"computed again, {name} differs ({state}): answers, golden rows or the stored result were changed"
    if alone.comparison is None:
        says = "its record has no answers of the base model: whether it beats the base was not checked"
        yield Unchecked(why=says)
    elif not alone.comparison.passed:
        yield "the adapter does not beat the base"


def _people(found: Opened) -> Iterator[str | Unchecked]:
    """Rows are drawn again from the seed, and what people said of them is counted again."""
    yield from _signed_review(found.release)
    release, said = found.release, found.release.record.review
    if release.policy.review is None:
        if said is not None or layout.REVIEW in release.names:
            yield f"{layout.REVIEW} is there, or in the record, and the policy asks nobody"
    elif release.golden is None:
        yield "the golden rows are not in the release: give their folder with --data to check what people said"
    elif (people := found.people) is None or people.waits:
        yield from (f"its policy asks people: {plain(one)}" for one in (people.waits if people else ()))
    elif said != people.in_record:
        yield f"counted again, {layout.REVIEW} is {people.in_record}, the record says {said}"
    elif not people.passed:
        yield "people do not call enough of its answers right"


def _signed_review(release: Released) -> Iterator[str | Unchecked]:
    """The review in its envelope is the one beside it, by the key of the release, as far as can be seen without it."""
    if layout.SIGNED_REVIEW in release.names:
        envelope = release.path(layout.SIGNED_REVIEW)
        if layout.REVIEW not in release.names or sign.payloads(envelope) != [release.read(layout.REVIEW)]:
            yield f"{layout.SIGNED_REVIEW} holds another review than the one beside it"
        if layout.ENVELOPES not in release.names or sign.key_ids(envelope) != sign.key_ids(
            release.path(layout.ENVELOPES)
        ):
            yield f"{layout.SIGNED_REVIEW} is signed by another key than {layout.ENVELOPES}"
    elif layout.REVIEW in release.names and layout.ENVELOPES in release.names:
        yield Unchecked(why=f"{layout.REVIEW} has no signature of its own: the release's alone covers it")


def _forms(found: Opened) -> Iterator[str | Unchecked]:
    """Each form's verdict comes out again from its answers, and what is offered has passed."""
    release = found.release
    if release.record.forms is None:
        if release.record.config.get("serving"):
            yield "its configuration lists forms, and its record holds none"
        yield from verify_forms.unnamed(release)
        yield Unchecked(why="its record knows one form: how it answers in another engine or precision was not judged")
    elif release.golden is None:
        yield "the golden rows are not in the release: give their folder with --data to check the verdicts"
    else:
        yield from verify_forms.problems(release, found.forms)


def _earlier(found: Opened) -> Iterator[str | Unchecked]:
    """The previous answers are in the release, bound to their own records: the comparisons come out again from them."""
    release, said = found.release, found.release.record.earlier
    if said is None:
        yield Unchecked(why="its record names no previous releases, as records of 0.1.0: nothing was compared")
        return
    release.contents.need(f"gates/{layout.PREVIOUS}")
    releases = previous.kept(said.releases, found.folder / "gates" / layout.PREVIOUS)
    if wrong := [line for one in zip(releases, said.releases, strict=True) for line in previous.not_the_one(*one)]:
        yield from wrong
    elif release.golden is None:
        yield "the golden rows are not in the release: give their folder with --data"
    else:
        yield from verify_earlier.problems(release, said, found.beside)
        yield from verify_attempts.problems(release, (found.alone, found.beside, found.forms), releases)
    yield from (Unchecked(why=line) for line in verify_earlier.unproved(said))


def _other_version(found: Opened, file: str, name: str, known: int) -> Iterator[str]:
    """A line if a file follows rules that are not this program's: it cannot be derived by these."""
    version = found.release.json(file).get(name)
    if version != known:
        made_by = found.release.record.program.version
        yield (
            f"{file} is of version {version!r}, this program derives version {known}: it is neither proved "
            f"nor disproved. Verify it with adapter-release {made_by}, which made it, or a newer one"
        )


def _statements(found: Opened) -> Iterator[str | Unchecked]:
    """The in-toto statements are those that record and verdict make; version 1 of the record had none."""
    release, record = found.release, found.release.record
    if record.record == 1 and not any(name in release.files for name in sign.STATEMENTS):
        yield Unchecked(why="it has none: releases with version 1 of the record came without them")
        return
    beside = {name: release.json(name)["passed"] is True for name in attestations.COMPARISONS if name in release.files}
    derived = attestations.derive(record, release.counted, beside, record.files or {})
    stored = {name: release.read(name) for name in derived}
    for name, statement in derived.items():
        if stored[name] != statement:
            yield f"{name} does not agree with record and verdict"
    if layout.ENVELOPES in release.files and sign.payloads(release.path(layout.ENVELOPES)) != list(stored.values()):
        yield f"{layout.ENVELOPES} holds other statements than those beside it"


def _signature(found: Opened) -> Iterator[str | Unchecked]:
    signature = found.release.path(layout.SIGNATURE)
    if not signature.exists():
        missing = "unsigned: trust rests on the Hub, or on the receipt or commit you gave"
        yield f"{missing}, and you require a signature" if found.trust else Unchecked(why=missing)
        return
    if not sign.covers(signature, found.release.manifest()):
        yield f"{layout.SIGNATURE} covers other files than these"
    if found.trust:
        yield from sign.check(found.folder, found.trust)
        yield from _envelopes(found.release, found.trust)
        return
    key = sign.signer(signature)
    who = f"a key whose public part has sha256 {key}" if key else "a CI job"
    option = "--public-key" if key else "--identity"
    yield Unchecked(why=f"signed by {who} according to itself; not checked: give {option}")


def _envelopes(release: Released, trust: sign.Trust) -> Iterator[Unchecked]:
    """An identity vouches for the files as they are together; what a key signed apart, only that key shows."""
    for name in sign.ENVELOPED:
        if trust.public_key is None and name in release.names:
            yield Unchecked(why=f"{name} is signed with a key, for which no identity vouches: check with --public-key")


TOKENIZER = "tokenizer.json"
"""Taken from the base as it is."""
ROWS = "the rows are those of training and evaluation"
EARLIER = "not worse than previous releases, and requires less only with a reason"
SIGNED = "the signature covers these files and is by the expected signer"
PAGE = "the page is the one that record, verdict and answers make, to the byte"
CHECKS: Mapping[str, Callable[[Opened], Iterable[str | Unchecked]]] = {
    "tag, commit and files match your receipt or commit": place,
    FIRST_LOOK: _files,
    "every file has the recorded sha256, and there is no extra file": _digests,
    "the record is complete, canonical JSON, and valid under its schema": _record,
    "the record agrees with itself on threads, seed and versions": _agreement,
    "record, configuration, adapter and card name one base model": _base,
    ROWS: _data,
    "the published adapter is the evaluated one, and it passed": _judged,
    "every tensor has the recorded digest": _tensors,
    "the card is the one that record, verdict and answers make, to the byte": _card,
    "the stored verdict follows from the stored answers, byte for byte": _verdict,
    EARLIER: _earlier,
    "the in-toto statements agree with record and verdict": _statements,
    SIGNED: _signature,
    "every form it is served in was judged, and what is offered passed": _forms,
    PAGE: _page,
    "what people say, where the policy asks them, is of these answers, and its count comes out again": _people,
}
