"""The embedded Hub's server: a Hub's protocol on loopback, over a folder, for as long as a ``with`` block lasts."""

import asyncio
import os
import secrets
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from hub_folder.connections import IDLE_SECONDS, BoundedProtocol, comes_from_a_page, paced
from hub_folder.faults import Unusable
from hub_folder.first_look import SMALL, file_alone
from hub_folder.protocol import Hub, json_answer
from hub_folder.routes import router
from hub_folder.store import open_store

LOOPBACK = "127.0.0.1"
FAULTS = (
    "create_repo.before_meta",
    "lfs.mid",
    "lfs.after",
    "commit.before_ref",
    "commit.after_ref",
    "tag.before_ref",
    "tag.after_ref",
    "download.mid",
)
"""Where a test can make the server drop the connection."""
STOP_SECONDS = 5


class Dropped(Exception):
    """A fault that a test named: the connection ends here, without an answer."""


@contextmanager
def serve(root: Path, *, token: str, port: int = 0, faults: Mapping[str, int] | None = None) -> Iterator[str]:
    """The Hub in ``root``, as ``http://127.0.0.1:PORT``, until the block ends.

    ``token`` may do everything; without it public repositories can be read. ``faults`` names points of ``FAULTS`` and
    how many times the connection is dropped there.
    """
    with open_store(root, _fault_points(faults or {})) as store, _listener(port) as listener:
        endpoint = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        hub = Hub(store=store, endpoint=endpoint, token=token, signing_key=secrets.token_bytes(32))
        config = uvicorn.Config(
            app="",
            interface="asgi3",
            http=BoundedProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        server = uvicorn.Server(config)
        config.app = _application(router(hub), server)
        thread = threading.Thread(target=server.run, args=([listener],), name="hub", daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise Unusable(f"The Hub in {root} did not start; the lines above say why.")
                time.sleep(0.01)
            yield endpoint
        finally:
            server.should_exit = True
            thread.join()


def read_or_create_token(root: Path) -> str:
    """The token of the Hub in ``root``: read from ``root/token``, or made and put there for its owner only."""
    path = root / "token"
    root.mkdir(parents=True, exist_ok=True)
    file_alone(path, SMALL)
    if not path.exists():
        unfinished = root / f".token.{secrets.token_hex(8)}"
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(f"hf_{secrets.token_hex(17)}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)  # unlike a rename, it never replaces the token another process has just made
        unfinished.unlink()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Unusable(
            f"{path} can be read by others, and whoever reads it may write to this Hub. Run: chmod 600 {path}"
        )
    token = path.read_text("ascii").strip()
    if not token:
        raise Unusable(f"{path} is empty, so this Hub cannot be used. Delete it; the next run creates a new one.")
    return token


def _fault_points(faults: Mapping[str, int]) -> Callable[[str], None]:
    unknown = faults.keys() - set(FAULTS)
    if unknown:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))} (there are {', '.join(FAULTS)})")
    left, lock = dict(faults), threading.Lock()

    def reached(point: str) -> None:
        with lock:
            left[point] = left.get(point, 0) - 1
            if left[point] >= 0:
                raise Dropped(point)

    return reached


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            raise Unusable(f"Port {port} cannot be used: {error}. Name another port, or 0 for any free one.") from error
        yield listener


def _application(routes: ASGIApp, server: uvicorn.Server) -> ASGIApp:
    # A web page that resolves its own name to 127.0.0.1 is not let in.
    no_pages = json_answer({"error": "A web page sent this, and this Hub answers programs only."}, status=403)
    guarded = TrustedHostMiddleware(routes, allowed_hosts=[LOOPBACK, "localhost"])

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # Revisions and paths are single segments with encoded slashes, so routes must see the path undecoded.
        raw = {**scope, "path": scope["raw_path"].decode("ascii")}
        connection = next((one for one in _connections(server) if one.client == scope["client"]), None)
        if connection is None:
            return  # it ended meanwhile
        answer = no_pages if comes_from_a_page(scope) else guarded
        try:
            await answer(raw, *paced(connection, receive, send))
        except ClientDisconnect:
            pass
        except Dropped:
            connection.transport.abort()
            await asyncio.sleep(0)  # the loop tells uvicorn, which else would answer 500

    return application


def _connections(server: uvicorn.Server) -> list[BoundedProtocol]:
    return [one for one in server.server_state.connections if isinstance(one, BoundedProtocol)]
