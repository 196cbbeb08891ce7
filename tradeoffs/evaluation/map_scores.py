"""Scores of one heat map against one mask.

The scores are those of Dombrowski et al. (AAAI 2024), in two protocols (`tradeoffs.protocols`): published computes what
the original code computes, corrected mends it (docs/differences.md, rows 2 to 10). Beside them stand the two that
papers on MS-CXR print since BioViL (Boecking et al., ECCV 2022): |CNR| and the IoU over thresholds.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from skimage.filters import threshold_otsu
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from tradeoffs.evaluation.queries import Excluded
from tradeoffs.protocols import Protocol

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Threshold:
    """What is hot in a heat map. kind: "mixture" (see `mixture_threshold`), "otsu" (Otsu 1979) or "fixed"; the last two
    are of the map scaled to 0..1, and a fixed one is `at` there."""

    kind: str = "mixture"
    at: float = 0.5


MIXTURE = Threshold()


def score(
    heat: np.ndarray, mask: np.ndarray, protocol: Protocol, single_box: bool, threshold: Threshold = MIXTURE
) -> dict[str, float | bool]:
    """All scores of a heat map (h, w) against a ground-truth mask, bool (r, r), or of the whole image's frame (height,
    width), of which the map covers the central square (see `in_frame`).

    single_box: whether the mask is one box; only then `distance` (pixels of the mask) is defined
    `mixture_converged` tells whether the Gaussian mixture behind the binary map converged.
    An empty binary map has IoU and box IoU 0, hence mIoU and box mIoU of half the background's share, and no distance
    (row 6; the original crashes).

    Raises Excluded if the map is constant or not finite, and in corrected if the mask is empty or full. In published
    such masks are scored: IoU by its definition, AUC-ROC and CNR NaN (row 5).
    """
    if not protocol.empty_masks and not mask.any():
        raise Excluded("finding outside the crop")
    if not protocol.empty_masks and mask.all():
        raise Excluded("finding fills the crop")
    large = on_mask(heat, mask, protocol)
    binary, converged = binary_map(heat, min(mask.shape), protocol, threshold)
    binary = in_frame(binary, mask.shape)
    contrast = cnr(large, mask)
    box = box_map(binary, protocol)
    return {
        "auc_roc": auc_roc(large, mask),
        "top1": top1(large, mask),
        "cnr": contrast,
        "abs_cnr": abs(contrast),
        "iou": iou(binary, mask),
        "miou": miou(binary, mask),
        "threshold_iou": threshold_iou(large, mask),
        "box_iou": iou(box, mask),
        "box_miou": miou(box, mask),
        "distance": distance(binary, mask) if single_box else np.nan,
        "mixture_converged": converged,
    }


def resized(heat: np.ndarray, resolution: int, protocol: Protocol) -> np.ndarray:
    """The heat map (h, w) scaled to 0..1 and brought to (resolution, resolution) bilinearly, float32.

    corrected interpolates in double precision, so that values that should tie do tie; published in single precision,
    where rounding breaks ties (row 24).
    Raises Excluded if the map is constant or not finite.
    """
    precision = np.float32 if protocol.single_precision else np.float64
    return bilinear(_min_max(heat, precision), resolution).astype(np.float32)


def on_mask(heat: np.ndarray, mask: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The heat map (h, w), scaled to 0..1, at the mask's size; raises Excluded as `resized` does."""
    return in_frame(resized(heat, min(mask.shape), protocol), mask.shape)


