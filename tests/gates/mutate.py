"""Mutation testing: one small change at a time in a module of gates; a change that no test notices is a hole.

usage: python -m tests.gates.mutate [EVERY] MODULE...    prints survivors and the rate killed; EVERY 3 tries each third

Works on a copy of the repository. Third-party modules are loaded once and each mutant is tried in a fork, which makes a
mutant cost seconds.
"""

import ast
import copy
import itertools
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CPU_SECONDS = 90
"""A mutant that runs longer, such as one that loops for ever, is killed by the kernel."""
SLOW = ("command", "kwanzaa")
"""Tests that start processes or need other files are left out."""
TURNED: tuple[tuple[type[ast.AST], type[ast.AST]], ...] = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.Pow, ast.Mult)),
)
OTHERS = {**{two: one for one, two in TURNED}, **dict(TURNED)}
Change = Callable[[Any], None]


def changes(node: ast.AST) -> Iterator[tuple[str, Change]]:  # noqa: C901  # one case a kind of node
    """What could be changed at this node; each change is made on a copy of the tree."""
    match node:
        case ast.Compare(ops=operators):
            for index, operator in enumerate(operators):
                if other := OTHERS.get(type(operator)):
                    yield f"{type(operator).__name__} to {other.__name__}", _operator(index, other)
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) | ast.AugAssign(op=operator):
            if other := OTHERS.get(type(operator)):
                yield f"{type(operator).__name__} to {other.__name__}", _with("op", other())
        case ast.Constant(value=bool() as value):
            yield f"{value} to {not value}", _with("value", not value)
        case ast.Constant(value=int() | float() as value):
            yield f"{value} to {value + 1}", _with("value", value + 1)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield "returns None", _with("value", ast.Constant(value=None))
        case ast.If() | ast.IfExp() | ast.While():
            yield "always", _with("test", ast.Constant(value=True))
            yield "never", _with("test", ast.Constant(value=False))
        case ast.comprehension(ifs=[_, *_]):
            yield "unfiltered", _with("ifs", [])
        case _:
            pass


def _with(name: str, value: object) -> Change:
    return lambda node: setattr(node, name, value)


def _operator(index: int, other: type[ast.AST]) -> Change:
    def change(node: ast.Compare) -> None:
        node.ops[index] = other()  # type: ignore[call-overload]

    return change


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, what was changed, the whole changed source)"""
    tree = ast.parse(source)
    unmeasured = {id(part) for node in ast.walk(tree) for part in _annotations(node)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in unmeasured:
            continue
        for what, change in changes(node):
            changed = copy.deepcopy(tree)
            change(list(ast.walk(changed))[number])
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text != ast.unparse(tree):
                yield getattr(node, "lineno", getattr(getattr(node, "target", None), "lineno", 0)), what, text


def _annotations(node: ast.AST) -> Iterator[ast.AST]:
    for name in ("annotation", "returns"):
        part = getattr(node, name, None)
        if isinstance(part, ast.AST):
            yield from ast.walk(part)


def survives(copy_of_repository: Path, tests: list[str]) -> bool:
    """Whether all tests pass in a fork that imports the copy."""
    child = os.fork()
    if child == 0:
        _run(copy_of_repository, tests)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _run(folder: Path, tests: list[str]) -> None:
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    code = 1
    try:
        code = int(
            pytest.main(
                [
                    "-x",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "--noconftest",
                    "-W",
                    "ignore::pytest.PytestAssertRewriteWarning",
                    *tests,
                ]
            )
        )
    finally:
        os._exit(code)


def main(modules: list[str], every: int) -> int:
    import hypothesis
    import jsonschema  # noqa: F401
    import jsonschema_rs  # noqa: F401
    import scipy.stats  # noqa: F401

    sys.dont_write_bytecode = True
    hypothesis.settings.register_profile("mutants", max_examples=25, derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("mutants")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("docs", "gates", "schemas", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        if not survives(folder, _tests(folder, "")):
            print("the tests fail before anything is changed")
            return 2
        counts = [_module(folder, module, every) for module in modules]
    killed, tried = (sum(column) for column in zip(*counts, strict=True))
    print(f"all: {killed} of {tried} killed = {killed / tried:.1%}")
    return 0


def _tests(folder: Path, module: str) -> list[str]:
    """The test files, those first that are likely to notice a change in this module."""
    names = sorted(f"tests/{path.name}" for path in (folder / "tests").glob("test_gates_*.py"))
    quick = [one for one in names if not any(slow in one for slow in SLOW)]
    return sorted(quick, key=lambda one: (module not in one, "metrics" not in one))


def _module(folder: Path, module: str, every: int) -> tuple[int, int]:
    """(mutants killed, mutants tried)"""
    path = folder / "gates" / f"{module}.py"
    original = path.read_text("utf-8")
    tried = survived = 0
    for line, what, text in itertools.islice(mutants(original), 0, None, every):
        path.write_text(text, "utf-8")
        tried += 1
        near = [one for one in _tests(folder, module) if module in one or "metrics" in one]
        if survives(folder, near) and survives(folder, [one for one in _tests(folder, module) if one not in near]):
            survived += 1
            print(f"  gates/{module}.py:{line}: {what}", flush=True)
    path.write_text(original, "utf-8")
    print(f"{module}: {tried - survived} of {tried} killed", flush=True)
    return tried - survived, tried


if __name__ == "__main__":
    given = sys.argv[1:]
    step = int(given.pop(0)) if given[0].isdigit() else 1
    sys.exit(main(given, step))
