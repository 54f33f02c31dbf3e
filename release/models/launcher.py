"""A stage in several processes of this machine, started by torchrun's agent: one that dies takes the others along."""

import os
import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

GRACE = 20
"""Seconds for the others to end in; then they are killed."""


def launch(processes: int, module: str, arguments: list[str]) -> int:
    """Run ``python -m module arguments`` in so many processes; the exit status of the one that ended first."""
    if sys.platform == "linux":  # they speak over the loopback, which a container without a network has too
        os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        shutdown_timeout=GRACE,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", module, *arguments)
    except ChildFailedError as error:
        code: int = error.get_first_failure()[1].exitcode
        return 128 - code if code < 0 else code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
