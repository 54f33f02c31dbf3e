"""Room for work on somebody else's files: it ends what asks for more memory than that work can take."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STATM: Final = Path("/proc/self/statm")
"""proc(5): its first number is the address space of this process, in pages."""


@contextlib.contextmanager
def within(more: int) -> Iterator[None]:
    """``MemoryError`` in the block when this process asks for so many bytes more than it has.

    Only what the block's own thread does should run meanwhile: the limit is the whole process's. Where the system does
    not tell its size (not Linux), the block runs without one.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        most = int(STATM.read_bytes().split()[0]) * resource.getpagesize() + more
    except (OSError, ValueError, IndexError):
        yield
        return
    soonest = min(limit for limit in (before, hard, most) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (soonest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
