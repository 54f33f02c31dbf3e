"""A release that says what was tried: each try is judged again, and the table is shown by card, page and command."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gates.canonical import canonical_json
from release import inputs, tries_planned
from release.checking import laid_out, opening, reproduce, tries_table, verify
from release.config import ladder
from release.config.settings import Budget
from release.judging import recording, tried
from release.values import layout
from release.values import record as records
from release.values.errors import ConfigError, VerificationError
from release.values.record import Previous
from tests.helpers.small_release import (
    read_record,
    reseal,
    small_settings,
)
from tests.helpers.tried import tried_release
from tests.helpers.verified import agreement, failed, opened

AGREEMENT = 5
BEFORE, WON, OTHER = f"{layout.TRIES}/1", f"{layout.TRIES}/2", f"{layout.TRIES}/seed-43"
Lie = Callable[[Path], object]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tried_release(tmp_path_factory.mktemp("tried"))


@pytest.fixture
def release(original: Path, tmp_path: Path) -> Path:
    """A copy of it to tamper with."""
    return Path(shutil.copytree(original, tmp_path / "release"))


def test_it_verifies_with_all_that_was_tried(original: Path) -> None:
    record = read_record(original)

    assert failed(original) == {}
    assert [(one["name"], one["passed"]) for one in record["tries"]["tries"]] == [("1", False), ("2", True)]
    assert record["tries"]["tries"][0]["refused_by"][0].startswith("json_parse: 13 of 16 are right")
    assert record["config"]["training"]["learning_rate"] == 0.001
    assert "tries" not in record["config"]
    assert f"{OTHER}/answers.jsonl" in record["files"]


def test_what_it_took_is_what_all_that_was_tried_took(original: Path) -> None:
    record = read_record(original)
    generation, made = record["generation"], [*record["tries"]["tries"], *record["tries"]["seeds"]]

    answered = generation["seconds"] + generation["base_seconds"]
    assert record["spent"]["seconds"] == sum(one["seconds"] for one in made) + answered == 3 * 10.5 + 9.5
    assert record["spent"]["tokens"] == sum(one["tokens"] for one in made) + generation["tokens"]
    assert "for 3 trainings that were tried and answering" in (original / layout.PAGE).read_text("utf-8")


def test_energy_is_that_of_each_process_that_answered_for_a_try(original: Path) -> None:
    """It is said to be the most that it can have been."""
    record = records.known(read_record(original))

    def energy(processes: int | None) -> float:
        judged = recording.Outcome(
            generation=replace(record.generation, processes=processes),
            verdict_sha256=record.verdict_sha256,
            comparison_sha256="",
            passed=True,
            attempt=1,
            earlier=Previous(releases=[], weaker=[], comparisons={}),
            forms={},
            tries=record.tries,
        )
        return recording._spent(record.training, judged, Budget()).energy_kwh or 0.0

    assert energy(4) == pytest.approx(4 * energy(None), rel=0.01)


def test_card_page_and_command_show_the_table(original: Path) -> None:
    card, page = ((original / name).read_text("utf-8") for name in ("README.md", layout.PAGE))
    table = tries_table.of(str(original), "", lambda _: None, opening.Known())

    for text in (card, page):
        assert "training.learning_rate 0.001" in text.replace("&#46;", ".").replace("&#95;", "_")
        assert "it alone answered the golden set" in text
        assert "2 of 2 seeds pass on the tuning rows" in text
    assert tried.lines(table)[1].split() == ["1", "refused", "10.5", "s", "as", "written"]


def in_table(change: Callable[[Any], object]) -> Lie:
    return lambda folder: reseal(folder, lambda record: change(record["tries"]))


def _other_answers(folder: Path) -> None:
    """The refused try's answers as if all were right, and a record that names the file."""
    shutil.copy(folder / WON / "answers.jsonl", folder / BEFORE / "answers.jsonl")
    sha256 = hashlib.sha256((folder / BEFORE / "answers.jsonl").read_bytes()).hexdigest()
    reseal(folder, lambda record: record["tries"]["tries"][0].update(answers_sha256=sha256))


def _other_curve(folder: Path) -> None:
    path = folder / WON / layout.TRAINING_METRICS
    value = json.loads(path.read_bytes())
    value["log_history"][0]["loss"] = 0.001
    path.write_text(json.dumps(value), "utf-8")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    reseal(folder, lambda record: record["tries"]["tries"][1].update(metrics_sha256=sha256))


def _without_table(folder: Path) -> None:
    reseal(folder, lambda record: record.pop("tries"))


