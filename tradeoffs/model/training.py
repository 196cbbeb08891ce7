"""Fine-tuning a latent diffusion model on image/text pairs, with the text encoder frozen or learnable.

Every random draw is a function of (seed, step) alone, so a run that was stopped anywhere and resumed from a checkpoint
does exactly what an undisturbed run does.
"""

import logging
import math
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast_object_list
from diffusers.training_utils import EMAModel
from torch.nn import functional

from tradeoffs.errors import InputError, Stopped
from tradeoffs.jobs.devices import check_precision, default_device
from tradeoffs.jobs.resuming import RunFolder, noted_signals
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import Latents
from tradeoffs.model.lora import adapters
from tradeoffs.model.text import CachedTextEncoder, TextEncoder
from tradeoffs.randomness import numpy_rng, seed_of, torch_rng

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


@dataclass(frozen=True)
class Pairs:
    """Training pairs: sample ids, and what gives the text of the row-th one at each use, perhaps at random."""

    ids: Sequence[str]
    text: Callable[[int, np.random.Generator], str]


@dataclass(frozen=True)
class Batch:
    """One effective batch of B pairs: rows of the pairs, posterior noise and diffusion noise (B, c, h, w), time steps
    (B,) and which texts are dropped (B,)."""

    rows: list[int]
    posterior_noise: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
    dropped: torch.Tensor


