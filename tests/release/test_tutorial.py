"""The package's docstring walks along a release: its functions are there, and take what it gives them."""

import ast
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator

import release
from tests.helpers.line import ROOT

PIPELINE = ast.parse((ROOT / "release" / "pipeline.py").read_text("utf-8"))
AFTERWARDS = ("verify", "opening", "Released")
OWN = {
    "pipeline": "release.pipeline",
    "reading": "release.config.reading",
    "verify": "release.checking.verify",
    "opening": "release.checking.opening",
    "Released": "release.judging.released.Released",
}
"""What the pipeline does not import by the name that the docstring uses."""


def called() -> Iterator[tuple[str, tuple[int, list[str]]]]:
    """Each function of this program that the examples call, with the number and the names of its arguments."""
    text = release.__doc__ or ""
    blocks = re.findall(r"\n\n((?:    .*\n)+)", text)
    assert len(blocks) == 3
    for block in blocks:
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).partition(".")[0] not in ("Path", "replace"):
                yield ast.unparse(node.func), (len(node.args), [one.arg or "" for one in node.keywords])


def imported() -> dict[str, str]:
    """What the pipeline imports, under its name there."""
    found = [node for node in PIPELINE.body if isinstance(node, ast.ImportFrom)]
    return {one.asname or one.name: f"{node.module}.{one.name}" for node in found for one in node.names} | OWN


def function(name: str) -> Callable[..., object]:
    first, _, rest = name.partition(".")
    module, _, last = (f"{imported()[first]}.{rest}" if rest else imported()[first]).rpartition(".")
    found: Callable[..., object] = getattr(importlib.import_module(module), last)
    assert callable(found)
    return found


def test_every_function_of_the_tutorial_takes_what_it_is_given() -> None:
    names = {name: given for name, given in called() if not name.endswith("opened")}
    assert len(names) > 15
    for name, (count, named) in names.items():
        inspect.signature(function(name)).bind(*range(count), **dict.fromkeys(named))


def test_the_pipeline_calls_what_the_tutorial_does() -> None:
    """The functions that make a release, in the file that the reader is sent to."""
    calls = {ast.unparse(node.func) for node in ast.walk(PIPELINE) if isinstance(node, ast.Call)}
    mine = {
        name.removeprefix("pipeline.") for name, _ in called() if name.partition(".")[0] not in ("reading", *AFTERWARDS)
    }
    assert sorted(mine - calls) == []


def test_every_module_that_the_tutorial_sends_a_reader_to_is_there() -> None:
    named = re.findall(r"`(release(?:\.[a-z_]+)+)`", release.__doc__ or "")
    assert len(named) > 8
    for name in named:
        assert importlib.util.find_spec(name) is not None, name
