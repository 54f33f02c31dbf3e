"""Attempts are counted by what was judged on which rows, refused ones too, and each must meet surer bounds."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import gates
import schemas
from release import pipeline, preflight
from release.checking import opening, verify
from release.config.settings import Config
from release.hub import address
from release.judging import attempts, ledger, previous
from release.judging.attempts import ROWS_KEPT, Entry, GoldenSet
from release.judging.released import Released
from release.values import layout
from release.values.artifacts import Candidate
from release.values.errors import PreflightError
from release.values.events import Event
from tests.gates.examples import golden_rows
from tests.helpers.small_release import read_record, reseal, small_candidate, small_settings

POLICY = {"version": 3, "json_parse": {"mode": "target_and_floor", "target": 0.9, "floor": 0.8}}
"""Of 60 rows 55 must be right in the first attempt, 56 in the second, 57 in the fifth."""
TEN = tuple(range(10))


def quiet(_: Event) -> None:
    """Say nothing."""


def settings(folder: Path, tag: str = "v0.1.0", **more: Any) -> Config:
    return small_settings(folder, licence=True, **{"gates": POLICY, "publishing": {"tag": tag}, **more})


def before(loaded: Config) -> tuple[previous.Release, ...]:
    with address.parse(loaded.publishing.endpoint, loaded.path.parent).opened() as hub:
        return previous.fetch(loaded.publishing, loaded.run.output_dir / layout.PREVIOUS, hub, quiet)


def publish(loaded: Config, candidate: Candidate, run: Path) -> Path:
    packed = pipeline.pack(loaded, candidate, run)
    with address.parse(loaded.publishing.endpoint, loaded.path.parent).opened() as hub:
        pipeline.publish(loaded.publishing, packed, run, hub, quiet)
    return packed.folder


def problems(folder: Path) -> list[str]:
    found = verify.check(opening.Opened(release=Released(name="release", folder=folder)))
    return [line for step in found for line in step.problems]


def entries(loaded: Config) -> list[Entry]:
    return ledger.read(loaded)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two adapters were refused, and the third passed and was published."""
    folder = tmp_path_factory.mktemp("tried")
    loaded = settings(folder)
    for wrong in (TEN, TEN[:9]):
        assert not small_candidate(loaded, (), wrong)[0].passed
    publish(loaded, *small_candidate(loaded, (), TEN[:2]))
    return folder


def package(folder: Path) -> Path:
    (found,) = folder.glob("runs/*/package")
    return found


def test_refused_attempts_are_counted_and_the_card_names_them_with_the_threshold(tried: Path) -> None:
    found = package(tried)

    assert read_record(found)["attempt"] == 3
    assert problems(found) == []
    verdict = json.loads((found / "gates" / "verdict.json").read_bytes())
    assert (verdict["attempt"], verdict["gates"][0]["confidence"]) == (
        3,
        gates.load_policy(POLICY).at(3).bars_now[0].confidence,
    )
    card = (found / "README.md").read_text("utf-8")
    assert "This is at least attempt 3 on this golden set: its bounds may err with 1/12 of what all attempts" in card
    assert card.count("json&#95;parse&#58; 50 of 60 are right, 55 are needed") == 1
    assert card.count("json&#95;parse&#58; 51 of 60 are right, 56 are needed") == 1


