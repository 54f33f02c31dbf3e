"""Stages that run in a process of their own: the parent's call, the child's frame, and the pipe between them.

The child's standard output carries one JSON event a line. Everything libraries print goes to a log file. A ``Stop`` in
the child becomes the same ``Stop`` in the parent; anything else is our bug and keeps its traceback in the log.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NoReturn

from release.running import kept, launched
from release.running.tied import end_with, tied
from release.running.tied import inherited as locks
from release.values.errors import BY_EXIT_CODE, ConfigError, PreflightError, Stop
from release.values.events import Event, Line, Progress, Say, Stage
from release.values.reasons import KEPT, LESS_MEMORY, limited, speaks_of_memory, stop_of

LONGEST = 1 << 20  # bytes of one event; the longest are reports of a few thousand rows
MOST = LONGEST // 16  # characters of one that are sent: JSON writes one as up to twelve bytes
FIRST_WORDS = 300
"""Characters of what a process that is not the first says of its end: with JSON's escapes less than a pipe's 4096."""
SERVER_KEY = "OPENAI_API_KEY"
"""Opens the address of a served model: only the process that asks it is given it, and no Hub is."""
ENDED_BY = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
"""The signals by which a person or a machine that shuts down ends a process."""
NOTICE = 25.0
"""Seconds from a signal to a child's end: a machine on loan or a pod is taken away 30 after it, at the earliest."""
CRASHED = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)
"""How a library of C or C++ ends that was given no memory; its words stand somewhere at the end of the log."""
LIFELINE = "ADAPTER_RELEASE_LIFELINE"
"""Names a file that the parent holds locked: what a child in a container has instead of the kernel's signal."""
ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL and huggingface_hub report usage otherwise
    "GX_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
    # cuBLAS is deterministic only with a fixed workspace, set before CUDA starts (PyTorch, "Reproducibility")
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",  # the one that `hf auth login` leaves in a file
}
"""For a process that loads models from folders: whatever a file there names, no Hub is asked for it."""
NOT_COMPILED = "TORCHDYNAMO_DISABLE"
STAGE = {**OFFLINE, NOT_COMPILED: "1"}
"""For a stage of this project. bitsandbytes has torch.compile wrap its slower kernels as it is imported: a fifth of the
time of all imports, and where such a kernel is used its bytes would hang on whether there is a compiler."""


def inherited() -> dict[str, str]:
    """What a process that is started here keeps of this one's environment."""
    return kept.kept()


def call(
    module: str,
    *arguments: str,
    say: Say,
    log: Path,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
    started: "Callable[[subprocess.Popen[bytes]], None]" = lambda _: None,
) -> None:
    """Run ``python -m module arguments`` to its end, passing its events to ``say``.

    The child sees what `kept` lists of the parent's environment, and ``env``. Raises the child's ``Stop``;
    ``RuntimeError`` with the end of the log when it crashed. ``started`` gets the process, for who may end it.
    """
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            tied([python, "-P", "-m", module, *arguments]),  # -P: a user's own json.py stands in no library's way
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**inherited(), **ENVIRONMENT, **(env or {})},
            **locks(),
        ) as process,
    ):
        assert process.stdout is not None
        lines = iter(partial(process.stdout.readline, LONGEST + 1), b"")
        try:
            started(process)
            message = listen(lines, say)
        except (KeyboardInterrupt, SystemExit):
            _end_soon(process, lines, say)
            raise
        except BaseException:
            process.kill()
            raise
    end(launched.stage_of(module, arguments), process.returncode, message, log)


def _end_soon(process: "subprocess.Popen[bytes]", lines: Iterable[bytes], say: Say) -> None:
    """End a child by SIGTERM: one that keeps something first says so, and has a moment for it."""
    late = threading.Timer(NOTICE, process.kill)
    late.start()
    try:
        process.terminate()
        with contextlib.suppress(RuntimeError):  # a line that the signal cut
            listen(lines, say)
        process.wait()
    finally:
        process.kill()
        late.cancel()


def listen(lines: Iterable[bytes], say: Say) -> str:
    """Pass a child's events to ``say``; the message of its ``Stop``, empty when it did not stop."""
    message = ""
    for line in lines:
        match _read(line):
            case {"kind": "Stop", "message": str(said)}:
                message = max(message, said, key=len)  # several processes may stop for one reason
            case {"kind": "Stage", "name": str(name), "note": str(note)}:
                say(Stage(name=name, note=note))
            case {"kind": "Progress", "name": str(name), "done": int(done), "total": int(total)}:
                say(Progress(name=name, done=done, total=total))
            case {"kind": "Line", "text": str(text)}:
                say(Line(text=text))
            case _:
                raise RuntimeError(f"a stage said what is not an event: {line[:200]!r}")
    return message


