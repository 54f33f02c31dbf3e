"""What was typed, as typed values: nothing is left over, nothing is missing, every value is of its field's type."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from release.cli import __main__ as cli
from release.cli import checking, command, comparing, config, data, hub, making, options, preparing, repository

RULES = "--config c --set a=b --weaker-because c --repo a/b --tag v1 --private " + " ".join(
    f"--{name}-sha256 {'0' * 64}" for name in ("golden", "policy", "contract", "schema")
)
CONFIGURED = "c.yaml --set a=1 --set b=2 --weaker-because why"
EXPECTED = "--hub file:h --data d --receipt r.json --identity me --issuer them"
PERMITTED = f"--trust-remote-code --allow-image sha256:{'d' * 64} --container never"
REPRODUCED = "--trainer t --trust-ref main --install-libraries --tool-wheel w --yes"
READ_AS = "--format chat --field a=b --field c=d --least-rating 3 --role h=user --ignore i --without w"
TYPED: dict[str, tuple[type, str]] = {
    "init": (
        repository.Init,
        f"there --base embedded --data d --golden g --repo a/b --from f --example --seed 7 --tool o/n --yes {READ_AS}",
    ),
    "changes": (repository.Changed, "then c.yaml --markdown m"),
    "example": (preparing.Example, "there"),
    "import": (preparing.Import, "there --into elsewhere --as mlx --base embedded"),
    "check": (options.Configured, CONFIGURED),
    "plan": (options.Configured, CONFIGURED),
    "doctor": (options.Configured, CONFIGURED),
    "release": (making.Release, f"{CONFIGURED} --sign key.pem"),
    "candidate": (making.Candidate, f"{CONFIGURED} --to there --on ssh:h --python p --end"),
    "review": (making.Review, "there --to f --with g --no-browser --config c.yaml --hub file:h --data d"),
    "publish": (making.Publish, f"there --hub file:h --receipts r --review f --people-apart --keyless {RULES}"),
    "attest": (making.Attest, f"{CONFIGURED} --url http://h/v1 --model m --constraint json_schema"),
    "pilot": (options.Configured, CONFIGURED),
    "verify": (checking.Published, f"a/b@v1 {EXPECTED}"),
    "explain": (checking.Explain, f"json_parse a/b@v1 --config c.yaml --form plain --rows-to-add {EXPECTED}"),
    "open": (checking.Open, f"a/b@v1 --config c.yaml --row r --no-browser {EXPECTED}"),
    "serve-check": (checking.ServeCheck, f"a/b@v1 {EXPECTED} {PERMITTED} --as merged=true --output o"),
    "export": (checking.Export, f"a/b@v1 {EXPECTED} {PERMITTED} --as merged=true --to o"),
    "rejudge": (checking.Rejudge, f"a/b@v1 {EXPECTED} {PERMITTED} --level answers --output o"),
    "reproduce": (
        checking.Reproduce,
        f"a/b@v1 {EXPECTED} {PERMITTED} {REPRODUCED} --level answers --output o --attach --anyway",
    ),
    "compare": (comparing.Compare, "a/b@v1 a/b@v2 --config c.yaml --no-browser --hub file:h --data d"),
    "tries": (comparing.Tried, "a/b@v1 --config c.yaml --set a=1 --weaker-because w --hub file:h --data d"),
    "data check": (data.Check, f"{CONFIGURED} --report r --without-text --data-docs d"),
    "data convert": (
        data.Convert,
        f"x y --to z {READ_AS} --system-to-user",
    ),
    "data split": (data.Split, "x --train t --golden g --share 1 --seed 7 --together meta.topic"),
    "config convert": (config.Convert, "x --to z --from mlx"),
    "hub serve": (hub.Serve, "--root r --port 8080"),
    "base": (hub.Base, "there"),
}
"""Every command with the values it takes, and a line that gives all its options."""
REQUIRED = {
    "attest": "--url u --model n",
    "changes": "a",
    "import": "a",
    "verify": "r",
    "explain": "g",
    "serve-check": "r",
    "export": "r",
    "rejudge": "r",
    "reproduce": "r",
    "data convert": "a --to b",
    "compare": "a b",
    "data split": "a --train b --golden c",
    "config convert": "a",
    "base": "f",
}
each_command = pytest.mark.parametrize("name", TYPED)


def parsed(line: str) -> dict[str, object]:
    """What argparse found, without the function that is to run."""
    found = vars(cli.parser().parse_args(line.split()))
    return {name: value for name, value in found.items() if name != "run"}


def leaves(value: object) -> Iterator[tuple[str, object, object]]:
    """Each field that is not a dataclass: its name, its type, its value."""
    for name, hint in typing.get_type_hints(type(value)).items():
        inner = getattr(value, name)
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner)
        else:
            yield name, hint, inner


def fits(value: object, hint: object) -> bool:
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(fits(value, one) for one in typing.get_args(hint))
    if typing.get_origin(hint) in (Sequence, list):
        return isinstance(value, list) and all(isinstance(one, typing.get_args(hint)[0]) for one in value)
    return isinstance(hint, type) and isinstance(value, hint)


def test_every_command_has_its_line_here() -> None:
    assert list(TYPED) == [one.name for group in cli.GROUPS.values() for one in group]


@each_command
def test_every_option_is_a_field_and_every_field_is_of_its_type(name: str) -> None:
    kind, line = TYPED[name]
    for typed in (f"{name} {line}", f"{name} {REQUIRED.get(name, '')}"):
        found = parsed(typed)
        fields = list(leaves(command.read(kind, found)))

        assert sorted(name for name, _, _ in fields) == sorted(found)
        for field, hint, value in fields:
            assert fits(value, hint), (field, hint, value)


@each_command
def test_the_line_here_changes_every_default(name: str) -> None:
    """So that an option that this file forgets is noticed."""
    before, after = parsed(f"{name} {REQUIRED.get(name, '')}"), parsed(f"{name} {TYPED[name][1]}")

    exclusive = {"sign", "keyless", "public_key"}
    assert {one for one in before if before[one] == after[one]} <= exclusive


def test_a_value_of_another_type_is_noticed() -> None:
    assert not fits("text", Path)
    assert not fits(None, Path)
    assert fits(None, Path | None)
    assert not fits(["a", 1], Sequence[str])


def test_a_field_without_an_option_is_an_error() -> None:
    with pytest.raises(KeyError, match="port"):
        command.read(hub.Serve, {"root": Path("hub")})


def test_the_function_gets_the_typed_values_and_the_events() -> None:
    got: list[object] = []

    command.takes(hub.Base, lambda given, say: got.extend((given, say)))(
        argparse.Namespace(folder=Path("f")), got.append
    )

    assert got == [hub.Base(folder=Path("f")), got.append]
