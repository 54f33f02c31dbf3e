"""The streams of a command: whoever writes to them, and in whatever pieces."""

import contextlib
import io
import re
import sys

import pytest

from release.cli import terminal
from tests.helpers.line import ROOT


def written(*pieces: str) -> str:
    with contextlib.redirect_stderr(io.StringIO()) as stream, terminal.neutral():
        for piece in pieces:
            sys.stderr.write(piece)
            sys.stderr.flush()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (("a line\n",), "a line\n"),
        (("a ", "line\n", "another"), "a line\nanother\n"),
        (("::", "error::x\n"), ": :error::x\n"),
        ((" :", ":error::x\n"), " : :error::x\n"),
        (("#", "#", "[error]x\n"), "# #[error]x\n"),
        (("\x1b", "[2J\n"), "\ufffd[2J\n"),
        (("12::30 \xb7 caf\xe9\n",), "12::30 \xb7 caf\xe9\n"),
    ],
)
def test_a_command_in_pieces_is_taken_apart_too(pieces: tuple[str, ...], shown: str) -> None:
    assert written(*pieces) == shown


def test_a_bug_ends_with_1_and_its_traceback_which_acts_on_nobody() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as stream, pytest.raises(SystemExit) as ended, terminal.neutral():
        raise ZeroDivisionError("\n::error::\x1b[2J")

    assert ended.value.code == 1
    assert "Traceback" in stream.getvalue()
    assert stream.getvalue().endswith("\n: :error::\ufffd[2J\n")


def test_only_this_wing_writes_and_nothing_of_it_goes_around_the_streams() -> None:
    """In release/ nobody prints; what writes to a stream by itself is a stage, whose streams are a log and a pipe."""
    writes = re.compile(r"\bprint\(|sys\.(__)?std(out|err)|os\.write")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "release").rglob("*.py"))
        if writes.search(path.read_text("utf-8"))
    ]
    stages = (
        "release/checking/token_places.py",
        "release/running/child.py",
        "release/running/fence.py",
        "release/running/look.py",
        "release/running/tied.py",
        "release/models/",
        "release/publishing/snippet",
        "release/hub/",
        "release/remote/there.py",
        "release/remote/hub_there.py",
        "release/remote/mounted.py",
    )
    others = [name for name in found if not name.startswith(("release/cli/", *stages))]

    assert others == ["release/checking/recorded_commit.py"]  # passes on what the recorded commit's program says
