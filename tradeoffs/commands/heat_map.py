"""One image and one sentence: where the U-Net attends to the words of the sentence on the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.commands.models import own_resolution, ready
from tradeoffs.data.images import load_image
from tradeoffs.data.words import places_of
from tradeoffs.errors import InputError
from tradeoffs.evaluation.queries import Excluded, query_map, token_weights
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import encode_images
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal


@dataclass(frozen=True)
class ImageHeatMap:
    """The heat maps of one text on one image.

    path: the image file; pixels: its central square as the model sees it, float (r, r, 3) in 0..1
    maps: the map of each token of the text; words: those asked for, () for all tokens
    heat: float (h, w) at latent size, the mean of the words' tokens: mean softmax probability of the cross-attention
    """

    path: str
    pixels: np.ndarray
    maps: TokenHeatMaps
    words: tuple[str, ...]
    heat: np.ndarray


def heat_map(
    model: str | Path | LatentDiffusion,
    image: str | Path,
    text: str,
    words: Sequence[str] = (),
    seed: int = 0,
    steps: int = 50,
    keep: int = 40,
    batch_size: int = 8,
    resolution: int | None = None,
    precision: str = "fp32",
) -> ImageHeatMap:
    """Where a model attends to `words` of `text` on an image, as a run of the workflow computes it.

    model: a diffusers folder or single file of Stable Diffusion 1 or 2 (as it is or fine-tuned), or one that is loaded
    words: whole words or phrases of the text, in any case; () for all of its tokens
    steps, keep, batch_size, precision: see the section heat_maps of the configuration
    resolution: side of the square that the image becomes; None for the one that the model was made for
    The noise depends on seed, file name (without its ending) and time step, so a run whose sample id is the file's name
    has the same maps.

    Raises InputError for an empty text, a word that is not in it, or a model or image that cannot be read.
    """
    if not text.strip():
        raise InputError("text: it is empty; give the sentence that the heat maps are of")
    check_words(text, words)
    if keep > steps:
        raise InputError(f"keep: {keep} is more than steps ({steps}); lower it or raise the other")
    model = ready(model)
    resolution = resolution or own_resolution(model)
    mean, std, _ = encode_images(model.vae, [str(image)], resolution, batch_size=1)
    name = Path(image).stem
    latent = (mean[0] + std[0] * normal(tuple(mean.shape[1:]), seed, name)) * model.vae.config.scaling_factor
    [maps] = token_heat_maps(model, [TextOnImage(name, name, text, latent)], seed, steps, keep, batch_size, precision)
    pixels = load_image(image, resolution).permute(1, 2, 0).numpy() / 2 + 0.5
    return ImageHeatMap(str(image), pixels, maps, tuple(words), map_of_words(maps, words))


def check_words(text: str, words: Sequence[str]) -> None:
    """Raises InputError for a word that is not in the text."""
    for word in words:
        if not places_of(text, [word], CORRECTED):
            raise InputError(f"words: {word!r} is no word of the text {text!r}; give words as they stand in it")


def map_of_words(maps: TokenHeatMaps, words: Sequence[str]) -> np.ndarray:
    """Mean map (h, w) of the tokens of some words, () for all tokens; raises InputError if none was in the context."""
    if not words:
        return maps.heat.mean(axis=0)
    try:
        weights, _ = token_weights(maps, words, CORRECTED)
    except Excluded as reason:
        raise InputError(f"words: {', '.join(words)}: {reason}; shorten the text") from reason
    return query_map(maps, weights)
