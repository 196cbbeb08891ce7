"""How close generated images are to real ones (FID, KID, precision and the like), and how much they differ among
themselves (MS-SSIM)."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from sklearn.metrics import pairwise_distances
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import LABELS, Scores
from tradeoffs.evaluation.reference import ImageFeatures
from tradeoffs.randomness import numpy_rng, seed_of

MS_SSIM_SIZE = 176  # the smallest image that torchmetrics takes at five scales with a window of 11 px
NEIGHBOURS = 5  # of Naeem et al.'s code


class _Given(nn.Module):
    """Stands for the extractor of a torchmetrics metric whose images are features already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """FID (Heusel et al., 2017) of features (n_real, d) and (n_fake, d), in float64.

    >>> frechet_distance(np.float32([[0], [2]]), np.float32([[3], [7]]))  # means 1 and 5, variances 2 and 8
    18.0
    """
    if min(len(real), len(fake)) <= real.shape[1]:
        return _frechet_of_few(real, fake)
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    return _compare(metric, real, fake).item()


def _frechet_of_few(real: np.ndarray, fake: np.ndarray) -> float:
    """FID of fewer images than features, without their singular covariances: these are A'A and B'B of the centred
    features A, B, and the trace of the root of A'A B'B is the sum of the singular values of AB'."""
    (mean_a, a), (mean_b, b) = (
        (x.mean(axis=0), (x - x.mean(axis=0)) / np.sqrt(len(x) - 1))
        for x in (real.astype(np.float64), fake.astype(np.float64))
    )
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((mean_a - mean_b) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * shared)


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


def neighbourhoods(real: np.ndarray, fake: np.ndarray, k: int = NEIGHBOURS) -> dict[str, float]:
    """How features (n_real, d) and (n_fake, d) overlap, each image with a ball that reaches to its k-th neighbour.

    precision, recall (Kynkaanniemi et al., 2019): share of the generated images in a real one's ball, and of the real
    images in a generated one's. density (mean number of real balls that hold a generated image, over k) and coverage
    (share of the real balls that hold one; Naeem et al., 2020) bear outliers better. All but density are in 0..1.
    A real image that is there several times counts once. k is less where there are fewer images; NaN without two.

    >>> neighbourhoods(np.float64([[0], [1], [2]]), np.float64([[0.5], [9], [10]]), k=1)  # radii 1, 1, 1 and 8.5, 1, 1
    {'precision': 0.3333333333333333, 'recall': 1.0, 'density': 0.6666666666666666, 'coverage': 0.6666666666666666}
    """
    real, fake = np.unique(real.astype(np.float64), axis=0), fake.astype(np.float64)
    k = min(k, len(real) - 1, len(fake) - 1)
    if k < 1:
        return dict.fromkeys(("precision", "recall", "density", "coverage"), float("nan"))
    across = pairwise_distances(real, fake)
    in_real, in_fake = across < _radii(real, k)[:, None], across < _radii(fake, k)
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float(in_fake.any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / k),
        "coverage": float(in_real.any(axis=1).mean()),
    }


def _radii(features: np.ndarray, k: int) -> np.ndarray:
    """Distance of each of the features (n, d) to its k-th neighbour, itself not counted."""
    return np.partition(pairwise_distances(features), k, axis=1)[:, k]


def distances(
    real: dict[str, np.ndarray], fake: dict[str, np.ndarray], *, kid_subsets: int, kid_subset_size: int, seed: int
) -> Scores:
    """FID, KID and `neighbourhoods` per kind of features: fid_<kind> and so on with n generated images, and n_real.

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
        scores[f"fid_{kind}"] = frechet_distance(features, fake[kind])
        scores[f"kid_{kind}"] = kernel_distance(features, fake[kind], kid_subsets, kid_subset_size, seed)
        overlap = neighbourhoods(features, fake[kind])
        scores |= {f"{name}_{kind}": value for name, value in overlap.items()}
    return {**{name: (value, n_fake) for name, value in scores.items()}, "n_real": (n_real, n_real)}


def distances_by_finding(
    real: ImageFeatures, fake: ImageFeatures, *, kid_subsets: int, kid_subset_size: int, seed: int
) -> Scores:
    """`distances` between the images of each finding (and of No Finding) alone: fid_general_Edema and so on.

    An image counts for each of its labels. Findings with fewer than two images on a side are left out.
    """
    scores: Scores = {}
    for finding in LABELS:
        some, others = (images.of_label(finding) for images in (real, fake))
        if min(len(some.ids), len(others.ids)) >= 2:
            sizes = {"kid_subsets": kid_subsets, "kid_subset_size": kid_subset_size}
            found = distances(some.features, others.features, **sizes, seed=seed)
            scores |= {f"{name}_{finding}": score for name, score in found.items()}
    return scores


def halves(ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of two random halves of the images: what real images reach when one half is scored as if generated.

    ids: of the rows; the rows of one image stay together, and of an odd number of images one is in neither half.
    FID is biased upwards the more the fewer the images, so that of halves lies above what the whole would give.
    """
    images = np.unique(ids)
    drawn = numpy_rng(seed, "halves of the real images").permutation(images)[: 2 * (len(images) // 2)]
    first, second = (np.flatnonzero(np.isin(ids, half)) for half in drawn.reshape(2, -1))
    return first, second


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
