"""What the training loop stands on: the networks that learn, on this process's device, and exact resuming."""

import logging
import math
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast_object_list
from diffusers.training_utils import EMAModel

from tradeoffs.errors import InputError, Stopped
from tradeoffs.jobs.devices import check_precision, default_device
from tradeoffs.jobs.resuming import RunFolder, noted_signals
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.lora import adapters
from tradeoffs.model.text import CachedTextEncoder, TextEncoder

logger = logging.getLogger("tradeoffs")


@dataclass(frozen=True)
class TrainingSettings:
    """The config's section `training` for one data set; see there for units and meaning."""

    steps: int
    milestones: Sequence[int]
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    text_encoder_learning_rate: float | None
    weight_decay: float
    schedule: str
    warmup_steps: int
    text_dropout: float
    precision: str
    checkpoint_every: int
    gradient_checkpointing: bool
    ema_decay: float | None
    min_snr_gamma: float | None
    max_grad_norm: float | None
    log_every: int


class Trainer:
    """The networks that learn, with their optimiser and moving average, on this process's device.

    unet: as accelerate prepared it
    encoder: from texts to the context, with a cache where the text encoder is frozen
    passes: the places that the process takes of every effective batch
    use_ema: puts the moving average in place of the weights; None without `ema_decay`
    """

    def __init__(self, model: LatentDiffusion, learnable: bool, settings: TrainingSettings):
        self.settings = settings
        self.accelerator = accelerator_for(settings.precision, learnable)
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        self.passes = passes_of(process, processes, settings.batch_size, settings.micro_batch_size)
        trained = trained_parts(model, learnable)
        if settings.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
            if learnable:
                model.text_encoder.activation_checkpointing_enable()
        model.to(self.device)
        groups = parameter_groups(trained, settings)
        self.parameters: list[torch.nn.Parameter] = [weight for group in groups for weight in group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
        *prepared, self.optimizer = self.accelerator.prepare(*trained.values(), optimizer)
        self.networks = dict(zip(trained, prepared, strict=True))
        self.unet, text_side = self.networks["unet"], model.networks | self.networks
        self.encoder = (TextEncoder if learnable else CachedTextEncoder)(
            model.tokenizer, text_side["text_encoder"], text_side.get("projection"), model.padding_masked
        )
        self.ema = EMAModel(self.parameters, decay=settings.ema_decay) if settings.ema_decay else None
        self.use_ema: Callable[[], None] | None = None
        if self.ema:
            self.use_ema = partial(self.ema.copy_to, self.parameters)
            self.accelerator.register_for_checkpointing(self.ema)
        for network in self.networks.values():
            network.train()

    @property
    def device(self) -> torch.device:
        """The process's device."""
        return self.accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.accelerator.is_main_process

    def here(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor on the process's device."""
        return tensor.to(self.device)

    def autocast(self):
        """A block that computes in the settings' precision."""
        return self.accelerator.autocast()

    @contextmanager
    def one_pass(self, part: slice) -> Iterator[None]:
        """A block with the forward and backward pass of one of `passes`; processes exchange gradients with the last."""
        with ExitStack() as contexts:
            if part is not self.passes[-1]:
                for network in self.networks.values():
                    contexts.enter_context(self.accelerator.no_sync(network))
            yield

    def backward(self, share: torch.Tensor) -> None:
        """Adds the gradients of a pass's share of the effective batch's mean loss.

        Those of a process's passes add up; but over processes they are averaged, not summed.
        """
        self.accelerator.backward(share * self.accelerator.num_processes)

    def update(self, rate: float) -> bool:
        """Takes the optimiser's step, which the moving average follows, and clears the gradients.

        rate: of the U-Net; the text encoder's own follows in proportion
        Returns False if fp16's scaler left the step out and lowered its scale.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["relative_rate"]
        if self.settings.max_grad_norm is not None:
            self.accelerator.clip_grad_norm_(self.parameters, self.settings.max_grad_norm)
        scaler = self.accelerator.scaler  # accelerate's own flag does not see what a fused optimiser leaves out
        scale = scaler.get_scale() if scaler else 1.0
        self.optimizer.step()
        self.optimizer.zero_grad()
        stepped = scaler is None or scaler.get_scale() >= scale
        if self.ema and stepped:
            self.ema.step(self.parameters)
        return stepped

    def sums(self, *values: float | torch.Tensor) -> list[float]:
        """Each value summed over the processes."""
        stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32, device=self.device) for value in values])
        return self.accelerator.reduce(stacked, "sum").tolist()

    def load(self, state: str) -> None:
        """Loads weights, optimiser, scaler and average from a checkpoint's folder."""
        self.accelerator.load_state(state)
        if self.ema:  # it was loaded to the CPU
            self.ema.to(self.device)

    def finish(self) -> None:
        """Puts the networks in the state in which they are used."""
        for network in self.networks.values():
            network.eval()

    def record(self) -> dict[str, Any]:
        """Device, processes, division of the batch and precision."""
        return {
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type,
            "processes": self.accelerator.num_processes,
            "batch_size": self.settings.batch_size,
            "images_a_pass": max(part.stop - part.start for part in self.passes),
            "accumulated_passes": len(self.passes),
            "precision": self.settings.precision,
        }


def parameter_groups(trained: dict[str, torch.nn.Module], settings: TrainingSettings) -> list[dict[str, Any]]:
    """The optimiser's groups, one per network: the weights that learn, and their rate relative to the U-Net's."""
    of_text = settings.text_encoder_learning_rate or settings.learning_rate
    return [
        {
            "params": [weight for weight in part.parameters() if weight.requires_grad],
            "relative_rate": of_text / settings.learning_rate if name == "text_encoder" else 1.0,
        }
        for name, part in trained.items()
    ]


def passes_of(process: int, processes: int, batch_size: int, micro_batch_size: int) -> list[slice]:
    """The places of the effective batch that one of the processes takes, in passes of at most `micro_batch_size`.

    The batch is divided into contiguous parts, as even as can be, one per process. Raises InputError if there are more
    processes than places.
    """
    if processes > batch_size:
        raise InputError(
            f"training.batch_size: {batch_size} images cannot be divided among {processes} processes; "
            "raise it or lower resources.training_gpus"
        )
    start, end = (batch_size * number // processes for number in (process, process + 1))
    return [slice(first, min(first + micro_batch_size, end)) for first in range(start, end, micro_batch_size)]


def accelerator_for(precision: str, learnable: bool) -> Accelerator:
    """The device, or this process's among several, with autocast to `precision`.

    Raises InputError for a precision that the device does not have.
    """
    check_precision("training.precision", precision)
    return Accelerator(
        cpu=default_device() == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        kwargs_handlers=[
            # the others wait while the main process writes a checkpoint or a model
            InitProcessGroupKwargs(timeout=timedelta(hours=1)),
            # some text encoders have parts that do not reach the context, such as a pooler
            DistributedDataParallelKwargs(find_unused_parameters=learnable),
        ],
    )


def trained_parts(model: LatentDiffusion, learnable: bool) -> dict[str, torch.nn.Module]:
    """The networks that learn, by name, with gradients for their weights and for no others.

    Always the U-Net, and a projection behind the text encoder; with `learnable` the text encoder too. Of a network with
    adapters only these learn.
    """
    trained = {name: part for name, part in model.networks.items() if name in ("unet", "projection")}
    if learnable:
        trained["text_encoder"] = model.text_encoder
    for name, network in model.networks.items():
        adapted = adapters(network)
        network.requires_grad_(name in trained and not adapted)
        for weight in adapted if name in trained else ():
            weight.requires_grad_(True)
    return trained


@dataclass
class _Done:
    """How far a run has come: what a checkpoint keeps beside the state of weights, optimiser, scaler and average.

    losses: of the steps since the last row of the log
    skipped_steps: optimiser steps that the scaler of fp16 left out, for their gradients were not finite
    """

    step: int = 0
    log: list[dict] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    skipped_steps: int = 0
    seconds: float = 0.0


class Progress:
    """How far a run has come: goes on from its last checkpoint, writes the next ones, and ends in good order.

    As a context it takes possession of the run's folder and notes the signals that ask the run to stop.
    """

    def __init__(self, trainer: Trainer, settings: TrainingSettings, run: RunFolder):
        self.trainer, self.settings, self.run = trainer, settings, run
        self.signals = ExitStack()

    def __enter__(self) -> "Progress":
        self.done = self._resume()
        self.before = self.done.seconds
        self.start = self.last_time = time.monotonic()
        self.last_step = self.done.step
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
        """Steps left out, time, speed and peak memory."""
        seconds = self._seconds()
        return {
            "skipped_steps": self.done.skipped_steps,
            "seconds": round(seconds, 1),
            "images_per_second": round(self.settings.steps * self.settings.batch_size / seconds, 2),
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
