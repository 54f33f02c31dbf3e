"""Great Expectations decides over columns of what rows show; a check that was not made whole is never passed.

Its set, uniqueness and mean expectations pass an empty or all-null column, so row count, missing values and types come
first, and a result that looked at fewer rows than there are does not pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.data.checks import CHECKS, UNANSWERABLE, Kind
from release.values.reasons import need_addresses

if TYPE_CHECKING:
    import numpy as np
    from great_expectations.data_context import AbstractDataContext
    from numpy.typing import NDArray
    from pandas import DataFrame, Series

Column = str | float | bool | None
"""What one row shows to one check."""
ONLY_FROM_HERE = (  # its pages would ask half a dozen content networks for styles, scripts and a logo
    """<meta http-equiv="Content-Security-Policy" content="default-src 'self' 'unsafe-inline' data:">"""
)
ADDRESSES = 1 << 30
"""Bytes of address space, in each process: with 0.9 GB it runs, with 0.7 GB SciPy's OpenBLAS spins."""
MANY = 50_000
"""Rows of which one column at a time is looked at: of each column it holds some dozens of bytes a row to its end."""
NOT_DONE = "could not be checked"


@dataclass(frozen=True, kw_only=True)
class _Expectation:
    check: str
    kind: str
    """Great Expectations' name for it."""
    arguments: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class _Result:
    """What Great Expectations says of one expectation."""

    success: bool = False
    looked: int | None = None
    """How many values it looked at; None where it counts none."""
    rows: tuple[int, ...] = ()
    """Those that it did not expect."""
    observed: object = None
    faults: tuple[str, ...] = ()
    """What it raised."""
    details: Mapping[str, object]


def failures(
    given: Mapping[str, Sequence[Column]],
    count: int,
    names: Sequence[str],
    limits: tuple[int, int],
    docs: Path | None = None,
) -> dict[str, list[int | str]]:
    """For each failed check the numbers of the rows that fail it; a text where the check fails as a whole.

    ``given``: the columns, over ``count`` rows, as bytes where each is true or not. ``limits``: the fewest rows, and
    the most tokens of one. ``docs``: a folder for Great Expectations' own pages.
    """
    need_addresses(ADDRESSES, "Great Expectations with pandas and SciPy")

    import pandas as pd

    fewest, longest = limits
    plan = [_Expectation(check="rows", kind="ExpectTableRowCountToBeBetween", arguments={"min_value": fewest})]
    plan += [one for name in names for one in _expectations(name, longest)]
    results: dict[int, _Result] = {}
    for group in [None] if docs or count < MANY else dict.fromkeys(one.check for one in plan):
        some = [name for name in names if name in given and group in (None, name)]
        columns = {name: _array(given[name]) for name in some}
        numbered = {number: one for number, one in enumerate(plan) if group in (None, one.check)}
        results |= _run(numbered, pd.DataFrame({"_row": range(count), **columns}), docs)
    failed: dict[str, list[int | str]] = {}
    for number, one in enumerate(plan):
        for problem in _failures(one, results.get(number, _Result(details={})), count):
            if problem not in failed.setdefault(one.check, []):
                failed[one.check].append(problem)
    return failed


def _array(column: Sequence[Column]) -> "Sequence[Column] | Series[Any] | NDArray[np.bool_]":
    """A column as pandas is given it: of texts it would make others, which take five times the room."""
    import numpy as np
    import pandas as pd

    if isinstance(column, bytearray):
        return np.frombuffer(column, np.bool_)
    return pd.Series(column, dtype=object) if column and isinstance(column[0], str) else column


def _expectations(name: str, longest: int) -> Iterator[_Expectation]:
    """The expectations over a column, those first without which the others pass vacuously."""
    there: tuple[str, dict[str, object]] = ("ExpectColumnValuesToNotBeNull", {})
    low, high = UNANSWERABLE
    asked: dict[Kind, list[tuple[str, dict[str, object]]]] = {
        "true": [
            there,
            ("ExpectColumnValuesToBeOfType", {"type_": "bool"}),
            ("ExpectColumnValuesToBeInSet", {"value_set": [True]}),
        ],
        "unique": [there, ("ExpectColumnValuesToBeUnique", {})],
        "length": [
            there,
            ("ExpectColumnValuesToBeOfType", {"type_": "int64"}),
            ("ExpectColumnValuesToBeBetween", {"min_value": 1, "max_value": longest}),
        ],
        "share": [("ExpectColumnMeanToBeBetween", {"min_value": low, "max_value": high})],
    }
    for kind, arguments in asked[CHECKS[name].kind]:
        yield _Expectation(check=name, kind=kind, arguments={"column": name, **arguments})


def _failures(one: _Expectation, result: _Result, count: int) -> Iterator[int | str]:
    """What one result means. It passes only if it succeeded and says that it looked at every row."""
    looked = count if result.looked is None else result.looked
    if result.success and looked == count and (count or one.check == "rows"):
        return
    if one.check == "rows" and "observed_value" in result.details:
        yield f"{count} rows; at least {one.arguments['min_value']} are needed"
    elif one.kind == "ExpectColumnMeanToBeBetween" and isinstance(result.observed, float):
        yield f"{CHECKS[one.check].says}: {result.observed:.0%}"
    elif result.rows and one.kind != "ExpectColumnValuesToNotBeNull":
        yield from result.rows
    else:
        yield f"{one.check} {NOT_DONE}: {one.kind} on {count} rows: {' '.join(result.faults) or dict(result.details)}"


def _run(plan: Mapping[int, _Expectation], frame: "DataFrame", docs: Path | None) -> dict[int, _Result]:
    """Great Expectations' results over the frame by place in the plan; its pages too, if asked for."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    make: Mapping[str, Callable[..., gx.expectations.Expectation]] = vars(gx.expectations)
    expectations = [make[one.kind](meta={"number": number}, **one.arguments) for number, one in plan.items()]
    asset = context.data_sources.add_pandas("files").add_dataframe_asset("rows")
    definition = gx.ValidationDefinition(
        name="data gate",
        data=asset.add_batch_definition_whole_dataframe("all"),
        suite=context.suites.add(gx.ExpectationSuite(name="rows", expectations=expectations)),
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["_row"]},
    )
    if docs is not None:
        _write_docs(context, docs)
    said = outcome.to_json_dict()["results"]
    return {one["expectation_config"]["meta"]["number"]: _result(one) for one in said}


def _result(said: Mapping[str, Any]) -> _Result:
    """One of Great Expectations' own results."""
    details, raised = said["result"], said.get("exception_info") or {}
    faults = [raised] if "exception_message" in raised else [one for one in raised.values() if isinstance(one, dict)]
    return _Result(
        success=said["success"] is True,
        looked=details.get("element_count"),
        rows=tuple(index["_row"] for index in details.get("unexpected_index_list") or ()),
        observed=details.get("observed_value"),
        faults=tuple(one["exception_message"] for one in faults if one.get("exception_message")),
        details=details,
    )


def _write_docs(context: "AbstractDataContext", folder: Path) -> None:
    """Great Expectations' Data Docs of what was validated; the pages are kept from loading anything from elsewhere."""
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute())}
    site = {"class_name": "SiteBuilder", "store_backend": store, "show_how_to_buttons": False}
    context.add_data_docs_site("here", site | {"site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}})
    context.build_data_docs(site_names=["here"])
    for page in folder.rglob("*.html"):
        text = page.read_text("utf-8").replace("<head>", f"<head>{ONLY_FROM_HERE}", 1)
        page.write_text(text, "utf-8")
