"""Making a release again: what is checked before time is spent, and, slowly, the whole of it from a tag."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import gates
import schemas
from release.checking import laid_out, opening, reproduce, verify
from release.checking.allowed import Allowed
from release.config import reading
from release.config.settings import Container, Model
from release.data import sources
from release.data.checks import OF_GOLDEN_ONLY
from release.hub import address, requests
from release.judging import recording
from release.judging.released import Released
from release.models import base as bases
from release.running import container
from release.running import environment as environment_of_here
from release.values.artifacts import Reproduction
from release.values.errors import ConfigError, DataError, NotReproduced, VerificationError
from release.values.events import Event
from release.values.record import known
from tests.helpers import pages
from tests.helpers.hub_fixture import EmbeddedHub
from tests.helpers.line import ROOT, adapter_release, small_config
from tests.helpers.small_release import HARDWARE, SURROUNDINGS, VERSIONS, read_record, reseal, small_release
from tests.release.checking.test_recorded_commit import a_repository, held_by
from tests.release.models.test_base import REPO as TINY
from tests.release.models.test_base import put, weights


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "release"))


def here(release: Path, **changes: Any) -> dict[str, Any]:
    """The surroundings as recorded, with changes."""
    value = read_record(release)
    found = {"versions": VERSIONS, "packages": SURROUNDINGS["packages"], "hardware": HARDWARE} | changes
    return {"training": found, "source": {"code_sha256": changes.get("code", value["source"]["code_sha256"])}}


def test_where_all_is_as_recorded_nothing_stands_in_the_way(release: Path) -> None:
    assert reproduce.obstacles(read_record(release), here(release)) == []


def test_another_processor_with_the_same_instructions_does_not_stand_in_the_way(release: Path) -> None:
    surroundings = here(release, hardware={**HARDWARE, "cpu": "another processor"})

    assert reproduce.obstacles(read_record(release), surroundings) == []


def test_a_package_that_takes_no_part_in_the_arithmetic_does_not_stand_in_the_way(release: Path) -> None:
    surroundings = here(release, packages={"torch": "1.0.0", "rich": "2.0.0"})

    assert reproduce.obstacles(read_record(release), surroundings) == []
    assert reproduce.other_libraries(read_record(release), surroundings["training"]) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"versions": {**VERSIONS, "trl": "2.0.0"}}, "library: version of trl: 1.0.0 then, 2.0.0 now"),
        ({"hardware": {**HARDWARE, "cpu_capability": "AVX512"}}, "hardware: CPU instructions in use"),
        ({"hardware": {**HARDWARE, "gpu": {"name": "a GPU"}}}, "hardware: GPU"),
        ({"code": "7" * 64}, "source: digest of this project's code"),
    ],
)
def test_what_rules_out_equal_bytes_is_told_before_training(release: Path, changes: Any, told: str) -> None:
    assert reproduce.obstacles(read_record(release), here(release, **changes))[0].startswith(told)


def test_uncommitted_changes_are_told_only_when_the_code_is_not_here(release: Path) -> None:
    value = read_record(release)
    value["source"]["dirty"] = True

    assert reproduce.obstacles(value, here(release)) == []
    assert "uncommitted changes" in reproduce.obstacles(value, here(release, code="7" * 64))[-1]


def test_a_commit_that_is_not_here_is_told_where_the_code_is_another(release: Path) -> None:
    value = read_record(release)
    value["source"] |= {"commit": "7" * 40, "dirty": None}

    assert reproduce.obstacles(value, here(release)) == []
    told = reproduce.obstacles(value, here(release, code="7" * 64))[-1]
    assert f"commit {'7' * 40}, which made it, is not in the history of HEAD in {ROOT}" in told
    assert "in a clone that has it" in told
    assert "--trust-ref" in told


def test_libraries_are_not_fetched_for_hardware_that_computes_otherwise(release: Path) -> None:
    value = read_record(release)

    assert not reproduce.other_hardware(value, here(release, hardware={**HARDWARE, "cpu": "another"})["training"])
    assert reproduce.other_hardware(value, here(release, hardware={**HARDWARE, "gpu": {"name": "a"}})["training"])


@pytest.mark.parametrize(("ref", "runs"), [("refs/pull/7/head", False), ("", False), (None, True)])
def test_a_commit_runs_only_if_it_is_of_a_history_that_the_caller_trusts(
    ref: str | None, runs: bool, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ancestor = a_repository(tmp_path / "root")
    monkeypatch.setattr(environment_of_here, "ROOT", root)
    monkeypatch.setattr(reproduce, "_probe", lambda *_: here(release)["training"])
    value = read_record(release)
    value["source"] |= {"commit": ancestor if ref is None else held_by(root, ref), "dirty": False}
    request = reproduce.Request(release=str(release), endpoint="file:hub", level="verdict", known=opening.Known())
    output = tmp_path / "output"

    with reproduce._maker(known(value), request, Container(use="never"), output, quiet) as maker:
        assert (maker.commit is not None) is runs
        assert (output / "source").exists() is runs


@pytest.mark.parametrize("install", [False, True])
def test_recorded_libraries_are_installed_only_if_the_caller_says_so(
    install: bool, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = a_repository(tmp_path / "root")
    (root / "setup_environment.py").write_text(f"open({str(tmp_path / 'installed')!r}, 'w').close()\n")
    for command in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "third"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    monkeypatch.setattr(environment_of_here, "ROOT", root)
    other = here(release, versions={**VERSIONS, "trl": "2.0.0"})["training"]
    monkeypatch.setattr(reproduce, "_probe", lambda *_: other)
    value = read_record(release)
    value["source"] |= {"commit": git(root, "rev-parse", "HEAD").strip(), "dirty": False}
    allowed = Allowed(install=install)
    request = reproduce.Request(release="r", endpoint="file:hub", level="bits", known=opening.Known(), allowed=allowed)
    told: list[Event] = []

    with reproduce._maker(known(value), request, Container(use="never"), tmp_path / "output", told.append):
        assert (tmp_path / "installed").exists() is install

    assert ("--install-libraries" in str(told)) is not install


def test_the_image_of_a_recorded_commit_is_not_built_without_the_callers_word(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ancestor = a_repository(tmp_path / "root")
    monkeypatch.setattr(environment_of_here, "ROOT", root)
    monkeypatch.setattr(container, "absent", str)  # as if an engine answered
    value = read_record(release)
    value["source"] |= {"commit": ancestor, "dirty": False}
    request = reproduce.Request(release="r", endpoint="file:hub", level="bits", known=opening.Known())

    with (
        pytest.raises(NotReproduced, match=r"give --install-libraries; --container never"),
        reproduce._maker(known(value), request, Container(), tmp_path / "output", quiet),
    ):
        pass


def opened(folder: Path, data: Path | None = None) -> opening.Opened:
    return opening.Opened(release=Released(name="local/elements@v0.1.0", folder=folder, data=data))


def settings(folder: Path) -> dict[str, Any]:
    return laid_out.settings_of(known(read_record(folder)))


def test_the_run_is_laid_out_from_the_record_with_its_threads_and_rows(release: Path, tmp_path: Path) -> None:
    value = read_record(release)

    loaded = reproduce._lay_out(opened(release), settings(release), tmp_path / "work")

    assert loaded.run.threads == value["determinism"]["threads"]
    train, golden = sources.load(loaded, lambda _: None)
    assert train is not None
    assert train.sha256 == value["data"]["train"]["sha256"]
    assert golden.path.is_relative_to(tmp_path / "work")
    again = recording.as_published(loaded)
    del again["run"]["threads"]
    assert again.pop("container") == {"use": "auto", "gpus": "auto"}
    assert again == {name: section for name, section in value["config"].items() if name != "container"}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_a_release_whose_record_does_not_say_so_is_answered_in_the_batches_of_its_time(
    version: str, tmp_path: Path
) -> None:
    found = opened(ROOT / "tests" / "data" / "releases" / version)

    run = laid_out.answering_run(found, laid_out.settings_of(found.release.record), tmp_path / "run")
    assert reading.load(run / "config.yaml").generation.batches == "in_order"

    loaded = reproduce._lay_out(found, laid_out.settings_of(found.release.record), tmp_path / "made")
    assert "batches" not in (tmp_path / "made" / "release.yaml").read_text("utf-8")  # the program of its commit refuses
    assert reading.load(loaded.path, laid_out.not_said(found.release.record)).generation.batches == "in_order"
    as_then = laid_out.load(loaded.path, reproduce._rules_of_then(found))
    assert gates.load_policy(as_then.gates or {}).digest == found.release.record.policy_sha256
    assert {as_then.data.checks[name] for name in OF_GOLDEN_ONLY} == {"warning"}


def test_a_release_is_answered_in_the_batches_that_its_record_says(release: Path, tmp_path: Path) -> None:
    found = opened(release)

    run = laid_out.answering_run(found, laid_out.settings_of(found.release.record), tmp_path / "run")

    assert read_record(release)["config"]["generation"]["batches"] == "by_length"
    assert laid_out.not_said(found.release.record) == {}
    assert not [key for key in reproduce._rules_of_then(found) if key.startswith("data.")]
    assert reading.load(run / "config.yaml").generation.batches == "by_length"


def test_rows_that_are_not_published_must_be_given(tmp_path: Path) -> None:
    made = small_release(tmp_path / "made", licence=False).folder
    value = read_record(made)
    elsewhere = tmp_path / "rows"
    elsewhere.mkdir()

    with pytest.raises(DataError, match=r"Ask the test\.\n.*" + value["data"]["train"]["sha256"]):
        reproduce._lay_out(opened(made, data=elsewhere), settings(made), tmp_path / "work")

    shutil.copyfile(tmp_path / "made" / "golden.jsonl", elsewhere / "a.jsonl")
    shutil.copyfile(ROOT / "data" / "elements" / "train.jsonl", elsewhere / "b.jsonl")
    assert reproduce._lay_out(opened(made, data=elsewhere), settings(made), tmp_path / "work").run.name == "elements"


@pytest.mark.parametrize("command", ["rejudge", "reproduce"])
def test_a_release_that_is_not_as_its_record_says_is_not_made_again(command: str, release: Path) -> None:
    (release / "notes.txt").write_text("hello")

    done = adapter_release(command, str(release), cwd=release.parent)

    assert done.returncode == VerificationError.exit_code, done.stderr
    assert "no extra file" in done.stderr


def test_files_of_a_base_that_are_not_fetched_any_more_do_not_stand_in_the_way(
    release: Path, away: EmbeddedHub, tmp_path: Path
) -> None:
    """Early records list what lay in a base's other folders, and Mistral's second copy of the weights."""
    commit = put(away, tmp_path / "files", **{"model.safetensors": weights("a.weight"), "config.json": b"{}"})
    value = read_record(release)
    value["config"]["model"] = {"base_model_id": TINY, "revision": commit}
    base = bases.resolve(Model(base_model_id=TINY, revision=commit), quiet)
    early = {"original/params.json": "1" * 64, "consolidated.safetensors": "2" * 64}
    value["base"]["files"] = {**base.in_record().files, **early}
    reseal(release, lambda record: record.update(value))

    assert laid_out.base_of(opened(release), quiet).folder == base.folder
    reseal(release, lambda record: record["base"]["files"].update({"config.json": "3" * 64}))
    with pytest.raises(VerificationError, match=r"config\.json differ"):
        laid_out.base_of(opened(release), quiet)


def a_reproduction(release: str, commit: str | None) -> Reproduction:
    answers = {"identical": True, "rows": 1, "same": 1, "different": []}
    side = {"passed": True, "state": "PASS", "gates": {}}
    return Reproduction(
        release=release, commit=commit, record_sha256="1" * 64, how="rejudge", reached="answers", cause=None,
        differences=(), adapter=None, answers=answers, spent_seconds=1.0,
        verdict={"same": True, "identical": True, "then": side, "now": side},
    )  # fmt: skip


def attach(result: Reproduction, endpoint: str, folder: Path) -> str:
    request = reproduce.Request(release=result.release, endpoint=endpoint, level="answers", known=opening.Known())
    return reproduce._attach(result, request, folder, quiet)


def git(store: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(store), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_report_is_offered_as_a_pull_request_and_main_stays(tmp_path: Path) -> None:
    """By the real client, to the embedded Hub."""
    endpoint = f"file:{tmp_path}/hub"
    packed = small_release(tmp_path / "made")
    with address.parse(endpoint, tmp_path).opened() as hub:
        request = requests.Publish(package=packed, repo_id=REPO, tag=TAG, private=False)
        commit = requests.ask(request, hub, quiet, tmp_path / "log").commit

    told = attach(a_reproduction(f"{REPO}@{TAG}", commit), endpoint, tmp_path)

    assert told.startswith("offered: http")
    assert told.endswith(f"/{REPO}/discussions/1")
    store = tmp_path / "hub" / "models" / f"{REPO}.git"
    offered = git(store, "ls-tree", "-r", "--name-only", "refs/pr/1")
    assert f"reproductions/{commit[:12]}-" in offered
    assert git(store, "rev-parse", "main").strip() == commit
    verify.verify(f"{REPO}@{TAG}", endpoint, quiet, opening.Known())


def test_a_report_that_cannot_be_attached_is_kept_and_why_is_told(tmp_path: Path) -> None:
    folder, nowhere = a_reproduction("release", None), a_reproduction(f"{REPO}@{TAG}", "a" * 40)

    assert "a folder has no repository" in attach(folder, f"file:{tmp_path}/hub", tmp_path)
    told = attach(nowhere, f"file:{tmp_path}/hub", tmp_path)
    assert told.startswith("kept:")
    assert f"Opening a pull request in {REPO} failed" in told


# The rest is slow: a real release of a few steps behind one lenient gate, and what comes out of its tag.

REPO, TAG, ENDPOINT = "local/elements", "v0.1.0", "file:hub"
STEPS = 16  # the form of the answers is learned by then, so that the one gate passes
WORDS = ("tree", "river", "stone", "cloud", "horse", "bread", "light", "snow", "field", "bird", "sand", "door")
GOLDEN_ROWS = 6  # the fewest that can show that an adapter beats its base: six wins of six


def write_rows(path: Path, question: str, words: tuple[str, ...]) -> None:
    """Questions short enough to train on in seconds; every other one is refused."""
    with path.open("w", encoding="utf-8") as file:
        for number, word in enumerate(words):
            messages = [
                {"role": "user", "content": f"{question} {word}?"},
                {"role": "assistant", "content": json.dumps({"answer": word, "refusal": number % 2 == 1})},
            ]
            support = {"documents": [{"id": 1, "text": word}], "answerable": number % 2 == 0}
            row = {"id": f"{path.stem}-{number}", "messages": messages, **support, "support": [1][number % 2 :]}
            file.write(json.dumps(row) + "\n")


def small_line(folder: Path) -> None:
    """A configuration of a few steps over a few words."""
    write_rows(folder / "train.jsonl", "How is this spelt:", WORDS)
    write_rows(
        folder / "golden.jsonl", "Please write down the word", ("wheel", "apple", "glass", "paper", "knife", "shirt")
    )
    draft = "https://json-schema.org/draft/2020-12/schema"
    schema: dict[str, Any] = {"$schema": draft, "type": "object", "required": ["answer", "refusal"]}
    schema["properties"] = {"answer": {"type": "string"}, "refusal": {"type": "boolean"}}
    (folder / "answer.schema.json").write_text(json.dumps(schema), "utf-8")
    path = small_config(
        folder,
        run={"output_dir": "run", "threads": 2},
        data={"train_file": "train.jsonl", "golden_file": "golden.jsonl"},
        training={
            "max_steps": STEPS,
            "save_steps": STEPS // 2,
            "logging_steps": 1,
            "num_train_epochs": 8,
            "per_device_train_batch_size": 1,
        },
        generation={"max_new_tokens": 24},
        gates={"json_parse": {"mode": "point", "target": 0.25, "min_n": 1}},
    )
    settings = yaml.safe_load(path.read_text("utf-8"))
    settings["contract"] = {"schema": "answer.schema.json", "answer": "/answer", "refusal": "/refusal"}
    path.write_text(yaml.safe_dump(settings), "utf-8")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, base: bases.Base) -> Path:  # noqa: ARG001  unpacked before
    """A folder with a published release of a few steps; its run folder is gone."""
    folder = tmp_path_factory.mktemp("line")
    small_line(folder)
    done = adapter_release("release", "release.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "run")
    return folder


def run(line: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return adapter_release(*arguments, "--hub", ENDPOINT, cwd=line)


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "reproduction.json").read_bytes())
    jsonschema.validate(found, schemas.load("reproduction"))
    return found


@pytest.mark.slow
def test_a_published_adapter_answers_the_same_again(line: Path) -> None:
    done = run(line, "rejudge", f"{REPO}@{TAG}", "--level", "answers", "--output", "again")

    assert done.returncode == 0, done.stderr
    found = result(line / "again")
    assert (found["reached"], found["how"], found["adapter"]) == ("answers", "rejudge", None)
    assert found["base"]["answers"]["identical"]
    assert (found["base"]["then"], found["base"]["now"]) == ("PASS", "PASS")


@pytest.mark.slow
def test_an_adapter_made_again_from_its_tag_is_bit_identical_after_a_kill(line: Path) -> None:
    """kill -9 when the first checkpoint is whole. Without a kill: `test_families.py`."""
    command = ["reproduce", f"{REPO}@{TAG}", "--hub", ENDPOINT, "--output", "killed"]
    with subprocess.Popen(
        [sys.executable, "-m", "release.cli", *command],
        cwd=line, env={**os.environ, "CI": "true", "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    ) as going:  # fmt: skip
        while going.poll() is None and not list((line / "killed").glob("runs/*/checkpoints/checkpoint-*.json")):
            time.sleep(0.05)
        going.kill()
    assert going.returncode == -signal.SIGKILL
    assert not list((line / "killed").glob("runs/*/training.json"))
    time.sleep(1)  # the kernel kills the child with its parent

    done = run(line, "reproduce", f"{REPO}@{TAG}", "--output", "killed")

    assert done.returncode == 0, done.stderr
    found = result(line / "killed")
    (record_path,) = (line / "killed").glob("runs/*/record.json")
    assert json.loads(record_path.read_bytes())["training"]["resumed_from_step"] == STEPS // 2
    assert (found["reached"], found["differences"]) == ("bits", [])
    assert found["adapter"]["trajectory"] == (
        "the first LoRA weights and every logged loss and grad_norm and learning_rate are equal"
    )
    assert found["answers"]["same"] == GOLDEN_ROWS


@pytest.mark.slow
def test_a_record_with_another_seed_comes_to_another_adapter(line: Path) -> None:
    """Its publisher changed the seed everywhere; the weights do not follow."""
    folder = downloaded(line, "seed")
    value = read_record(folder)

    def lie(value: dict[str, Any]) -> None:
        value["config"]["run"]["seed"] = value["determinism"]["seed"] = seed + 1

    seed = value["config"]["run"]["seed"]
    card = folder / "README.md"
    said = card.read_text("utf-8")
    assert said.count(f"| seed, threads | {seed}, ") == 1
    card.write_text(said.replace(f"| seed, threads | {seed}, ", f"| seed, threads | {seed + 1}, "), "utf-8")
    reseal(folder, lie)
    pages.redraw(folder)
    done = run(line, "reproduce", str(folder), "--output", "other-seed")

    assert done.returncode == NotReproduced.exit_code, done.stderr
    found = result(line / "other-seed")
    assert "differ from the start" in found["adapter"]["trajectory"]
    assert found["adapter"]["identical"] is False
    assert found["adapter"]["tensors"] == len(value["adapter"]["tensors"])


@pytest.mark.slow
def test_another_library_version_stops_before_training_and_is_named(line: Path) -> None:
    folder = downloaded(line, "library")

    def lie(value: dict[str, Any]) -> None:
        for stage in ("training", "generation"):
            value[stage]["versions"]["trl"] = value[stage]["packages"]["trl"] = "0.0.1"

    reseal(folder, lie)
    pages.redraw(folder)
    done = run(line, "reproduce", str(folder), "--output", "other-library")

    assert done.returncode == NotReproduced.exit_code, done.stderr
    assert "library: version of trl: 0.0.1 then" in done.stderr
    assert not list((line / "other-library").glob("runs/*/training.json"))


@pytest.mark.slow
def test_a_record_that_names_another_base_stops_before_training(line: Path) -> None:
    folder = downloaded(line, "base")
    reseal(folder, lambda value: value["base"]["files"].update({"model.safetensors": "0" * 64}))
    pages.redraw(folder)

    done = run(line, "rejudge", str(folder), "--output", "other-base")

    assert done.returncode == VerificationError.exit_code, done.stderr
    assert "model.safetensors differ" in done.stderr


def downloaded(line: Path, name: str) -> Path:
    """The files of the tag, without a Hub."""
    folder = line / name
    if not folder.exists():
        address.fetch(f"{REPO}@{TAG}", address.parse(f"file:{line}/hub", line), folder, quiet)
    return folder


def test_a_report_does_not_overwrite_the_files_of_a_project(tmp_path: Path) -> None:
    (tmp_path / "release.yaml").write_text("mine", "utf-8")

    with pytest.raises(ConfigError, match="has no previous report"):
        laid_out.output_folder(tmp_path, opening.Opened(release=Released(name="a", folder=tmp_path)))
