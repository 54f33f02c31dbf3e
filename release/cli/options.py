"""Options that several commands share, as frozen values, and what is made of them."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from release.values.errors import ConfigError
from release.values.events import Line, Say

if TYPE_CHECKING:
    from release.checking.opening import Known
    from release.config.settings import Config
    from release.data.convert import Wanted


@dataclass(frozen=True, kw_only=True)
class Configured:
    """A configuration file, with values that replace some of its own."""

    config: Path
    overrides: Sequence[str]
    """KEY=VALUE, as typed."""
    weaker_because: str | None


def configured(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "config", nargs="?", type=Path, default=Path("release.yaml"), help="configuration file (default: %(default)s)"
    )
    overrides(command.add_argument_group("configuration"))


def overrides(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="replace a value of the configuration, such as training.max_steps=20; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--weaker-because", metavar="REASON",
        help="why this release may require less than the previous one; printed on its card",
    )  # fmt: skip


def words(given: Configured) -> list[str]:
    """What is typed to name this configuration again; nothing where it is the usual one."""
    file = [] if given.config == Path("release.yaml") else [str(given.config)]
    values = [word for one in given.overrides for word in ("--set", one)]
    return [*file, *values, *([] if given.weaker_because is None else ["--weaker-because", given.weaker_because])]


def load(given: Configured, say: Say, more: Mapping[str, str] | None = None) -> "Config":
    """The configuration with the values that were typed, then ``more``, in place of its own; notices are shown."""
    from release.config import reading

    overrides = {}
    for text in given.overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError([f"--set {text}: expected KEY=VALUE, such as training.max_steps=20"])
        overrides[key] = value
    if given.weaker_because is not None:
        overrides["gates.weaker_because"] = given.weaker_because
    loaded = reading.load(given.config, overrides | dict(more or {}))
    for notice in loaded.notices:
        say(Line(text=f"note: {notice}"))
    return loaded


@dataclass(frozen=True, kw_only=True)
class ReadAs:
    """How rows of another form are read."""

    format: str
    field: Sequence[str]
    role: Sequence[str]
    ignore: Sequence[str]
    without: Sequence[str]
    least_rating: float | None


def read_as(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("rows of another form", "What the message on a row that is not known names.")
    group.add_argument(
        "--format", default="auto",
        help="canonical, chat, prompt_completion, sharegpt, alpaca, gemini, preference or archive (default: "
        "%(default)s, by the keys)",
    )  # fmt: skip
    group.add_argument(
        "--field", action="append", default=[], metavar="NAME=KEY",
        help="the key that holds a field, such as prompt=question; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--role", action="append", default=[], metavar="NAME=user",
        help="who speaks, by another name: user, assistant or system; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--ignore", action="append", default=[], metavar="KEY",
        help="a key of rows or messages that means nothing for learning; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--without", action="append", default=[], metavar="KEY",
        help="leave out the rows that have something under this key; may be repeated",
    )  # fmt: skip
    group.add_argument("--least-rating", type=float, help="leave out rows rated lower, or not rated")


def wanted(given: ReadAs, *, system_to_user: bool = False) -> "Wanted":
    """The same, as rows are read by it."""
    from release.data.convert import Wanted

    return Wanted(
        form=given.format,
        pairs=given.field,
        least=given.least_rating,
        roles=given.role,
        ignored=given.ignore,
        without=given.without,
        system_to_user=system_to_user,
    )


def sha256(text: str) -> str:
    """A digest as typed; argparse says what is wrong with another text."""
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a sha256: 64 digits from 0 to f, as sha256sum writes it")
    return text


@dataclass(frozen=True, kw_only=True)
class Signing:
    """How a release is signed; neither: as the configuration says."""

    sign: Path | None
    keyless: bool


def signing(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("signature", "A release has one signature: give at most one of these.")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--sign", type=Path, metavar="KEY", help="sign with this private key (publishing.signing_key)")
    one.add_argument("--keyless", action="store_true", help="sign as this CI job, through Sigstore")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a published release and its rows are read from."""

    hub: str
    data: Path | None


RELEASE = "REPO@TAG[@COMMIT]|FOLDER"


def source(command: argparse.ArgumentParser) -> None:
    command.add_argument("--hub", default="file:hub", help="a URL, or file:FOLDER (default: %(default)s)")
    command.add_argument("--data", type=Path, help="folder with the rows, for a release that does not contain them")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the user knows of a release from elsewhere, and it must match."""

    receipt: Path | None
    public_key: Path | None
    identity: str | None
    issuer: str | None


def expected(command: argparse.ArgumentParser, title: str, about: str) -> None:
    group = command.add_argument_group(title, about)
    group.add_argument("--receipt", type=Path, help="publication.json of its run: notices a tag that was moved")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--public-key", type=Path, metavar="PEM", help="the key that must have signed it")
    one.add_argument("--identity", help="the CI job that must have signed it, keyless")
    group.add_argument("--issuer", help="who must have certified the identity (default: GitHub Actions)")


def known(given: Expected, data: Path | None) -> "Known":
    """What ``verify`` compares a release with. An empty identity is refused: nothing would be checked."""
    from release.checking.opening import Known
    from release.publishing import sign

    if given.identity == "":
        raise ConfigError(
            ["--identity is empty: no signature would be checked. Name the CI job that must have signed it."]
        )
    if given.issuer and given.identity is None:
        raise ConfigError(["--issuer certifies an identity: give --identity too."])
    if given.public_key is None and given.identity is None:
        return Known(receipt=given.receipt, data=data)
    trust = sign.Trust(public_key=given.public_key, identity=given.identity, issuer=given.issuer or sign.GITHUB)
    return Known(receipt=given.receipt, data=data, trust=trust)
