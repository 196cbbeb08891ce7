"""One job in several processes, one per GPU, on one node."""

import logging
import sys
from uuid import uuid4

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tradeoffs.errors import Stopped
from tradeoffs.jobs.resuming import STOP_SIGNALS

logger = logging.getLogger("tradeoffs")

PATIENCE = 600  # seconds for the processes to finish their step and write a checkpoint before they are killed


def launch(processes: int) -> None:
    """Runs the script that is running, anew in each of `processes` processes, as `torchrun --standalone` would.

    STOP_SIGNALS are passed on to the processes. If one of them fails, the others are ended and so is this one.
    Raises Stopped after a signal, when all have ended.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=uuid4().hex,
        max_restarts=0,
        signals_to_handle=",".join(number.name for number in STOP_SIGNALS),
        shutdown_timeout=PATIENCE,
    )
    try:
        elastic_launch(config, sys.executable)(sys.argv[0])
    except SignalException as signal:
        raise Stopped(f"stopped by {signal.sigval.name}; run again to continue from the last checkpoint") from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        logger.error("process %d ended with exit code %d; what it said is above", rank, failure.exitcode)
        sys.exit(1)