def _gone(folder: Path) -> None:
    (folder / BEFORE / "answers.jsonl").unlink()
    reseal(folder)


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (in_table(lambda told: told["tries"][0].update(passed=True)), "try 1 passed, and a later one is published"),
        (in_table(lambda told: told["tries"][0].update(refused_by=["bad luck"])), "judged again, try 1 is refused"),
        (in_table(lambda told: told["tries"][0]["gates"].update(json_parse=[15, 16])), "judged again, try 1"),
        (in_table(lambda told: told["tries"].pop(0)), "gates/tries/1/answers.jsonl is not of a try of the record"),
        (in_table(lambda told: told["tries"].pop(1)), "try 1 is the last, and is not the adapter"),
        (
            in_table(lambda told: told["tries"][1].update(changes={"training.learning_rate": 7})),
            "the configuration says",
        ),
        (in_table(lambda told: told["tries"][1].update(steps=21)), "has other steps than the training"),
        (
            in_table(lambda told: told["tries"][0].update(adapter_sha256=None)),
            "try 1 has no adapter, and",
        ),
        (in_table(lambda told: told.update(planned=1)), "more than were planned"),
        (in_table(lambda told: told["seeds"][0]["changes"].update({"run.seed": 42})), "in another: that is 43"),
        (in_table(lambda told: told["seeds"][0]["changes"].pop("training.learning_rate")), "in more than its seed"),
        (in_table(lambda told: told["seeds"][0].update(passed=False)), "judged again, try seed-43 passes"),
        (_other_answers, "judged again, try 1 passes, and the record says otherwise"),
        (_other_curve, "gates/tries/2/training_metrics.json does not hold what the record says was logged"),
        (_without_table, "the record says that nothing was tried"),
        (_gone, "gates/tries/1/answers.jsonl is not the one that the record names"),
    ],
)
def test_a_lie_about_what_was_tried_is_named(release: Path, lie: Lie, says: str) -> None:
    lie(release)

    assert says in failed(release)[AGREEMENT]


def tried_as(number: int, **said: Any) -> Lie:
    return in_table(lambda told: told["tries"][number].update(said))


def seed_as(**said: Any) -> Lie:
    return in_table(lambda told: told["seeds"][0].update(said))


NO_ADAPTER: dict[str, Any] = {
    "adapter_sha256": None,
    "answers_sha256": None,
    "metrics_sha256": None,
    "gates": {},
    "steps": 0,
}


@pytest.mark.parametrize(
    ("lie", "says"),
    [
        (tried_as(0, name="2"), "its tries are named"),
        (tried_as(0, name="3"), "its tries are named"),
        (tried_as(1, name="seed-42"), "its tries are named"),
        (in_table(lambda told: told["tries"].reverse()), "its tries are named"),
        (seed_as(name="seed-44"), "its seeds are named"),
        (seed_as(name="seed-043"), "its seeds are named"),
        (seed_as(name="3"), "its seeds are named"),
        (seed_as(changes={"training.learning_rate": 0.001, "run.seed": 44}), "in another: that is 43"),
        (seed_as(changes={"training.learning_rate": 0.001, "run.seed": 43.0}), "in another: that is 43"),
        (seed_as(changes={"run.seed": 43}), "differs from the try that passed in more than its seed"),
        (seed_as(steps=21), "has 21 steps, its configuration and its rows make 20"),
        (in_table(lambda told: told["seeds"].append(told["seeds"][0])), "its seeds are named"),
        (in_table(lambda told: told.update(every_seed_passes=True, seeds=[])), "every seed was to pass"),
        (tried_as(0, changes={"training.learning_rate": 0.5}), "try 1 is the configuration as written"),
        (tried_as(1, changes={}), "try 2 is the same training as one before it"),
        (tried_as(1, changes={"run.name": "elements"}), 'try 2 changes "run.name", which no try does'),
        (tried_as(1, changes={"training.eval_steps": None}), 'changes "training.eval_steps", which no try does'),
        (tried_as(1, changes={"": None}), 'changes "", which no try does'),
        (tried_as(1, changes={"training.learning_rate": True}), "the configuration says otherwise"),
        (tried_as(1, changes={"training.learning_rate": [{}]}), "the configuration says otherwise"),
        (tried_as(1, tokens=3999), "has less tokens or seconds than the training"),
        (tried_as(1, seconds=10), "has less tokens or seconds than the training"),
        (tried_as(0, **{**NO_ADAPTER, "steps": 20}), "has no adapter, and passed, was counted or left files"),
        (tried_as(0, **NO_ADAPTER, refused_by=[]), "has no adapter, and passed, was counted or left files"),
        (
            lambda folder: reseal(folder, lambda record: record["data"].pop("tuning")),
            "and names no such rows or no training",
        ),
        (lambda folder: reseal(folder, lambda record: record.update(training=None)), "names no such rows"),
    ],
)
def test_a_table_that_no_run_writes_is_named(release: Path, lie: Lie, says: str) -> None:
    lie(release)

    assert says in agreement(release)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**32 - 2])
