"""How a command ends: each reason with its exit code, and a bug with its traceback."""

import errno

import pytest

from release.cli import ending
from release.values import errors

STOPS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Stop)]


@pytest.mark.parametrize("kind", STOPS)
def test_every_stop_ends_with_its_message_and_its_code(
    kind: type[errors.Stop], capsys: pytest.CaptureFixture[str]
) -> None:
    reason = errors.ConfigError(["what it is"]) if kind is errors.ConfigError else kind("what it is")

    with pytest.raises(SystemExit) as ended, ending.exits():
        raise reason

    assert ended.value.code == kind.exit_code
    assert capsys.readouterr().err == "\nerror: what it is\n"


def test_a_full_disk_ends_as_the_preflight_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, ending.exits():
        raise OSError(errno.ENOSPC, "No space left on device", "/a/file")

    assert ended.value.code == errors.PreflightError.exit_code
    assert "No space left on the disk of /a/file" in capsys.readouterr().err


def test_a_module_of_the_extra_that_is_not_installed_is_the_users_to_install(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, ending.exits():
        raise ModuleNotFoundError(name="torch")

    assert ended.value.code == errors.ConfigError.exit_code
    assert "pip install 'adapter-release[train]'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError), ending.exits():
        raise ModuleNotFoundError(name="no_module_of_ours")


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), ending.exits():
        1 / 0  # noqa: B018
    with pytest.raises(OSError, match="strange"), ending.exits():
        raise OSError(errno.EIO, "strange")


def test_an_interruption_ends_as_a_shell_expects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, ending.exits():
        raise KeyboardInterrupt

    assert ended.value.code == ending.INTERRUPTED
    assert "run again to continue" in capsys.readouterr().err


def test_a_block_that_ends_well_does_not_exit() -> None:
    with ending.exits():
        pass