def test_every_line_follows_the_schema_and_the_last_is_the_release_itself(tried: Path) -> None:
    lines = (package(tried) / "gates" / "ledger.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        Draft202012Validator(schemas.load("attempt")).validate(json.loads(line))
    assert [json.loads(line)["passed"] for line in lines] == [False, False, True]
    assert attempts.written(attempts.parse("".join(f"{one}\n" for one in lines).encode(), "it")).decode() == "".join(
        f"{one}\n" for one in lines
    )


def test_what_passes_first_does_not_pass_as_a_later_attempt(tmp_path: Path) -> None:
    """Five wrong of 60 are few enough the first time, and too many the second."""
    first = small_candidate(settings(tmp_path / "first"), (), TEN[:5])[0]
    loaded = settings(tmp_path / "second")
    small_candidate(loaded, (), TEN)

    assert first.passed
    assert not small_candidate(loaded, (), TEN[:5])[0].passed


def as_before(loaded: Config) -> Config:
    return loaded


def another_name(loaded: Config) -> Config:
    return replace(loaded, run=replace(loaded.run, name="another"))


def loosened(loaded: Config) -> Config:
    return replace(loaded, gates={**POLICY, "json_parse": {"mode": "point", "target": 0.5}})


def other_ids_and_tags(loaded: Config) -> Config:
    rows = rows_of(loaded)
    write(loaded, [{**row, "id": f"new-{number}", "tags": ["x"]} for number, row in enumerate(rows)])
    return loaded


def a_row_less(loaded: Config) -> Config:
    write(loaded, rows_of(loaded)[:-1])
    return loaded


def words_as_they_were(loaded: Config) -> Config:
    """Spaces, marks, what cannot be seen, another order of what is shown, documents and a system text are no words."""
    rows = rows_of(loaded)
    for row in rows:
        said = row["messages"][-2]
        parts = said["content"].split("\n")
        said["content"] = "\u200b \n".join(reversed(parts)).replace(" ", "  ") + " ?"
        row["messages"].insert(0, {"role": "system", "content": "Answer with care."})
        row["documents"] = [{**one, "n": 5} for one in row.get("documents", ())]
    write(loaded, rows)
    return loaded


def half_of_them_new(loaded: Config) -> Config:
    write(loaded, [ask_otherwise(row) if number >= 30 else row for number, row in enumerate(rows_of(loaded))])
    return loaded


def most_of_them_new(loaded: Config) -> Config:
    write(loaded, [ask_otherwise(row) if number >= 29 else row for number, row in enumerate(rows_of(loaded))])
    return loaded


def rows_of(loaded: Config) -> list[dict[str, Any]]:
    assert isinstance(loaded.data.golden_file, Path)
    return [json.loads(line) for line in loaded.data.golden_file.read_text("utf-8").splitlines()]


def write(loaded: Config, rows: list[dict[str, Any]]) -> None:
    assert isinstance(loaded.data.golden_file, Path)
    loaded.data.golden_file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def ask_otherwise(row: dict[str, Any]) -> dict[str, Any]:
    messages = [
        {**one, "content": f"Anew: {one['content']}"} if one["role"] == "user" else one for one in row["messages"]
    ]
    return {**row, "messages": messages}


@pytest.mark.parametrize(
    ("change", "wrong", "attempt"),
    [
        (as_before, TEN, 1),  # the same again is no other attempt
        (as_before, TEN[:3], 2),  # other answers, as by other decoding, are
        (another_name, TEN[:3], 2),
        (loosened, TEN, 2),
        (other_ids_and_tags, TEN[:3], 2),
        (a_row_less, TEN[:3], 2),
        (words_as_they_were, TEN[:3], 2),
        (half_of_them_new, TEN[:3], 2),
        (most_of_them_new, TEN[:3], 1),
    ],
)
def test_what_is_another_attempt_and_what_another_golden_set(
    change: Callable[[Config], Config], wrong: tuple[int, ...], attempt: int, tmp_path: Path
) -> None:
    loaded = settings(tmp_path)
    small_candidate(loaded, (), TEN)

    assert small_candidate(change(loaded), (), wrong)[0].record.attempt == attempt


def test_another_machine_goes_on_from_what_the_hub_knows(tried: Path, tmp_path: Path) -> None:
    shutil.copytree(tried / "hub", tmp_path / "hub")
    loaded = settings(tmp_path, "v0.2.0")

    candidate, run = small_candidate(loaded, before(loaded), TEN[:1])

    assert candidate.record.attempt == 4
    assert [one.passed for one in entries(loaded)] == [False, False, True, True]
    assert problems(pipeline.pack(loaded, candidate, run).folder) == []


def test_an_adapter_of_before_is_the_attempt_that_it_was(tried: Path, tmp_path: Path) -> None:
    """To go back to it is not another look at the rows."""
    shutil.copytree(tried / "hub", tmp_path / "hub")
    loaded = settings(tmp_path, "v0.2.0")

    candidate, run = small_candidate(loaded, before(loaded), TEN[:2])

    assert candidate.record.attempt == 3
    assert problems(pipeline.pack(loaded, candidate, run).folder) == []


def a_refusal_left_out(lines: list[str]) -> list[str]:
    return lines[1:]


def all_left_out(lines: list[str]) -> list[str]:
    return lines[-1:]


def a_refusal_that_passed(lines: list[str]) -> list[str]:
    return [lines[0].replace('"passed": false', '"passed": true'), *lines[1:]]


def itself_not_the_last(lines: list[str]) -> list[str]:
    return [*lines[1:], lines[0]]


def a_line_twice(lines: list[str]) -> list[str]:
    return [lines[0], *lines]


def other_rows(lines: list[str]) -> list[str]:
    one = json.loads(lines[0])
    return [json.dumps({**one, "golden_rows": ["0" * 16], "data_sha256": "1" * 64}, sort_keys=True), *lines[1:]]


def nonsense(lines: list[str]) -> list[str]:
    return ["{}", *lines]


def nothing(_: list[str]) -> list[str]:
    return []


LIES = (a_refusal_left_out, all_left_out, itself_not_the_last, a_line_twice, other_rows, nonsense, nothing)


@pytest.mark.parametrize("lie", LIES)
def test_a_ledger_that_was_changed_does_not_verify(
    lie: Callable[[list[str]], list[str]], tried: Path, tmp_path: Path
) -> None:
    """Even where every digest was made to fit: the verdict is that of its attempt, and so is the number."""
    release = Path(shutil.copytree(package(tried), tmp_path / "release"))
    path = release / "gates" / "ledger.jsonl"
    path.write_text("".join(f"{line}\n" for line in lie(path.read_text("utf-8").splitlines())), "utf-8")
    reseal(release)

    assert problems(release)


def test_a_release_that_leaves_out_what_the_one_before_it_counted_does_not_verify(tried: Path, tmp_path: Path) -> None:
    """Made on a machine that hid the Hub's attempts from its ledger, with all that follows from it."""
    shutil.copytree(tried / "hub", tmp_path / "hub")
    loaded = settings(tmp_path, "v0.2.0")
    hidden = [
        replace(one, released=one.released and Released(folder=one.released.folder, name=one.tag))
        for one in before(loaded)
    ]
    candidate, run = small_candidate(loaded, (), TEN[:1])
    (release,) = hidden
    assert release.released is not None
    counted = attempts.parse((run / "ledger.jsonl").read_bytes(), "it")
    now = Released(name="it", folder=pipeline.pack(loaded, candidate, run).folder).terms

    assert candidate.record.attempt == 1
    assert len(previous.uncounted(counted, hidden, now)) == 3
    assert previous.uncounted([*previous.tried(hidden), *counted], hidden, now) == []


def test_a_release_of_before_counts_by_its_number_and_a_ledger_of_before_by_its_lines() -> None:
    rows, sha256 = GoldenSet(golden_sha256="a" * 64, data_sha256="d" * 64, golden_rows=()), "d" * 64
    fourth = attempts.of_number("f" * 64, sha256, 4)
    lines = "".join(
        json.dumps({"golden_sha256": sha256, "adapter_sha256": one * 64, "passed": False}) + "\n" for one in "12"
    )
    there = attempts.parse(lines.encode(), "ledger.jsonl")

    assert attempts.number(attempts.before([fourth], "new", rows)) == 5
    assert attempts.number(attempts.before(there, "new", rows)) == 3
    assert attempts.number(attempts.before(attempts.together(there, [fourth]), "new", rows)) == 7
    other = replace(rows, data_sha256="e" * 64)
    assert attempts.number(attempts.before([fourth], "new", other)) == 1


def test_large_golden_sets_are_told_by_a_sample() -> None:
    def known(start: int, count: int) -> GoldenSet:
        rows = golden_rows(count, 0)
        made = gates.parse_golden([ask_otherwise_of(row, start + number) for number, row in enumerate(rows)])
        return attempts.golden_set(made, map(gates.known, made), "0" * 64)

    def ask_otherwise_of(row: dict[str, Any], number: int) -> dict[str, Any]:
        return {**row, "messages": [{"role": "user", "content": f"Number {number}?"}, row["messages"][-1]]}

    def had(now: GoldenSet, then: GoldenSet) -> bool:
        line = attempts.of_number("a" * 64, "1" * 64, 1)
        return now.had(replace(line, golden_rows=then.golden_rows))

    all_, most, few, part = known(0, 1000), known(200, 1000), known(900, 1000), known(100, 40)
    assert len(all_.golden_rows) == ROWS_KEPT
    assert had(all_, all_)
    assert had(most, all_)
    assert not had(few, all_)
    assert had(part, all_)  # forty of its rows are the same forty rows


@pytest.mark.parametrize(
    "text",
    ["{}\n", "[]\n", "nonsense\n", '{"attempt": 1}\n', '{"passed": 1, "adapter_sha256": "a", "golden_sha256": "b"}\n'],
)
def test_a_ledger_that_cannot_be_read_stops_the_run_for_it_may_hide_an_attempt(text: str, tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    path = ledger.path_of(loaded)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")

    with pytest.raises(PreflightError, match=r"ledger\.jsonl cannot be read: .*:1.* Correct it, or move it away"):
        ledger.read(loaded)


def test_a_ledger_whose_last_line_lost_its_end_is_added_to_all_the_same(tmp_path: Path) -> None:
    loaded = settings(tmp_path)
    entries = [attempts.of_number(digit * 64, "1" * 64, 1) for digit in "ab"]
    ledger.add(loaded, entries[:1])
    path = ledger.path_of(loaded)
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))

    ledger.add(loaded, entries)

    assert ledger.read(loaded) == entries
    assert path.read_bytes() == attempts.written(entries)


