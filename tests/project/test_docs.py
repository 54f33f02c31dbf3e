"""What the documents name is there: files, links, values and functions of the architecture page, commands for hosts."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from release.values import layout
from tests.helpers.line import ROOT

TRACKED = frozenset(
    subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
)
DOCUMENTS = sorted(
    name for name in TRACKED if re.fullmatch(r"(docs/|docs/decisions/|docs/from/|\.github/)?[\w.-]+\.md", name)
)
OLD = re.compile(r"CHANGELOG|docs/decisions/")
"""Documents that say what was, in the names of their day."""
IN_A_RELEASE = (*(file.name for file in layout.FILES), "gates/earlier", layout.TRIES)
PATHS = re.compile(
    r"`((?:release|gates|hub_folder|schemas|tests|docs|locks|bench|data|examples|\.github|\.ci)/[\w./-]+)(?![\w./:-])"
)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
MODULES = {
    "address": "release.hub.address",
    "bases": "release.models.base",
    "derive": "release.judging.derive",
    "inputs": "release.inputs",
    "pipeline": "release.pipeline",
    "preflight": "release.preflight",
    "publish": "release.publishing.publish",
    "reading": "release.config.reading",
    "sign": "release.publishing.sign",
    "terms": "release.judging.terms",
}
"""As the page's flow and `release/pipeline.py` call them."""
each_document = pytest.mark.parametrize("name", DOCUMENTS)


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def lost_files(text: str) -> list[str]:
    """What a text names as a file or folder of this repository, and is none."""
    named = {path.rstrip("/") for path in PATHS.findall(text)}
    named = {path for path in named if not path.startswith(IN_A_RELEASE)}
    return sorted(
        path for path in named if path not in TRACKED and not any(one.startswith(f"{path}/") for one in TRACKED)
    )


def lost_links(text: str, at: Path) -> list[str]:
    """Links of a text in the file ``at`` that lead to no file here, or to no heading of it."""
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        path, _, anchor = target.partition("#")
        there = at.parent / path if path else at
        if re.match(r"https?://", path):
            continue
        if not there.exists() or (anchor and anchor not in anchors(there.read_text("utf-8"))):
            lost.append(target)
    return lost


def anchors(text: str) -> set[str]:
    """Those of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if not OLD.search(name)])
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    assert lost_files(text_of(name)) == []


@each_document
def test_every_link_leads_somewhere(name: str) -> None:
    assert lost_links(text_of(name), ROOT / name) == []


def test_what_is_lost_is_found() -> None:
    assert lost_files("`release/pipelines.py` `gates/table.py` `gates/verdict.json`") == ["release/pipelines.py"]
    text = "[a](docs/nothing.md) [b](docs/gates.md) [c](docs/gates.md#nothing) [d](#ten) [e](docs/gates.md#versions)"
    assert lost_links(text, ROOT / "README.md") == ["docs/nothing.md", "docs/gates.md#nothing", "#ten"]


def test_the_values_of_the_architecture_page_are_made_where_it_says() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `(release/[\w/]+\.py)` \|", ARCHITECTURE, re.MULTILINE)
    assert len(rows) > 10
    for names, path in rows:
        classes = {node.name for node in ast.parse(text_of(path)).body if isinstance(node, ast.ClassDef)}
        assert set(re.findall(r"\w+", names)) <= classes, path


def test_the_functions_of_the_flow_exist() -> None:
    (flow,) = re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE.partition("## Who imports whom")[0], re.DOTALL)
    named = [(module, name) for module, name in re.findall(r"\b([a-z]+)\.([a-z]\w*)", flow) if module in MODULES]
    assert len(named) > 8
    for module, name in named:
        assert callable(getattr(importlib.import_module(MODULES[module]), name)), (module, name)


def test_what_hosts_read_of_the_project_is_yaml_with_real_commands() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text("utf-8"))

    entries = [hook["entry"].split()[0] for repo in hooks["repos"] for hook in repo["hooks"]]
    assert entries
    assert all((ROOT / entry).exists() for entry in entries)
    assert all({"name", "description", "body"} <= yaml.safe_load(form.read_text("utf-8")).keys() for form in forms)
    assert len(forms) >= 2
    assert {update["package-ecosystem"] for update in updates["updates"]} == {"github-actions"}


@pytest.mark.parametrize(
    ("schema", "files"),
    [("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/*.yml"), ("vendor.dependabot", ".github/dependabot.yml")],
)
def test_what_a_host_reads_fits_its_schema(schema: str, files: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("name: Without a body\nversion: 2\n", "utf-8")
    for paths, good in (([*ROOT.glob(files)], True), ([broken], False)):
        command = [
            str(Path(sys.executable).with_name("check-jsonschema")),
            "--builtin-schema",
            schema,
            *map(str, paths),
        ]
        assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) is good


def test_contributing_names_what_the_code_has() -> None:
    """Each name in capitals or with parentheses stands in a file that its paragraph names."""
    for part in text_of("CONTRIBUTING.md").split("\n## ")[2:]:
        prose = re.sub(r"```.*?```", "", part, flags=re.DOTALL)
        text = "".join(text_of(path) for path in PATHS.findall(prose) if path in TRACKED)
        for name in re.findall(r"`([A-Z]{4,})`", prose):
            assert re.search(rf"^{name}\b", text, re.MULTILINE) or name == "COMMANDS", (name, part[:30])
