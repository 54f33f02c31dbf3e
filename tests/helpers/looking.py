"""Look at something hostile as a user would: a command on a terminal that is recorded, with secrets lying about.

``python -m tests.helpers.looking`` reads requests as lines of JSON and answers each with a line. It loads the program
once and forks for each command, which then runs under limits of time and memory, in a folder and a home of its own.
"""

import base64
import contextlib
import json
import os
import pty
import resource
import select
import signal
import socketserver
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.helpers.line import ROOT

SECONDS = 20
MEMORY = 1 << 30  # bytes of resident memory
ADDRESSES = 6 << 30  # bytes of address space: far above MEMORY, for libraries reserve much that they do not use
MARK = "SECRET-9f3c"
"""In the value of every secret: where it turns up, one has leaked."""
SECRETS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "WANDB_API_KEY",
    "OPENAI_API_KEY",
    "PIP_INDEX_URL",
    "ADAPTER_RELEASE_SIGNING_PASSWORD",
)
AT_HOME = (".netrc", ".cache/huggingface/token", ".aws/credentials", ".ssh/id_ed25519", ".pypirc")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a command did."""

    code: int
    """Its exit code; negative: the signal that ended it."""
    terminal: str
    """All that it wrote, byte for byte, a character each."""
    seconds: float
    memory: int
    """Peak resident bytes."""


def fork(arguments: Sequence[str], folder: str) -> Look:
    """The command ``adapter-release`` with these arguments in ``folder``, ended after ``SECONDS``."""
    started = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        _become(arguments, folder)
    said = bytearray()
    while time.monotonic() < started + SECONDS:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            read = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        said += read
    with contextlib.suppress(ProcessLookupError):  # a group of its own: whatever it started ends with it
        os.killpg(pid, signal.SIGKILL) if time.monotonic() >= started + SECONDS else None
    _, status, used = os.wait4(pid, 0)
    os.close(terminal)
    return Look(
        code=os.waitstatus_to_exitcode(status),
        terminal=said.decode("latin-1"),
        seconds=round(time.monotonic() - started, 2),
        memory=used.ru_maxrss * 1024,
    )


def _become(arguments: Sequence[str], folder: str) -> None:
    """The command itself, in the fork."""
    from release.cli import __main__

    code = 1
    try:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        __main__.main(list(arguments))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  nothing may go on in the fork
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class Looker:
    """A process that runs commands one after another, with marked secrets in its environment and its home."""

    def __init__(self, home: Path, network: int) -> None:
        for name in AT_HOME:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(f"machine example.org password {MARK}\n", "utf-8")
        nowhere = f"http://127.0.0.1:{network}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), nowhere)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "ADAPTER_RELEASE"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.looking"],
            cwd=ROOT,
            env={
                **kept,
                **proxies,
                **{name: f"https://user:{MARK}-{name}@index.example/simple" for name in SECRETS},
                "HOME": str(home),
                # no command finds the base model: what goes on to it, by no trick or by one, ends there
                "PIP_NO_INDEX": "1",
                "ADAPTER_RELEASE_CACHE": str(home.with_name("cache")),
                "CI": "true",
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def look(self, *arguments: str, folder: Path) -> Look:
        """What ``adapter-release`` with these arguments does in ``folder``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": arguments, "folder": str(folder)}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Look(**{**answer, "terminal": base64.b64decode(answer["terminal"]).decode("latin-1")})

    def end(self) -> None:
        """End it."""
        self._process.communicate()


class _Listening(socketserver.ThreadingTCPServer):
    """Takes connections, keeps what they say, and answers nothing."""

    daemon_threads = True
    heard: list[bytes]


class _Heard(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Listening)
        self.server.heard.append(self.request.recv(4096))


@contextlib.contextmanager
def network() -> Iterator[tuple[int, list[bytes]]]:
    """The port of what stands for all the network, and what was sent to it."""
    with _Listening(("127.0.0.1", 0), _Heard) as server:
        server.heard = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], server.heard
        server.shutdown()


def main() -> None:
    """Answer requests until standard input ends."""
    for module in ("verify", "explain", "reproduce", "serve_check", "export", "side_by_side", "tries_table", "view"):
        __import__(f"release.checking.{module}")
    import jsonschema  # noqa: F401  each command would import it anew

    for line in sys.stdin:
        asked = json.loads(line)
        found = asdict(fork(asked["arguments"], asked["folder"]))
        found["terminal"] = base64.b64encode(found["terminal"].encode("latin-1")).decode()
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
