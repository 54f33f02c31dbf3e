"""The rows of a new repository: labelled by their answers, and split without leakage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gates
from release.data import gate
from release.data.dataset import Dataset, load
from release.repository import rows
from release.repository.rows import Given, Rows
from release.values.errors import DataError
from tests.helpers.line import ROOT
from tests.release.repository.shapes import THINGS, chat, questions, write

ELEMENTS = ROOT / "data" / "elements" / "train.jsonl"


def read(folder: Path, given: list[Any], golden: list[Any] | None = None, **settings: Any) -> Rows:
    data = write(folder / "rows.jsonl", given)
    return rows.read(Given(data=data, golden=write(folder / "golden.jsonl", golden) if golden else None, **settings))


def parsed(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def laid_out(folder: Path, found: Rows) -> tuple[Dataset, Dataset]:
    (folder / "train").write_bytes(found.train)
    (folder / "golden").write_bytes(found.golden)
    return load(folder / "train"), load(folder / "golden")


def test_one_file_is_split_by_its_seed_and_the_data_gate_finds_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, chat())
    train, golden = laid_out(tmp_path, found)

    report = gate.examine(train, golden, found.proposal.loaded(), gate.Options(policy=policy(found)))

    assert [report.line(one) for one in report.errors] == []
    assert len(train.rows) + len(golden.rows) == len(chat())
    assert (found.train, found.golden) == (read(tmp_path, chat()).train, read(tmp_path, chat()).golden)
    assert found.golden != read(tmp_path, chat(), seed=7).golden


def policy(found: Rows) -> gates.Policy:
    return gates.load_policy(gates.default_policy(found.proposal.loaded().declares))


def test_rows_that_ask_the_same_over_other_documents_and_near_copies_stay_on_one_side() -> None:
    """The default's rows ask each question of many documents: a split by whole prompts would leak all of them."""
    found = rows.read(Given(data=ELEMENTS))
    contract, (train, golden) = (
        found.proposal.loaded(),
        map(gates.parse_golden, map(parsed, (found.train, found.golden))),
    )
    sides = [Dataset(path=Path(name), rows=one, sha256="") for name, one in (("t", train), ("g", golden))]

    report = gate.examine(sides[0], sides[1], contract)

    assert {"leakage", "near_duplicates"} & {one.check for one in report.findings} == set()


def test_enough_rows_are_kept_to_judge_by_where_there_are_enough(tmp_path: Path) -> None:
    found = read(tmp_path, chat())

    plan = gates.plan(gates.parse_golden(parsed(found.golden)), policy(found))

    assert [one.bar.gate for one in plan if not one.possible] == []


def test_labels_that_rows_lack_are_what_their_answers_say_and_others_stay(tmp_path: Path) -> None:
    given = chat()
    given[1] |= {"answerable": True, "support": ["2"]}

    found = read(tmp_path, given, chat())

    labelled = parsed(found.train)
    assert (labelled[0]["answerable"], labelled[0]["support"]) == (False, [])
    assert labelled[1]["support"] == ["2"]
    assert (labelled[2]["answerable"], labelled[2]["support"]) == (True, ["1"])
    assert any("had no labels" in line for line in found.told)


def test_two_files_stay_two_files(tmp_path: Path) -> None:
    found = read(tmp_path, chat()[:150], chat()[150:])

    assert (len(parsed(found.train)), len(parsed(found.golden))) == (150, len(chat()) - 150)


def test_a_key_that_every_row_has_keeps_rows_together(tmp_path: Path) -> None:
    given = [{**row, "meta": {"topic": f"t{number // 8}"}} for number, row in enumerate(chat())]

    found = read(tmp_path, given)

    train, golden = ({row["meta"]["topic"] for row in parsed(part)} for part in (found.train, found.golden))
    assert not train & golden
    assert any("rows with the same meta.topic on one side (guessed)" in line for line in found.told)


