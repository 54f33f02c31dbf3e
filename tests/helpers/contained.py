"""A stage for the tests of containers: it looks around, waits, fills memory or stops, and says so as stages do."""

import contextlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

from release.running import child
from release.values.errors import DataError
from release.values.events import Line, Progress, Say


def stage(arguments: list[str], say: Say) -> None:
    what, folder = arguments[0], Path(arguments[1])
    if what in {"keep", "deaf"}:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    say(Progress(name=what, done=0, total=2))
    _talk()
    match what:
        case "look":
            (folder / "seen.json").write_text(json.dumps(seen(Path(arguments[2]))))
        case "given":
            (folder / "given.json").write_text(json.dumps(dict(os.environ)))
        case "wait" | "deaf":
            time.sleep(60)
        case "fill" | "limited":
            if what == "limited":
                resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
            say(Line(text=str(len(bytearray(1 << 30)))))
        case "die":
            sys.stderr.write(arguments[3])
            sys.stderr.flush()
            _die(signal.Signals(int(arguments[2])))
        case _:
            _stop(what, say)
    say(Progress(name=what, done=2, total=2))


def _talk() -> None:
    with contextlib.suppress(OSError):  # the log may be on a full disk
        sys.stderr.write("a library talks\n")


def _stop(what: str, say: Say) -> None:
    if what == "keep":
        signal.sigwait([signal.SIGTERM])
        say(Line(text="kept"))
        sys.exit(128 + signal.SIGTERM)
    if what == "full":
        Path("/dev/full").write_text("x")
    raise DataError("x" * 2_000_000 if what == "endless" else "There is no such row.")


def _die(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:  # as nohup leaves it
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def seen(readable: Path) -> dict[str, object]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    interfaces = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    return {
        "user": [os.getuid(), os.getgid()],
        "capabilities": status["CapEff"],
        "no_new_privileges": status["NoNewPrivs"],
        "interfaces": interfaces,
        "environment": dict(os.environ),
        "cores": len(os.sched_getaffinity(0)),
        "writable": [
            str(path) for path in (Path("/"), Path("/adapter-release"), readable, Path("/tmp")) if may_write(path)
        ],
        "homes": [str(path) for home in ("/root", "/home") for path in Path(home).glob("*")],
        "read": (readable / "file").read_text(),
    }


def may_write(folder: Path) -> bool:
    try:
        (folder / "probe").write_text("")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    child.main(stage)
