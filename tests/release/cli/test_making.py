"""The commands that make a release: what they refuse before anything is trained or published."""

from pathlib import Path

import pytest

from release.values.errors import ConfigError
from tests.helpers.line import adapter_release, small_config


@pytest.mark.parametrize("command", ["release", "publish"])
def test_a_release_has_one_signature(command: str, tmp_path: Path) -> None:
    done = adapter_release(command, "--sign", "key.pem", "--keyless", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "[--sign KEY | --keyless]" in done.stderr
    assert "--keyless: not allowed with argument --sign" in done.stderr


def test_a_signature_that_contradicts_the_configuration_is_a_usage_error(tmp_path: Path) -> None:
    small_config(tmp_path, publishing={"signing_key": "key.pem"})

    done = adapter_release("release", "--keyless", cwd=tmp_path)

    assert done.returncode == ConfigError.exit_code
    assert "publishing.keyless is true, but publishing.signing_key names a key" in done.stderr


def test_the_key_is_looked_for_where_the_command_was_typed(tmp_path: Path) -> None:
    """Not beside the configuration, as publishing.signing_key is."""
    (tmp_path / "there").mkdir()
    small_config(tmp_path / "there")

    done = adapter_release("release", "there/release.yaml", "--sign", "key.pem", cwd=tmp_path)

    assert done.returncode
    assert f"{tmp_path / 'key.pem'}" in done.stderr


def test_a_folder_that_holds_no_candidate_is_not_published(tmp_path: Path) -> None:
    small_config(tmp_path)

    done = adapter_release("publish", "nowhere", cwd=tmp_path)

    assert done.returncode
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
