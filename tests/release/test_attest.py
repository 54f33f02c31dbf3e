"""A model that somebody serves is judged by its answers, published without bytes, and verified as a release is."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release.checking import opening, verify_attested
from release.checking.opening import Known, Opened
from release.judging.released import Released
from release.publishing import sign
from release.publishing.package import listed
from release.values import attestation, layout
from release.values import record as records
from release.values.attestation import NO_BYTES
from release.values.errors import GatesFailed, PreflightError, VerificationError
from tests.helpers.line import ROOT, adapter_release, small_config
from tests.helpers.served_model import Body, Reply, ServedModel, completion, served_model

KEY = "sk-" + "k" * 40
ROWS = [json.loads(line) for line in (ROOT / "data" / "elements" / "golden.jsonl").read_text("utf-8").splitlines()]
GOLD = {row["messages"][-2]["content"]: row["messages"][-1]["content"] for row in ROWS}
NAME = "datasets/me/attested@v1"
REFUSES = '{"answer":"It is not in the sources.","citations":[],"refusal":true}'


async def right(body: Body, number: int) -> Body:
    del number
    text = GOLD[body["messages"][-1]["content"]]
    return completion(text, model="m-2026-11-01", system_fingerprint="fp_1")


async def wrong(body: Body, number: int) -> Body:
    del body, number
    return completion(REFUSES, model="m-2026-11-01", system_fingerprint="fp_1")


async def changing(body: Body, number: int) -> Body:
    said = await right(body, number)
    return said | ({"model": "m-2026-12-01"} if number > len(ROWS) // 2 else {})


def configured(folder: Path, **publishing: Any) -> Path:
    told = {"hf_repo": "me/attested", "tag": "v1", "endpoint": f"file:{folder / 'hub'}", **publishing}
    return small_config(folder, publishing=told, run={"output_dir": str(folder / "runs")})


@contextlib.contextmanager
def asked(folder: Path, reply: Reply, *more: str) -> Iterator[tuple[ServedModel, subprocess.CompletedProcess[str]]]:
    with served_model(reply) as server:
        typed = ("attest", "release.yaml", "--url", server.url, "--model", "m", *more)
        yield server, adapter_release(*typed, cwd=folder, env={"OPENAI_API_KEY": KEY})


@pytest.fixture(scope="module")
def attested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with an attestation on its embedded Hub, and what was said at the terminal."""
    folder = tmp_path_factory.mktemp("attested")
    configured(folder)
    with asked(folder, right) as (server, done):
        assert done.returncode == 0, done.stderr
        assert len(server.asked) == len(ROWS)
        assert set(server.keys) == {f"Bearer {KEY}"}
    return folder, done.stderr


@pytest.fixture
def published(attested: tuple[Path, str], tmp_path: Path) -> Path:
    """The files of the dataset repository, in a folder of the test's own."""
    (package,) = (attested[0] / "runs").glob("attested-*/package")
    return shutil.copytree(package, tmp_path / "published")


def problems(folder: Path, **more: Any) -> dict[str, tuple[str, ...]]:
    release = Released(name="it", folder=folder, data=more.pop("data", None))
    return {one.name: one.problems for one in verify_attested.check(Opened(release=release, **more)) if one.problems}


