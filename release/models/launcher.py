"""A stage in several processes of this machine, started by torchrun's agent: one that dies takes the others along."""

import os
import sys
import tempfile
from collections.abc import Iterable

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from release.running import launched
from release.values.errors import BY_EXIT_CODE

GRACE = 20
"""Seconds for the others to end in; then they are killed."""
ENDED = 128
"""Exit statuses from here on tell a signal."""


def launch(processes: int, module: str, arguments: list[str]) -> int:
    """Run ``python -m module arguments`` in so many processes; the exit status of the one that ended the others."""
    if sys.platform == "linux":  # they speak over the loopback, which a container without a network has too
        os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    os.environ[launched.LAUNCHED_BY] = str(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            # They meet in a file: the agent unpickles what it finds there, and a port is open to the whole network.
            rdzv_backend="c10d",
            rdzv_endpoint=os.path.join(folder, "store"),  # noqa: PTH118  a text is asked for
            rdzv_configs={"store_type": "file"},
            local_addr="127.0.0.1",
            max_restarts=0,
            shutdown_timeout=GRACE,
            logs_specs=DefaultLogsSpecs(log_dir=os.path.join(folder, "logs")),  # noqa: PTH118
        )
        try:
            elastic_launch(config, sys.executable)("-P", "-m", module, *arguments)
        except ChildFailedError as error:
            return first(one.exitcode for one in error.failures.values())
        except SignalException as error:
            return ENDED + int(error.sigval)
    return 0


def first(codes: Iterable[int]) -> int:
    """Of the exit statuses of processes that ended at about one time that of the cause, as a shell has it.

    One that stopped said why; one that was killed did not end by itself; the others miss it, and end so.
    """
    found = [ENDED - code if code < 0 else code for code in codes]
    stopped = [code for code in found if code in BY_EXIT_CODE]
    killed = [code for code in found if code > ENDED]
    return next(iter([*stopped, *killed, *found]))


if __name__ == "__main__":
    sys.exit(launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
