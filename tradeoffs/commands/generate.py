"""Images of one text, each with the heat map of every token while it was drawn."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from tradeoffs.attention.capture import AttentionSums, captured_cross_attention, cross_attention_layers, token_maps
from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.commands.models import own_resolution, ready
from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.text import tokenize
from tradeoffs.progress import Progress
from tradeoffs.sampling import Sampler


@dataclass(frozen=True)
class GeneratedImage:
    """An image (PIL, RGB) and the heat map of each token of its text, the mean over sampling steps, layers, heads."""

    image: Image.Image
    maps: TokenHeatMaps


def generate(
    model: str | Path | LatentDiffusion,
    text: str,
    count: int = 4,
    seed: int = 0,
    guidance: float = 4.0,
    steps: int = 75,
    scheduler: str = "plms",
    batch_size: int = 4,
    resolution: int | None = None,
    precision: str = "fp32",
) -> list[GeneratedImage]:
    """Draws `count` images of a text, and keeps where the U-Net attended to each token meanwhile.

    model: a diffusers folder or single file of Stable Diffusion 1 or 2 (as it is or fine-tuned), or one that is loaded
    guidance, steps, scheduler, batch_size, precision: see the section sampling of the configuration
    resolution: side of the images in pixels; None for the one that the model was made for
    The heat maps are means of the passes with the text; those of guidance's empty text are left out. The noise is that
    of a run's first prompt, one repeat after the other.

    Raises InputError for an empty text, a model that cannot be read, or a setting that it or the device does not have.
    """
    if not text.strip():
        raise InputError("text: it is empty; give the sentence to draw")
    model = ready(model)
    drawing = Sampler(model, scheduler, resolution or own_resolution(model), seed, guidance, steps, precision)
    tokens = tokenize(model.tokenizer, text)
    layers = len(cross_attention_layers(model.unet))
    drawn: list[GeneratedImage] = []
    for first in Progress(range(0, count, batch_size), desc="images", unit="batch"):
        ids = [f"00000-{place}" for place in range(first, min(first + batch_size, count))]
        sums = AttentionSums(len(ids), tokens.positions[-1] + 1, drawing.shape[1:])
        sums.rows = torch.arange(len(ids))
        passes = 0

        def record(layer: str, probabilities: torch.Tensor, sums: AttentionSums = sums) -> None:
            nonlocal passes
            passes += 1
            sums.add(layer, probabilities[-len(sums.rows) :])  # guidance puts the empty text's half in front

        with captured_cross_attention(model.unet, record):
            images = drawing.images([text] * len(ids), ids)
        heat = sums.mean(layers, passes // layers)
        maps = [token_maps(name, text, tokens, of_image) for name, of_image in zip(ids, heat, strict=True)]
        drawn += [GeneratedImage(*pair) for pair in zip(images, maps, strict=True)]
    return drawn
