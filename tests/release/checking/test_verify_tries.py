"""A release that says what was tried: each try is judged again, and the table is shown by card, page and command."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from release import inputs, tries
from release.checking import laid_out, opening, reproduce, tries_table, verify
from release.judging import tried
from release.values import layout
from release.values.errors import ConfigError
from tests.helpers.small_release import (
    read_record,
    reseal,
    small_settings,
)
from tests.helpers.tried import tried_release
from tests.helpers.verified import failed, opened

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
        (in_table(lambda told: told["seeds"][0]["changes"].update({"run.seed": 42})), "the seed that is published"),
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


@pytest.mark.parametrize("text", ["", "[]", "{", '{"tries": []}', '{"planned": "\\u001b[2J"}'])
def test_a_table_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    config = small_settings(tmp_path)
    tries.folder_of(config).mkdir(parents=True)
    (tries.folder_of(config) / tries.TABLE).write_text(text, "utf-8")

    with pytest.raises(ConfigError, match=r"tries\.json cannot be read"):
        tries_table.under_way(config)


def test_where_nothing_was_tried_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was tried yet"):
        tries_table.under_way(small_settings(tmp_path))
