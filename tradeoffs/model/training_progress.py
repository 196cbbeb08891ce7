"""How far a fine-tuning has come: its log, exact resuming, and those who look at the model on the way."""

import logging
import math
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import torch
from accelerate.tracking import GeneralTracker
from accelerate.utils import broadcast_object_list

from tradeoffs.errors import InputError, Stopped
from tradeoffs.jobs.resuming import RunFolder, noted_signals
from tradeoffs.model.trainer import Trainer, TrainingSettings

logger = logging.getLogger("tradeoffs")

VALIDATION_COLUMNS = ["step", "weights", "validation_loss", "images"]  # weights: raw or ema


@dataclass(frozen=True)
class Onlookers:
    """Those who look at a model while it learns and change nothing of it, in the main process; the others wait for it
    at their next exchange.

    validation: gives rows of validation losses at a step, when a checkpoint or milestone is due and before the first
    preview: draws the model at a step, every `preview_every` steps
    tracker: starts one at a step, to which the log's values go too
    """

    validation: Callable[[Trainer, int], list[dict]] | None = None
    preview: Callable[[Trainer, int], None] | None = None
    tracker: Callable[[int], GeneralTracker] | None = None


@dataclass
class _Done:
    """How far a run has come: what a checkpoint keeps beside the state of weights, optimiser, scaler and average.

    losses: of the steps since the last row of the log
    validation: rows of validation losses
    skipped_steps: optimiser steps that the scaler of fp16 left out, for their gradients were not finite
    looking_seconds: of `seconds`, those of the onlookers
    """

    step: int = 0
    log: list[dict] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    validation: list[dict] = field(default_factory=list)
    skipped_steps: int = 0
    seconds: float = 0.0
    looking_seconds: float = 0.0


