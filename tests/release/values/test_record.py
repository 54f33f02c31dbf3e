"""The record of a release: whole, checked by its schema, and silent about this machine's folders and secrets."""

import json
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release.config import reading
from release.judging import recording
from release.running import child, environment
from release.values import layout, record
from release.values import tensors as tensor_files
from release.values.artifacts import sha256_file
from release.values.as_json import to_json
from tests.helpers.line import ROOT, small_config
from tests.helpers.small_release import small_base, small_release, tensors, training

TOKEN = "hf_" + "s" * 34


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release made where a token is set, from files all over this disk."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    publishing = {"endpoint": f"file:{tmp_path}/hub"}
    return small_release(tmp_path / "made", publishing=publishing, run={"output_dir": str(tmp_path / "out")}).folder


def read(release: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((release / "release.json").read_bytes())
    return value


def test_the_record_fits_its_schema_in_its_canonical_spelling(release: Path) -> None:
    value = read(release)

    assert record.problems(value) == []
    assert value["record"] == record.VERSION
    assert (release / "release.json").read_bytes() == canonical_json(value)


def test_an_update_of_python_or_of_a_library_starts_in_a_run_folder_of_its_own(tmp_path: Path) -> None:
    loaded = reading.load(small_config(tmp_path))
    base = small_base(tmp_path / "base", loaded)

    here = recording.inputs(loaded, base, {})
    in_an_image = recording.inputs(loaded, base, {}, image="sha256:0")

    assert here["versions"] == environment.versions()
    assert "versions" not in in_an_image  # the image decides them


def test_more_processes_or_cards_that_answer_go_on_in_the_same_run_folder(tmp_path: Path) -> None:
    """Nothing is trained again for them; another number of answers at once is another run, as ever."""
    base = small_base(tmp_path / "base", reading.load(small_config(tmp_path)))
    known = recording.inputs(reading.load(small_config(tmp_path)), base, {})

    for changes, same in (({"processes": 4}, True), ({"device_map": "auto"}, True), ({"batch_size": 3}, False)):
        other = reading.load(small_config(tmp_path, generation=changes))
        assert (recording.inputs(other, base, {}) == known) == same


def test_the_record_names_no_folder_and_no_secret_of_this_machine(release: Path, tmp_path: Path) -> None:
    text = (release / "release.json").read_text("utf-8")

    for secret in (TOKEN, str(Path.home()), str(Path.cwd()), str(ROOT), str(tmp_path), "/tmp", ".."):
        assert secret not in text, secret


def test_the_record_holds_what_is_needed_to_make_the_adapter_again(release: Path) -> None:
    value = read(release)

    assert {"commit", "dirty", "locks_sha256", "code_sha256"} == value["source"].keys()
    assert value["config"]["data"]["train_file"] == "data/train.jsonl"
    assert value["data"]["train"]["sha256"] == sha256_file(ROOT / "data" / "elements" / "train.jsonl")
    assert value["data"]["train"]["file"] == "data/train.jsonl"
    assert value["determinism"] == {
        "seed": 42,
        "threads": 2,
        "deterministic_algorithms": False,
        "environment": {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
    }
    assert value["image_digest"] is None
    assert value["spent"] == {
        "seconds": 20.0,
        "tokens": 4900,
        "peak_memory_bytes": 3_000_000,
        "energy_kwh": 0.000044,
        "energy_how": "at most: 8.0 W rated power of 2 threads, all of the time",
        "cost": None,
        "cost_how": "not known: nobody named a price",
    }
    assert value["training"]["packages"] == {"torch": "1.0.0", "rich": "1.0.0"}
    assert value["training"]["arithmetic"]["onednn"] is True
    assert value["comparison_sha256"] == sha256_file(release / "gates" / "comparison.json")
    assert value["training"]["losses"] == to_json(training().losses)
    assert value["generation"]["answers_sha256"] == sha256_file(release / "gates" / "answers.jsonl")


def test_every_installed_package_that_the_locks_name_is_recorded_and_no_other() -> None:
    found = environment.packages()

    assert {"torch", "transformers", "tokenizers", "huggingface-hub", "pyyaml"} <= found.keys()
    assert not {"pytest", "ruff", "mypy", "adapter-release"} & found.keys()
    assert environment.versions().items() <= found.items() | {("python", environment.versions()["python"])}


def test_a_record_without_what_its_version_asks_for_is_refused(release: Path) -> None:
    value = read(release)
    del value["training"]["arithmetic"]

    assert "training: 'arithmetic' is a required property" in record.problems(value)


@pytest.mark.parametrize(
    ("ran", "sound"),
    [
        ([], True),
        (["cumsum_cuda_kernel", "_histc_cuda"], True),
        (["put_", "put_"], False),
        ([""], False),
        ("put_", False),
        (None, False),
    ],
)
def test_what_ran_without_a_deterministic_implementation_is_a_list_of_names(
    release: Path, ran: object, sound: bool
) -> None:
    value = read(release)
    assert "nondeterministic" not in value["training"]["arithmetic"]  # as in records from before it was asked
    assert record.problems(value) == []
    value["training"]["arithmetic"]["nondeterministic"] = ran

    assert any("training.arithmetic.nondeterministic" in one for one in record.problems(value)) != sound


def test_every_tensor_has_type_shape_and_digest(release: Path) -> None:
    found = read(release)["adapter"]["tensors"]

    assert found.keys() == tensors().keys()
    assert {(one["dtype"], tuple(one["shape"])) for one in found.values()} == {("F32", (4, 3))}
    assert found == to_json(tensor_files.digests(release / layout.WEIGHTS))


def test_rows_that_may_not_travel_have_a_place_to_ask_for_them(tmp_path: Path) -> None:
    value = read(small_release(tmp_path, licence=False).folder)

    assert value["data"]["golden"]["file"] is None
    assert value["data"]["source"] == "Ask the test."


def test_what_is_recorded_as_fixed_is_what_every_stage_is_given() -> None:
    assert environment.FIXED.items() <= child.ENVIRONMENT.items()


def test_an_image_that_is_not_named_by_its_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.IMAGE, "adapter-release:latest")

    with pytest.raises(ValueError, match="image_digest"):
        small_release(tmp_path)


def test_the_image_a_release_was_made_in_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.IMAGE, "sha256:" + "d" * 64)

    assert read(small_release(tmp_path).folder)["image_digest"] == "sha256:" + "d" * 64


def test_a_file_that_is_not_a_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / layout.WEIGHTS
    path.write_bytes(b"\x80\x04 a pickle")

    with pytest.raises(ValueError, match="not a safetensors file"):
        tensor_files.digests(path)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("record", 4, "use a newer adapter-release"),
        ("record", 0, "0 is not one of [1, 2, 3]"),
        ("passed", None, "is not of type 'boolean'"),
        ("attempt", 0, "less than the minimum"),
        ("verdict_sha256", "none", "does not match"),
        ("note", "trust me", "Additional properties"),
        ("files", {"../escape": "0" * 64}, "should not be valid"),
    ],
)
def test_a_record_that_breaks_its_schema_is_told_where(release: Path, key: str, value: Any, problem: str) -> None:
    assert problem in " ".join(record.problems({**read(release), key: value}))