@dataclass(frozen=True)
class Outcome:
    """What fine-tuning gives beside the weights.

    losses: columns step, loss (mean over the effective batch and the last `log_every` steps), learning_rate
    record: how it ran: device, processes, division of the batch, precision, time, speed, peak memory
    use_ema: puts the moving average in place of the weights; None without `ema_decay`
    """

    losses: pd.DataFrame
    record: dict[str, Any]
    use_ema: Callable[[], None] | None


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Learning rate of a step (from 0): linear warm-up, then constant or a cosine down to zero."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def rows_of_step(step: int, batch_size: int, count: int, seed: int) -> list[int]:
    """Rows of a step's batch: epochs are permutations of all rows, one after the other."""
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {epoch: numpy_rng(seed, "order", epoch).permutation(count) for epoch in {p // count for p in places}}
    return [int(orders[p // count][p % count]) for p in places]


def draw_batch(
    step: int, count: int, shape: tuple[int, ...], train_times: int, settings: TrainingSettings, seed: int
) -> Batch:
    """All random draws of a step, for (seed, step).

    Texts are dropped per sample with probability `text_dropout` (docs/differences.md, row 12).
    """
    rng = torch_rng(seed, "step", step)
    size = settings.batch_size
    return Batch(
        rows=rows_of_step(step, size, count, seed),
        posterior_noise=torch.randn(size, *shape, generator=rng),
        noise=torch.randn(size, *shape, generator=rng),
        times=torch.randint(0, train_times, (size,), generator=rng),
        dropped=torch.rand(size, generator=rng) < settings.text_dropout,
    )


def texts_of_batch(pairs: Pairs, batch: Batch, step: int, seed: int) -> list[str]:
    """The texts of a step's batch, for (seed, step): dropped ones are empty, the others drawn for their place in it."""
    return [
        "" if dropped else pairs.text(row, numpy_rng(seed, "text", step, place))
        for place, (row, dropped) in enumerate(zip(batch.rows, batch.dropped.tolist(), strict=True))
    ]


def diffusion_loss(model: LatentDiffusion, unet, latents, noise, times, context) -> torch.Tensor:
    """Mean squared error of the U-Net's prediction (of the noise, or of v if the base's schedule says so), (B,)."""
    noisy = model.schedule.add_noise(latents, noise, times)
    kind = model.schedule.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise InputError(f"scheduler: prediction_type {kind!r} is unknown; the base must predict epsilon or v")
    target = noise if kind == "epsilon" else model.schedule.get_velocity(latents, noise, times)
    prediction = unet(noisy, times, context).sample
    return functional.mse_loss(prediction.float(), target.float(), reduction="none").flatten(1).mean(1)


def loss_weights(schedule, times: torch.Tensor, gamma: float | None) -> torch.Tensor:
    """Weight of each time step's loss, (B,): 1, or with `gamma` that of Hang et al., Efficient Diffusion Training via
    Min-SNR Weighting Strategy (ICCV 2023), which bounds the weight of nearly clean latents."""
    if gamma is None:
        return torch.ones_like(times, dtype=torch.float32)
    signal = schedule.alphas_cumprod.to(times.device)[times]
    ratio = signal / (1 - signal)
    in_noise = ratio if schedule.config.prediction_type == "epsilon" else ratio + 1
    return (ratio.clamp(max=gamma) / in_noise).float()


def passes_of(process: int, processes: int, batch_size: int, micro_batch_size: int) -> list[slice]:
    """The places of the effective batch that one of the processes takes, in passes of at most `micro_batch_size`.

    The batch is divided into contiguous parts, as even as can be, one a process. Raises InputError if there are more
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

    Always the U-Net, and a projection behind the text encoder; with `learnable` the text encoder too, or its adapters
    where it has some.
    """
    trained = {name: part for name, part in model.networks.items() if name in ("unet", "projection")}
    if learnable:
        trained["text_encoder"] = model.text_encoder
    for name, network in model.networks.items():
        network.requires_grad_(name in trained)
    if learnable and (adapted := adapters(model.text_encoder)):
        model.text_encoder.requires_grad_(False)
        for weight in adapted:
            weight.requires_grad_(True)
    return trained


def fine_tune(
    model: LatentDiffusion,
    pairs: Pairs,
    latents: Latents,
    learnable: bool,
    settings: TrainingSettings,
    seed: int,
    run: RunFolder,
    keep_milestone: Callable[[int], None],
) -> Outcome:
    """Trains the `trained_parts` in place, all at the same rate unless the text encoder has one of its own.

    keep_milestone: called in the main process with each step of `settings.milestones` when the model has come so far
    AdamW on the raw weights. With several processes (see tradeoffs.jobs.distributed.launch) each takes its part of
    every effective batch; draws belong to places in the batch, so results do not depend on the number of processes but
    for rounding.
    Exception: a network with dropout of its own (none that models.encoders loads) draws once a pass.
    `run` holds the last checkpoints; a run of the same identity continues from them, on one device bit for bit if the
    device computes deterministically, as CPUs do.
    Raises InputError if the device has no such precision, the processes outnumber the batch or the loss is not finite;
    Stopped after a signal, when the step is done and a checkpoint written, or when another process owns `run`.
    """
    trainer = _prepare(model, learnable, settings)
    accelerator, ema = trainer.accelerator, trainer.ema
    progress = _resume(trainer, run)
    meter = _Meter(progress, settings)
    with noted_signals() as signals:
        for step in range(progress.step, settings.steps):
            total = _backward(trainer, pairs, latents, settings, seed, step)
            lost = run.lost() if accelerator.is_main_process else None
            loss, to_stop, to_leave = _sum_over_processes(accelerator, total, len(signals), lost is not None)
            if to_leave:
                raise Stopped(lost or f"another process has taken over {run.folder}")
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss of step {step + 1} is {loss}; lower training.learning_rate, or take another precision"
                )
            rate = learning_rate(step, settings)
            progress.skipped_steps += not _optimizer_step(trainer, rate, settings.max_grad_norm)
            progress.step += 1
            progress.losses.append(loss)
            if progress.step % settings.log_every == 0 or progress.step == settings.steps:
                progress.add_to_log(rate)
                meter.report()
            if progress.step in settings.milestones and accelerator.is_main_process:
                keep_milestone(progress.step)
            if to_stop or progress.step % settings.checkpoint_every == 0 or progress.step == settings.steps:
                progress.seconds = meter.seconds()
                _save(accelerator, run, progress)
            if to_stop and progress.step < settings.steps:
                raise Stopped(
                    f"stopped by {signals[0] if signals else 'a signal'} after step {progress.step} of "
                    f"{settings.steps}; the checkpoint is written, run again to continue"
                )
    for network in trainer.networks.values():
        network.eval()
    return Outcome(
        losses=pd.DataFrame(progress.log, columns=["step", "loss", "learning_rate"]),
        record=_record(trainer, settings, progress.skipped_steps, meter.seconds()),
        use_ema=None if ema is None else partial(ema.copy_to, trainer.parameters),
    )


@dataclass(frozen=True)
class _Trainer:
    """What a process trains with.

    networks: the `trained_parts` as accelerate prepared them, by name
    parameters: their weights that learn
    passes: the places that the process takes of every effective batch
    """

    accelerator: Accelerator
    model: LatentDiffusion
    networks: dict[str, torch.nn.Module]
    encoder: TextEncoder
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    ema: EMAModel | None
    passes: list[slice]


def _prepare(model: LatentDiffusion, learnable: bool, settings: TrainingSettings) -> _Trainer:
    """Sets up training on the process's device, before the first step."""
    accelerator = accelerator_for(settings.precision, learnable)
    passes = passes_of(
        accelerator.process_index, accelerator.num_processes, settings.batch_size, settings.micro_batch_size
    )
    trained = trained_parts(model, learnable)
    if settings.gradient_checkpointing:
        model.unet.enable_gradient_checkpointing()
        if learnable:
            model.text_encoder.activation_checkpointing_enable()
    model.to(accelerator.device)
    of_text = settings.text_encoder_learning_rate or settings.learning_rate
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in part.parameters() if p.requires_grad],
            "relative_rate": of_text / settings.learning_rate if name == "text_encoder" else 1.0,
        }
        for name, part in trained.items()
    ]
    parameters = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    *prepared, optimizer = accelerator.prepare(*trained.values(), optimizer)
    networks = dict(zip(trained, prepared, strict=True))
    text_side = model.networks | networks
    encoder = (TextEncoder if learnable else CachedTextEncoder)(
        model.tokenizer, text_side["text_encoder"], text_side.get("projection")
    )
    ema = EMAModel(parameters, decay=settings.ema_decay) if settings.ema_decay else None
    if ema:
        accelerator.register_for_checkpointing(ema)
    for network in networks.values():
        network.train()
    return _Trainer(accelerator, model, networks, encoder, parameters, optimizer, ema, passes)


def _backward(
    trainer: _Trainer, pairs: Pairs, latents: Latents, settings: TrainingSettings, seed: int, step: int
) -> torch.Tensor:
    """Computes the gradients of a step's effective batch; returns the process's share of its mean loss, a scalar."""
    accelerator, model = trainer.accelerator, trainer.model
    batch = draw_batch(step, len(pairs.ids), latents.shape, model.schedule.config.num_train_timesteps, settings, seed)
    ids, texts = [pairs.ids[row] for row in batch.rows], texts_of_batch(pairs, batch, step, seed)
    total = torch.zeros((), device=accelerator.device)
    for part in trainer.passes:
        drawn = [latents.sample(*draw) for draw in zip(ids[part], batch.posterior_noise[part], strict=True)]
        torch.manual_seed(seed_of(seed, "dropout", step, part.start))
        with ExitStack() as contexts:
            if part is not trainer.passes[-1]:  # processes exchange gradients once a step, with the last pass
                for network in trainer.networks.values():
                    contexts.enter_context(accelerator.no_sync(network))
            with accelerator.autocast():
                losses = diffusion_loss(
                    model,
                    trainer.networks["unet"],
                    torch.stack(drawn).to(accelerator.device),
                    batch.noise[part].to(accelerator.device),
                    batch.times[part].to(accelerator.device),
                    trainer.encoder(texts[part]),
                )
                losses = losses * loss_weights(
                    model.schedule, batch.times[part].to(losses.device), settings.min_snr_gamma
                )
            # The gradients of all passes and processes must add up to that of the mean over the effective batch, and
            # those of a process's passes do; but over processes they are averaged, not summed.
            accelerator.backward(losses.sum() * accelerator.num_processes / settings.batch_size)
        total += losses.detach().sum() / settings.batch_size
    return total


def _record(trainer: _Trainer, settings: TrainingSettings, skipped_steps: int, seconds: float) -> dict[str, Any]:
    """How the training ran, as `Outcome` says."""
    device, passes = trainer.accelerator.device, trainer.passes
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "processes": trainer.accelerator.num_processes,
        "batch_size": settings.batch_size,
        "images_a_pass": max(part.stop - part.start for part in passes),
        "accumulated_passes": len(passes),
        "precision": settings.precision,
        "skipped_steps": skipped_steps,
        "seconds": round(seconds, 1),
        "images_per_second": round(settings.steps * settings.batch_size / seconds, 2),
    } | peak_memory()


