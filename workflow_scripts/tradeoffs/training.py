"""Fine-tuning a latent diffusion model on image/text pairs, with the text encoder frozen or learnable.

Every random draw is a function of (seed, step) alone, so a run that was stopped anywhere and resumed from a checkpoint
does exactly what an undisturbed run does.
"""

import json
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from torch.nn import functional
from tqdm import tqdm

from tradeoffs.errors import InputError
from tradeoffs.files import atomic_path
from tradeoffs.models.checkpoints import LatentDiffusion
from tradeoffs.models.latents import Latents
from tradeoffs.models.text import CachedTextEncoder, encode, tokenize
from tradeoffs.randomness import numpy_rng, torch_rng

logger = logging.getLogger("tradeoffs")


@dataclass(frozen=True)
class TrainingSettings:
    """The config's section `training` for one data set; see there for units and meaning."""

    steps: int
    milestones: Sequence[int]
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup_steps: int
    text_dropout: float
    precision: str
    checkpoint_every: int
    gradient_checkpointing: bool
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


def fine_tune(
    model: LatentDiffusion,
    pairs: Pairs,
    latents: Latents,
    learnable: bool,
    settings: TrainingSettings,
    seed: int,
    checkpoints: Path,
    identity: str,
    keep_milestone: Callable[[int], None],
) -> pd.DataFrame:
    """Trains the U-Net, and with `learnable` the text encoder at the same rate, in place; returns the loss log.

    keep_milestone: called with each step of `settings.milestones` when the model has come so far
    AdamW on the raw weights. `checkpoints` holds the last checkpoint while the run lasts; a run with the same
    `identity` (a digest of all that went in) continues from it, any other starts anew. The log has columns step, loss
    (mean over the effective batch and the last `log_every` steps) and learning_rate.
    Raises InputError if the effective batch is no multiple of what the devices take at once.
    """
    accelerator = Accelerator(mixed_precision={"fp32": "no"}.get(settings.precision, settings.precision))
    at_once = settings.micro_batch_size * accelerator.num_processes
    if settings.batch_size % at_once:
        raise InputError(
            f"training.batch_size {settings.batch_size} is no multiple of micro_batch_size x devices = {at_once}; "
            "the effective batch must be the configured one, so change one of them"
        )
    trained = {"unet": model.unet} | ({"text_encoder": model.text_encoder} if learnable else {})
    for name, network in model.networks.items():
        network.requires_grad_(name in trained)
    if settings.gradient_checkpointing:
        for part in trained.values():
            (getattr(part, "enable_gradient_checkpointing", None) or part.activation_checkpointing_enable)()
    model.to(accelerator.device)
    parameters = [p for part in trained.values() for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    prepared = accelerator.prepare(*trained.values(), optimizer)
    unet, optimizer = prepared[0], prepared[-1]
    encoder = (
        _Learnable(model.tokenizer, prepared[1])
        if learnable
        else CachedTextEncoder(model.tokenizer, model.text_encoder)
    )
    for part in trained.values():
        part.train()

    store = _CheckpointFolder(checkpoints, identity)
    done, log, losses = store.resume(accelerator)
    micro_batches = settings.batch_size // at_once
    progress = tqdm(range(done, settings.steps), desc="fine-tuning", unit="step", initial=done, total=settings.steps)
    for step in progress:
        batch = draw_batch(
            step, len(pairs.ids), latents.shape, model.schedule.config.num_train_timesteps, settings, seed
        )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        names, texts = [pairs.ids[row] for row in batch.rows], texts_of_batch(pairs, batch, step, seed)
        total = 0.0
        for micro in range(micro_batches):
            first = (micro * accelerator.num_processes + accelerator.process_index) * settings.micro_batch_size
            part = slice(first, first + settings.micro_batch_size)
            drawn = [latents.sample(*draw) for draw in zip(names[part], batch.posterior_noise[part], strict=True)]
            with accelerator.autocast():
                loss = diffusion_loss(
                    model,
                    unet,
                    torch.stack(drawn).to(accelerator.device),
                    batch.noise[part].to(accelerator.device),
                    batch.times[part].to(accelerator.device),
                    encoder(texts[part]),
                )
            loss = loss.mean() / micro_batches
            accelerator.backward(loss)
            total += accelerator.reduce(loss.detach(), "mean").item()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
        if (step + 1) % settings.log_every == 0 or step + 1 == settings.steps:
            log.append(
                {"step": step + 1, "loss": sum(losses) / len(losses), "learning_rate": learning_rate(step, settings)}
            )
            progress.set_postfix(loss=f"{log[-1]['loss']:.4f}")
            losses = []
        if step + 1 in settings.milestones and accelerator.is_main_process:
            keep_milestone(step + 1)
        if (step + 1) % settings.checkpoint_every == 0 and step + 1 < settings.steps:
            store.save(accelerator, step + 1, log, losses)
    for part in trained.values():
        part.eval()
    return pd.DataFrame(log, columns=["step", "loss", "learning_rate"])


class _Learnable:
    """Encodes texts with gradients; the counterpart of CachedTextEncoder."""

    def __init__(self, tokenizer, text_encoder):
        self.tokenizer, self.text_encoder = tokenizer, text_encoder

    def __call__(self, texts: list[str]) -> torch.Tensor:
        return encode(self.text_encoder, torch.stack([tokenize(self.tokenizer, text).ids for text in texts]))


class _CheckpointFolder:
    """The last checkpoint of one run: `step<n>/` with accelerate's `state` and `about.json`."""

    def __init__(self, folder: Path, identity: str):
        self.folder, self.identity = Path(folder), identity

    def resume(self, accelerator: Accelerator) -> tuple[int, list[dict], list[float]]:
        """Loads the last checkpoint of this very run, if there is one.

        Returns the steps done, the log, and the losses since its last row.
        """
        for checkpoint in self._newest_first():
            about = json.loads((checkpoint / "about.json").read_text())
            if about["identity"] == self.identity:
                accelerator.load_state(str(checkpoint / "state"))
                logger.info("resumed from %s", checkpoint)
                return about["step"], about["log"], about["losses"]
            logger.info("%s is of another configuration, starting anew", checkpoint)
        shutil.rmtree(self.folder, ignore_errors=True)
        return 0, [], []

    def save(self, accelerator: Accelerator, step: int, log: list[dict], losses: list[float]) -> None:
        """Writes a checkpoint; the one before stays until the new one is whole."""
        accelerator.wait_for_everyone()
        if not accelerator.is_main_process:
            return
        checkpoint = self.folder / f"step{step:08d}"
        with atomic_path(checkpoint) as temporary:
            accelerator.save_state(str(temporary / "state"))
            about = {"identity": self.identity, "step": step, "log": log, "losses": losses}
            (temporary / "about.json").write_text(json.dumps(about))
        for older in set(self._newest_first()) - {checkpoint}:
            shutil.rmtree(older, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self.folder.glob("step*"), reverse=True)
