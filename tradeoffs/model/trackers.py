"""Trackers of training through accelerate: they write files beside the job's log, and send nothing anywhere."""

from collections.abc import Callable
from pathlib import Path

from accelerate.tracking import GeneralTracker, TensorBoardTracker

from tradeoffs.packages import check_tracker


def tracker_of(name: str | None, folder: Path) -> Callable[[int], GeneralTracker] | None:
    """What starts a tracker after a step, which writes into `folder`/`name`; None without one.

    Values after the step, of a run that was stopped and goes on from there, are no longer shown.
    Raises InputError if the tracker's Python package is missing.
    """
    if name is None:
        return None
    check_tracker(name)

    def start(step: int) -> GeneralTracker:
        tracker = TensorBoardTracker(name, folder, purge_step=step + 1)
        tracker.start()
        return tracker

    return start
