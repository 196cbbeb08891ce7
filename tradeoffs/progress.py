"""How far a job is: a bar where it has the terminal for itself, else a line with the job's name now and then."""

import logging
import os

from tqdm import tqdm

logger = logging.getLogger("tradeoffs")

PAUSE = 30  # seconds between two lines


def alone() -> bool:
    """Whether a job has the terminal for itself: the Snakefile turns progress bars off where others run beside it."""
    return os.environ.get("TQDM_DISABLE", "0") == "0"


class Progress(tqdm):
    """tqdm's bar, or on a terminal that several jobs share a line of the log every PAUSE seconds."""

    def __init__(self, *args, **kwargs):
        if not alone():
            line = "{desc}: {n_fmt} of {total_fmt} {unit}, {remaining} left{postfix}"
            kwargs |= {"disable": False, "file": open(os.devnull, "w"), "mininterval": PAUSE, "bar_format": line}  # noqa: SIM115
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draws the bar, or logs the line once the work has lasted PAUSE seconds."""
        if alone():
            super().display(msg, pos)
        elif self.format_dict["elapsed"] >= PAUSE:
            logger.info("%s", self)
