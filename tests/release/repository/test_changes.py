"""What a change asks otherwise: whatever makes a release easier to pass stands at the top of the comment."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from release.repository import changes, written
from release.repository.asked import Wanted
from release.repository.changes import Side
from release.repository.rows import Given
from release.values.events import Event
from tests.release.repository.shapes import chat, write
from tests.release.repository.test_written import BASE


def quiet(_: Event) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    rows = Given(data=write(folder / "rows.jsonl", chat()))
    written.write(folder / "mine", Wanted(base=BASE, repo="me/mine", rows=rows))
    return folder / "mine"


@pytest.fixture(scope="module")
def then(original: Path) -> Side:
    return changes.read(original / "release.yaml", quiet)


def changed(original: Path, folder: Path, change: Callable[[Path], None]) -> Side:
    mine = Path(shutil.copytree(original, folder / "now"))
    change(mine)
    return changes.read(mine / "release.yaml", quiet)


def config(**sections: Any) -> Callable[[Path], None]:
    def change(mine: Path) -> None:
        tree = yaml.safe_load((mine / "release.yaml").read_bytes())
        for name, values in sections.items():
            tree[name] = {**tree.get(name, {}), **values}
        (mine / "release.yaml").write_text(json.dumps(tree), "utf-8")

    return change


def gate(name: str, **bar: Any) -> Callable[[Path], None]:
    return config(gates={"schema_compliance": {"mode": "zero_failures"}, name: bar})


def golden(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[Path], None]:
    def write_anew(mine: Path) -> None:
        path = mine / "data" / "golden.jsonl"
        write(path, change([json.loads(line) for line in path.read_text("utf-8").splitlines()]))

    return write_anew


def easier(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows[0]["messages"][0]["content"] += " (It is 5.)"
    return rows


def schema(mine: Path) -> None:
    path = mine / "data" / "answer.schema.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "additionalProperties": True}), "utf-8")


LESS = {
    "a lower threshold": (gate("json_parse", target=0.5), "json_parse"),
    "a gate that is gone": (gate("json_parse", mode="zero_failures"), "citation_coverage: gone"),
    "an advisory gate": (gate("refusal_recall", target=0.8, required=False), "refusal_recall: advisory"),
    "a rule that is gone": (config(contract={"rules": ["answer_has_citations"]}), "contract.rules"),
    "another schema": (schema, "the answer schema is another one"),
    "golden rows that are gone": (golden(lambda rows: rows[3:]), "golden set: 3 of its rows are gone"),
    "a golden row that asks something easier": (
        golden(easier),
        "1 of its rows are gone, or ask something else",
    ),
    "a check that only warns": (config(data={"checks": {"leakage": "warning"}}), "data.checks.leakage is only a"),
    "no pinned image": (config(publishing={"allow_unpinned": True}), "publishing.allow_unpinned"),
}


@pytest.mark.parametrize("name", LESS)
def test_what_is_asked_no_more_is_at_the_top(name: str, then: Side, original: Path, tmp_path: Path) -> None:
    change, says = LESS[name]

    page = changes.markdown(found := changes.between(changed(original, tmp_path, change), then))

    assert any(says in line for line in found.less)
    assert page.index("Less is asked") < page.index("| gate |")


def more(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    extra = json.loads(json.dumps(rows[0]))
    extra["id"], extra["messages"][0]["content"] = "new", "What else is there to ask?"
    return [*rows, extra]


MORE = {
    "nothing": lambda _: None,
    "a golden row more": golden(more),
    "another learning rate": config(training={"learning_rate": 1e-4}),
}


@pytest.mark.parametrize("name", MORE)
def test_what_asks_no_less_is_not_called_so(name: str, then: Side, original: Path, tmp_path: Path) -> None:
    found = changes.between(changed(original, tmp_path, MORE[name]), then)

    assert found.less == ()
    assert "Nothing is asked less" in changes.markdown(found)
    assert next(changes.told(found)) == "Nothing is asked less than before."


def test_other_settings_are_named_with_both_values(then: Side, original: Path, tmp_path: Path) -> None:
    found = changes.between(changed(original, tmp_path, MORE["another learning rate"]), then)

    assert found.settings == ("training.learning_rate: 0.0001, was 0.0002",)


def test_where_nothing_was_before_the_gates_are_shown(then: Side, tmp_path: Path) -> None:
    why = changes.before(tmp_path / "nowhere" / "release.yaml", quiet)

    assert isinstance(why, str)
    found = changes.first(then, why)
    page, lines = changes.markdown(found), "\n".join(changes.told(found))
    for text in (page, lines):
        assert "nobody can tell" in text
        assert "there is nothing to compare with" in text
        assert "Nothing is asked less" not in text
    assert "json&#95;parse" in page


def test_no_id_of_a_row_is_markup_in_the_comment(then: Side, original: Path, tmp_path: Path) -> None:
    def rename(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[0]["id"] = "</td>\n# [free](javascript:x) @everybody <!--"
        return rows

    found = changed(original, tmp_path, golden(rename))

    page = changes.markdown(changes.between(then, found))
    assert "@everybody" not in page
    assert "<!--" not in page
    assert "\n# " not in page


Q8 = {"engine": "llama.cpp", "merged": True, "file_type": "Q8_0"}


@pytest.mark.parametrize(
    ("serving", "less"),
    [
        ({"files": Q8}, False),
        ({"gguf": Q8, "plain": {"base": "unquantized"}}, False),
        ({}, True),
        ({"gguf": {**Q8, "required": False}}, True),
        ({"gguf": {**Q8, "file_type": "Q4_K_M"}}, True),
    ],
    ids=["another name", "one more", "gone", "not required", "of another precision"],
)
def test_a_form_is_known_by_its_settings_and_not_by_its_name(
    serving: dict[str, Any], less: bool, original: Path, tmp_path: Path
) -> None:
    before = changed(original, tmp_path / "before", config(serving={"gguf": Q8}))
    now = changed(original, tmp_path / "after", config(serving=serving))

    said = [one for one in changes.between(now, before).less if one.startswith("serving: it had to pass in the form")]

    assert bool(said) is less
