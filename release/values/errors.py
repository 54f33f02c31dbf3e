"""Every way to stop, each with its exit code.

    Stop
     ├── ConfigError        2   release.yaml or the command line
     ├── DataError          3   a dataset file
     ├── PreflightError     4   something that would have failed later: disk, rights, a busy run folder
     ├── GatesFailed        5   a gate failed, or could not be decided
     ├── HubError           6   the Hub refused, is unreachable, or holds something else under this tag
     ├── VerificationError  7   bytes are not the bytes they should be
     ├── NotReproduced      8   another adapter came out
     └── ReviewNeeded       9   all is well so far, and a person has to say what the answers are worth

A message says what happened (with the value and the file), what it means, and what to do. Anything that is not a
``Stop`` is our bug: it keeps its traceback and exits with 1.
"""

import errno
import json
import re
from collections.abc import Sequence


class Stop(Exception):
    """A reason to stop that the user can act on."""

    exit_code = 1


class ConfigError(Stop):
    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[tuple[str, ...]]]:
        """From another process it comes as it was raised there."""
        return type(self), (self.problems,)


class DataError(Stop):
    exit_code = 3


class PreflightError(Stop):
    exit_code = 4


class GatesFailed(Stop):
    exit_code = 5


class HubError(Stop):
    exit_code = 6


class VerificationError(Stop):
    exit_code = 7


class NotReproduced(Stop):
    exit_code = 8


class ReviewNeeded(Stop):
    exit_code = 9


_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""What the system says of a path that was named: it may not be written, or something else is there."""


def of_the_system(error: OSError) -> PreflightError | None:
    """The ``Stop`` for a full disk, or for a path that cannot be used as it was asked to; None for any other error."""
    if error.errno in _REFUSED and error.filename:
        return PreflightError(
            f"{error.filename} cannot be used: {error.strerror}. What was finished is kept. Give this user access, "
            "move away what is there, or name another path, and run again."
        )
    return disk_full(error)


def disk_full(error: OSError) -> PreflightError | None:
    """The ``Stop`` for an error that means a full disk; None for any other."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return None
    lacks = "A file may not grow so large (ulimit -f)" if error.errno == errno.EFBIG else "No space left on the disk"
    where = f" of {error.filename}" if error.filename else ""
    return PreflightError(f"{lacks}{where}. What was finished is kept. Free some space and run again.")


BY_EXIT_CODE: dict[int, type[Stop]] = {
    kind.exit_code: kind
    for kind in (DataError, PreflightError, GatesFailed, HubError, VerificationError, NotReproduced, ReviewNeeded)
}


def shown(value: object) -> str:
    """A value in a message, as JSON: not too long, and nothing secret in it."""
    text = json.dumps(value, ensure_ascii=False, default=repr, skipkeys=True)
    text = re.sub(r"//[^/@\s]+@", "//***@", re.sub(r"hf_\w{4,}", "hf_***", text))
    return text if len(text) <= 80 else f"{text[:77]}..."
