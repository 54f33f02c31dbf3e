"""A stage whose disk is full: writing to /dev/full fails as on a full disk."""

from pathlib import Path

from release.running import child
from release.values.events import Say


def stage(_arguments: list[str], _say: Say) -> None:
    Path("/dev/full").write_bytes(b"x" * 10_000_000)


if __name__ == "__main__":
    child.main(stage)