@dataclass
class _Progress:
    """How far a run has come: what a checkpoint keeps beside the state of weights, optimiser, scaler and average.

    losses: of the steps since the last row of the log
    skipped_steps: optimiser steps that the scaler of fp16 left out, for their gradients were not finite
    """

    step: int = 0
    log: list[dict] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    skipped_steps: int = 0
    seconds: float = 0.0

    def add_to_log(self, rate: float) -> None:
        """Adds a row with the mean loss since the row before."""
        self.log.append({"step": self.step, "loss": sum(self.losses) / len(self.losses), "learning_rate": rate})
        self.losses.clear()


def _resume(trainer: _Trainer, run: RunFolder) -> _Progress:
    """Takes possession of the run's folder and loads its newest checkpoint, if it has one, in all processes."""
    accelerator = trainer.accelerator
    if accelerator.is_main_process:
        run.claim()
    [found] = broadcast_object_list([run.newest() if accelerator.is_main_process else None])
    if found is None:
        return _Progress()
    state, about = found
    accelerator.load_state(str(state))
    if trainer.ema:  # it was loaded to the CPU
        trainer.ema.to(accelerator.device)
    logger.info("resumed after step %d", about["step"])
    return _Progress(**about)


def _save(accelerator: Accelerator, run: RunFolder, progress: _Progress) -> None:
    """Writes a checkpoint; the main process has all there is to save, as draws need no state: they belong to steps."""
    if accelerator.is_main_process:
        run.save(progress.step, lambda folder: accelerator.save_state(str(folder)), asdict(progress))
    accelerator.wait_for_everyone()