def in_frame(square: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The central square (r, r) of an image in its frame (height, width), whose shorter side is r; 0 around it.

    So a part of the finding that the crop left out counts as not covered.

    >>> in_frame(np.ones((2, 2), int), (2, 4))
    array([[0, 1, 1, 0],
           [0, 1, 1, 0]])
    """
    frame = np.zeros(shape, dtype=square.dtype)
    side = len(square)
    top, left = (round((length - side) / 2) for length in shape)
    frame[top : top + side, left : left + side] = square
    return frame


def auc_roc(heat: np.ndarray, mask: np.ndarray) -> float:
    """AUC-ROC: the probability that a pixel inside the mask is hotter than one outside, ties counting half
    (Mann-Whitney U / (n_in n_out)); 0 to 1, 0.5 for a map that knows nothing, higher is better.

    heat, mask: (r, r), the mask bool; NaN for an empty or full mask

    >>> heat, mask = np.array([[4, 3], [2, 1]]), np.array([[True, False], [True, False]])
    >>> auc_roc(heat, mask)  # 4 > 3, 4 > 1 and 2 > 1, but not 2 > 3
    0.75
    """
    inside, outside = np.sort(heat[mask]), np.sort(heat[~mask])
    if not inside.size or not outside.size:
        return np.nan
    colder = np.searchsorted(outside, inside, "left")
    not_hotter = np.searchsorted(outside, inside, "right")
    return float((colder + not_hotter).mean() / (2 * outside.size))


def top1(heat: np.ndarray, mask: np.ndarray) -> float:
    """Pointing game: 1 if the hottest pixel (the first in row-major order) is inside the mask, else 0; higher is
    better.

    >>> top1(np.array([[1, 3], [3, 2]]), np.array([[False, True], [False, False]]))
    1.0
    """
    return float(mask.flat[heat.argmax()])


def cnr(heat: np.ndarray, mask: np.ndarray) -> float:
    """Contrast-to-noise ratio (mean_in - mean_out) / sqrt(var_in + var_out) with unbiased variances; any number, 0 for
    no contrast, negative where the map is colder inside, higher is better.

    NaN with fewer than two pixels on a side, or without any noise.

    >>> cnr(np.array([[4, 3], [2, 1]]), np.array([[True, False], [True, False]]))  # (3 - 2) / sqrt(2 + 2)
    0.5
    """
    inside, outside = heat[mask].astype(np.float64), heat[~mask].astype(np.float64)
    if min(inside.size, outside.size) < 2:
        return np.nan
    noise = np.sqrt(inside.var(ddof=1) + outside.var(ddof=1))
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else np.nan


def binary_map(
    heat: np.ndarray, resolution: int, protocol: Protocol, threshold: Threshold = MIXTURE
) -> tuple[np.ndarray, bool]:
    """The hot part of a heat map (h, w), bool (resolution, resolution), and whether the mixture converged.

    Hot is what exceeds the threshold; a 3 x 3 majority filter removes lone pixels; bilinear resizing and
    rounding follow. corrected fits the mixture to the scaled map; published to the raw attention values, which are so
    small (1e-3) that its `reg_covar` of 1e-6 matters (row 2).
    """
    if threshold.kind == "mixture":
        values = heat.astype(np.float64) if protocol.raw_mixture else _min_max(heat)
        limit, converged = mixture_threshold(values)
    else:
        values, converged = _min_max(heat), True
        limit = threshold_otsu(values) if threshold.kind == "otsu" else threshold.at
    hot = majority_filter(values > limit)
    return bilinear(hot.astype(np.float64), resolution) > 0.5, converged


def mixture_threshold(values: np.ndarray) -> tuple[float, bool]:
    """Midpoint of the means of a two-component Gaussian mixture of the values, and whether its fit converged.

    Seeded in both protocols: the original is not (row 2), so its own runs differ in which optimum they find.
    """
    mixture = GaussianMixture(n_components=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values.reshape(-1, 1))
    return float(mixture.means_.mean()), bool(mixture.converged_)


def majority_filter(mask: np.ndarray) -> np.ndarray:
    """Each inner pixel of a bool (h, w) becomes what at least 5 of the 9 around it are; the borders stay."""
    filtered = mask.copy()
    filtered[1:-1, 1:-1] = np.lib.stride_tricks.sliding_window_view(mask, (3, 3)).sum(axis=(2, 3)) >= 5
    return filtered


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """First and last column and row (x1, x2, y1, y2) of the True pixels, both ends included; None if there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return (int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])) if columns.size else None


def box_map(mask: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The filled bounding box of a bool (h, w); empty for an empty mask.

    published loses the box's last row and column (row 3).
    """
    filled = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is not None:
        x1, x2, y1, y2 = box
        last = 0 if protocol.short_boxes else 1
        filled[y1 : y2 + last, x1 : x2 + last] = True
    return filled


def iou(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two bool arrays, |A and B| / |A or B|; 0 to 1, higher is better, 0 if both are empty.

    `iou` is that of the binary map and the mask, `box_iou` that of the binary map's bounding box and the mask.

    >>> iou(np.array([True, True, False]), np.array([True, False, False]))
    0.5
    """
    union = np.count_nonzero(prediction | mask)
    return float(np.count_nonzero(prediction & mask) / union) if union else 0.0


def miou(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Mean of the IoU of the foregrounds and of the backgrounds (fg/bg mIoU); 0 to 1, higher is better. An empty
    prediction still has half the background's share.

    >>> miou(np.array([True, True, False, False]), np.array([True, False, False, False]))  # (1/2 + 2/3) / 2
    0.5833333333333333
    """
    return (iou(prediction, mask) + iou(~prediction, ~mask)) / 2


def threshold_iou(heat: np.ndarray, mask: np.ndarray) -> float:
    """Mean IoU of what exceeds .1, .2, .3, .4 and .5 in a heat map (r, r) scaled to 0..1: what other papers on MS-CXR
    call mIoU. Their maps are cosine similarities; attention has no such range of its own, hence the scaling.

    >>> threshold_iou(np.array([[1, 0.35, 0.05]]), np.array([[True, False, False]]))  # 1/2 thrice, then 1 twice
    0.7
    """
    return float(np.mean([iou(heat > threshold, mask) for threshold in THRESHOLDS]))


def distance(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Distance in pixels between the centres of the two bounding boxes; 0 to the image's diagonal, lower is better;
    NaN if one array is empty.

    >>> prediction, mask = np.zeros((2, 4, 5), dtype=bool)
    >>> prediction[0, 0] = mask[3, 4] = True
    >>> distance(prediction, mask)
    5.0
    """
    predicted, true = bounding_box(prediction), bounding_box(mask)
    if predicted is None or true is None:
        return np.nan
    across = (predicted[0] + predicted[1] - true[0] - true[1]) / 2
    down = (predicted[2] + predicted[3] - true[2] - true[3]) / 2
    return float(np.hypot(across, down))


def _min_max(heat: np.ndarray, precision: type[np.floating] = np.float64) -> np.ndarray:
    if not np.isfinite(heat).all():
        raise Excluded("heat map not finite")
    heat = heat.astype(precision)
    low, high = heat.min(), heat.max()
    if low == high:
        raise Excluded("constant heat map")
    return (heat - low) / (high - low)


def bilinear(values: np.ndarray, resolution: int) -> np.ndarray:
    """Values (h, w) brought to (resolution, resolution)."""
    size = (resolution, resolution)
    return torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size, mode="bilinear")[0, 0].numpy()
