"""The command line as its users meet it: what --help says of every command, quickly, and what the README says."""

import argparse
import re
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from release.cli import __main__ as cli
from release.cli.command import Command
from release.values import errors
from tests.helpers.line import ROOT, adapter_release

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = {command.name: command for group in cli.GROUPS.values() for command in group}
ODD = re.compile(
    r"\b(anew|told|whose|mend|stands|asked for|handover|gate zero|ledger|(?:is|are) (?:no|none)|the (?:whole )?line)\b"
)
"""Words that a reader who knows the field would have to translate."""
each_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


def options(command: Command) -> list[argparse.Action]:
    """What a command adds to argparse's own --help."""
    alone = argparse.ArgumentParser(add_help=False)
    command.options(alone)
    return alone._actions


def words(command: Command) -> Iterator[str]:
    """Everything that its --help says."""
    alone = argparse.ArgumentParser()
    command.options(alone)
    yield from (command.about, command.description, alone.format_help())


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """Under half a second of CPU, without torch, the Hub's client, the server or what draws bars."""
    code = (
        "import sys, contextlib\n"
        "from release.cli import main\n"
        "sys.argv = ['adapter-release', '--help']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'pydantic', 'great_expectations', 'starlette'}\n"
        "heavy |= {'docker', 'jsonschema', 'yaml', 'rich'}\n"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.5


def test_help_lists_every_command_under_its_group() -> None:
    shown = cli.parser().format_help()

    for title, group in cli.GROUPS.items():
        listed = shown.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        names = [re.split(r"\s{2,}", line.strip())[0] for line in listed.splitlines()]
        assert names == [command.name for command in group], title


@each_command
def test_every_command_shows_its_help(command: Command) -> None:
    done = adapter_release(*command.name.split(), "--help", cwd=ROOT, env={"COLUMNS": "100"})

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: adapter-release {command.name} ")
    assert " ".join(command.description.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize("family", cli.FAMILIES)
def test_a_family_lists_its_commands(family: str) -> None:
    done = adapter_release(family, "--help", cwd=ROOT)

    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        first, _, second = name.partition(" ")
        assert first != family or re.search(rf"^    {second} ", done.stdout, re.MULTILINE)


@each_command
def test_every_command_is_described_in_two_to_four_sentences(command: Command) -> None:
    text = " ".join(command.description.split())

    assert 2 <= len(re.findall(r"\.(?=\s|$)", text)) <= 4
    assert re.fullmatch(r"[A-Z].*\.", text)
    assert re.fullmatch(r"[a-z].*[^.]", command.about)


@each_command
def test_every_option_is_explained_by_a_fragment_of_a_sentence(command: Command) -> None:
    for option in options(command):
        assert option.help, option.dest
        assert re.fullmatch(r"[a-z].*[^.]", option.help), option.help


@each_command
def test_no_odd_word_is_in_a_help_text(command: Command) -> None:
    for text in words(command):
        assert not ODD.search(" ".join(text.split())), text


@pytest.mark.parametrize(
    "text", ["70000 is no port", "the whole line, from the configuration", "whose runs", "prove it anew", "gate zero"]
)
def test_an_odd_word_would_be_found(text: str) -> None:
    assert ODD.search(text)


@each_command
def test_every_exit_code_of_a_description_exists(command: Command) -> None:
    named = {int(code) for code in re.findall(r"Exit code (\d+)", command.description)}
    assert named <= set(range(2, 10))
    assert len(named) == command.description.count("xit code")


@each_command
def test_every_command_is_in_the_readme(command: Command) -> None:
    assert f"adapter-release {command.name}" in README


def test_every_command_of_the_readme_exists() -> None:
    """What the README lets a reader type is parsed by the program."""
    typed = set(re.findall(r"adapter-release ((?:hub |data )?[a-z]+)(?=[ `\n])", README))
    assert typed
    assert typed <= COMMANDS.keys() | cli.FAMILIES.keys()


def test_every_exit_code_is_in_the_readme_and_in_help() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Stop)]
    codes = {kind.exit_code for kind in kinds}
    assert codes == set(range(1, 10))
    for code in sorted(codes | {0}):
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE), code
        assert re.search(rf"\b{code} \w", cli.EXIT_CODES), code


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("relase",), "invalid choice: 'relase'"),
        (("verify", "x", "--sgn"), "unrecognized arguments: --sgn"),
        (("data", "split", "rows.jsonl"), "required: --train, --golden"),
    ],
)
def test_a_usage_error_says_where_to_read_more(
    typed: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(typed)

    assert stopped.value.code == errors.ConfigError.exit_code
    shown = capsys.readouterr().err
    assert says in shown
    assert re.search(r"See what it takes: adapter-release [a-z ]*--help\n$", shown)