def _optimizer_step(trainer: _Trainer, rate: float, max_grad_norm: float | None) -> bool:
    """Takes the optimiser's step, which the moving average follows, and clears the gradients.

    rate: of the U-Net; the text encoder's own follows in proportion
    max_grad_norm: a gradient whose norm over all weights is larger is scaled down to it

    Returns False if fp16's scaler left the step out and lowered its scale.
    """
    for group in trainer.optimizer.param_groups:
        group["lr"] = rate * group["relative_rate"]
    if max_grad_norm is not None:
        trainer.accelerator.clip_grad_norm_(trainer.parameters, max_grad_norm)
    scaler = trainer.accelerator.scaler  # accelerate's own flag does not see what a fused optimiser leaves out
    scale = scaler.get_scale() if scaler else 1.0
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    stepped = scaler is None or scaler.get_scale() >= scale
    if trainer.ema and stepped:
        trainer.ema.step(trainer.parameters)
    return stepped


def _sum_over_processes(accelerator: Accelerator, *values: float | torch.Tensor) -> list[float]:
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float32, device=accelerator.device) for value in values])
    return accelerator.reduce(stacked, "sum").tolist()


class _Meter:
    """Tells on the log how far a run has come, how fast it is and what memory it takes."""

    def __init__(self, progress: _Progress, settings: TrainingSettings):
        self.progress, self.settings = progress, settings
        self.before = progress.seconds
        self.start = self.last_time = time.monotonic()
        self.last_step = progress.step

    def seconds(self) -> float:
        """Time that the run took until now, with that of its attempts before up to their last checkpoint."""
        return self.before + time.monotonic() - self.start

    def report(self) -> None:
        """Logs the last row of the loss log, with the speed since the report before."""
        now, steps = time.monotonic(), self.progress.step - self.last_step
        pace = (now - self.last_time) / steps
        logger.info(
            "step %d of %d: loss %.4f, %.2f images/s, %s left, %s",
            self.progress.step,
            self.settings.steps,
            self.progress.log[-1]["loss"],
            self.settings.batch_size / pace,
            timedelta(seconds=round(pace * (self.settings.steps - self.progress.step))),
            ", ".join(f"{name.replace('_', ' ').removesuffix(' mb')} {mb} MB" for name, mb in peak_memory().items()),
        )
        self.last_time, self.last_step = now, self.progress.step


def peak_memory() -> dict[str, int]:
    """Peak memory of this process until now in MB, and of its GPU if it uses one."""
    peak = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    if torch.cuda.is_available():
        peak["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() // 2**20
    return peak
