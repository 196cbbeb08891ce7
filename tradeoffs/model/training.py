"""Fine-tuning a latent diffusion model on image/text pairs, with the text encoder frozen or learnable.

Every random draw is a function of (seed, step) alone, so a run that was stopped anywhere and resumed from a checkpoint
does exactly what an undisturbed run does. The loop is `fine_tune`; what it stands on is in trainer.py and
training_progress.py.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from tradeoffs.errors import InputError
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import Latents
from tradeoffs.model.trainer import Trainer, TrainingSettings
from tradeoffs.model.training_progress import VALIDATION_COLUMNS, Onlookers, Progress
from tradeoffs.randomness import numpy_rng, seed_of, torch_rng


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
    validation: columns step, weights (raw or ema), validation_loss and how many images it is on; see ValidationLoss
    record: how it ran: device, processes, division of the batch, precision, time, speed, peak memory
    use_ema: puts the moving average in place of the weights; None without `ema_decay`
    """

    losses: pd.DataFrame
    validation: pd.DataFrame
    record: dict[str, Any]
    use_ema: Callable[[], None] | None


class NoAttentionLoss:
    """No loss on cross-attention; what another has (tradeoffs.attention.regularisation) in its place."""

    def asked(self, tokenizer, rows: Sequence[int], texts: Sequence[str]) -> torch.Tensor:
        """Which tokens of the texts of training pairs the loss is on, bool (n, L)."""
        return torch.zeros(len(texts), tokenizer.model_max_length, dtype=torch.bool)

    def captured(self, unet) -> AbstractContextManager:
        """A block around the forward and backward pass of the U-Net whose cross-attention `share` takes."""
        return nullcontext()

    def share(self, asked: torch.Tensor, of_batch: int) -> torch.Tensor | float:
        """What a pass adds to the loss of the effective batch, in which `of_batch` tokens are asked for."""
        return 0.0


def fine_tune(
    model: LatentDiffusion,
    pairs: Pairs,
    latents: Latents,
    learnable: bool,
    settings: TrainingSettings,
    seed: int,
    run: RunFolder,
    keep_milestone: Callable[[int], None],
    attention_loss: NoAttentionLoss | None = None,
    onlookers: Onlookers | None = None,
) -> Outcome:
    """Trains the U-Net, and with `learnable` the text encoder, in place by AdamW on the raw weights (see
    `trained_parts`), all at the same rate unless the text encoder has one of its own.

    keep_milestone: called in the main process with each step of `settings.milestones` when the model has come so far
    attention_loss: a further loss on the cross-attention of some tokens
    onlookers: see there; the weights are the same with and without them
    With several processes (see tradeoffs.jobs.distributed.launch) each takes its part of every effective batch; draws
    belong to places in the batch, so results do not depend on the number of processes but for rounding.
    Exception: a network with dropout of its own (none that models.encoders loads) draws once per pass.
    `run` holds the last checkpoints; a run of the same identity continues from them, on one device bit for bit if the
    device computes deterministically, as CPUs do.
    Raises InputError if the device has no such precision, the processes outnumber the batch or the loss is not finite;
    Stopped after a signal, when the step is done and a checkpoint written, or when another process owns `run`.
    """
    attention_loss = attention_loss or NoAttentionLoss()
    trainer = Trainer(model, learnable, settings)
    with Progress(
        trainer, settings, run, onlookers or Onlookers()
    ) as progress:  # from the last checkpoint on, if there is one
        for step in range(progress.step, settings.steps):
            batch = draw_batch(
                step, len(pairs.ids), latents.shape, model.schedule.config.num_train_timesteps, settings, seed
            )
            ids, texts = [pairs.ids[row] for row in batch.rows], texts_of_batch(pairs, batch, step, seed)
            asked = attention_loss.asked(model.tokenizer, batch.rows, texts)
            loss = torch.zeros((), device=trainer.device)
            for part in trainer.passes:
                torch.manual_seed(seed_of(seed, "dropout", step, part.start))
                drawn = [latents.sample(*draw) for draw in zip(ids[part], batch.posterior_noise[part], strict=True)]
                clean, noise, times = map(trainer.here, (torch.stack(drawn), batch.noise[part], batch.times[part]))
                with trainer.one_pass(part), attention_loss.captured(model.unet):
                    with trainer.autocast():
                        context = trainer.encoder(texts[part])
                        losses = diffusion_loss(model, trainer.unet, clean, noise, times, context)
                        losses = losses * loss_weights(model.schedule, times, settings.min_snr_gamma)
                    share = losses.sum() / settings.batch_size + attention_loss.share(asked[part], int(asked.sum()))
                    trainer.backward(share)
                loss += share.detach()
            mean_loss = progress.over_processes(loss)  # ends the run if it is not finite, or not ours any longer
            rate = learning_rate(step, settings)
            stepped = trainer.update(rate)
            progress.add(mean_loss, rate, stepped)
            if progress.step in settings.milestones and trainer.is_main:
                keep_milestone(progress.step)
            progress.look()
            progress.save()  # where a checkpoint is due; after a signal it ends the run
    trainer.finish()
    return Outcome(
        losses=pd.DataFrame(progress.log, columns=["step", "loss", "learning_rate"]),
        validation=pd.DataFrame(progress.done.validation, columns=VALIDATION_COLUMNS),
        record=trainer.record() | progress.record(),
        use_ema=trainer.use_ema,
    )


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
