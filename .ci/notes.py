#!/usr/bin/env python3
"""What CHANGELOG.md says of the version that a tag names; exit 1 where that tag is not to be published.

Tags of the tool are `tool-v1.2.3`: `v1.2.3` is a tag of an adapter (docs/actions.md).
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(tag: str, changelog: str, package: str) -> str:
    """The section of this version, without its heading; ``SystemExit`` with the reason where something does not fit."""
    version = tag.removeprefix("tool-v")
    (code,) = re.findall(r'^__version__ = "(.+)"$', package, re.MULTILINE)
    if tag != f"tool-v{code}":
        sys.exit(f"The tag is {tag}, but release/__init__.py says {code}: tag tool-v{code}, or change the version.")
    parts = re.split(r"^## \[(.+?)\](.*)\n", changelog, flags=re.MULTILINE)
    dated = {name: (date, text.strip()) for name, date, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)}
    date, text = dated.get(version, ("", ""))
    if not text:
        sys.exit(f"CHANGELOG.md has no entry `## [{version}] - DATE` with a text: move what is under Unreleased there.")
    if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date):
        sys.exit(f"CHANGELOG.md gives {version} no date: write `## [{version}] - 2026-01-31`.")
    return text


if __name__ == "__main__":
    package = (ROOT / "release" / "__init__.py").read_text("utf-8")
    sys.stdout.write(notes(sys.argv[1], (ROOT / "CHANGELOG.md").read_text("utf-8"), package) + "\n")
