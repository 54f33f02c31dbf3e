"""What is asked of whoever wants a repository of his own, and what is wrong with an answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from release.config import messages
from release.repository.elsewhere import Elsewhere
from release.repository.rows import Given
from release.values.errors import shown

EMBEDDED = "embedded"
"""As a base: the one that comes with this tool, on a CPU."""
EXAMPLE_REPO = "local/elements"
TOOL = "OWNER/adapter-release"
"""Stands where nobody has said which repository on GitHub holds this tool: it does not know its own name there."""
ON_GITHUB = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}"
COMMIT = "[0-9a-f]{40}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A repository of the user's own."""

    base: str
    """``embedded``, or ``NAMESPACE/NAME@COMMIT``."""
    repo: str
    """Of the adapter, on the Hub."""
    rows: Given | None
    """None: the example, with its own rows and configuration."""
    tool: str = TOOL
    """``OWNER/NAME`` or ``OWNER/NAME@COMMIT`` on GitHub, where workflows take this tool from."""
    elsewhere: Elsewhere | None = None
    """Another trainer's configuration, whose settings are taken."""

    @property
    def base_id(self) -> str:
        return self.base.partition("@")[0]


def problems(wanted: Wanted) -> Iterator[str]:
    """What is wrong with it, a line each."""
    if problem := base_problem(wanted.base):
        yield f"--base {problem}"
    if problem := repo_problem(wanted.repo):
        yield f"--repo {problem}"
    if wanted.rows:
        files = {"data": wanted.rows.data, **({"golden": wanted.rows.golden} if wanted.rows.golden else {})}
        yield from (f"--{name} {wrong}" for name, path in files.items() if (wrong := file_problem(str(path))))
    if not re.fullmatch(rf"{ON_GITHUB}(@{COMMIT})?", wanted.tool):
        says = "is not OWNER/NAME or OWNER/NAME@COMMIT (40 digits) of a repository on GitHub"
        yield f"--tool {shown(wanted.tool)} {says}, such as {TOOL}"


def base_problem(text: str) -> str:
    """Why a text names no base; empty where it does."""
    name, _, commit = text.partition("@")
    if text == EMBEDDED or (_fits("model", "base_model_id", name) and re.fullmatch(COMMIT, commit)):
        return ""
    ask = name if _fits("model", "base_model_id", name) else "NAMESPACE/NAME"
    return (
        f"{shown(text)} is not `{EMBEDDED}` or NAMESPACE/NAME@COMMIT with a full commit of 40 digits, for a branch can "
        f"move. This prints it: git ls-remote https://huggingface.co/{ask} HEAD"
    )


def repo_problem(text: str) -> str:
    """Why a text is not a repository's name on the Hub; empty where it is."""
    return "" if _fits("publishing", "hf_repo", text) else f"{shown(text)} is not NAMESPACE/NAME, such as me/my-adapter"


def file_problem(text: str) -> str:
    """Why a text names no file of rows here; empty where it does."""
    if Path(text).is_file():
        return ""
    what = "is a folder: name the file in it" if text and Path(text).is_dir() else "is not a file here"
    return f"{text or 'nothing'} {what}"


def _fits(section: str, name: str, text: str) -> bool:
    """Whether a text fits the pattern of a setting."""
    pattern = messages.SCHEMA["properties"][section]["properties"][name]["pattern"]
    return re.search(pattern.replace("$", r"\Z"), text) is not None
