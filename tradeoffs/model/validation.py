"""The loss on images that no model of the run learns from, on the same (image, time, noise) at every look.

It depends on the model alone: images, times and noises follow from sample ids, not from the seed, so that all variants,
seeds and steps are compared on the same ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import encode_images
from tradeoffs.model.text import TextEncoder
from tradeoffs.model.trainer import Trainer
from tradeoffs.model.training import diffusion_loss
from tradeoffs.model.training_progress import VALIDATION_COLUMNS
from tradeoffs.randomness import normal, numpy_rng, seed_of, torch_rng

TIMES = 4  # of each image: one from each quarter of the diffusion times, between which the loss differs most


@dataclass(frozen=True)
class ValidationImages:
    """Images with a text each, always the same."""

    ids: Sequence[str]
    paths: Sequence[str]
    texts: Sequence[str]


def validation_images(
    count: int, rows: pd.DataFrame, text: Callable[[int, np.random.Generator], str]
) -> ValidationImages:
    """The first `count` of some images in an order that follows from their ids alone, each with one of its texts.

    rows: columns sample_id, path; text(row, rng): a text of rows.iloc[row] (see `conditioning`)
    """
    ids, paths = rows["sample_id"].tolist(), rows["path"].tolist()
    chosen = sorted(range(len(ids)), key=lambda row: seed_of("validation image", ids[row]))[:count]
    return ValidationImages(
        ids=[ids[row] for row in chosen],
        paths=[paths[row] for row in chosen],
        texts=[text(row, numpy_rng("validation text", ids[row])) for row in chosen],
    )


class ValidationLoss:
    """The mean denoising loss of a model on its validation images: the whole text, all times of equal weight.

    So it is no value of the training loss, which is on other images, with texts dropped, and may be weighted.
    Images that cannot be read are left out.
    """

    def __init__(self, model: LatentDiffusion, images: ValidationImages, resolution: int):
        """resolution: side of the images in pixels"""
        self.model, self.images, self.resolution = model, images, resolution
        self.encoder = TextEncoder(*model.text_side)

    def __call__(self, trainer: Trainer, step: int) -> list[dict]:
        """The loss by weights, `raw`, and `ema` where the training keeps a moving average: rows of VALIDATION_COLUMNS.

        The model is as before afterwards, bit for bit. Raises InputError if no image can be read.
        """
        rows = []
        for weights in ("raw", "ema") if trainer.ema else ("raw",):
            with trainer.as_used(average=weights == "ema"):
                size, count = trainer.settings.micro_batch_size, len(self._draws.times)
                parts = [self._losses(trainer, slice(first, first + size)) for first in range(0, count, size)]
            loss = torch.cat(parts).mean().item()
            rows.append(dict(zip(VALIDATION_COLUMNS, (step, weights, loss, count // TIMES), strict=True)))
        return rows

    def _losses(self, trainer: Trainer, part: slice) -> torch.Tensor:
        """The loss of some of the (image, time, noise), (b,)."""
        draws = self._draws
        latents, noise, times = map(trainer.here, (draws.latents[part], draws.noise[part], draws.times[part]))
        with trainer.autocast():
            context = self.encoder(draws.texts[part])
            return diffusion_loss(self.model, self.model.unet, latents, noise, times, context)

    @cached_property
    def _draws(self) -> "_Draws":
        images = self.images
        mean, std, read = encode_images(self.model.vae, images.paths, self.resolution, batch_size=1, max_missing=1.0)
        if not read:
            raise InputError("training.validation_images: no image of the split val can be read; set it to 0")
        shape, ids = tuple(mean.shape[1:]), [images.ids[row] for row in read]
        posterior = torch.stack([normal(shape, "validation posterior", name) for name in ids])
        latents = (mean + std * posterior) * self.model.vae.config.scaling_factor
        quarter = self.model.schedule.config.num_train_timesteps // TIMES
        drawn = [torch.randint(quarter, (TIMES,), generator=torch_rng("validation time", name)) for name in ids]
        return _Draws(
            texts=[images.texts[row] for row in read for _ in range(TIMES)],
            latents=latents.repeat_interleave(TIMES, dim=0),
            noise=torch.stack([normal(shape, "validation noise", name, i) for name in ids for i in range(TIMES)]),
            times=torch.cat([of_image + quarter * torch.arange(TIMES) for of_image in drawn]),
        )


@dataclass(frozen=True)
class _Draws:
    """What the loss is taken on, n * TIMES of each: texts, latents scaled for the U-Net and diffusion noise (.., c, h,
    w), diffusion times."""

    texts: list[str]
    latents: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