@pytest.mark.parametrize("form", ["prompt_completion", "sharegpt", "alpaca"])
def test_other_formats_come_to_the_same_answer_format(form: str, tmp_path: Path) -> None:
    def other(row: dict[str, Any]) -> dict[str, Any]:
        asked, said = (one["content"] for one in row["messages"])
        more = {"documents": row["documents"]}
        if form == "prompt_completion":
            return {"prompt": asked, "completion": json.loads(said), **more}
        if form == "alpaca":
            return {"instruction": asked, "output": said, **more}
        return {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": said}], **more}

    found = read(tmp_path, [other(row) for row in chat()])

    assert found.proposal.contract == read(tmp_path, chat()).proposal.contract


UNCITED: dict[str, Callable[[int], dict[str, Any]]] = {
    "a label": lambda n: {"label": ("spam", "ham", "news")[n % 3]},
    "one field": lambda n: {"answer": f"It is {THINGS[n % 49]} {n}."},
    "an extraction": lambda n: {"vendor": THINGS[n % 49], "total": n / 4, "paid": n % 2 == 0, "items": [{"n": n % 5}]},
    "a confidence": lambda n: {"answer": f"It is {n}.", "confidence": ("high", "low")[n % 2]},
    "an empty list of citations": lambda n: {"answer": f"It is {n}.", "citations": []},
    "refusals": lambda n: {"answer": f"I cannot say {n}." if n % 3 == 0 else f"It is {n}.", "refusal": n % 3 == 0},
}


@pytest.mark.parametrize("name", UNCITED)
def test_answers_that_cite_nothing_are_labelled_split_and_pass_the_data_gate(name: str, tmp_path: Path) -> None:
    asked = [prompt.partition("\n\n")[2] for prompt, *_ in questions()]
    rows = [{"prompt": prompt, "completion": json.dumps(UNCITED[name](number))} for number, prompt in enumerate(asked)]

    found = read(tmp_path, rows)
    train, golden = laid_out(tmp_path, found)

    contract = found.proposal.loaded()
    report = gate.examine(train, golden, contract, gate.Options(policy=policy(found)))
    assert [report.line(one) for one in report.errors] == []
    assert [one for one in report.findings if one.check == "balance"] == []
    assert ("balance" in report.unchecked) == (name != "refusals")
    assert gates.gate_zero(golden.rows, contract, policy(found)).passed
    assert contract.citations is None
    assert {row.support for row in golden.rows if row.answerable} == {None}
    assert not any("support" in line for line in found.told)


def nothing(text: str, cited: str, refuses: bool) -> dict[str, Any]:
    """As pydantic writes what is optional: null where it refuses."""
    return {
        "answer": None if refuses else f"{text} [{cited}]",
        "citations": None if refuses else [int(cited)],
        "refused": refuses,
    }


def test_null_in_the_place_of_a_text_and_of_citations_is_none(tmp_path: Path) -> None:
    found = read(tmp_path, chat(nothing))
    train, golden = laid_out(tmp_path, found)

    contract = found.proposal.loaded()
    assert {name: found.proposal.contract[name] for name in ("version", "answer", "citations", "refusal")} == {
        "version": 3, "answer": "/answer", "citations": "/citations", "refusal": "/refused",
    }  # fmt: skip
    report = gate.examine(train, golden, contract, gate.Options(policy=policy(found)))
    assert [report.line(one) for one in report.errors] == []
    assert gates.gate_zero(golden.rows, contract, policy(found)).passed
    assert read(tmp_path, chat()).proposal.contract["version"] == 2


@pytest.mark.parametrize("none", [None, ""])
def test_a_text_that_stands_where_it_refuses_is_the_refusal(none: str | None, tmp_path: Path) -> None:
    def said(text: str, cited: str, refuses: bool) -> dict[str, Any]:
        return {
            "answer": none if refuses else f"{text} [{cited}]",
            "citations": [] if refuses else [int(cited)],
            "refusal": text if refuses else none,
        }

    found = read(tmp_path, chat(said))
    train, golden = laid_out(tmp_path, found)

    contract = found.proposal.loaded()
    assert found.proposal.contract["refusal"] == {"at": "/refusal", "empty": False}
    assert sum(row.answerable is False for row in (*train.rows, *golden.rows)) == sum(one[3] for one in questions())
    report = gate.examine(train, golden, contract, gate.Options(policy=policy(found)))
    assert [report.line(one) for one in report.errors] == []
    assert gates.gate_zero(golden.rows, contract, policy(found)).passed


def test_a_label_that_no_answer_can_agree_with_is_refused_with_what_would(tmp_path: Path) -> None:
    """Else the data gate would find each such row wrong, and say nothing of the format."""

    def rows(*, refusing: bool) -> list[dict[str, Any]]:
        given = chat(lambda text, _, no: {"answer": text, **({"refusal": no} if refusing else {})})
        labels = [not refuses for *_, refuses in questions()]
        return [{**row, "answerable": label} for row, label in zip(given, labels, strict=True)]

    with pytest.raises(DataError, match="rows are labelled unanswerable") as stopped:
        read(tmp_path, rows(refusing=False))

    assert '"refusal": true or false' in str(stopped.value)
    assert read(tmp_path, rows(refusing=True)).proposal.contract["refusal"] == "/refusal"


def test_an_answerable_row_that_cites_nothing_is_named_and_no_label_is_made_up(tmp_path: Path) -> None:
    rows = chat()
    for row in rows[1:10]:
        said = json.loads(row["messages"][1]["content"])
        row["messages"][1]["content"] = json.dumps({**said, "answer": f"{said['answer'][:-4]}", "citations": []})

    found = read(tmp_path, rows)

    lines = [*parsed(found.train), *parsed(found.golden)]
    silent = {one["id"] for one in lines if one["answerable"] and "support" not in one}
    told = next(line for line in found.told if "cite nothing" in line)
    assert len(silent) == 6  # of nine rows three refuse
    assert told.startswith("6 answerable rows cite nothing")
    assert "and 1 more" in told
    golden = load(tmp_path / "golden") if (tmp_path / "golden").exists() else laid_out(tmp_path, found)[1]
    report = gate.examine(None, golden, found.proposal.loaded(), gate.Options(policy=policy(found)))
    named = {one.row for one in report.errors if one.says == "it has no `support`: the gates measure by it"}
    assert named == silent & {row.id for row in golden.rows}


def test_rows_that_all_ask_the_same_cannot_be_split(tmp_path: Path) -> None:
    same = [{**row, "messages": [{"role": "user", "content": "What is it?"}, row["messages"][1]]} for row in chat()]

    with pytest.raises(DataError, match="belong together") as stopped:
        read(tmp_path, same)

    assert "--golden" in str(stopped.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no rows"),
        ('{"messages": [{"role": "user", "content": "?"}]}\n', "does not end with an assistant's answer"),
        ('{"prompt": "?", "completion": "It is 5."}\n', "No answer in these rows is a JSON object"),
        ("not json\n", "line 1"),
    ],
)
def test_a_file_that_cannot_be_judged_is_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(text, "utf-8")

    with pytest.raises(DataError, match=says):
        rows.read(Given(data=tmp_path / "a.jsonl"))
