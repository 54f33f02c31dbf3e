"""What keeps secrets from a process that runs the code of others, though it is the same user's.

``apart`` cuts such a process off from all others: it can read neither their environment nor their memory, of whichever
ancestor. ``hide`` makes this process give away less where the kernel cannot do that.
As a file it is the frame of another program: ``python fence.py PROGRAM ARGUMENTS``.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Collection
from pathlib import Path

# linux/prctl.h, linux/capability.h, linux/landlock.h; the numbers of these system calls are the same on every machine
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 24, 38
_CAPABILITIES_3 = 0x20080522
_READ_OTHERS = (19, 21, 38)  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON: root reads every process with one of them
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH, _REFER = 1, 1, 1 << 13
_OLDEST = 2  # before it a process in a Landlock domain could not move a file to another folder
_ENV_START = 47  # in /proc/PID/stat behind the program's name: fields 50 and 51 of proc(5)
WITHOUT = "note: this kernel has no Landlock, so code of others can read the environment of this user's processes."


def apart() -> str:
    """Cut this process, and all that it starts from now on, off from every other; else why that cannot be done.

    A Landlock domain that leaves every file as it was: what is inside may not trace what is outside of it, and reading
    /proc/PID/environ or memory is tracing. Root could all the same, by capabilities that it gives up here.
    """
    if sys.platform != "linux" or not Path("/proc/self/stat").exists():
        return WITHOUT
    libc = ctypes.CDLL(None, use_errno=True)
    call = _system_call(libc)
    if call(_CREATE_RULESET, None, 0, _VERSION) < _OLDEST:
        return WITHOUT
    _give_up_capabilities(libc)
    handled = ctypes.c_uint64(_REFER)
    rules = call(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        everywhere = struct.pack("=Qi", _REFER, root)
        if rules < 0 or call(_ADD_RULE, rules, _PATH_BENEATH, everywhere, 0) < 0:
            return WITHOUT
        if call(_RESTRICT_SELF, rules, 0) < 0:
            libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # what the kernel asks of everyone but root
            if call(_RESTRICT_SELF, rules, 0) < 0:
                return WITHOUT
    finally:
        os.close(root)
        if rules >= 0:
            os.close(rules)
    return ""


def hide(kept: Collection[str]) -> None:
    """Take every variable but ``kept`` out of what /proc shows of this process, which goes on having them.

    The kernel then lets nobody but root read this process at all.
    """
    if sys.platform != "linux":
        return
    secret = [name for name in os.environ if name not in kept]
    for name in secret:
        os.environ[name] = os.environ[name]  # a copy elsewhere, which programs that are started here inherit
    stat = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = (int(number) for number in stat[_ENV_START : _ENV_START + 2])
    at = start
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        if os.fsdecode(entry.partition(b"=")[0]) not in kept:
            ctypes.memset(at, 0, len(entry))
        at += len(entry) + 1
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _system_call(libc: ctypes.CDLL) -> Callable[..., int]:
    def call(number: int, *arguments: object) -> int:
        whole = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
        return int(libc.syscall(ctypes.c_long(number), *whole))

    return call


def _give_up_capabilities(libc: ctypes.CDLL) -> None:
    """Those with which root reads other processes, now and in every program that is started from here."""
    header = struct.pack("=Ii", _CAPABILITIES_3, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same of the numbers from 32 on
    if libc.capget(header, words):
        return
    for one in _READ_OTHERS:
        libc.prctl(_PR_CAPBSET_DROP, one, 0, 0, 0)
        for kind in range(3):
            words[one // 32 * 3 + kind] &= ~(1 << one % 32)
    libc.capset(header, words)


if __name__ == "__main__":
    if told := apart():
        sys.stderr.write(f"{told}\n")
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