class Progress:
    """How far a run has come: goes on from its last checkpoint, writes the next ones, and ends in good order.

    As a context it takes possession of the run's folder and notes the signals that ask the run to stop.
    """

    def __init__(self, trainer: Trainer, settings: TrainingSettings, run: RunFolder, onlookers: Onlookers):
        self.trainer, self.settings, self.run, self.onlookers = trainer, settings, run, onlookers
        self.tracker: GeneralTracker | None = None
        self.signals = ExitStack()

    def __enter__(self) -> "Progress":
        self.done = self._resume()
        self.before = self.done.seconds
        self.start = self.last_time = time.monotonic()
        self.last_step = self.done.step
        if self.onlookers.tracker and self.trainer.is_main:
            self.tracker = self.onlookers.tracker(self.step)
            self.signals.callback(self.tracker.finish)
        if self.step == 0:
            self.look()
        self.received = self.signals.enter_context(noted_signals())
        self.to_stop = False
        return self

    def __exit__(self, *error) -> None:
        self.signals.close()

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.done.step

    @property
    def log(self) -> list[dict]:
        """Rows of the loss log: step, loss, learning_rate."""
        return self.done.log

    def over_processes(self, loss: torch.Tensor) -> float:
        """The mean loss of the effective batch from each process's share, before the weights change.

        Notes in all processes whether one of them got a signal. Raises Stopped in all of them if the folder is
        another's now, InputError if the loss is not finite.
        """
        lost = self.run.lost() if self.trainer.is_main else None
        mean, stopped, to_leave = self.trainer.sums(loss, len(self.received), lost is not None)
        self.to_stop = stopped > 0
        if to_leave:
            raise Stopped(lost or f"another process has taken over {self.run.folder}")
        if not math.isfinite(mean):
            raise InputError(
                f"the loss of step {self.step + 1} is {mean}; lower training.learning_rate, or take another precision"
            )
        return mean

    def add(self, loss: float, rate: float, stepped: bool) -> None:
        """Counts a step, and every `log_every` steps adds a row with the mean loss since the row before."""
        done = self.done
        done.step += 1
        done.skipped_steps += not stepped
        done.losses.append(loss)
        if done.step % self.settings.log_every == 0 or done.step == self.settings.steps:
            done.log.append({"step": done.step, "loss": sum(done.losses) / len(done.losses), "learning_rate": rate})
            done.losses.clear()
            self._report()
            self._track({name: value for name, value in done.log[-1].items() if name != "step"})

    def look(self) -> None:
        """Lets the onlookers look at the model where they are due."""
        step, settings, start = self.step, self.settings, time.monotonic()
        if not self.trainer.is_main:
            return
        last = step == settings.steps
        saved = last or step % settings.checkpoint_every == 0 or step in settings.milestones
        if self.onlookers.validation and saved:
            rows = self.onlookers.validation(self.trainer, step)
            self.done.validation += rows
            losses = {f"validation loss ({row['weights']})": row["validation_loss"] for row in rows}
            logger.info("step %d: %s", step, ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()))
            self._track(losses)
        if self.onlookers.preview and settings.preview_every and (last or step % settings.preview_every == 0):
            self.onlookers.preview(self.trainer, step)
        looked = time.monotonic() - start
        self.done.looking_seconds += looked
        self.last_time += looked  # the log tells the speed of training

    def save(self) -> None:
        """Writes a checkpoint where one is due or a signal has come, and after a signal raises Stopped.

        The main process has all there is to save, as draws need no state: they belong to steps.
        """
        done, last = self.done, self.step == self.settings.steps
        if self.to_stop or last or done.step % self.settings.checkpoint_every == 0:
            done.seconds = self._seconds()
            if self.trainer.is_main:
                save_state = self.trainer.accelerator.save_state
                self.run.save(done.step, lambda folder: save_state(str(folder)), asdict(done))
            self.trainer.accelerator.wait_for_everyone()
        if self.to_stop and not last:
            raise Stopped(
                f"stopped by {self.received[0] if self.received else 'a signal'} after step {done.step} of "
                f"{self.settings.steps}; the checkpoint is written, run again to continue"
            )

    def record(self) -> dict[str, Any]:
        """Steps left out, time, that of onlookers, the speed without it and peak memory."""
        seconds = self._seconds()
        return {
            "skipped_steps": self.done.skipped_steps,
            "seconds": round(seconds, 1),
            "looking_seconds": round(self.done.looking_seconds, 1),
            "images_per_second": round(
                self.settings.steps * self.settings.batch_size / (seconds - self.done.looking_seconds), 2
            ),
        } | peak_memory()

    def _resume(self) -> _Done:
        """Claims the run's folder and loads its newest checkpoint, if it has one, in all processes."""
        if self.trainer.is_main:
            self.run.claim()
        [found] = broadcast_object_list([self.run.newest() if self.trainer.is_main else None])
        if found is None:
            return _Done()
        state, about = found
        self.trainer.load(str(state))
        logger.info("resumed after step %d", about["step"])
        return _Done(**about)

    def _seconds(self) -> float:
        """Time that the run took until now, with that of its attempts before up to their last checkpoint."""
        return self.before + time.monotonic() - self.start

    def _track(self, values: dict[str, float]) -> None:
        if self.tracker:
            self.tracker.log(values, step=self.step)

    def _report(self) -> None:
        """Logs the last row of the loss log, with the speed since the report before."""
        now, left = time.monotonic(), self.settings.steps - self.step
        pace = (now - self.last_time) / (self.step - self.last_step)
        logger.info(
            "step %d of %d: loss %.4f, %.2f images/s, %s left, %s",
            self.step,
            self.settings.steps,
            self.log[-1]["loss"],
            self.settings.batch_size / pace,
            timedelta(seconds=round(pace * left)),
            ", ".join(f"{name.replace('_', ' ').removesuffix(' mb')} {mb} MB" for name, mb in peak_memory().items()),
        )
        self.last_time, self.last_step = now, self.step


def peak_memory() -> dict[str, int]:
    """Peak memory of this process until now in MB, and of its GPU if it uses one."""
    peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    if torch.cuda.is_available():
        peak["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() // 2**20
    return peak
