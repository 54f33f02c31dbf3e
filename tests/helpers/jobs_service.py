"""Hugging Face Jobs and its buckets on loopback, as huggingface_hub's own client asks for them.

A job is a process of this machine, whose mounted bucket is the folder in which the bucket's files lie. Their bytes go
and come through hf_xet's local store: one for each token, since two processes cannot have the same one open.
"""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from release.remote import mounted
from tests.helpers.lent import CACHE, Machine, environment

TOKEN = "hf_" + "t" * 34
OWNER = "me"
HARDWARE = [
    {
        "name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB", "ephemeralStorage": "50 GB",
        "unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute",
    },
    {
        "name": "a10g-small", "prettyName": "Nvidia A10G - small", "cpu": "4 vCPU", "ram": "15 GB",
        "accelerator": {"type": "gpu", "model": "A10G", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"},
        "unitCostMicroUSD": 16667, "unitCostUSD": 0.016667, "unitLabel": "minute",
    },
]  # fmt: skip
UP = """
import sys, hf_xet
from huggingface_hub.utils._xet import get_xet_session
given = {"token_refresh_url": sys.argv[1], "token_refresh_headers": {}, "custom_headers": {}}
with get_xet_session().new_upload_commit(**given) as c:
    handle = c.start_upload_file(sys.argv[2], sha256=hf_xet.SKIP_SHA256)
print(handle.result().xet_info.hash)
"""
DOWN = """
import sys, hf_xet
from huggingface_hub.utils._xet import get_xet_session
given = {"token_refresh_url": sys.argv[1], "token_refresh_headers": {}, "custom_headers": {}}
with get_xet_session().new_file_download_group(**given) as g:
    g.start_download_file(hf_xet.XetFileInfo(sys.argv[2]), sys.argv[3])
"""


@dataclass(kw_only=True)
class Run:
    """A job that was asked for."""

    id: str
    spec: Mapping[str, Any]
    log: Path
    created: datetime
    process: "subprocess.Popen[bytes] | None" = None
    cancelled: bool = False

    @property
    def stage(self) -> str:
        if self.process is None:
            return "CANCELED" if self.cancelled else "SCHEDULING"
        if self.process.poll() is None:
            return "RUNNING"
        return "CANCELED" if self.cancelled else "COMPLETED" if self.process.returncode == 0 else "ERROR"

    def kill(self) -> None:
        """As a machine goes down."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(kw_only=True)
class Service:
    """What the tests see of it."""

    root: Path
    there: Mapping[str, str]
    """The environment of an image."""
    endpoint: str = ""
    program: str = ""
    """What stands for the code that is sent, where it is not that code."""
    unlisted: float = 1.5
    """Seconds in which a job that was started is in no list."""
    broken: str = "$."
    """What is asked of these paths is refused."""
    stuck: bool = False
    """Whether what is to be written is waited for, for ever."""
    holds: bool = False
    """Whether a job waits for a machine."""
    runs: list[Run] = field(default_factory=list)
    stores: dict[str, Path] = field(default_factory=dict)
    written: list[Path] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """Every request."""

    def bucket(self, name: str) -> Path:
        return self.root / "buckets" / name

    def machine(self, on: str = "hf-jobs:cpu-basic") -> Machine:
        return Machine(on=on, home=self.root, env=environment(HF_ENDPOINT=self.endpoint, HF_TOKEN=TOKEN))

    def start(self, run: Run) -> None:
        (volume,) = run.spec["volumes"]
        bucket = self.bucket(volume["source"])
        command = [one.replace(volume["mountPath"], str(bucket)) for one in run.spec["command"]]
        if self.program:
            _stand_in(bucket / mounted.SENT, self.program)
        env = {**self.there, **run.spec["environment"], **run.spec.get("secrets", {})}
        with run.log.open("wb") as log:
            run.process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                start_new_session=True,
            )

    def store(self) -> Path:
        folder = self.root / "stores" / f"{len(list((self.root / 'stores').iterdir()))}-{time.monotonic_ns()}"
        folder.mkdir()
        return folder

    def transfer(self, program: str, store: Path, *words: str) -> str:
        """Into a store or out of it, by a process that leaves it when it ends."""
        command = [sys.executable, "-c", program, f"{self.endpoint}/store{store}", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class Handler(BaseHTTPRequestHandler):
    service: Service

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def answer(self, content: object, status: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self) -> None:
        url = urlsplit(self.path)
        self.service.heard.append(f"{self.command} {url.path}")
        parts = [unquote(one) for one in url.path.strip("/").split("/")]
        if re.search(self.service.broken, url.path):
            self.answer({"error": "Forbidden"}, 403)
        elif parts[0] == "store":
            self.answer(_opened(Path(url.path.removeprefix("/store"))))
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": "Invalid username or password."}, 401)
        elif parts[:2] == ["api", "whoami-v2"]:
            self.answer({"name": OWNER, "type": "user", "auth": {"accessToken": {"role": "write"}}, "orgs": []})
        elif parts[:2] == ["api", "jobs"]:
            self.jobs(parts[2:], parse_qs(url.query))
        elif "buckets" in parts[:2]:
            _, *named = parts if parts[0] == "buckets" else parts[1:]
            self.buckets("/".join(named[:2]), named[2:])
        else:
            self.answer({"error": "Not Found"}, 404)

    do_GET = do_POST = do_DELETE = do_HEAD = handle_one  # noqa: N815  as http.server calls them

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def jobs(self, parts: list[str], query: Mapping[str, list[str]]) -> None:
        service = self.service
        match self.command, parts:
            case "GET", ["hardware"]:
                self.answer(HARDWARE)
            case "POST", [_]:
                number = f"{len(service.runs) + 1:024x}"
                run = Run(id=number, spec=json.loads(self.body()), log=service.root / number, created=datetime.now(UTC))
                run.log.touch()
                if not service.holds:
                    service.start(run)
                service.runs.append(run)
                self.answer(_told(run))
            case "GET", [_]:
                labels = [one.split("=", 1) for one in query.get("label", [])]
                since = datetime.now(UTC) - timedelta(seconds=service.unlisted)
                listed = [one for one in service.runs if one.created < since]
                self.answer([_told(one) for one in listed if all(one.spec["labels"].get(k) == v for k, v in labels)])
            case _, [_, number, *more]:
                (run,) = (one for one in service.runs if one.id == number)
                if more == ["logs"]:
                    self.logs(run, int(query.get("tail", ["0"])[0]))
                elif more == ["cancel"]:
                    run.cancelled = True
                    run.kill()
                    self.answer(_told(run))
                else:
                    self.answer(_told(run))
            case _:
                self.answer({"error": "Not Found"}, 404)

    def logs(self, run: Run, tail: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        sent, lines = 0, [b"===== Job started at 2026-01-01 ====="]
        while True:
            ended = run.stage != "RUNNING"
            lines = [lines[0], *run.log.read_bytes().splitlines(keepends=True)]
            whole = lines if ended else [one for one in lines if one.endswith((b"\n", b"="))]
            if tail and not sent:
                sent = max(0, len(whole) - tail)
            try:
                for one in whole[sent:]:
                    event = {
                        "timestamp": _dated(datetime.now(UTC)),
                        "data": one.decode("utf-8", "replace").rstrip("\n"),
                    }
                    self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
                self.wfile.write(b": keep-alive\n\n")
                self.wfile.flush()
            except OSError:
                return
            sent = len(whole)
            if ended:
                return
            time.sleep(0.1)

    def buckets(self, name: str, parts: list[str]) -> None:
        service, folder = self.service, self.service.bucket(name)
        match self.command, parts:
            case "POST", []:
                told = {"url": f"{service.endpoint}/buckets/{name}", "id": name}
                assert json.loads(self.body()) == {"visibility": "private"}
                known = folder.exists()
                folder.mkdir(parents=True, exist_ok=True)
                self.answer(told, 409 if known else 200)
            case _ if not folder.exists():
                self.answer({"error": "Bucket not found"}, 404)
            case "DELETE", []:
                shutil.rmtree(folder)
                self.answer({})
            case _, []:
                about = {"id": name, "private": True, "createdAt": "2026-01-01T00:00:00.000Z"}
                self.answer({**about, "size": 0, "totalFiles": 0})
            case _, ["tree"]:
                found = [path for path in folder.rglob("*") if path.is_file()]
                self.answer([_listed(path, folder, "0" * 64) for path in found])
            case _, ["batch"]:
                while service.stuck:
                    time.sleep(0.1)
                self.batch(folder)
            case _:
                self.bytes_of(name, parts)

    def bytes_of(self, name: str, parts: list[str]) -> None:
        """What is asked of a bucket before its bytes go or come."""
        service, folder = self.service, self.service.bucket(name)
        match parts:
            case ["paths-info"]:
                self.answer([_listed(folder / one, folder, self.stored(folder / one)) for one in self.asked(folder)])
            case ["resolve", path]:
                (digest,) = (one for one, store in service.stores.items() if store.name.endswith(f"-{path}"))
                route = f"{service.endpoint}/api/buckets/{name}/xet-read-token/{digest}"
                size = str((folder / path).stat().st_size)
                self.answer({}, X_Xet_Hash=digest, X_Xet_Refresh_Route=route, X_Linked_Size=size)
            case ["xet-read-token", digest]:
                self.answer(_opened(service.stores[digest]))
            case _:
                assert parts == ["xet-write-token"]
                service.written.append(service.store())
                self.answer(_opened(service.written[-1]))

    def asked(self, folder: Path) -> list[str]:
        return [one for one in json.loads(self.body())["paths"] if (folder / one).is_file()]

    def stored(self, path: Path) -> str:
        """A file in a store of its own; its hash."""
        service = self.service
        for digest, store in list(service.stores.items()):
            if store.name.endswith(f"-{path.name}"):
                del service.stores[digest]
        empty = service.store()
        store = empty.rename(f"{empty}-{path.name}")
        digest = service.transfer(UP, store, str(path))
        service.stores[digest] = store
        return digest

    def batch(self, folder: Path) -> None:
        """Take files out of the store into which the client has just written them, and others away."""
        service = self.service
        for one in map(json.loads, self.body().splitlines()):
            path = folder / one["path"]
            if one["type"] == "deleteFile":
                path.unlink()
                continue
            copied = service.store()
            shutil.copytree(service.written[-1], copied, dirs_exist_ok=True)  # the client has the other one open
            service.transfer(DOWN, copied, one["xetHash"], str(service.root / "half"))
            (service.root / "half").rename(path)
        self.answer({"success": True, "failed": []})


def _stand_in(sent: Path, program: str) -> None:
    """Put a program in place of the command that is sent."""
    half = sent.with_name("half.tar")
    files = {
        "code/release/cli/__main__.py": program,
        "code/release/cli/__init__.py": "",
        "code/release/__init__.py": "",
    }
    with tarfile.open(sent) as old, tarfile.open(half, "w") as new:
        for entry in old:
            content = old.extractfile(entry)
            if entry.name in files:
                data = files[entry.name].encode()
                entry.size, content = len(data), io.BytesIO(data)
            new.addfile(entry, content)
    half.rename(sent)


def _opened(store: Path) -> Mapping[str, object]:
    return {"casUrl": f"local://{store}", "exp": int(time.time()) + 3600, "accessToken": "of-the-store"}


def _listed(path: Path, folder: Path, digest: str) -> Mapping[str, object]:
    return {"type": "file", "path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "xetHash": digest}


def _dated(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _told(run: Run) -> Mapping[str, object]:
    seconds = (datetime.now(UTC) - run.created).seconds if run.process else None
    return {
        "id": run.id,
        "createdAt": _dated(run.created),
        "owner": {"id": "1", "name": OWNER, "type": "user"},
        "status": {"stage": run.stage, "message": None},
        "durations": {"schedulingSecs": 0, "runningSecs": seconds, "totalSecs": seconds},
        **{
            key: run.spec.get(key) for key in ("dockerImage", "command", "arguments", "environment", "flavor", "labels")
        },
    }


@contextlib.contextmanager
def serve(root: Path, **there: str) -> Iterator[Service]:
    """The service, until the block ends, and its jobs with it."""
    (root / "stores").mkdir(parents=True)
    image = {"PATH": os.environ["PATH"], "HOME": str(root), "OMP_NUM_THREADS": "1", "ADAPTER_RELEASE_CACHE": CACHE}
    service = Service(root=root, there={**image, **there})
    handler = type("Bound", (Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    service.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        for run in service.runs:
            run.kill()
            shutil.rmtree(run.spec["command"][4], ignore_errors=True)
        server.shutdown()
        server.server_close()
