"""Commands on a repository of the user's own: init, changes."""

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from release.cli import options
from release.cli.command import Command, takes
from release.cli.options import ReadAs
from release.values.errors import ConfigError
from release.values.events import Line, Say, tell

if TYPE_CHECKING:
    from release.repository.asked import Wanted
    from release.repository.elsewhere import Elsewhere

QUESTIONS = {
    "base": "Which base model? NAMESPACE/NAME@COMMIT on the Hub, or `embedded`, the small one of this tool",
    "data": "Which file has your rows? Questions with their answers, in any format that `data convert` reads",
    "repo": "Which repository on the Hub is the adapter to go to? NAMESPACE/NAME",
}
TRIES = 3
"""How often a question is asked."""


@dataclass(frozen=True, kw_only=True)
class Init:
    folder: Path
    base: str | None
    data: Path | None
    golden: Path | None
    repo: str | None
    elsewhere: Path | None
    example: bool
    seed: int
    tool: str | None
    yes: bool
    read_as: ReadAs


def _init_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="of the repository (default: this one)"
    )
    command.add_argument("--base", help="base model: NAMESPACE/NAME@COMMIT, or `embedded`")
    command.add_argument("--data", type=Path, metavar="FILE", help="rows, in any format that `data convert` reads")
    command.add_argument("--repo", metavar="NAMESPACE/NAME", help="the adapter's repository on the Hub")
    command.add_argument(
        "--from", dest="elsewhere", type=Path, metavar="FILE",
        help="configuration of Axolotl, LLaMA-Factory, ms-swift, TRL, MLX or Unsloth: base, rows and settings of it",
    )  # fmt: skip
    command.add_argument("--example", action="store_true", help="the example's base, rows and settings instead")
    command.add_argument(
        "--golden", type=Path, metavar="FILE", help="rows to judge by (default: a part of --data, split by --seed)"
    )
    command.add_argument("--seed", type=int, default=42, help="random seed of the split (default: %(default)s)")
    command.add_argument(
        "--tool",
        metavar="OWNER/NAME[@COMMIT]",
        help="where on GitHub workflows take this tool from; see docs/your-repository.md",
    )
    command.add_argument("--yes", action="store_true", help="ask nothing: stop where an option is missing")
    options.read_as(command)


def init(given: Init, say: Say) -> None:
    from release.repository import written

    made = written.write(given.folder, _wanted(given, say))
    tell(say, [str(path) for path in made.files])
    for title, lines in (("rows", made.told), ("guessed, so look at each", made.guessed), ("left to you", made.left)):
        tell(say, ["", f"{title}:", *(f"  {line}" for line in lines)] if lines else [])
    enter = "" if given.folder == Path() else f"cd {shlex.quote(str(given.folder))} && "
    tell(say, ["", f"what comes next: {enter}make test"])


def _wanted(given: Init, say: Say) -> "Wanted":
    from release.data import convert
    from release.data.turns import How
    from release.repository import asked, elsewhere
    from release.repository.rows import Given

    tool = given.tool or asked.TOOL
    if given.example:
        others = [name for name in ("base", "data", "golden", "repo") if getattr(given, name) is not None]
        others += ["from"] if given.elsewhere else []
        if others:
            named = " and ".join(f"--{name}" for name in others)
            raise ConfigError([f"--example has its own of all that {named} say. Leave one out."])
        return asked.Wanted(base=asked.EMBEDDED, repo=asked.EXAMPLE_REPO, rows=None, tool=tool)
    found = elsewhere.read(given.elsewhere) if given.elsewhere else None
    answers = _answers(given, found, say)
    golden = given.golden or _golden(found, given)
    how = convert.how(options.wanted(given.read_as))
    if found and given.data is None and how == How():
        how = found.how
    rows = Given(data=Path(answers["data"]), golden=golden, seed=given.seed, how=how)
    return asked.Wanted(base=answers["base"], repo=answers["repo"], rows=rows, tool=tool, elsewhere=found)


