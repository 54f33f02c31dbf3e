"""Whoever asks for more memory than the work can take is told so, and the limit of before is there again."""

import resource

import pytest

from release.values import room

pytestmark = pytest.mark.apart

MIB = 1 << 20


def test_what_fits_is_given_and_more_is_not() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)

    with room.within(512 * MIB):
        assert len(bytes(64 * MIB)) == 64 * MIB
        with pytest.raises(MemoryError):
            bytes(600 * MIB)

    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytes(600 * MIB)) == 600 * MIB


def test_a_limit_that_is_lower_stays() -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(room.STATM.read_bytes().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 64 * MIB, hard))
    try:
        with room.within(1024 * MIB), pytest.raises(MemoryError):
            bytes(256 * MIB)
        assert resource.getrlimit(resource.RLIMIT_AS)[0] == size + 64 * MIB
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def test_one_room_within_another_is_the_smaller_of_both() -> None:
    with room.within(256 * MIB):
        with room.within(2048 * MIB), pytest.raises(MemoryError):
            bytes(512 * MIB)
        with pytest.raises(MemoryError):
            bytes(512 * MIB)
