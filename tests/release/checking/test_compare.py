"""Two adapters beside each other: how far apart, from where on, and the first cause that the records hold."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import schemas
from gates.canonical import canonical_json
from release.checking import compare, opening, reproduce
from release.checking.compare import Made
from release.judging.released import Released
from release.values import layout
from release.values.artifacts import Reproduction, sha256_file
from release.values.as_json import tree
from release.values.record import known
from tests.helpers.small_release import small_release, training, write_answers

A0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_release(tmp_path_factory.mktemp("made")).folder


@pytest.fixture
def then(folder: Path) -> Made:
    return reproduce.published(opening.Opened(release=Released(name="local/elements@v1", folder=folder)))


@pytest.fixture
def now(then: Made, tmp_path: Path) -> Made:
    """The same, made again somewhere else."""
    adapter = Path(shutil.copytree(then.adapter, tmp_path / "now"))
    return Made(
        record=then.record,
        adapter=adapter,
        answers=adapter / "gates" / "answers.jsonl",
        verdict=json.loads(json.dumps(then.verdict)),
        base_answers=adapter / "gates" / "base_answers.jsonl",
        comparison=json.loads(json.dumps(then.comparison)),
    )


def compared(then: Made, now: Made) -> Reproduction:
    """The comparison, after its report was seen to fit its schema."""
    found = compare.compare(then, now, release="local/elements@v1", commit="c" * 40, seconds=1.5)
    jsonschema.validate(json.loads(found.to_json()), schemas.load("reproduction"))
    assert compare.markdown(found)
    return found


def change_tensors(now: Made, change: Callable[[dict[str, Any]], object]) -> Made:
    """The adapter with other tensors, and a record that says so."""
    path = now.adapter / layout.WEIGHTS
    values = load_file(path)
    change(values)
    save_file(values, path)
    adapter = now.record.adapter
    files = {**adapter.files, layout.WEIGHTS: sha256_file(path)}
    return replace(now, record=replace(now.record, adapter=replace(adapter, files=files)))


def change_answers(now: Made, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = [json.loads(line) for line in now.answers.read_text("utf-8").splitlines()]
    change(rows)
    write_answers(now.answers, rows)


def test_the_same_bytes_are_bit_identical(then: Made, now: Made) -> None:
    found = compared(then, now)

    assert found.reached == "bits"
    assert found.cause is None
    assert found.adapter is not None
    assert found.adapter["identical"]
    assert "bit-identical" in "\n".join(compare.lines(found))


def test_a_changed_value_is_measured_and_found_in_its_layer(then: Made, now: Made) -> None:
    tensor = load_file(then.adapter / layout.WEIGHTS)[A0].astype(np.float64)

    def add(values: dict[str, Any]) -> None:
        values[A0][1, 1] += 0.5

    found = compared(then, change_tensors(now, add)).adapter

    assert found is not None
    (layer,) = found["layers"]
    assert (found["different"], found["tensors"], layer["layer"], layer["tensors"]) == (1, 4, "layers.0", 1)
    assert layer["max_abs"] == pytest.approx(0.5, rel=1e-6)
    assert layer["relative_norm"] == pytest.approx(0.5 / np.linalg.norm(tensor), rel=1e-6)
    assert found["files"] == [layout.WEIGHTS]


def test_another_adapter_with_the_same_answers_reaches_answers(then: Made, now: Made) -> None:
    found = compared(then, change_tensors(now, lambda values: values.update({A0: values[A0] * 2})))

    assert found.reached == "answers"
    assert "cause:   nothing that the records hold explains it" in list(compare.lines(found))


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop(A0),
        lambda values: values.update({"extra": values[A0].copy()}),
        lambda values: values.update({A0: values[A0].reshape(3, 4).copy()}),
        lambda values: values.update({A0: values[A0].astype(np.float16)}),
        lambda values: values.update({A0: values[A0] * np.float32("nan")}),
    ],
    ids=["missing", "extra", "other shape", "other type", "not a number"],
)
def test_a_distance_that_cannot_be_stated_is_not_stated(then: Made, now: Made, change: Any) -> None:
    found = compared(then, change_tensors(now, change)).adapter

    assert found is not None
    assert (found["different"], found["max_abs"], found["relative_norm"]) == (1, None, None)


def test_bfloat16_values_are_read_as_they_are() -> None:
    values = np.array([1.0, -2.5, 0.0], dtype="<f4")
    upper_halves = (values.view("<u4") >> 16).astype("<u2").tobytes()

    found = compare._numbers("BF16", upper_halves)

    assert found is not None
    assert found.tolist() == values.tolist()


def test_an_answer_that_parts_is_shown_from_its_first_other_token(then: Made, now: Made) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[1]["output"] = rows[1]["output"].replace("The", "symbol", 1)

    change_answers(now, change)
    found = compared(then, now)

    (row,) = found.answers["different"]
    at = json.loads(then.answers.read_text("utf-8").splitlines()[1])["output"].index("The")
    assert found.reached == "verdict"
    assert (row["id"], row["character"]) == ("golden-0002", at)
    assert isinstance(row["token"], int)
    assert row["now"].startswith("symbol")


def test_a_row_without_an_answer_is_no_equal_row(then: Made, now: Made) -> None:
    change_answers(now, lambda rows: rows.pop())
    found = compared(then, now)

    assert found.answers["same"] == found.answers["rows"] - 1
    assert found.answers["different"][0]["now"] is None


def test_an_answer_that_ended_otherwise_is_another_answer(then: Made, now: Made) -> None:
    change_answers(now, lambda rows: rows[0].update(finish_reason="length"))

    assert compared(then, now).reached == "verdict"


def test_another_state_of_one_gate_is_another_verdict(then: Made, now: Made) -> None:
    now.verdict["gates"][0]["state"] = "FAIL"

    assert compared(then, now).reached == "different"


def test_other_counts_under_the_same_states_are_the_same_verdict(then: Made, now: Made) -> None:
    now.verdict["gates"][0]["k"] -= 1
    found = compared(then, now)

    assert found.verdict["same"]
    assert not found.verdict["identical"]


def test_other_answers_of_the_base_are_told_with_their_first_other_token(then: Made, now: Made) -> None:
    assert now.base_answers is not None
    rows = [json.loads(line) for line in now.base_answers.read_text("utf-8").splitlines()]
    rows[2]["output"] = rows[2]["output"].replace("answer", "symbol")
    write_answers(now.base_answers, rows)

    found = compared(then, replace(now, adapter=then.adapter))

    assert found.reached == "answers"
    assert found.base is not None
    assert found.base["answers"]["same"] == found.base["answers"]["rows"] - 1
    assert "differs at token 1" in "\n".join(compare.lines(found))


def test_a_base_that_is_beaten_no_more_is_another_verdict(then: Made, now: Made) -> None:
    assert now.comparison is not None
    found = compared(then, replace(now, comparison={**now.comparison, "state": "FAIL"}))

    assert found.reached == "different"
    assert "beaten: PASS then, FAIL now" in "\n".join(compare.lines(found))


def test_a_release_without_answers_of_the_base_is_compared_without_them(then: Made, now: Made) -> None:
    found = compared(replace(then, base_answers=None, comparison=None), now)

    assert (found.base, found.reached) == (None, "bits")


A_GPU = {"name": "a GPU", "compute_capability": "9.0", "cuda": "13.0", "driver": ""}


def put(made: Made, key: str, value: object) -> Made:
    """The same with another value at a dotted place of its record."""
    whole = json.loads(canonical_json(tree(made.record)))
    within = whole
    *above, name = key.split(".")
    for one in above:
        within = within[one]
    within[name] = value
    return replace(made, record=known(whole))


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        ("generation.prompts_sha256", "3" * 64, "prompts: sha256 of the rendered prompts: "),
        ("data.train.sha256", "4" * 64, "data: sha256 of the training rows"),
        ("base.files", {"model.safetensors": "5" * 64}, "base: files of the base model"),
        ("determinism.seed", 43, "seed: seed: 42 then, 43 now"),
        ("config.training.learning_rate", 1e-4, "settings: training settings"),
        ("training.versions", {**training().versions, "torch": "2.0.0"}, "library: version of torch: 1.0.0 then"),
        ("determinism.threads", 1, "threads: compute threads: 2 then, 1 now"),
        ("training.hardware.cpu_capability", "AVX512", "hardware: CPU instructions in use: AVX2 then, AVX512 now"),
        ("training.hardware.gpu", A_GPU, "hardware: GPU: null then"),
        ("training.arithmetic.onednn", False, "settings: arithmetic"),
        ("training.packages.rich", "2.0.0", "package: version of rich: 1.0.0 then, 2.0.0 now"),
        ("source.code_sha256", "6" * 64, "source: digest of this project's code"),
    ],
)
def test_the_recorded_difference_is_named_as_the_cause(
    then: Made, now: Made, key: str, value: object, cause: str
) -> None:
    changed = change_tensors(now, lambda values: values.update({A0: values[A0] * 2}))
    found = compared(then, put(changed, key, value))

    assert found.cause is not None
    assert found.cause.startswith(cause)
    assert "What the records say differently" in compare.markdown(found)


def test_settings_that_an_earlier_record_does_not_hold_are_no_difference(then: Made, now: Made) -> None:
    """Records say what ran without a deterministic implementation since that is no error any more."""
    now = put(now, "training.arithmetic.nondeterministic", [])
    assert compare.differences(tree(then.record), tree(now.record), "training") == []

    then = put(then, "training.arithmetic.nondeterministic", ["cumsum_cuda_kernel"])
    (one,) = compare.differences(tree(then.record), tree(now.record), "training")
    assert compare.told(one) == 'settings: arithmetic: nondeterministic: ["cumsum_cuda_kernel"] then, [] now'


@pytest.mark.parametrize("stage", ["training", "generation"])
def test_operations_without_a_fixed_result_explain_what_equal_records_do_not(then: Made, now: Made, stage: str) -> None:
    changed = change_tensors(now, lambda values: values.update({A0: values[A0] * 2}))
    assert compared(then, changed).cause is None
    key, ran = f"{stage}.arithmetic.nondeterministic", ["cumsum_cuda_kernel"]
    then, now, changed = put(then, key, ran), put(now, key, ran), put(changed, key, ran)

    assert str(compared(then, changed).cause).startswith("operations: cumsum_cuda_kernel ran, and gives other bytes")
    assert compared(then, now).cause is None
    training = tree(now.record.training)
    here = {"training": {key: training[key] for key in ("versions", "packages", "hardware")}}
    assert "operations: cumsum_cuda_kernel ran" in "\n".join(reproduce.obstacles(tree(then.record), here))


def test_of_several_differences_the_strongest_is_the_first_cause(then: Made, now: Made) -> None:
    changes = {
        "source.code_sha256": "6" * 64,
        "determinism.threads": 1,
        "data.train.sha256": "4" * 64,
        "generation.prompts_sha256": "3" * 64,
    }
    for key, value in changes.items():
        now = put(now, key, value)

    found = compare.differences(tree(then.record), tree(now.record), "training")

    assert [one["cause"] for one in found] == ["prompts", "data", "threads", "source"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lora_init_sha256": "9" * 64}, "differ from the start"),
        ({"losses": [[10, 1.5], [20, 0.25]]}, "the loss logged at step 20 was 0.5, at 20 is 0.25"),
        ({"losses": [[10, 1.5]]}, "they logged 2 and 1 losses"),
        (
            {"curves": {"learning_rate": [[10, 0.0002], [20, 0.0001]], "grad_norm": [[10, 2.5], [20, 1.5]]}},
            "every logged loss are equal; the grad_norm logged at step 20 was 1.25, is 1.5",
        ),
        ({"curves": {"learning_rate": [[10, 0.0003]]}}, "the learning_rate logged at step 10 was 0.0002, is 0.0003"),
        ({"curves": {"learning_rate": [[10, 0.0002]]}}, "the learning_rate logged at step 20 was 0.0001, is None"),
        ({"curves": None}, "every logged loss are equal"),
        ({}, "every logged loss and grad_norm and learning_rate are equal"),
    ],
)
def test_where_two_trainings_first_differ_is_said(change: dict[str, Any], told: str) -> None:
    assert told in compare.trajectory(training(), training(**change))


@pytest.mark.parametrize(
    ("reached", "met"),
    [("bits", {"bits", "answers", "verdict"}), ("answers", {"answers", "verdict"}), ("verdict", {"verdict"})],
)
def test_a_level_holds_all_below_it(reached: str, met: set[str]) -> None:
    assert {level for level in ("bits", "answers", "verdict") if compare.meets(reached, level)} == met
    assert not compare.meets("different", "verdict")


def test_markup_in_an_answer_stays_text_in_the_report(then: Made, now: Made) -> None:
    change_answers(now, lambda rows: rows[0].update(output="<b>![x](http://x)|</b>"))

    text = compare.markdown(compared(then, now))

    assert "<b>" not in text
    assert "![x]" not in text
