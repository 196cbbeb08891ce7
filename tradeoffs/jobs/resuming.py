"""What lets a fine-tuning that was stopped anywhere go on exactly: whole checkpoints, one writer, noted signals."""

import json
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from tradeoffs.errors import Stopped
from tradeoffs.files import atomic_path, remove_leftovers, sha256

logger = logging.getLogger("tradeoffs")

# Ctrl-C; scancel, preemption and torchrun; the warning before a time limit (sbatch --signal)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
KEPT = 2  # checkpoints: should the last one not be readable, there is the one before


@contextmanager
def noted_signals() -> Iterator[list[str]]:
    """Names of the STOP_SIGNALS that arrive during the block, which do not end the process then."""
    received: list[str] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(signal.Signals(number).name))
        for number in STOP_SIGNALS
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class RunFolder:
    """The folder of one fine-tuning while it lasts: its last checkpoints, its milestones, and who may write there.

    `step<n>/` holds the files of `state` and `about.json` (their digest, the run's identity, the trainer's progress).
    `owner.json` names the process that claimed the folder last. When a head process is killed and started again while
    its job lives on, two processes make the same output: the newer one owns it, and the older one stops at `check`,
    which it calls at every step and before every file appears. What it wrote until then is whole, and the newer one
    continues from it.
    """

    def __init__(self, folder: str | Path, identity: str):
        """identity: digest of all that goes into the run; checkpoints of another identity are not continued"""
        self.folder, self.identity = Path(folder), identity
        self.milestones = self.folder / "milestones"
        self.owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "started": datetime.now().isoformat(timespec="seconds"),
            "token": uuid4().hex,
        }

    def claim(self) -> None:
        """Makes this process the folder's owner, and removes what a killed one left half-written."""
        with atomic_path(self._owner_file) as temporary:
            temporary.write_text(json.dumps(self.owner, indent=2))
        for unfinished in self.folder.rglob(".step*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        remove_leftovers(self.folder)

    def lost(self) -> str | None:
        """Why this process may not write here: another one claimed the folder, or has finished; None if it may."""
        try:
            owner = json.loads(self._owner_file.read_text())
        except FileNotFoundError:
            return f"{self.folder} is gone: another process has finished this fine-tuning, so this one stops"
        if owner == self.owner:
            return None
        return (
            f"{self.folder} was taken over by process {owner['pid']} on {owner['host']} (SLURM job "
            f"{owner['slurm_job']}, started {owner['started']}), so this process stops; the other one continues from "
            "the last checkpoint"
        )

    def check(self) -> None:
        """Raises Stopped if this process may no longer write here."""
        lost = self.lost()
        if lost:
            raise Stopped(lost)

    @contextmanager
    def writing(self, path: str | Path) -> Iterator[Path]:
        """As `atomic_path` for a folder, for the owner only: it appears if this process still owns the run by then."""
        try:
            with atomic_path(path) as temporary:
                yield temporary
                _to_disk(temporary)
                self.check()
        except OSError:
            self.check()  # the new owner has removed the unfinished file
            raise

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """State folder and `about` of the newest whole checkpoint of this run; None if there is none.

        Broken ones and those of another configuration are logged and removed, with none left the milestones too.
        """
        for checkpoint in self._newest_first():
            try:
                content = json.loads((checkpoint / "about.json").read_text())
                # without its milestones a run cannot be continued
                milestones = all((self.milestones / name).is_dir() for name in content["milestones"])
                whole = milestones and content["digest"] == sha256(checkpoint / "state")
            except (OSError, ValueError, KeyError):
                whole = False
            if whole and content["identity"] == self.identity:
                return checkpoint / "state", content["about"]
            logger.warning("%s is %s, passed over", checkpoint, "of another configuration" if whole else "broken")
            shutil.rmtree(checkpoint)
        shutil.rmtree(self.milestones, ignore_errors=True)
        return None

    def save(self, step: int, write_state: Callable[[Path], None], about: dict[str, Any]) -> None:
        """Writes a checkpoint; the ones before stay until it is whole on the disk, then the last `KEPT` remain."""
        with self.writing(self.folder / f"step{step:08d}") as checkpoint:
            write_state(checkpoint / "state")
            content = {
                "identity": self.identity,
                "digest": sha256(checkpoint / "state"),
                "milestones": [path.name for path in self.milestones.glob("step*")],
                "about": about,
            }
            (checkpoint / "about.json").write_text(json.dumps(content))
        for older in self._newest_first()[KEPT:]:
            shutil.rmtree(older, ignore_errors=True)

    def finish(self, milestones: str | Path) -> None:
        """Gives the milestones their final place too, as further names of the same files."""
        self.milestones.mkdir(exist_ok=True)
        with self.writing(milestones) as temporary:
            shutil.copytree(self.milestones, temporary, copy_function=_link)

    @property
    def _owner_file(self) -> Path:
        return self.folder / "owner.json"

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step*"), reverse=True)


def retire(folder: str | Path) -> None:
    """Removes the folder of a run when its job is done; at no moment is half a checkpoint there.

    To be called after the job is recorded: if it is stopped before, Snakemake discards its outputs, and only the
    checkpoint saves the training.
    """
    retired = Path(folder).with_name(f".{Path(folder).name}.{uuid4().hex}.tmp")
    Path(folder).rename(retired)
    shutil.rmtree(retired)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _to_disk(folder: Path) -> None:
    """Has the system write the folder's files to the disk now: a power cut must not leave a renamed but empty file."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
