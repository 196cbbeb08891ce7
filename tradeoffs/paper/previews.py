"""Pictures of a model while it learns: some fixed images, their texts' heat maps, and samples of the same texts.

They are no output, so their code is none of fine-tuning's (whose script imports this module by name).
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.evaluation.map_scores import Excluded, resized
from tradeoffs.evaluation.queries import query_map
from tradeoffs.files import atomic_path
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import encode_images
from tradeoffs.model.trainer import Trainer
from tradeoffs.model.validation import ValidationImages
from tradeoffs.paper.pictures import Cell, Row, image_grid, picture
from tradeoffs.protocols import CORRECTED
from tradeoffs.sampling import Sampler

logger = logging.getLogger("tradeoffs")

IMAGES = 4
SEED = 0  # of all previews' noise, so that they can be compared over steps, seeds and variants


class Previews:
    """Draws a picture of the model at a step into a folder."""

    def __init__(
        self,
        model: LatentDiffusion,
        images: ValidationImages,
        resolution: int,
        folder: str | Path,
        config: Mapping[str, Any],
    ):
        """config: the whole configuration, whose sections sampling and heat_maps are used"""
        self.model, self.images, self.resolution, self.folder = model, images, resolution, Path(folder)
        self.sampling = {key: config["sampling"][key] for key in ("scheduler", "guidance", "steps", "precision")}
        self.heat_maps = {key: config["heat_maps"][key] for key in ("steps", "keep", "batch_size", "precision")}

    def __call__(self, trainer: Trainer, step: int) -> None:
        """Writes `step<step>.png`, whole or not at all; the model is as before afterwards, bit for bit."""
        with trainer.as_used():
            maps = list(token_heat_maps(self.model, self.texts_on_images, SEED, **self.heat_maps))
            sampler = Sampler(self.model, resolution=self.resolution, seed=SEED, **self.sampling)
            # one by one, for a card that is full of gradients
            samples = [sampler.images([one.text], [one.id])[0] for one in self.texts_on_images]
        figure = preview(self.pictures, maps, [np.asarray(image) / 255 for image in samples], step)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step{step:08d}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
        logger.info("step %d: preview %s", step, path)

    @cached_property
    def texts_on_images(self) -> list[TextOnImage]:
        """A heat map to make of each image that can be read, at the middle of its posterior."""
        images = self.images
        mean, _, read = encode_images(self.model.vae, images.paths, self.resolution, batch_size=1, max_missing=1.0)
        latents = mean * self.model.vae.config.scaling_factor
        return [
            TextOnImage(images.ids[row], images.ids[row], images.texts[row], latent)
            for row, latent in zip(read, latents, strict=True)
        ]

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """The images of the texts."""
        paths = dict(zip(self.images.ids, self.images.paths, strict=True))
        return [picture(paths[one.id], self.resolution) for one in self.texts_on_images]


def preview(pictures: list[np.ndarray], maps: list[TokenHeatMaps], samples: list[np.ndarray], step: int) -> Figure:
    """One row per image: itself, the mean heat map of its text's tokens over it, and a sample of the text.

    pictures, samples: float (r, r, 3) in 0..1
    """
    rows = []
    for image, of_text, sample in zip(pictures, maps, samples, strict=True):
        count, heat = len(of_text.tokens), None
        with suppress(Excluded):  # a map that is constant or not finite, as of a text without tokens
            heat = resized(query_map(of_text, np.full(count, 1 / max(1, count))), len(image), CORRECTED)
        rows.append(Row("", [Cell(image), Cell(image, heat=heat), Cell(sample)], of_text.text))
    header = ["image", "its text's heat map", "sample of the text"]
    note = f"After step {step}. A look at a training that runs, no result; share it only if you may share the images."
    return image_grid(rows, header, label_width=1.45, largest=1.2, notes=[note])
