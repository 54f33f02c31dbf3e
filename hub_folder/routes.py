"""The Hub's API over a store: what huggingface_hub asks about accounts, repositories, refs and files."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from dulwich.objects import Commit
from starlette.responses import Response
from starlette.routing import Route, Router

from hub_folder import transfer
from hub_folder.card_check import read_card
from hub_folder.faults import Refusal
from hub_folder.protocol import Call, Hub, answering_refusals, field, json_answer, route, web_path
from hub_folder.repository import MAIN, Entry, Repository
from hub_folder.store import KINDS

USER = "local"
COMMIT_LIMIT = 256 * 1024 * 1024
"""Bytes of one commit request: its regular files in base64."""

PATHS = 1000
"""How many paths may be asked for at once: each is looked for in the whole history."""


def router(hub: Hub) -> Router:
    """The protocol as an ASGI application; it expects the raw path in ``scope["path"]``."""
    api = "/api/{kind}/{namespace}/{name}"
    routes = [
        _reading(hub, "GET", "/api/whoami-v2", _whoami),
        _reading(hub, "POST", "/api/validate-yaml", _validate_yaml),
        route(hub, "POST", "/api/repos/create", _create),
        route(hub, "DELETE", "/api/repos/delete", _delete),
        _reading(hub, "GET", api, _info),
        _reading(hub, "GET", api + "/revision/{revision}", _info),
        route(hub, "PUT", api + "/settings", _settings),
        _reading(hub, "GET", api + "/auth-check", _auth_check),
        route(hub, "GET", api + "/auth-check/write", _auth_check_write),
        _reading(hub, "GET", api + "/refs", _refs),
        route(hub, "POST", api + "/tag/{revision}", _tag),
        route(hub, "DELETE", api + "/tag/{revision}", _delete_tag),
        route(hub, "POST", api + "/branch/{revision}", _branch),
        route(hub, "DELETE", api + "/branch/{revision}", _delete_branch),
        _reading(hub, "GET", api + "/commits/{revision}", _commits),
        _reading(hub, "GET", api + "/tree/{revision}", _tree),
        _reading(hub, "GET", api + "/tree/{revision}/{path:path}", _tree),
        _reading(hub, "POST", api + "/paths-info/{revision}", _paths_info),
        route(hub, "POST", api + "/preupload/{revision}", transfer.preupload),
        route(hub, "POST", api + "/commit/{revision}", transfer.commit, limit=COMMIT_LIMIT),
    ]
    upload = answering_refusals(transfer.upload_endpoint(hub))
    for web in ("/datasets/{namespace}/{name}", "/{namespace}/{name}"):
        routes += [
            _reading(hub, "GET", web + "/resolve/{revision}/{path:path}", transfer.resolve),
            route(hub, "POST", web + ".git/info/lfs/objects/batch", transfer.lfs_batch),
            Route(web + ".git/lfs/{oid}", upload, methods=["PUT"]),
        ]
    return Router(routes)


def _reading(hub: Hub, method: str, path: str, answer: Callable[[Call], Response]) -> Route:
    """A route that changes nothing: without the token it sees what is public."""
    return route(hub, method, path, answer, anonymous=True)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _whoami(call: Call) -> Response:
    if not call.trusted:
        raise Refusal(401, "Invalid username or password.")
    token = {"type": "access_token", "accessToken": {"displayName": "hub", "role": "write"}}
    return json_answer({"type": "user", "id": USER, "name": USER, "fullname": USER, "orgs": [], "auth": token})


def _validate_yaml(call: Call) -> Response:
    data, errors = read_card(field(call.json(), "content", str))
    warnings = [] if data or errors else [{"message": "empty or missing yaml metadata in repo card"}]
    answer = {"errors": [{"message": error} for error in errors], "warnings": warnings}
    return json_answer(answer, status=400 if errors else 200)


def _named(fields: Mapping[str, Any]) -> tuple[str, str]:
    kind = field(fields, "type", str, "model") + "s"
    if kind not in KINDS:
        raise Refusal(400, f"This Hub holds models and datasets, no {kind}.")
    return kind, f"{field(fields, 'organization', str, USER)}/{field(fields, 'name', str)}"


def _is_private(fields: Mapping[str, Any]) -> bool:
    """As today's clients say it (visibility) or older ones (private); public where neither does."""
    visibility = field(fields, "visibility", str, "private" if field(fields, "private", bool, False) else "public")
    if visibility not in ("public", "private"):
        raise Refusal(400, f"visibility is {visibility!r}, but this Hub knows public and private.")
    return visibility == "private"


def _create(call: Call) -> Response:
    call.must_be_trusted()
    kind, name = _named(call.json())
    url = call.hub.endpoint + web_path(kind, name)
    try:
        call.hub.store.create(kind, name, private=_is_private(call.json()))
    except Refusal as refusal:
        if refusal.status != HTTPStatus.CONFLICT:
            raise
        return json_answer({"error": refusal.message, "url": url}, status=refusal.status)
    return json_answer({"url": url, "name": name, "id": name})


def _delete(call: Call) -> Response:
    call.must_be_trusted()
    call.hub.store.delete(*_named(call.json()))
    return json_answer({})


def _settings(call: Call) -> Response:
    with call.writable() as repository:
        unknown = call.json().keys() - {"visibility", "private"}
        if unknown:
            raise Refusal(400, f"This Hub has no setting {', '.join(sorted(unknown))}.")
        private = _is_private(call.json())
        repository.set_private(private=private)
    return json_answer({"visibility": "private" if private else "public"})