def test_seeds_go_on_at_nought_after_the_last(seed: int) -> None:
    assert ladder.after(seed, 2) == [(seed + 1) % 2**32, (seed + 2) % 2**32]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("golden", "3 tuning rows ask what golden rows ask"),
        ("train", "train rows ask what tuning rows ask"),
    ],
)
def test_tuning_rows_that_are_golden_or_trained_on_are_named(release: Path, kind: str, says: str) -> None:
    """Under other ids and in other letters; and where the configuration only warns of it, it is told all the same."""
    path = release / layout.DATA["tuning"]
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    others = [json.loads(line) for line in (release / layout.DATA[kind]).read_text("utf-8").splitlines()]
    taken = [{**one, "id": row["id"]} for one, row in zip(others[:3], rows[:3], strict=True)]
    taken[0]["messages"][-2]["content"] = taken[0]["messages"][-2]["content"].upper()
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in [*taken, *rows[3:]]), "utf-8")
    reseal(release)
    of_rows = [list(verify.CHECKS)[6]]

    (step,) = verify.check(opened(release), of_rows)
    assert says in "\n".join(step.problems)

    check = "leakage" if kind == "golden" else "tuning_leakage"
    reseal(release, lambda record: record["config"]["data"].update(checks={check: "warning"}))
    (step,) = verify.check(opened(release), of_rows)
    assert says not in "\n".join(step.problems)
    assert says in "\n".join(step.unchecked)


@pytest.mark.parametrize(
    ("evaluations", "says"),
    [
        ([{"step": 20, "eval_loss": 0.5}], "holds evaluations, and its configuration or its rows allow none"),
        ([{"step": 20, "eval_loss": -0.5}], "an evaluation is not"),
        ([], ""),
    ],
)
def test_what_another_try_was_evaluated_by_is_such_as_its_steps_give(
    release: Path, evaluations: list[dict[str, Any]], says: str
) -> None:
    path = release / BEFORE / layout.TRAINING_METRICS
    value = json.loads(path.read_bytes())
    value["log_history"] += evaluations
    path.write_bytes(canonical_json(value))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    tried_as(0, metrics_sha256=sha256)(release)

    said = agreement(release)
    assert says in said if says else said == ""


def test_a_seed_that_had_to_pass_and_did_not_is_named(release: Path) -> None:
    def change(told: Any) -> None:
        told["every_seed_passes"] = True
        told["seeds"][0]["passed"] = False

    in_table(change)(release)

    assert "every seed was to pass on the tuning rows, and one does not" in failed(release)[AGREEMENT]


def test_a_name_that_leads_elsewhere_is_no_try(release: Path) -> None:
    in_table(lambda told: told["tries"][0].update(name="../../elsewhere"))(release)

    assert "'../../elsewhere' does not match" in "\n".join(failed(release).values())


def test_without_its_tuning_rows_the_tries_are_not_judged_again(release: Path) -> None:
    (release / layout.DATA["tuning"]).unlink()
    reseal(release, lambda record: record["data"]["tuning"].update(file=None))

    step = verify.check(opened(release))[AGREEMENT - 1]

    assert step.problems == ()
    assert "give their folder with --data to judge its tries" in step.unchecked[0]


def test_it_is_laid_out_to_be_made_again_with_the_settings_that_won_and_no_tries(release: Path, tmp_path: Path) -> None:
    """The rows that chose it are not asked for: what it is made by does not read them."""
    (release / layout.DATA["tuning"]).unlink()
    reseal(release, lambda record: record["data"]["tuning"].update(file=None))
    found = opened(release)
    settings: Mapping[str, Any] = laid_out.settings_of(found.release.record)

    loaded = reproduce._lay_out(found, settings, tmp_path / "again")

    assert loaded.tries is None
    assert loaded.training.learning_rate == 0.001
    assert not (tmp_path / "again" / layout.DATA["tuning"]).exists()
    assert inputs.there(inputs.load(loaded, lambda _: None).rows).tuning is None


def test_a_folder_that_holds_a_release_is_verified_whatever_lies_beside_it(release: Path) -> None:
    """As a run, its table would be believed."""
    table = json.loads((release / layout.RECORD).read_bytes())
    table["tries"]["tries"][0]["refused_by"] = ["bad luck"]
    (release / tries_table.IN_A_RUN).write_bytes(canonical_json(table))

    with pytest.raises(VerificationError):
        tries_table.of(str(release), "", lambda _: None, opening.Known())


@pytest.mark.parametrize("value", [10**400, "1", -1, None, [], 1e999])
def test_seconds_that_are_none_are_told(original: Path, tmp_path: Path, value: object) -> None:
    record = read_record(original)
    record["tries"]["tries"][0]["seconds"] = value
    (tmp_path / tries_table.IN_A_RUN).write_text(json.dumps(record), "utf-8")

    with pytest.raises(ConfigError, match=r"record\.json cannot be read"):
        tried.lines(tries_table.of(str(tmp_path), "", lambda _: None, opening.Known()))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tries": []}', '{"planned": "\\u001b[2J"}'])
def test_a_table_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    config = small_settings(tmp_path)
    tries_planned.folder_of(config).mkdir(parents=True)
    (tries_planned.folder_of(config) / tries_planned.TABLE).write_text(text, "utf-8")

    with pytest.raises(ConfigError, match=r"tries\.json cannot be read"):
        tries_table.under_way(config)


def test_where_nothing_was_tried_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was tried yet"):
        tries_table.under_way(small_settings(tmp_path))