def _read(line: bytes) -> object:
    """What a line of JSON says; None where it is none, or has no end."""
    try:
        return json.loads(line) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        return None


def end(module: str, code: int, message: str, log: Path) -> None:
    """Raise what a child's exit status means; nothing for 0.

    A child that was killed, or crashed for lack of memory, is the machine's fault and not ours: ``PreflightError``.
    """
    if code == ConfigError.exit_code and message:
        raise ConfigError(message.split("\n"))
    if code in BY_EXIT_CODE and message:
        raise BY_EXIT_CODE[code](message)
    if code:
        said = tail(log)
        if problem := died(module, code, said):
            raise PreflightError(problem)
        raise RuntimeError(f"{module} ended with exit status {code}; the end of {log}:\n{said}")


def died(what: str, code: int, said: str = "") -> str:
    """Why a process with this exit status did not end by itself, and what to do; empty where it did.

    ``said`` is the end of its log: a library that finds no memory aborts with a word there, Python ends with one.
    """
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return (
            f"{what} was killed (SIGKILL). Where nobody did that, the kernel did, for the machine or its container had "
            f"no memory left (`dmesg` says so). {LESS_MEMORY}"
        )
    if number == signal.SIGVTALRM:  # of release/values/clock.py
        return (
            f"{what} used up its time in one call of a library that no clock interrupts, and was ended (SIGVTALRM). A "
            "chat template or a text was made to be slow, or by mistake searches a very long text. In a release of "
            "somebody else's: do not use it, and inform its publisher. Of your own: set model.chat_template to a file "
            "with another one, or shorten the rows."
        )
    if number in ENDED_BY:
        return f"{what} was ended from outside ({signal.Signals(number).name}). {KEPT}"
    crashed = number in CRASHED
    word = speaks_of_memory(said if crashed else said.rpartition("\n")[2])
    if crashed and not word and limited():  # a library that does not look at what it was given
        word = signal.Signals(number).name
    return f"{what} had too little memory ({word}). {LESS_MEMORY}" if word else ""


def tail(log: Path, lines: int = 25, most: int = 1 << 16) -> str:
    """The last lines of a log, of its last ``most`` bytes."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])


def main(stage: Callable[[list[str], Say], None]) -> None:
    """The frame of a child: keep stdout for events, end with the exit code of a ``Stop``."""
    _tie()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as pipe:
        os.dup2(2, 1)

        def send(kind: str, fields: Mapping[str, object]) -> None:
            pipe.write(json.dumps({"kind": kind, **fields}) + "\n")
            pipe.flush()

        def say(event: Event) -> None:
            send(type(event).__name__, {name: _short(value) for name, value in asdict(event).items()})

        try:
            try:
                stage(sys.argv[1:], launched.heard(say))
            except SystemExit:
                raise
            except BaseException as error:
                if isinstance(error, Stop) or (stop := stop_of(error)) is None:
                    raise
                with contextlib.suppress(OSError):  # a full disk takes no log
                    traceback.print_exc()  # into the log: where it was
                raise stop from None
            if launched.count() > 1:
                _leave(0)
        except Stop as stop:
            said = str(stop)  # all but the first write at once into one pipe: a short text is not mixed with another
            send("Stop", {"message": said[:FIRST_WORDS] if launched.rank() else _short(said)})
            _leave(stop.exit_code)


def _short(value: object) -> object:
    """A text that fits into an event."""
    if not isinstance(value, str) or len(value) <= MOST:
        return value
    return f"{value[:MOST]} ... ({len(value):,} characters in all)"


def _leave(code: int) -> NoReturn:
    """End with this exit status, which the group of several processes would abort over as it is taken down."""
    if launched.count() > 1:
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _tie() -> None:
    """Let this process end with what started it, where nothing else sees to that."""
    if LIFELINE in os.environ:
        threading.Thread(target=_end_with, args=(Path(os.environ[LIFELINE]),), daemon=True).start()
        # The first process of a container is ended by no signal that it has not asked to hear.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    if launcher := launched.launcher():
        end_with(launcher)  # one that is killed tells nobody


def _end_with(lifeline: Path) -> None:
    """End when the parent lets go of its lock, which the kernel does for it however it dies."""
    with lifeline.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    os._exit(128 + signal.SIGKILL)