def test_what_passed_is_a_dataset_that_says_that_no_bytes_were_judged(attested: tuple[Path, str]) -> None:
    folder, said = attested

    done = adapter_release("verify", NAME, "--hub", f"file:{folder / 'hub'}", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert NO_BYTES in said
    assert NO_BYTES in done.stderr
    assert "FAILED" not in done.stderr
    assert (folder / "hub" / "datasets" / "me" / "attested.git").is_dir()
    assert not (folder / "hub" / "models").exists() or not list((folder / "hub" / "models").iterdir())


def test_its_wrong_rows_are_explained_and_it_has_no_page(published: Path) -> None:
    """Here none is wrong; what is not as it was judged is told."""
    right_one = adapter_release("explain", "citation_coverage", str(published), cwd=published)
    people = adapter_release("explain", "human_review", str(published), cwd=published)
    opened = adapter_release("open", str(published), "--no-browser", cwd=published)
    answers = published / layout.ANSWERS
    answers.write_text(answers.read_text("utf-8").replace("[1]", "[2]"), "utf-8")
    changed = adapter_release("explain", "citation_coverage", str(published), cwd=published)

    assert right_one.returncode == 0, right_one.stderr
    assert "citation_coverage" in right_one.stderr
    assert "adapter-release open" not in right_one.stderr
    assert people.returncode == 2
    assert "'human_review' was not measured" in people.stderr
    assert opened.returncode == 2
    assert "`adapter-release verify` checks it, `explain GATE` lists its wrong rows" in opened.stderr
    assert changed.returncode == 7
    assert "The gates give another verdict" in changed.stderr


def test_record_and_card_say_what_the_address_said_of_itself_and_when(published: Path) -> None:
    record = json.loads((published / layout.ATTESTATION).read_bytes())
    card = (published / layout.CARD).read_text("utf-8")

    assert attestation.problems(record) == []
    assert record["judged"] == NO_BYTES
    assert record["model"]["asked_for"] == "m"
    assert record["model"]["served_model"] == "m-2026-11-01"
    assert record["model"]["system_fingerprint"] == "fp_1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["asked"]["began"])
    assert record["golden"]["rows"] == len(ROWS)
    assert "**No bytes were judged.**" in card
    assert "base_model" not in card
    assert f"adapter-release verify {NAME}" in card


def test_the_key_is_nowhere(attested: tuple[Path, str]) -> None:
    folder, said = attested
    files = [path for path in folder.rglob("*") if path.is_file()]

    assert files
    assert KEY not in said
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_what_did_not_pass_is_counted_and_not_pushed(tmp_path: Path) -> None:
    configured(tmp_path)
    with asked(tmp_path, wrong) as (_, done):
        pass

    assert done.returncode == GatesFailed.exit_code
    assert "A gate did not pass: nothing was published" in done.stderr
    assert not list((tmp_path / "hub").glob("*/*/*.git"))
    assert not list((tmp_path / "runs").glob("attested-*/package"))
    (line,) = (tmp_path / "runs" / "ledger.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["passed"] is False


def test_a_model_that_changes_in_the_middle_is_not_judged(tmp_path: Path) -> None:
    configured(tmp_path)
    with asked(tmp_path, changing) as (_, done):
        pass

    assert done.returncode == VerificationError.exit_code
    assert "changed while it answered" in done.stderr
    assert not list((tmp_path / "hub").glob("*/*/*.git"))
    assert not (tmp_path / "runs" / "ledger.jsonl").exists()


def test_a_policy_that_asks_people_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    told = {"hf_repo": "me/attested", "tag": "v1", "endpoint": f"file:{tmp_path / 'hub'}"}
    small_config(tmp_path, publishing=told, gates={"human_review": {"target": 0.9}})

    with asked(tmp_path, right) as (server, done):
        assert done.returncode == 2
        assert "gates.human_review: nobody reads the answers of an attestation" in done.stderr
        assert server.asked == []


def test_a_tag_that_is_taken_is_seen_before_anything_is_asked(attested: tuple[Path, str]) -> None:
    folder, _ = attested
    with asked(folder, right) as (server, done):
        assert done.returncode == PreflightError.exit_code
        assert "The tag v1 of datasets/me/attested exists" in done.stderr
        assert server.asked == []


def test_an_address_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    configured(tmp_path)

    done = adapter_release("attest", "--url", "ftp://a", "--model", "m", cwd=tmp_path)

    assert done.returncode == 2
    assert "serving.attested.url" in done.stderr


def test_a_publication_is_verified_by_its_receipt_and_a_signature_that_is_required_is_missed(
    attested: tuple[Path, str],
) -> None:
    folder, _ = attested
    (receipt,) = (folder / "runs").glob("attested-*/publication.json")
    with opening.opened(NAME, f"file:{folder / 'hub'}", lambda _: None, Known(receipt=receipt)) as found:
        assert opening.is_attestation(found)
        assert {one.outcome for one in verify_attested.check(found)} == {"ok", "--"}

    (package,) = (folder / "runs").glob("attested-*/package")
    assert "and you require a signature" in str(problems(package, trust=sign.Trust(identity="somebody")))
    moved = problems(package, commit="0" * 40, expected={"commit": "1" * 40})
    assert "the tag was moved" in str(moved)


def forged(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The record changed, with every digest of it right again, as a liar would leave it."""
    record = json.loads((folder / layout.ATTESTATION).read_bytes())
    change(record)
    record["files"] = {name: sha256 for name, sha256 in listed(folder).items() if name != layout.ATTESTATION}
    record["record_sha256"] = records.digest(record)
    (folder / layout.ATTESTATION).write_bytes(canonical_json(record))


def answers_changed(folder: Path) -> None:
    path = folder / layout.ANSWERS
    lines = path.read_text("utf-8").splitlines()
    one = json.loads(lines[0])
    one["output"] = '{"answer":"It is so [1].","citations":[1],"refusal":false}'
    path.write_text("\n".join([json.dumps(one), *lines[1:]]) + "\n", "utf-8")


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text("utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), "utf-8")

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def added(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text("{}", "utf-8")

    return change


VERDICT = "the stored verdict follows from the stored answers, byte for byte"
LOOK = "no file is missing, and each is one that a release may hold: no code, no link, none too large"
LEDGER, CARD = (
    "the ledger ends with this attempt",
    "the card is the one that record, verdict and answers make, to the byte",
)
DIGESTS = "every file has the recorded sha256, and there is no extra file"
TAMPERED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "answers": (answers_changed, DIGESTS, VERDICT),
    "verdict": (replaced(layout.VERDICT, '"state": "PASS"', '"state": "FAIL"'), DIGESTS, VERDICT),
    "policy": (replaced(layout.POLICY, "0.9", "0.1"), DIGESTS, VERDICT),
    "ledger": (replaced(layout.LEDGER, '"before": 0', '"before": 1'), DIGESTS, LEDGER),
    "card": (replaced(layout.CARD, "No bytes were judged", "All bytes were judged"), DIGESTS, CARD),
    "golden rows": (replaced(layout.DATA["golden"], "livermorium", "roentgenium"), DIGESTS, VERDICT),
    "no ledger": (removed(layout.LEDGER), LOOK, LOOK),
    "weights beside it": (added("adapter_config.json"), LOOK, LOOK),
    "code beside it": (added("data.py"), LOOK, LOOK),
}


def test_what_was_published_has_no_problem(published: Path) -> None:
    assert problems(published) == {}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_file_that_was_changed_is_named_and_found_when_every_digest_is_written_anew(
    name: str, published: Path
) -> None:
    change, plain, careful = TAMPERED[name]
    change(published)

    assert plain in problems(published)
    forged(published, lambda _: None)
    assert careful in problems(published)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda record: record.update(judged="its bytes were judged"), "judged"),
        (lambda record: record.update(adapter={}), "adapter"),
        (lambda record: record["model"].update(served_model="another"), LEDGER),
        (lambda record: record.update(attempt=7), LEDGER),
        (lambda record: record["asked"].update(prompts_sha256="0" * 64), "other questions"),
        (lambda record: record["golden"].update(rows=1), "the record says 1"),
        (lambda record: record["asked"].update(began="2020-01-01T00:00:00Z"), CARD),
        (lambda record: record.update(attestation=2), "use a newer adapter-release"),
        (lambda record: record.update(passed=False), "not a pass"),
    ],
)
def test_a_record_that_says_otherwise_is_found(
    change: Callable[[dict[str, Any]], None], says: str, published: Path
) -> None:
    forged(published, change)

    assert says in str(problems(published))


def test_golden_rows_that_are_not_in_it_are_asked_for_and_compared(published: Path) -> None:
    """As without a licence to give them away."""
    (published / layout.DATA["golden"]).unlink()
    forged(published, lambda record: record["golden"].update(file=None))

    assert "give their folder with --data" in str(problems(published))
    assert problems(published, data=ROOT / "data" / "elements") == {}


def test_a_release_beside_it_is_not_taken_for_it(published: Path) -> None:
    """A folder with both records is a release, in which no record names the other's."""
    (published / layout.RECORD).write_text("{}", "utf-8")

    assert not opening.is_attestation(Opened(release=Released(folder=published)))
