"""How a command ends: each reason with its exit code, and a bug with its traceback."""

import errno
import json
import signal
import subprocess
import sys
import time

import pytest
from tokenizers import Tokenizer

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


@pytest.mark.parametrize("number", ending.ENDING)
def test_a_signal_ends_as_a_shell_expects_and_says_what_is_kept(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {one: signal.signal(one, signal.SIG_DFL) for one in ending.ENDING}  # a shell's background ignores SIGINT
    try:
        with pytest.raises(SystemExit) as ended, ending.exits("adapter-release release 'a b.yaml'"):
            signal.raise_signal(number)
    finally:
        for one, old in before.items():
            signal.signal(one, old)
    assert ended.value.code == 128 + number
    assert "run again to continue: adapter-release release 'a b.yaml'\n" in capsys.readouterr().err


AT_ITS_END = """
import atexit, signal, sys
from release.cli import ending
signal.signal(signal.SIGINT, signal.default_int_handler)
atexit.register(signal.raise_signal, signal.SIGTERM)
with ending.exits():
    if sys.argv[1] == "interrupted":
        signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.parametrize(("how", "code"), [("interrupted", 128 + signal.SIGINT), ("whole", -signal.SIGTERM)])
def test_a_signal_that_meets_a_process_at_its_end_does_not_change_what_it_was_ended_by(how: str, code: int) -> None:
    """A CI job that is cancelled sends SIGINT, and SIGTERM while the interpreter takes itself down."""
    assert subprocess.run([sys.executable, "-c", AT_ITS_END, how], capture_output=True, check=False).returncode == code


AT_WORK = """
import signal, sys, time
from release.cli import ending
signal.signal(signal.SIGINT, signal.default_int_handler)
with ending.exits():
    try:
        print("at work", flush=True)
        time.sleep(60)
    finally:
        time.sleep(3)
        print("kept", flush=True)
"""


@pytest.mark.parametrize(
    ("first", "then", "after", "kept", "code"),
    [
        (signal.SIGHUP, signal.SIGHUP, 0.05, True, 129),  # a terminal that is closed, over bash
        (signal.SIGTERM, signal.SIGTERM, 0.3, True, 143),  # `timeout`, to its child and to the group
        (signal.SIGINT, signal.SIGTERM, 1.5, True, 130),  # a CI job that is cancelled
        (signal.SIGINT, signal.SIGINT, 0.05, True, 130),
        (signal.SIGINT, signal.SIGINT, 1.5, False, 130),  # somebody who does not want to wait
        (signal.SIGTERM, signal.SIGINT, 1.5, False, 130),
    ],
)
def test_only_ctrl_c_that_comes_again_cuts_short_what_is_kept(
    first: int, then: int, after: float, kept: bool, code: int
) -> None:
    command = [sys.executable, "-c", AT_WORK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(first)
        time.sleep(after)
        process.send_signal(then)
        said, why = process.communicate(timeout=60)

    assert (said == "kept\n") is kept
    assert ("run again to continue" in why) is kept
    assert process.returncode == code


def test_a_signal_that_whoever_started_it_ignores_is_ignored() -> None:
    """As nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending.exits():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 20.00 GiB"),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_ends_as_the_preflight_does(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, ending.exits():
        raise RuntimeError("a library's own words") from error

    assert ended.value.code == errors.PreflightError.exit_code
    said = capsys.readouterr().err
    assert "too little memory" in said
    assert "data.max_length smaller" in said


def test_a_library_in_rust_that_gives_up_on_a_file_is_not_a_bug_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A panic is no ``Exception``: it passed every other block."""
    slow = {"type": "Replace", "pattern": {"Regex": "(a|a|aa)+$"}, "content": "b"}
    model = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    tokenizer = Tokenizer.from_str(
        json.dumps({"version": "1.0", "added_tokens": [], "normalizer": slow, "model": model})
    )

    with pytest.raises(SystemExit) as ended, ending.exits():
        tokenizer.encode("a" * 60 + "!")

    assert ended.value.code == errors.DataError.exit_code
    assert "A library gave up on a file" in capsys.readouterr().err


def test_further_lines_of_a_message_stand_under_its_first(capsys: pytest.CaptureFixture[str]) -> None:
    """A line's end in a name makes no line that could be one of ours."""
    with pytest.raises(SystemExit), ending.exits():
        raise errors.HubError("the Hub said x\n 1. ok     every file")

    assert capsys.readouterr().err == "\nerror: the Hub said x\n   1. ok     every file\n"


def test_a_block_that_ends_well_does_not_exit() -> None:
    with ending.exits():
        pass