def test_it_lies_beside_the_runs_of_every_name_or_in_the_folder_that_was_named(tmp_path: Path) -> None:
    named = settings(tmp_path)
    usual = replace(named, run=replace(named.run, output_dir=tmp_path / "runs" / named.run.name))

    assert ledger.path_of(usual) == tmp_path / "runs" / "ledger.jsonl"
    assert ledger.path_of(named) == named.run.output_dir / "ledger.jsonl"


def test_a_golden_set_that_is_used_up_stops_before_training_and_says_what_to_do(tmp_path: Path) -> None:
    from tests.release.judging.test_previous import given

    found = given(settings(tmp_path))
    refused = attempts.of_number("a" * 64, preflight_rows(found), 900_000, passed=False)
    passed = replace(refused, passed=True)
    few = attempts.of_number("a" * 64, preflight_rows(found), 3, passed=False)

    problem = preflight.used_up(found, [refused], quiet)
    assert problem.startswith("This golden set is used up by 900000 attempts:\n  Gate json_parse counts 60 rows")
    assert "Write golden rows anew, at least half of them" in problem
    assert preflight.used_up(found, [few], quiet) == ""
    assert preflight.used_up(found, [passed], quiet) == ""


def preflight_rows(found: Any) -> str:
    return str(found.rows.golden.sha256)


@pytest.mark.parametrize("forms", [("trained", "unquantized"), ("unquantized", "trained")])
def test_no_line_of_another_form_lowers_the_number_of_an_attempt(forms: tuple[str, str]) -> None:
    """A ledger that came home from another machine may say less of an attempt than is known here."""
    fourth = attempts.of_number("f" * 64, "a" * 64, 4)
    high, low = replace(fourth, form=forms[0]), replace(fourth, form=forms[1], before=0)

    assert attempts.number([high]) == attempts.number([high, low]) == attempts.number([low, high]) == 5
    assert attempts.number([low]) == 2
    assert attempts.number([high, replace(low, attempt="b" * 64)]) == 6
