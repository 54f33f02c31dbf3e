"""What is published of the tool has a version that fits its tag, and an entry in the changelog."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.line import ROOT

PACKAGE = '__version__ = "1.2.0"\n'
CHANGELOG = """# Changelog

## [Unreleased]

- Later.

## [1.2.0] - 2026-11-25

### Added

- A thing.

## [1.1.0] - 2026-10-01

- An older thing.
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notes", ROOT / ".ci" / "notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notes_of_a_version_are_its_section_alone(script: ModuleType) -> None:
    assert script.notes("tool-v1.2.0", CHANGELOG, PACKAGE) == "### Added\n\n- A thing."


@pytest.mark.parametrize(
    ("tag", "changelog", "says"),
    [
        ("tool-v1.3.0", CHANGELOG, r"The tag is tool-v1\.3\.0, but release/__init__\.py says 1\.2\.0"),
        ("v1.2.0", CHANGELOG, r"tag tool-v1\.2\.0"),
        ("tool-v1.2.0", CHANGELOG.replace("## [1.2.0]", "## [1.2.1]"), r"no entry `## \[1\.2\.0\] - DATE`"),
        ("tool-v1.2.0", CHANGELOG.replace("### Added\n\n- A thing.\n", ""), "no entry"),
        ("tool-v1.2.0", CHANGELOG.replace("1.2.0] - 2026-11-25", "1.2.0]"), "no date"),
    ],
)
def test_a_tag_without_its_entry_is_not_published(script: ModuleType, tag: str, changelog: str, says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        script.notes(tag, changelog, PACKAGE)


def test_the_real_files_are_read(script: ModuleType) -> None:
    """Whatever is unreleased: the version that stands in the code, and its entry once it has one."""
    package = (ROOT / "release" / "__init__.py").read_text("utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = package.partition('__version__ = "')[2].partition('"')[0]

    released = changelog.replace("## [Unreleased]", f"## [{version}] - 2026-11-25", 1)

    assert "### Added" in script.notes(f"tool-v{version}", released, package)


def test_the_workflow_asks_before_it_builds() -> None:
    workflow = (ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8")

    assert 0 < workflow.index("python .ci/notes.py") < workflow.index("hatchling build")
    assert Path(ROOT / "locks" / "build.txt").exists()
