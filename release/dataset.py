"""JSONL files → checked rows. Nothing expensive starts on rows that are broken, leaked or cannot be measured."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gates
from gates.answer import read_answer
from release.artifacts import canonical_json
from release.errors import DataError

FEWEST_TRAINING_ROWS = 8  # fewer teach nothing, and an expectation over an empty table passes
SHOWN = 20  # problems listed in a message; the rest is counted
RULES = {
    "id": "its id stands twice in this file",
    "prompt": "its prompt stands twice in this file",
    "turns_in_order": "its messages are not an optional system, then user and assistant in turn",
    "target_keeps_contract": "the reference answer is not JSON, or breaks the schema or a contract rule",
    "not_in_golden": "its question is in the golden set too: the gates would measure memory",
}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A file's rows in order, and the sha256 of its bytes."""

    path: Path
    rows: tuple[gates.Golden, ...]
    sha256: str


def load(path: Path) -> Dataset:
    """Every line of ``path`` as a row with a reference answer; ``DataError`` names each that is not."""
    try:
        data = path.read_bytes()
        rows = gates.read_golden(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check data.* in the configuration.") from None
    except gates.InvalidData as error:
        _stop_on(error.problems)
        raise
    problems = [f"{path}: row {row.id} has no reference answer" for row in rows if row.gold is None]
    if not rows:
        problems.append(f"{path} is empty: there is nothing to learn or to measure")
    _stop_on(problems)
    return Dataset(path=path, rows=rows, sha256=hashlib.sha256(data).hexdigest())


def check(train: Dataset, golden: Dataset, contract: gates.Contract) -> None:
    """The data gate over both files. ``DataError`` lists every violation with its row.

    Booleans are computed by the gates' own strict reader and validator; Great Expectations decides over the columns,
    row count and missing values first, because its set and uniqueness checks pass an empty or all-null column.
    """
    _stop_on([*_golden_problems(golden), *_violations(train, golden, _facts(train, golden, contract))])


def _golden_problems(golden: Dataset) -> Iterator[str]:
    for row in golden.rows:
        if row.answerable is None or row.support is None:
            yield f"{golden.path}: row {row.id} has no `answerable` and `support`: the gates measure by them"
    answerable = {row.answerable for row in golden.rows}
    if True not in answerable:
        yield f"{golden.path}: no row is answerable, so citation coverage and answer rate cannot be measured"
    if False not in answerable:
        yield f"{golden.path}: no row is unanswerable, so refusals cannot be measured. Add rows no document answers"


def _facts(train: Dataset, golden: Dataset, contract: gates.Contract) -> list[dict[str, Any]]:
    """A line per row: what the data gate asks of it."""
    golden_questions = {_question(row) for row in golden.rows}
    return [
        {
            "split": split,
            "row": row.id,
            "id": f"{split}/{row.id}",
            "prompt": f"{split}/{canonical_json(list(row.prompt)).decode()}",
            "turns_in_order": _turns_in_order(row),
            "target_keeps_contract": _keeps_contract(row, contract),
            "not_in_golden": split == "golden" or _question(row) not in golden_questions,
        }
        for split, dataset in (("train", train), ("golden", golden))
        for row in dataset.rows
    ]


def _turns_in_order(row: gates.Golden) -> bool:
    roles = [message["role"] for message in row.prompt]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return len(turns) % 2 == 1 and turns == (["user", "assistant"] * len(turns))[: len(turns)]


def _keeps_contract(row: gates.Golden, contract: gates.Contract) -> bool:
    answer = read_answer(row, gates.Output(id=row.id, output=row.gold or ""), contract)
    return answer.parsed and not answer.schema_faults and not answer.rule_faults


def _question(row: gates.Golden) -> str:
    """The last message without case, punctuation and spacing: a golden question respelled is still leaked."""
    return re.sub(r"[\W_]+", " ", row.prompt[-1]["content"].casefold()).strip()


def _violations(train: Dataset, golden: Dataset, facts: list[dict[str, Any]]) -> Iterator[str]:
    if len(train.rows) < FEWEST_TRAINING_ROWS:
        yield f"{train.path}: {len(train.rows)} rows; at least {FEWEST_TRAINING_ROWS} are needed to train"
    paths = {"train": train.path, "golden": golden.path}
    for result in _validate(facts):
        if result["success"]:
            continue
        column = result["expectation_config"]["kwargs"].get("column")
        rows = result["result"].get("unexpected_index_list")
        if column is None or not rows:
            yield f"the data gate could not check {column or 'the number of rows'}: {result['exception_info']}"
        for row in rows or ():
            yield f"{paths[row['split']]}: row {row['row']}: {RULES[column]}"


def _validate(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Great Expectations' results over the facts."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    expect = gx.expectations
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    unique, true = ("id", "prompt"), ("turns_in_order", "target_keeps_contract", "not_in_golden")
    expectations = [
        expect.ExpectTableRowCountToBeBetween(min_value=1),
        *(expect.ExpectColumnValuesToNotBeNull(column=column) for column in RULES),
        *(expect.ExpectColumnValuesToBeUnique(column=column) for column in unique),
        *(expect.ExpectColumnValuesToBeInSet(column=column, value_set=[True]) for column in true),
    ]
    asset = context.data_sources.add_pandas("files").add_dataframe_asset("rows")
    definition = gx.ValidationDefinition(
        name="data gate",
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(gx.ExpectationSuite(name="rows", expectations=expectations)),
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": pd.DataFrame(facts)},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["split", "row"]},
    )
    results: list[dict[str, Any]] = outcome.to_json_dict()["results"]
    return results


def _stop_on(problems: Sequence[str]) -> None:
    if problems:
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError("\n".join(problems[:SHOWN]) + more + "\nNothing was trained. Mend the rows and run again.")
