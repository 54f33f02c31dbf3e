"""Options that commands share: a configuration with its changes, and what a release must match."""

from dataclasses import replace
from pathlib import Path

import pytest

from release.cli import options
from release.cli.options import Configured, Expected
from release.publishing import sign
from release.values.errors import ConfigError
from release.values.events import Event, Line
from tests.helpers.line import ROOT, adapter_release, small_config

NOTHING = Expected(receipt=None, public_key=None, identity=None, issuer=None)


def test_what_was_typed_replaces_values_of_the_file(tmp_path: Path) -> None:
    given = Configured(
        config=small_config(tmp_path),
        overrides=["run.seed=7", "data.source=https://a.example/?b=c"],
        weaker_because="fewer rows",
    )

    loaded = options.load(given, lambda _: None, {"run.seed": "8"})

    assert (loaded.run.seed, loaded.data.source, loaded.weaker_because) == (8, "https://a.example/?b=c", "fewer rows")


def test_a_notice_of_the_configuration_is_shown(tmp_path: Path) -> None:
    shown: list[Event] = []

    options.load(
        Configured(config=small_config(tmp_path), overrides=["generation.do_sample=false"], weaker_because=None),
        shown.append,
    )

    assert any(
        isinstance(one, Line) and one.text.startswith("note: ") and "generation.do_sample has no effect" in one.text
        for one in shown
    )


def test_an_override_without_a_value_is_a_usage_error() -> None:
    done = adapter_release("check", "--set", "training.max_steps", cwd=ROOT)

    assert done.returncode == ConfigError.exit_code
    assert "--set training.max_steps: expected KEY=VALUE" in done.stderr


def test_all_problems_of_a_configuration_are_shown_at_once(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_text((ROOT / "release.yaml").read_text("utf-8").replace("learning_rate", "lerning_rate"), "utf-8")

    done = adapter_release("check", "release.yaml", "--set", "adapter.lora.r=0", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "lerning_rate" in done.stderr
    assert "learning_rate" in done.stderr
    assert "adapter.lora.r" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_configuration_is_a_usage_error(tmp_path: Path) -> None:
    done = adapter_release("check", "nowhere.yaml", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_key_or_an_identity_no_signature_is_required() -> None:
    known = options.known(NOTHING, Path("rows"))

    assert (known.receipt, known.data, known.trust) == (None, Path("rows"), None)


@pytest.mark.parametrize(
    ("given", "trust"),
    [
        (replace(NOTHING, public_key=Path("key.pub")), sign.Trust(public_key=Path("key.pub"))),
        (replace(NOTHING, identity="me"), sign.Trust(identity="me", issuer=sign.GITHUB)),
        (replace(NOTHING, identity="me", issuer="them"), sign.Trust(identity="me", issuer="them")),
    ],
)
def test_a_key_or_an_identity_must_have_signed(given: Expected, trust: sign.Trust) -> None:
    assert options.known(given, None).trust == trust


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("--identity", ""), "--identity is empty: no signature would be checked"),
        (("--identity", "", "--issuer", "them"), "--identity is empty"),
        (("--issuer", "them"), "give --identity too"),
        (("--public-key", "key.pub", "--identity", "me"), "not allowed with argument --public-key"),
    ],
)
def test_a_signature_that_would_not_be_checked_is_a_usage_error(
    typed: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    """An empty variable of a workflow must not make a check disappear."""
    done = adapter_release("verify", "local/x@v1", *typed, cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert says in done.stderr
