"""What the pages for the next maintainer say: made from the code where it can be, and true where it cannot."""

import ast
import importlib
import re

import yaml

import release
from tests.helpers import record_page
from tests.helpers.line import ROOT

ALIASES = {
    "reading": "release.config.reading",
    "inputs": "release.inputs",
    "preflight": "release.preflight",
    "pipeline": "release.pipeline",
    "bases": "release.models.base",
    "derive": "release.judging.derive",
    "verify": "release.checking.verify",
}


def test_the_page_of_the_record_is_made_from_schema_and_layout() -> None:
    assert record_page.written() == record_page.DOCS.read_text("utf-8"), "run `python -m tests.helpers.record_page`"


def test_the_tutorial_calls_what_is_there() -> None:
    lines = [line.partition("#")[0].strip() for line in (release.__doc__ or "").splitlines() if line.startswith("    ")]
    called = [
        ast.unparse(node.func)
        for line in lines
        for node in ast.walk(ast.parse(line))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]

    assert len(called) > 8
    for name in called:
        alias, _, function = name.partition(".")
        assert callable(getattr(importlib.import_module(ALIASES[alias]), function)), name


def test_every_module_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`(?:release/)?((?:[a-z_]+/)*[a-z_]+\.py)`", text))

    assert len(named) > 20
    assert [one for one in sorted(named) if not any((ROOT / base / one).exists() for base in ("", "release"))] == []


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
