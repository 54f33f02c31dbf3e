"""Bytes in and out of the embedded Hub: commits, large files, downloads."""

import base64
import binascii
import hmac
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hub_folder.card_check import read_card
from hub_folder.faults import Refusal
from hub_folder.protocol import Call, Hub, announced_size, field, json_answer, read_json, web_path
from hub_folder.repository import LARGEST_REGULAR, Change, Pointer, Put, PutLarge, Remove, marked_large

BLOCK = 256 * 1024
"""Bytes read at a time for a download."""


def preupload(call: Call) -> Response:
    """For each file to come: by LFS or in the commit, and which content the Hub has under its name."""
    with call.writable() as repository:
        commit = repository.commit_at(call.segment("revision"))
        attributes = repository.git.get_gitattributes(commit.tree)
        answer = []
        for file in field(call.json(), "files", list):
            path, sample = field(file, "path", str), _from_base64(field(file, "sample", str, ""))
            too_much_for_git = field(file, "size", int) > LARGEST_REGULAR or b"\0" in sample
            large = too_much_for_git or marked_large(attributes, path)
            there = repository.entry(commit, path)
            answer.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": there.content_id if there and not there.is_folder else None,
                }
            )
    return json_answer({"files": answer})


def commit(call: Call) -> Response:
    """All changes of an NDJSON body, or none; on the branch, or as a pull request over it."""
    as_pull_request = call.request.query_params.get("create_pr", "0").lower() not in ("0", "false")
    with call.writable() as repository:
        header, changes = _read_commit(call.body)
        for change in changes:
            if isinstance(change, Put) and change.path == "README.md":
                _, errors = read_card(change.content.decode("utf-8", "replace"))
                if errors:
                    raise Refusal(400, f"README.md is refused: {'; '.join(errors)}")
        title, text = field(header, "summary", str), field(header, "description", str, "")
        message = f"{title}\n\n{text}" if text else title
        parent = field(header, "parentCommit", str, "")
        web = f"{call.hub.endpoint}{web_path(repository.kind, repository.name)}"
        more = {}
        if as_pull_request:
            number, commit = repository.propose(call.segment("revision"), changes, message)
            more = {"pullRequestUrl": f"{web}/discussions/{number}"}
        else:
            commit = repository.commit(call.segment("revision"), changes, message, parent)
    url = f"{web}/commit/{commit}"
    return json_answer({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": "", **more})


def _read_commit(body: bytes) -> tuple[dict[str, Any], list[Change]]:
    """The header line and the changes of an NDJSON commit."""
    headers: list[dict[str, Any]] = []
    changes: list[Change] = []
    for line in filter(None, body.split(b"\n")):
        match read_json(line, "A line of the commit"):
            case {"key": "header", "value": dict(value)}:
                headers.append(value)
            case {"key": "file", "value": {"path": str(path), "content": str(content)} as value}:
                encoded = field(value, "encoding", str, "utf-8") == "base64"
                changes.append(Put(path=path, content=_from_base64(content) if encoded else content.encode()))
            case {"key": "lfsFile", "value": {"path": str(path), "algo": "sha256", "oid": str(oid)} as value}:
                size = field(value, "size", int) if "size" in value else None
                changes.append(PutLarge(path=path, sha256=oid, size=size))
            case {"key": "deletedFile" | "deletedFolder", "value": {"path": str(path)}}:
                changes.append(Remove(path=path))
            case _:
                raise Refusal(400, f"This Hub does not know this line of the commit: {line[:100]!r}")
    if len(headers) != 1:
        raise Refusal(400, f"A commit has one header line; this one has {len(headers)}.")
    return headers[0], changes


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # the second for text that is not ASCII
        raise Refusal(400, f"Content is not base64: {error}") from None


def lfs_batch(call: Call) -> Response:
    """Where to put each large file that is not there yet."""
    if call.json().get("operation") != "upload":
        raise Refusal(400, "This Hub takes uploads by LFS; download through /resolve/, or clone the folder.")
    with call.writable() as repository:
        answer = []
        for item in field(call.json(), "objects", list):
            pointer = Pointer(sha256=field(item, "oid", str), size=field(item, "size", int))
            answer.append({"oid": pointer.sha256, "size": pointer.size})
            if not repository.large_file(pointer.sha256).is_file():
                href = call.hub.upload_url(repository, pointer)
                answer[-1]["actions"] = {"upload": {"href": href, "header": {}}}
    return json_answer({"transfer": "basic", "objects": answer})


def upload_endpoint(hub: Hub) -> Callable[[Request], Awaitable[Response]]:
    """Takes a large file as it arrives; its URL was signed by `lfs_batch`."""

    async def endpoint(request: Request) -> Response:
        return await _upload(hub, request)

    return endpoint


async def _upload(hub: Hub, request: Request) -> Response:
    call = Call(hub=hub, request=request, body=b"", trusted=True)
    pointer = _signed_pointer(call)
    if announced_size(request) > pointer.size:
        raise Refusal(400, f"The upload is longer than the {pointer.size} bytes announced. Upload it again.")
    with call.writable() as repository, hub.store.upload(pointer) as upload:
        problem: Refusal | OSError | None = None
        left = pointer.size
        async for block in request.stream():
            # After a failure the rest is read and dropped: a client that is still sending would not hear the answer.
            left -= len(block)
            if problem and left < 0:
                break
            try:
                if problem is None:
                    upload.write(block)
            except (Refusal, OSError) as failure:
                problem = failure
            hub.store.reached("lfs.mid")
        if problem:
            raise problem
        await run_in_threadpool(hub.store.keep, upload, repository)
    hub.store.reached("lfs.after")
    return json_answer({})


def _signed_pointer(call: Call) -> Pointer:
    query = call.request.query_params
    size, expires = query.get("size", ""), query.get("expires", "")
    if not all(re.fullmatch("[0-9]{1,18}", number) for number in (size, expires)):
        raise Refusal(403, "This upload URL is not one of this Hub's.")
    pointer = Pointer(sha256=call.segment("oid"), size=int(size))
    expected = call.hub.signature(call.kind, call.name, pointer, int(expires))
    if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode()) or int(expires) < time.monotonic():
        raise Refusal(403, "This upload URL is not valid, or no longer. Start the upload again.")
    return pointer


def resolve(call: Call) -> Response:
    """The bytes of a file at a revision."""
    with call.readable() as repository:
        commit = repository.commit_at(call.segment("revision"))
        path, sha = call.segment("path"), commit.id.decode()
        entry = repository.entry(commit, path)
        if entry is None or entry.is_folder:
            raise Refusal(404, f"There is no file {path!r} at {sha}.", "EntryNotFound", sha)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{entry.content_id}"', "Accept-Ranges": "bytes"}
        if entry.pointer:
            headers |= {"X-Linked-Etag": f'"{entry.content_id}"', "X-Linked-Size": str(entry.size)}
            stored = repository.large_file(entry.pointer.sha256)
            if not stored.is_file():
                raise Refusal(404, f"The large file {path!r} at {sha} is not in this Hub.", "EntryNotFound", sha)
            content: Path | bytes = stored
        else:
            content = repository.read(entry.oid)
            if len(content) != entry.size:
                raise ValueError(f"{path} has {len(content):,} bytes, and git says of it that it has {entry.size:,}")
    return _content(call, content, entry.size, headers)


def _content(call: Call, content: Path | bytes, size: int, headers: dict[str, str]) -> Response:
    """A file or the part of it that was asked for; to HEAD, what a GET would say."""
    asked = _range(call.request.headers.get("range", ""), size)
    if asked is None:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, stop = asked
    headers["Content-Length"] = str(stop - start)
    partial = stop - start < size
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status, media_type = (206 if partial else 200), "application/octet-stream"
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_blocks(call, content, start, stop), status, headers, media_type)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Start and stop of the bytes a Range header asks for; None where there are none. Several ranges get everything."""
    found = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", header)
    if found is None or found[0] == "bytes=-":
        return 0, size
    if not found[1]:
        start, stop = max(0, size - int(found[2])), size
    else:
        start, stop = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
    return (start, stop) if start < stop else None


def _blocks(call: Call, content: Path | bytes, start: int, stop: int) -> Iterator[bytes]:
    while start < stop and (block := _block(content, start, min(BLOCK, stop - start))):
        yield block
        start += len(block)
        call.hub.store.reached("download.mid")


def _block(content: Path | bytes, start: int, size: int) -> bytes:
    """A part of a file, which is not held open: a client may go away between two of them."""
    if isinstance(content, bytes):
        return content[start : start + size]
    with content.open("rb") as file:
        file.seek(start)
        return file.read(size)
