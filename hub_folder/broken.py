"""A repository of somebody else's that is none, or is broken: whoever asks is told so, as of any other request."""

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dulwich.errors import (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    NotGitRepository,
    ObjectMissing,
    PackedRefsException,
    WrongObjectException,
)
from dulwich.object_store import MaxTreeDepthExceeded
from dulwich.pack import PackFileDisappeared, UnresolvedDeltas
from dulwich.refs import SymrefLoop
from dulwich.repo import InvalidWorktreeConfiguration, UnsupportedExtension, UnsupportedVersion

from hub_folder.faults import Refusal

LATEST = 253_402_300_800  # seconds since 1970 of the year 10000
BROKEN = (
    *(FileFormatException, ChecksumMismatch, PackedRefsException, NotGitRepository, MaxTreeDepthExceeded),
    *(UnsupportedVersion, ApplyDeltaError, InvalidWorktreeConfiguration, WrongObjectException, ObjectMissing),
    *(UnsupportedExtension, UnresolvedDeltas, PackFileDisappeared, SymrefLoop),
    *(zlib.error, struct.error, ValueError, LookupError, TypeError, AssertionError, OverflowError),
)
"""What dulwich raises of a repository that is none, or is broken."""


@contextmanager
def readable(name: str) -> Iterator[None]:
    """A block that reads a repository; 422 where that is none, or a broken one, whoever made it."""
    try:
        yield
    except UnicodeEncodeError:
        raise  # of a request
    except BROKEN as error:
        says = f"{name} is no repository that can be read: {type(error).__name__}: {error}"
        raise Refusal(422, f"{says:.300}. `git fsck` in its folder says more.") from None


def settings(path: Path) -> tuple[bool, int]:
    """Whether a repository is private, and when it was made."""
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        said = json.loads((path / "hub.json").read_bytes())
        private, created = said["private"], said["created"]
        if isinstance(private, bool) and type(created) is int and 0 <= created < LATEST:
            return private, created
    says = f'{path.stem}: its hub.json is not {{"created": SECONDS, "private": false}}, or true'
    raise Refusal(422, f"{says}. Write it so, or make the repository anew.")
