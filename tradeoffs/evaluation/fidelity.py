"""How close generated images are to real ones (FID, KID), and how much they differ among themselves (MS-SSIM)."""

import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import Scores
from tradeoffs.randomness import numpy_rng, seed_of

MS_SSIM_SIZE = 176  # the smallest image that torchmetrics takes at five scales with a window of 11 px


class _Given(nn.Module):
    """Stands for the extractor of a torchmetrics metric whose images are features already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """FID (Heusel et al., 2017) of features (n_real, d) and (n_fake, d), in float64.

    With fewer images than features the covariances are singular and rounding moves the result by about 1e-5 of itself.
    """
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    return _compare(metric, real, fake).item()


def kernel_distance(real: np.ndarray, fake: np.ndarray, subsets: int, subset_size: int, seed: int) -> float:
    """KID (Binkowski et al., 2018): unbiased squared MMD with the kernel (x.y / d + 1)^3, mean over random subsets.

    Subsets have `subset_size` images, or as many as the smaller side has; they are drawn from `seed`.
    """
    size = min(len(real), len(fake), subset_size)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save all extracted features")
        torch.manual_seed(seed_of(seed, "kid"))
        metric = KernelInceptionDistance(feature=_Given(real.shape[1]), subsets=subsets, subset_size=size)
        mean, _ = _compare(metric, real, fake)
    return mean.item()


def _compare(metric: nn.Module, real: np.ndarray, fake: np.ndarray):
    metric.update(torch.from_numpy(real).double(), real=True)
    metric.update(torch.from_numpy(fake).double(), real=False)
    return metric.compute()


def distances(
    real: dict[str, np.ndarray], fake: dict[str, np.ndarray], *, kid_subsets: int, kid_subset_size: int, seed: int
) -> Scores:
    """FID and KID per kind of features: fid_<kind> and kid_<kind> with n generated images, and n_real.

    real, fake: arrays (n_real, d) and (n_fake, d) by kind, such as general and domain
    Raises InputError if either side has fewer than two images.
    """
    n_real, n_fake = (len(next(iter(side.values()))) for side in (real, fake))
    if min(n_real, n_fake) < 2:
        raise InputError(
            f"FID and KID need two real and two generated images, not {n_real} and {n_fake}; raise the number of "
            "images to sample or of real images to compare with"
        )
    scores = {}
    for kind, features in real.items():
        scores[f"fid_{kind}"] = (frechet_distance(features, fake[kind]), n_fake)
        scores[f"kid_{kind}"] = (kernel_distance(features, fake[kind], kid_subsets, kid_subset_size, seed), n_fake)
    return {**scores, "n_real": (n_real, n_real)}


def real_distances(features: dict[str, np.ndarray], *, kid_subsets: int, kid_subset_size: int, seed: int) -> Scores:
    """`distances` of one random half of the real images against the other: what samples could reach at best.

    features: arrays (n, d) by kind. Each half has n // 2 images, drawn from `seed`. FID is biased upwards the more the
    fewer the images, so these lie above what as many images as real ones have would give.
    """
    n = len(next(iter(features.values())))
    halves = numpy_rng(seed, "halves of the real images").permutation(n)[: 2 * (n // 2)].reshape(2, -1)
    real, held_out = ({kind: rows[half] for kind, rows in features.items()} for half in halves)
    return distances(real, held_out, kid_subsets=kid_subsets, kid_subset_size=kid_subset_size, seed=seed)


def ms_ssim(images: Tensor) -> float:
    """Mean MS-SSIM (Wang et al., 2003) over all pairs of the k >= 2 uint8 images (k, 3, H, W) of one prompt.

    On grey images (mean of the channels) in 0..1. Images of less than 176 px are resized to 176 px (bilinear), since
    five scales with a window of 11 px need that. As torchmetrics has it, windows that pass the (mirrored) border count
    at the coarsest scale only.
    """
    grey = images.float().mean(dim=1, keepdim=True) / 255
    if min(grey.shape[-2:]) < MS_SSIM_SIZE:
        grey = F.interpolate(grey, size=(MS_SSIM_SIZE, MS_SSIM_SIZE), mode="bilinear")
    first, second = torch.combinations(torch.arange(len(grey))).T
    return multiscale_structural_similarity_index_measure(grey[first], grey[second], data_range=1.0).item()


def diversity(prompts: Iterable[Tensor]) -> Scores:
    """MS-SSIM within prompts (docs/differences.md, row 16; low is diverse): mean over pairs, then over prompts.

    prompts: for each prompt its uint8 images (k >= 2, 3, H, W)
    Returns ms_ssim with the number of prompts (NaN if there are none) and, if images were resized for it,
    ms_ssim_resized_to with the size in px.
    """
    values, resized = [], 0
    for images in prompts:
        values.append(ms_ssim(images))
        resized += min(images.shape[-2:]) < MS_SSIM_SIZE
    scores = {"ms_ssim": (float(np.mean(values)) if values else float("nan"), len(values))}
    return {**scores, "ms_ssim_resized_to": (MS_SSIM_SIZE, resized)} if resized else scores
