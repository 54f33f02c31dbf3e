"""Errors of Python and its libraries that are no bug of ours, as the ``Stop`` that says what to do."""

import errno
import re
import resource

from release.values import extras
from release.values.errors import DataError, PreflightError, Stop, of_the_system, shown

KEPT = "What was finished is kept: run again to go on."
LESS_MEMORY = (
    "Make training.per_device_train_batch_size, generation.batch_size or data.max_length smaller, raise the limit that "
    "holds (container.memory_gib, ulimit -v, a job's own), or use a machine or a card with more memory. "
    f"{KEPT}"
)
_MEMORY = re.compile(
    r"MemoryError|bad_alloc|(?:CUDA|HIP) out of memory|OutOfMemoryError|CUDA error: out of memory|_ALLOC_FAILED"
    r"|[Cc]an't allocate memory|[Cc]annot allocate memory(?! in static TLS)|[Oo]ut of memory|failed to map segment"
    r"|[Cc]an't start new thread|memory allocation of \d+ bytes failed|Unable to allocate|mmap failed|not enough memory"
)
"""What libraries say that were given no memory: Python, C++, PyTorch, CUDA, NumPy, safetensors, the dynamic linker."""


PANIC = "PanicException"
"""What tokenizers and safetensors, written in Rust with PyO3, raise of a panic. It is no ``Exception``, and its class
cannot be imported."""


def speaks_of_memory(text: str) -> str:
    """The words of a library that was given no memory; empty where there are none."""
    found = _MEMORY.search(text)
    return found[0] if found else ""


def of_memory(error: BaseException) -> PreflightError | None:
    """The ``Stop`` for an error that means too little memory, itself or as the reason of another; None for others."""
    one: BaseException | None = error
    while one is not None:
        told = "" if isinstance(one, Stop) else speaks_of_memory(f"{type(one).__name__}: {one}")
        full = isinstance(one, OSError) and one.errno in (errno.ENOMEM, errno.EAGAIN)
        if told or full or (isinstance(one, SystemError) and limited()):  # what CPython has no memory to say
            return PreflightError(f"There was too little memory: {_words(one, told)}. {LESS_MEMORY}")
        one = one.__cause__ or one.__context__
    return None


def need_addresses(least: int, what: str) -> None:
    """``PreflightError`` where a limit of address space (``ulimit -v``) leaves a library less than it works with.

    Some do not fail then: OpenBLAS asks again without an end, and hears no signal.
    """
    if limited() and (limit := resource.getrlimit(resource.RLIMIT_AS)[0]) < least:
        raise PreflightError(
            f"The limit of address space here is {limit // 1024:,} KiB, and {what} needs {least // 1024:,}. Raise it: "
            f"ulimit -v {least // 1024}, or ulimit -v unlimited. {KEPT}"
        )


def limited() -> bool:
    """Whether this process and those that it starts have a limit of address space."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _words(error: BaseException, told: str) -> str:
    """The line of an error's message that speaks of memory; some libraries say much more."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if told in line), told or "".join(lines[:1]))[:300].rstrip(".")


def stop_of(error: BaseException) -> Stop | None:
    """The ``Stop`` for what the system, the installation or the memory does not give; None for our bug."""
    if isinstance(error, Stop):
        return error
    if type(error).__name__ == PANIC:
        return DataError(
            f"A library gave up on a file: {shown(str(error)[:200])}. Most likely a tokenizer.json with a pattern or "
            "a table that it cannot work with. Of your own base: use another commit of it. Of a release of somebody "
            "else's: do not use it, and inform its publisher."
        )
    if isinstance(error, OSError) and (refused := of_the_system(error)):
        return refused
    if isinstance(error, ModuleNotFoundError) and (missing := extras.of_an_import(error)):
        return missing
    return of_memory(error)
