"""What batch sizes change: latents, heat maps, samples and features in batches of several sizes, on the CPU."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL
from torch import nn

from benchmarks.measuring import Row, alone, at_most_value, only_shown
from benchmarks.models import DEMO_BASE, TEXTS
from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.data.image_files import ImageFiles
from tradeoffs.demo.phantom_files import write_phantoms
from tradeoffs.evaluation.features import build_extractor, extract
from tradeoffs.evaluation.fidelity import frechet_distance, kernel_distance
from tradeoffs.model.checkpoints import LatentDiffusion, load
from tradeoffs.model.latents import encode_images
from tradeoffs.sampling import draw_samples, sample_list

RESOLUTION = 128  # the demo's


def spread(runs: Sequence[np.ndarray]) -> np.ndarray:
    """How far the runs are apart at most, value by value."""
    return np.max(runs, axis=0) - np.min(runs, axis=0)


def relative_spread(values: Sequence[float]) -> float:
    return float(spread(np.array(values)[:, None]).max() / abs(values[0]))


def of_latents(vae: AutoencoderKL, paths: Sequence[str], resolution: int, batch_sizes: Sequence[int]) -> list[float]:
    """Largest difference of a posterior's mean or standard deviation, and the standard deviation of all means."""
    runs = [encode_images(vae, paths, resolution, size) for size in batch_sizes]
    largest = max(spread([run[part].numpy() for run in runs]).max() for part in (0, 1))
    return [float(largest), float(runs[0][0].std())]


def of_heat_maps(
    model: LatentDiffusion, texts_on_images: Sequence[TextOnImage], steps: int, keep: int, batch_sizes: Sequence[int]
) -> float:
    """Largest difference of a heat map, in parts of its largest value."""
    runs = [
        [maps.heat for maps in token_heat_maps(model, texts_on_images, 0, steps, keep, size)] for size in batch_sizes
    ]
    tokens = [np.stack(of_one) for of_one in zip(*runs, strict=True)]
    return max(float((spread(heat).max(axis=(1, 2)) / heat[0].max(axis=(1, 2))).max()) for heat in tokens)


def of_samples(
    folder: Path, texts: Sequence[str], scheduler: str, steps: int, resolution: int, batch_sizes: Sequence[int]
) -> tuple[int, float]:
    """Largest difference in grey levels, and the share of the values that differ at all."""
    prompts = pd.DataFrame({"prompt_id": range(len(texts)), "text": texts, "Finding Labels": ""})
    rows = sample_list(prompts, 0, 1)
    settings = {"seed": 0, "guidance": 4.0, "steps": steps, "scheduler": scheduler, "resolution": resolution}
    runs = [
        np.stack([np.asarray(image, dtype=int) for _, image in draw_samples(folder, rows, batch_size=size, **settings)])
        for size in batch_sizes
    ]
    return int(spread(runs).max()), float((spread(runs) > 0).mean())


def of_features(
    extractor: nn.Module, images: ImageFiles | torch.Tensor, batch_sizes: Sequence[int]
) -> tuple[float, float, float, float]:
    """Largest difference of a feature, the largest feature, and the largest differences of FID and KID between the two
    halves of the images, in parts of themselves."""
    runs = [extract(extractor, images, size) for size in batch_sizes]
    half = len(images) // 2
    measures: list[Callable[[np.ndarray], float]] = [
        lambda run: frechet_distance(run[:half], run[half:]),
        lambda run: kernel_distance(run[:half], run[half:], subsets=20, subset_size=half // 2, seed=0),
    ]
    fid, kid = (relative_spread([measure(run) for run in runs]) for measure in measures)
    return float(spread(runs).max()), float(np.abs(runs[0]).max()), fid, kid


def _measured() -> list[Row]:
    model = load(DEMO_BASE)
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(folder, seed=0, train=160, val=1, p19=1, mscxr=1)
        paths = sorted(map(str, Path(folder).glob("mimic-cxr-jpg/files/p*/p*/s*/*.jpg")))[:160]
        difference, deviation = of_latents(model.vae, paths[:32], RESOLUTION, [1, 8, 32])
        means, _, _ = encode_images(model.vae, paths[:16], RESOLUTION, 8)
        latents = means * model.vae.config.scaling_factor
        texts_on_images = [TextOnImage(str(i), str(i), TEXTS[i % 2], latent) for i, latent in enumerate(latents)]
        heat = of_heat_maps(model, texts_on_images, 10, 8, [1, 8, 64])
        dpm = of_samples(DEMO_BASE, TEXTS * 8, "dpm", 10, RESOLUTION, [1, 8, 32])
        plms = of_samples(DEMO_BASE, TEXTS * 4, "plms", 75, RESOLUTION, [1, 8])
        images = ImageFiles(pd.Series(paths), RESOLUTION)
        feature, largest, fid, kid = of_features(build_extractor("efficientnet_lite0"), images, [1, 8, 32])
    return [
        at_most_value("latents of 32 phantoms in batches of 1, 8 and 32: largest difference", difference, "", 1e-5),
        only_shown("the same: standard deviation of the latents", f"{deviation:.3g}"),
        at_most_value("heat maps of 16 texts in batches of 1, 8 and 64: of a map's largest value", heat, "", 1e-5),
        at_most_value("16 samples, DPM-Solver++, 10 steps, in batches of 1, 8 and 32: grey levels", dpm[0], "", 1),
        at_most_value("the same: share of the values that differ", dpm[1], "", 1e-3),
        at_most_value("8 samples, PLMS, 75 steps, in batches of 1 and 8: grey levels", plms[0], "", 1),
        at_most_value("the same: share of the values that differ", plms[1], "", 1e-3),
        at_most_value("EfficientNet-Lite0's features of 160 phantoms in batches of 1, 8 and 32", feature, "", 1e-4),
        only_shown("the same: largest feature", f"{largest:.3g}"),
        at_most_value("the same: FID of one half of them against the other, in parts of itself", fid, "", 1e-5),
        at_most_value("the same: KID", kid, "", 1e-5),
    ]


def rows() -> list[Row]:
    return alone(_measured)