def _auth_check(call: Call) -> Response:
    with call.readable():
        return json_answer({})


def _auth_check_write(call: Call) -> Response:
    with call.writable():
        return json_answer({})


def _info(call: Call) -> Response:
    with call.readable() as repository:
        commit = repository.commit_at(call.segment("revision") if "revision" in call.request.path_params else MAIN)
        files = [entry for entry in repository.entries(commit) or [] if not entry.is_folder]
        readme = next((file for file in files if file.path == "README.md"), None)
        card, _ = read_card(repository.read(readme.oid).decode("utf-8", "replace")) if readme else ({}, [])
        with_blobs = call.request.query_params.get("blobs", "").lower() == "true"
        answer = {
            "_id": repository.name,
            "id": repository.name,
            "author": repository.name.partition("/")[0],
            "sha": commit.id.decode(),
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "createdAt": _date(repository.created),
            "lastModified": _date(commit.commit_time),
            "tags": card.get("tags") or [],
            "library_name": card.get("library_name"),
            "pipeline_tag": card.get("pipeline_tag"),
            "cardData": card or None,
            "siblings": [_sibling(file, with_blobs=with_blobs) for file in files],
        }
    return json_answer(answer)


def _sibling(file: Entry, *, with_blobs: bool) -> dict[str, Any]:
    if not with_blobs:
        return {"rfilename": file.path}
    blob = {"rfilename": file.path, "size": file.size, "blobId": file.oid}
    if file.pointer:
        pointer = {"sha256": file.pointer.sha256, "size": file.size, "pointerSize": len(bytes(file.pointer))}
        return {**blob, "lfs": pointer}
    return blob


def _refs(call: Call) -> Response:
    with call.readable() as repository:
        listed = {
            kind: [
                {"name": name, "ref": f"{base}/{name}", "targetCommit": commit}
                for name, commit in repository.refs(base).items()
            ]
            for kind, base in (("branches", "refs/heads"), ("tags", "refs/tags"), ("pullRequests", "refs/pr"))
        }
    return json_answer({**listed, "converts": []})


def _tag(call: Call) -> Response:
    with call.writable() as repository:
        fields = call.json()
        repository.tag(field(fields, "tag", str), call.segment("revision"), field(fields, "message", str, ""))
    return json_answer({})


def _delete_tag(call: Call) -> Response:
    with call.writable() as repository:
        repository.delete_ref("refs/tags/", call.segment("revision"))
    return json_answer({})


def _branch(call: Call) -> Response:
    with call.writable() as repository:
        fields = call.json() if call.body else {}
        repository.branch(call.segment("revision"), field(fields, "startingPoint", str, MAIN))
    return json_answer({})


def _delete_branch(call: Call) -> Response:
    with call.writable() as repository:
        repository.delete_ref("refs/heads/", call.segment("revision"))
    return json_answer({})


def _commits(call: Call) -> Response:
    with call.readable() as repository:
        listed = []
        for commit in repository.history(repository.commit_at(call.segment("revision"))):
            title, _, message = commit.message.decode("utf-8", "replace").partition("\n")
            text = {"title": title, "message": message.strip()}
            authors = [{"user": USER}]
            listed.append({"id": commit.id.decode(), **text, "authors": authors, "date": _date(commit.commit_time)})
            if "formatted" in call.request.query_params.getlist("expand[]"):
                listed[-1]["formatted"] = text
    return json_answer(listed)


def _tree(call: Call) -> Response:
    query = call.request.query_params
    with call.readable() as repository:
        commit = repository.commit_at(call.segment("revision"))
        folder = call.segment("path").strip("/") if "path" in call.request.path_params else ""
        found = repository.entries(commit, folder)
        if found is None:
            raise Refusal(404, f"There is no folder {folder!r} at {commit.id.decode()}.", "EntryNotFound")
        if query.get("recursive", "").lower() != "true":
            below = f"{folder}/" if folder else ""
            found = [entry for entry in found if "/" not in entry.path.removeprefix(below)]
        expand = query.get("expand", "").lower() == "true"
        return json_answer([_listed(repository, commit, entry, expand=expand) for entry in found])


def _paths_info(call: Call) -> Response:
    if call.request.headers.get("content-type", "").startswith("application/json"):
        paths, expand = field(call.json(), "paths", list, []), bool(call.json().get("expand"))
    else:
        form = parse_qs(call.body.decode("utf-8", "replace"))
        paths, expand = form.get("paths", []), form.get("expand", [""])[0].lower() == "true"
    if len(paths) > PATHS:
        raise Refusal(400, f"{len(paths)} paths are asked for; {PATHS} may be at once.")
    with call.readable() as repository:
        commit = repository.commit_at(call.segment("revision"))
        found = [repository.entry(commit, str(path).strip("/")) for path in paths]
        return json_answer([_listed(repository, commit, entry, expand=expand) for entry in found if entry])


def _listed(repository: Repository, commit: Commit, entry: Entry, *, expand: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "directory" if entry.is_folder else "file", "oid": entry.oid, "path": entry.path}
    if not entry.is_folder:
        item["size"] = entry.size
    if entry.pointer:
        item["lfs"] = {"oid": entry.pointer.sha256, "size": entry.size, "pointerSize": len(bytes(entry.pointer))}
    if expand:
        last = next(repository.history(commit, entry.path))
        title = last.message.decode("utf-8", "replace").partition("\n")[0]
        item["lastCommit"] = {"id": last.id.decode(), "title": title, "date": _date(last.commit_time)}
    return item
