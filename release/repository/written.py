"""A repository of the user's own: every file of the template with its values, beside rows, schema and configuration."""

import json
import os
import re
import shutil
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from release import __version__
from release.config import example, reading
from release.config.settings import EMBEDDED_BASE
from release.repository import asked, elsewhere
from release.repository import rows as given_rows
from release.repository.asked import EMBEDDED, Wanted
from release.repository.elsewhere import Elsewhere
from release.repository.proposal import SCHEMA, Proposal
from release.repository.rows import Rows
from release.running import environment
from release.values.errors import ConfigError

TEMPLATE = Path(__file__).parent / "template"
CONFIG = "release.yaml"
NO_COMMIT = "0" * 40
HUB = "https://huggingface.co"


class _Template(string.Template):
    """``%%{name}``: Makefiles, shells and GitHub have other meanings for ``$`` and ``{{``."""

    delimiter = "%%"


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, and what the user must look at."""

    files: tuple[Path, ...]
    told: tuple[str, ...]
    """What was done with the rows."""
    guessed: tuple[str, ...]
    left: tuple[str, ...]
    """What only the user can say."""


def write(folder: Path, wanted: Wanted) -> Written:
    """The new files in ``folder``; ``ConfigError`` names each that is there already, and nothing is written."""
    if wrong := list(asked.problems(wanted)):
        raise ConfigError(wrong)
    rows = given_rows.read(wanted.rows) if wanted.rows else None
    values = _values(wanted) | elsewhere.sections(wanted.elsewhere) | (_of_format(rows.proposal) if rows else {})
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "repository"
        _fill(made, values, without=() if rows else (CONFIG,))
        _put(made, rows) if rows else example.write(made)
        _load(made, wanted.elsewhere)
        names = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
        if there := [str(folder / name) for name in names if os.path.lexists(folder / name)]:
            says = "there already. Nothing was written, for nothing is overwritten: name another folder."
            raise ConfigError([f"{', '.join(there)}: {says}"])
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / name, folder / name)
    return Written(
        files=tuple(folder / name for name in names),
        told=(*(rows.told if rows else ()), *(wanted.elsewhere.told if wanted.elsewhere else ())),
        guessed=tuple(_guessed(rows.proposal, wanted.elsewhere)) if rows else (),
        left=tuple(_left(values, rows, wanted.elsewhere)),
    )


def _load(made: Path, found: Elsewhere | None) -> None:
    """What is proposed is what this tool takes; ``ConfigError`` where settings of another trainer are not."""
    try:
        reading.load(made / CONFIG)
    except ConfigError as error:
        if found is None:
            raise
        problems = [one.replace(f"{made}{os.sep}", "") for one in error.problems]
        says = f"The settings of {found.path} do not go together here. Change them there. Nothing was written."
        raise ConfigError([*problems, says]) from None


def _values(wanted: Wanted) -> dict[str, str]:
    """What the template's names stand for, but for the answer format."""
    tool, _, commit = wanted.tool.partition("@")
    action = f"{tool}@{commit or environment.source().commit or NO_COMMIT}"
    hub = HUB if wanted.rows else "file:hub"
    return {
        "version": __version__,
        "name": re.sub("^[^A-Za-z0-9]+", "", wanted.repo.rpartition("/")[2]) or "adapter",
        "repo": wanted.repo,
        "hub": hub,
        "endpoint": hub,
        "model": _model(wanted),
        "check_for": "train" if wanted.base == EMBEDDED else "check",
        "tool": tool,
        "action": action,
        "action_note": " ".join(_unknown_action(action)),
    }


def _model(wanted: Wanted) -> str:
    if wanted.base == EMBEDDED:
        return (
            f"  base_model_id: {EMBEDDED_BASE}\n  source: embedded # small, for a CPU; a base on the Hub has a revision"
        )
    return f'  base_model_id: "{wanted.base_id}"\n  revision: "{wanted.base.partition("@")[2]}"'


def _unknown_action(action: str) -> Iterator[str]:
    """What must be written in the workflows by hand, because nothing here says it."""
    if action.startswith(asked.TOOL):
        yield f"Write the repository on GitHub that holds adapter-release in place of `{asked.TOOL}`."
    if action.endswith(NO_COMMIT):
        yield f"Write the commit of its version {__version__} in place of the zeros."


def _fill(made: Path, values: Mapping[str, str], *, without: Sequence[str]) -> None:
    """Every file of the template in ``made``; ``dot.`` in its name stands for a dot, which tools would act on here."""
    for path in sorted(TEMPLATE.rglob("*")):
        name = path.relative_to(TEMPLATE).as_posix()
        if path.is_dir() or name in without:
            continue
        target = made / re.sub(r"(^|/)dot\.", r"\1.", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_Template(path.read_text("utf-8")).substitute(values), "utf-8")


def _put(made: Path, rows: Rows) -> None:
    """Rows and schema beside what the template holds."""
    (made / "data").mkdir()
    (made / "data" / "train.jsonl").write_bytes(rows.train)
    (made / "data" / "golden.jsonl").write_bytes(rows.golden)
    schema = dict(rows.proposal.schema)
    if rows.proposal.guessed:
        schema["$comment"] = f"guessed by adapter-release init: {'; '.join(rows.proposal.guessed)}"
    text = json.dumps(schema, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
    (made / "data" / SCHEMA).write_bytes(text + b"\n")


def _of_format(proposal: Proposal) -> dict[str, str]:
    """The answer format as YAML: each part in a line of its own, with what it was guessed by behind it."""
    lines = []
    for name, value in proposal.contract.items():
        why = f" # guessed: {_comment(proposal.why[name])}" if name in proposal.why else ""
        lines.append(f"  {name}: {_flow(value)}{why}")
    policy = (
        "# gates: the default policy of the tool's version, as far as this answer format can be measured; plan lists it"
    )
    return {"contract": "\n".join(lines), "gates": policy}


def _flow(value: object) -> str:
    """A value as YAML on one line, whatever its texts hold; keys are words of a contract or a policy."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, str):
        return yaml.safe_dump(value, default_style='"', allow_unicode=False, width=1 << 30).strip()
    return json.dumps(value)


def _comment(text: str) -> str:
    """A text in a comment: one line of plain characters."""
    return json.dumps(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f")


def _guessed(proposal: Proposal, found: Elsewhere | None) -> Iterator[str]:
    for name, why in proposal.why.items():
        yield f"contract.{name}: {_flow(proposal.contract[name])} ({why})"
    yield from (f"data/{SCHEMA}: {one}" for one in proposal.guessed)
    if not elsewhere.said(found, "publishing.language"):
        yield "publishing.language: en"


def _left(values: Mapping[str, str], rows: Rows | None, found: Elsewhere | None) -> Iterator[str]:
    """What only the user can say."""
    if rows and not elsewhere.said(found, "publishing.license"):
        yield "release.yaml, publishing.license: the adapter's licence, as the Hub names it"
    if rows and not elsewhere.said(found, "data.license"):
        yield "release.yaml, data.license: the rows' licence, if they may be given away"
    yield from (f".github/workflows: {one}" for one in _unknown_action(values["action"]))
