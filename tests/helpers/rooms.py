"""The wings' imports as a picture and the rooms as a table, in docs/architecture.md.

``python -m tests.helpers.rooms`` writes both anew.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.line import ROOT

DOCS = ROOT / "docs" / "architecture.md"
PACKAGES = ("release", "gates", "hub_folder", "schemas")


def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name, a package by its own."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def wing(module: str) -> str:
    """``data`` for ``release.data.rows``, ``pipeline`` for ``release.pipeline``; other packages are one wing each."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "release" and rest else package


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def arrows() -> list[tuple[str, str]]:
    """Which wing imports which."""
    there = modules()
    found = set()
    for name, path in there.items():
        for target in imports(path):
            module = target if target in there else target.rpartition(".")[0]
            if module in there and module != "release":
                found.add((wing(name), wing(module)))
    return sorted((one, other) for one, other in found if one != other)


def layers() -> list[list[str]]:
    """The wings from the top to the bottom, as the import rules in pyproject.toml order them."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    block = re.search(r'containers = \["release"\]\nexhaustive = true\nlayers = \[\n(.*?)\n\]', text, re.DOTALL)
    assert block is not None
    return [re.split(r"\s*:\s*", line.strip().strip('",')) for line in block[1].splitlines()]


def picture() -> str:
    """Arrows that follow from others are left out: a wing that imports another may use all that one uses."""
    every = arrows()
    below: dict[str, set[str]] = {}
    for one, other in every:
        below.setdefault(one, set()).add(other)

    def reached(start: str, without: str) -> set[str]:
        seen: set[str] = set()
        todo = [name for name in below.get(start, ()) if name != without]
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += below.get(name, ())
        return seen

    direct = [(one, other) for one, other in every if other not in reached(one, other)]
    return "\n".join(["```mermaid", "flowchart TD", *(f"  {one} --> {other}" for one, other in direct), "```"])


def table() -> str:
    """Each wing's rooms with the first sentence of their docstrings, from the command line down."""
    there = modules()
    order = [name for layer in layers() for name in layer] + [name for name in PACKAGES if name != "release"]
    lines = []
    for name in order:
        rooms = {module: path for module, path in there.items() if wing(module) == name}
        top = next(iter(rooms))
        lines += ["", f"**{name}**: {_sentence(rooms.pop(top))}"]
        if rooms:
            lines += ["", "| room | what it does |", "|---|---|"]
        lines += [f"| `{path.relative_to(ROOT).as_posix()}` | {_sentence(path)} |" for path in rooms.values()]
    return "\n".join(lines[1:])


def _sentence(path: Path) -> str:
    told = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


def written() -> str:
    """The page with its two drawn parts made anew."""
    text = DOCS.read_text("utf-8")
    for name, part in (("imports", picture()), ("rooms", table())):
        begin, end = f"<!-- {name}: python -m tests.helpers.rooms -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    DOCS.write_text(written(), "utf-8")
