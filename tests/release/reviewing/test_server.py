"""The server of a review: who may speak to it, and what it takes."""

import http.client
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.reviewing import answers, opened, server
from release.reviewing.server import Serving
from release.values.errors import ConfigError
from tests.helpers.line import ROOT
from tests.helpers.reviews import quiet, read_by_people, waiting


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return waiting(tmp_path_factory.mktemp("run"))[2]


@pytest.fixture
def serving(run: Path, tmp_path: Path) -> Iterator[Serving]:
    with ExitStack() as stack:
        to_read = stack.enter_context(opened.opened(str(run), Path(), "file:hub", quiet, to=tmp_path / "review.json"))
        yield stack.enter_context(server.served(to_read))


def ask(
    serving: Serving, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=10)
    own = {"Host": f"127.0.0.1:{serving.port}", **(headers or {})}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in own.items():
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def post(serving: Serving, what: str, sent: object, **headers: str) -> tuple[int, Any]:
    own = {
        "Origin": serving.origin,
        "Content-Type": "application/json",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    status, _, body = ask(serving, "POST", f"/{serving.token}/{what}", json.dumps(sent).encode(), own)
    return status, json.loads(body) if body.startswith(b"{") else body


def test_the_page_is_there_and_nothing_runs_in_it_but_its_program(serving: Serving) -> None:
    status, headers, body = ask(serving, "GET", f"/{serving.token}/")

    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in headers if name.startswith("Access-Control")]
    assert serving.token.encode() not in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin_or_host_is_refused(serving: Serving, headers: dict[str, str], method: str) -> None:
    kind = {"Content-Type": "application/json", "Origin": serving.origin}
    status, given, body = ask(
        serving, method, f"/{serving.token}/{'people' if method == 'POST' else ''}", b"{}", {**kind, **headers}
    )

    assert status == 403
    assert b"rows" not in body
    assert not [name for name in given if name.startswith("Access-Control")]


def test_without_an_origin_nothing_is_said_and_without_the_token_nothing_shown(serving: Serving) -> None:
    kind = {"Content-Type": "application/json"}
    assert ask(serving, "POST", f"/{serving.token}/people", b"{}", kind)[0] == 403
    for path in ("/", "//", f"/{serving.token}", f"/{serving.token[:-1]}x/", "/%00/", f"/x/{serving.token}/", "*"):
        assert ask(serving, "GET", path)[0] == 403
    assert ask(serving, "GET", f"/{serving.token}/review.json")[0] == 404
    assert ask(serving, "GET", f"/{serving.token}/../../etc/passwd")[0] == 404
    assert ask(serving, "OPTIONS", f"/{serving.token}/people")[0] == 501


@pytest.mark.parametrize(
    ("what", "sent", "status"),
    [
        ("say", {}, 400),
        ("say", {"name": "Ada", "id": "another", "answers": [], "notes": ""}, 400),
        ("say", {"name": 1}, 400),
        ("say", {"name": "Ada", "answers": [{"says": "pass"}], "notes": ""}, 400),
        ("finish", {"name": "Ada"}, 400),
        ("settle", {"name": "Ada", "id": "golden-0001", "says": "right"}, 400),
        ("another", {}, 400),
        ("people", [], 400),
        ("people", {"a": "b" * 70_000}, 400),
    ],
)
def test_what_the_page_does_not_send_changes_nothing(serving: Serving, what: str, sent: object, status: int) -> None:
    assert post(serving, what, sent)[0] == status
    assert not serving.to_read.file.exists()


def test_a_form_of_another_page_is_no_json(serving: Serving) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        assert post(serving, "people", {}, Content_Type=kind)[0] == 400


def test_nothing_that_is_shown_tells_whose_answer_is_whose(serving: Serving) -> None:
    asked = serving.to_read.asked
    _, told = post(serving, "begin", {"name": "Ada"})
    firsts = [row["answers"][0]["text"] == asked.this[row["id"]] for row in told["rows"]]

    assert 3 < sum(firsts) < 17
    text = json.dumps(told)
    assert not [word for word in ("this", "other", "base", "seed", asked.bound.seed) if f'"{word}"' in text]


def test_each_word_is_in_the_file_at_once_and_stands_once(serving: Serving) -> None:
    row = serving.to_read.asked.rows[0]
    half = [{"says": "right", "reason": ""}, {"says": None, "reason": ""}]
    for notes in ("one", "two"):
        assert post(serving, "say", {"name": " Ada ", "id": row, "answers": half, "notes": notes}) == (200, {"done": 0})
    (who,) = answers.read(serving.to_read).reviewers

    assert (who.name, [one.notes for one in who.rows]) == ("Ada", ["two"])
    whole = [{"says": "right", "reason": ""}, {"says": "wrong", "reason": "wrong fact"}]
    assert post(serving, "say", {"name": "Ada", "id": row, "answers": whole, "notes": ""}) == (200, {"done": 1})


def test_who_knows_whose_answers_they_are_changes_no_word(serving: Serving) -> None:
    rows = serving.to_read.asked.rows
    whole = [{"says": "right", "reason": ""}] * 2
    for row in rows:
        assert post(serving, "finish", {"name": "Ada"})[0] == 400
        post(serving, "say", {"name": "Ada", "id": row, "answers": whole, "notes": ""})
    assert post(serving, "finish", {"name": "Ada"})[0] == 200

    status, told = post(serving, "say", {"name": "Ada", "id": rows[0], "answers": whole, "notes": ""})
    assert (status, "is finished" in told["error"]) == (400, True)


def test_the_command_serves_until_the_page_says_so(run: Path, tmp_path: Path) -> None:
    typed = [sys.executable, "-m", "release.cli", "review", str(run), "--no-browser", "--to", "review.json"]
    environment = {**os.environ, "CI": "true", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(typed, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as command:
        assert command.stderr is not None
        address = next(line.split()[-1] for line in command.stderr if "http://" in line)
        origin, _, token = address.rstrip("/").rpartition("/")
        asked = urllib.request.Request(f"{address}close", b"{}", {"Origin": origin, "Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200
        said = command.stderr.read()

    assert command.returncode == 0
    assert "Nobody said anything" in said
    assert token not in said


@pytest.mark.parametrize("name", ["nowhere/review.json", "a file/review.json"])
def test_a_file_that_cannot_be_written_is_told_at_once(serving: Serving, name: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()

    with (
        pytest.raises(ConfigError, match="is no folder of yours"),
        server.served(replace(serving.to_read, file=tmp_path / name)),
    ):
        pass


def test_a_file_of_another_review_is_left_as_it_is(serving: Serving, tmp_path: Path) -> None:
    other = waiting(tmp_path / "other", gates={"human_review": {"target": 0.9, "floor": 0.5}})[2]
    content = read_by_people(other).read_bytes()
    serving.to_read.file.write_bytes(content)

    with pytest.raises(ConfigError, match="is a review of other answers"), server.served(serving.to_read):
        pass
    status, told = post(serving, "begin", {"name": "Ada"})
    assert (status, "is a review of other answers" in told["error"]) == (409, True)
    assert serving.to_read.file.read_bytes() == content