def _answers(given: Init, found: "Elsewhere | None", say: Say) -> dict[str, str]:
    """An answer to each question: as it is typed, as the other trainer's file says it where that can be, or asked."""
    from release.repository import asked

    problems = {"base": asked.base_problem, "data": asked.file_problem, "repo": asked.repo_problem}
    answers, why = dict[str, str](), dict[str, str]()
    for name in QUESTIONS:
        typed, there = getattr(given, name), found.answers.get(name, "") if found else ""
        wrong = problems[name](there) if there and typed is None else ""
        if typed is not None or (there and not wrong):
            answers[name] = there if typed is None else str(typed)
        elif found:
            why[name] = f"{found.path}: {wrong}" if wrong else found.why_not(name)
    missing = [name for name in QUESTIONS if name not in answers]
    if missing and (given.yes or not sys.stdin.isatty()):
        lines = [f"--{name} is missing. {QUESTIONS[name]}. {why.get(name, '')}".rstrip() for name in missing]
        raise ConfigError(
            [*lines, "Nothing was written. Give them, or --example for a repository that releases as it is."]
        )
    for name in missing:
        tell(say, [why[name]] if why.get(name) else [])
        answers[name] = ask(QUESTIONS[name], problems[name], say)
    return answers


def _golden(found: "Elsewhere | None", given: Init) -> Path | None:
    """The rows to judge by that the other trainer's file names, where it is its rows that are taken."""
    there = found.answers.get("golden") if found and given.data is None else None
    return Path(there) if there and Path(there).is_file() else None


def ask(question: str, problem: Callable[[str], str], say: Say) -> str:
    """What is typed in answer to a question; asked again where it cannot be, a few times."""
    for _ in range(TRIES):
        say(Line(text=question))
        line = sys.stdin.readline()
        if not line:
            break
        if not (wrong := problem(line.strip())):
            return line.strip()
        say(Line(text=f"  {wrong}"))
    raise ConfigError(["There was no answer that could be taken. Nothing was written. Give it as an option: --help."])


@dataclass(frozen=True, kw_only=True)
class Changed:
    then: Path
    config: Path
    markdown: Path | None


def _changes_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("then", type=Path, metavar="FOLDER", help="a checkout of the repository as it was")
    command.add_argument(
        "config", nargs="?", type=Path, default=Path("release.yaml"), help="configuration file (default: %(default)s)"
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write it as a comment for a pull request too")


def changes(given: Changed, say: Say) -> None:
    from release.repository import changes

    if given.config.is_absolute():
        raise ConfigError([f"{given.config} is looked for in both folders: name it relative to the repository."])
    now = changes.read(given.config, say)
    if not given.then.is_dir():
        raise ConfigError([f"{given.then} is not a folder here: name a checkout of the repository as it was."])
    then = changes.before(given.then / given.config, say)
    found = changes.first(now, then) if isinstance(then, str) else changes.between(now, then)
    tell(say, list(changes.told(found)))
    if given.markdown:
        given.markdown.parent.mkdir(parents=True, exist_ok=True)
        given.markdown.write_text(changes.markdown(found), "utf-8")


COMMANDS = (
    Command(
        name="init",
        about="a repository of your own: configuration, rows, answer format, workflows",
        description="""Looks at the rows, proposes the answer format that they speak for, keeps rows to judge by
        apart, and writes a repository with a configuration, a Makefile and workflows. With --from, another trainer's
        configuration answers what it can and its settings are taken, as `config convert` reads them. Asks for the base
        model, the rows and the repository on the Hub where they are not given and somebody is at the terminal, and
        says what it guessed; an existing file is never overwritten. Exit code 3: the rows are not what gates can
        judge.""",
        options=_init_options,
        run=takes(Init, init),
    ),
    Command(
        name="changes",
        about="what a change asks of a release that was not asked before, or no more",
        description="""Compares configuration, answer format, policy and rows with those of a checkout as it was,
        and says first what is asked no more, then what each gate needs. For pull requests: --markdown writes a
        comment. Trains nothing and needs no token.""",
        options=_changes_options,
        run=takes(Changed, changes),
    ),
)
