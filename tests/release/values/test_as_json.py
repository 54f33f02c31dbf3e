"""A frozen value comes back from its JSON as it was, and what is missing there is named."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from release.values.as_json import OPTIONAL, part, to_json, tree


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    by_name: Mapping[str, Inner]
    listed: list[Inner]
    numbers: Mapping[str, float]
    none: Inner | None = None
    later: str | None = field(default=None, metadata=OPTIONAL)


ONE = Inner(name="one", sizes=(1, 2))
WHOLE = Outer(inner=ONE, by_name={"a": ONE}, listed=[ONE, Inner(name="two")], numbers={"x": 0.5}, later="said")


@pytest.mark.parametrize("value", [WHOLE, Outer(inner=ONE, by_name={}, listed=[], numbers={}, none=ONE)])
def test_a_value_comes_back_as_it_was(value: Outer) -> None:
    assert part(Outer, json.loads(json.dumps(to_json(value)))) == value


def test_what_is_optional_is_not_written_where_it_is_none_and_all_else_is() -> None:
    written = tree(Outer(inner=ONE, by_name={}, listed=[], numbers={}))

    assert "later" not in written
    assert written["none"] is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"sizes": [1]}, "Inner: .*name"),
        ("name", "Inner is not 'name'"),
        (None, "Inner is not None"),
    ],
)
def test_what_does_not_fit_is_named(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        part(Inner, value)


def test_a_field_that_is_not_known_is_left_out() -> None:
    assert part(Inner, {"name": "one", "of_a_later_version": 1}) == Inner(name="one")
