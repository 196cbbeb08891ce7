"""Localisation scores: the workflow's against the original's, which takes each from scikit-learn over all pixels."""

import numpy as np
import torch
from sklearn.metrics import jaccard_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from torch.nn import functional

from benchmarks.measuring import Row, alone, at_least, at_most_value, cost
from tradeoffs.evaluation.map_scores import score
from tradeoffs.metrics import SCORES
from tradeoffs.protocols import PUBLISHED

SAMPLES, RESOLUTION, ROUNDS = 40, 512, 3


def plain_scores(heat: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """All scores of a heat map (h, w) against a box, bool (r, r), as the original computes them.

    But for the mixture's seed: the original has none, and its numbers differ from run to run.
    """
    heat, truth = torch.from_numpy(heat), torch.from_numpy(mask).float()
    mixture = GaussianMixture(n_components=2, random_state=0).fit(heat.double().reshape(-1, 1).numpy())
    binary = (heat > np.mean(mixture.means_)).float()[None, None]
    around = functional.conv2d(binary, torch.full((1, 1, 3, 3), 1 / 9))
    binary[..., 1:-1, 1:-1] = (around >= 0.5).float()
    binary = functional.interpolate(binary, size=mask.shape, mode="bilinear")[0, 0].round()
    scaled = (heat - heat.min()) / (heat.max() - heat.min())
    large = functional.interpolate(scaled.double()[None, None], size=mask.shape, mode="bilinear")[0, 0].float()
    inside, outside = large[truth == 1], large[truth != 1]
    box, centre = _box(binary.bool().numpy())
    _, true_centre = _box(mask)
    hottest = np.unravel_index(large.argmax(), large.shape)
    iou, miou = _overlap(truth, binary)
    box_iou, box_miou = _overlap(truth, torch.from_numpy(box).float())
    return {
        "auc_roc": float(roc_auc_score(truth.flatten(), large.flatten())),
        "top1": float(truth[hottest]),
        "cnr": float((inside.mean() - outside.mean()) / torch.sqrt(inside.var() + outside.var())),
        "iou": iou,
        "miou": miou,
        "box_iou": box_iou,
        "box_miou": box_miou,
        "distance": float(np.hypot(centre[0] - true_centre[0], centre[1] - true_centre[1])),
    }


def _box(mask: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    columns, rows = np.where(mask.any(axis=0))[0], np.where(mask.any(axis=1))[0]
    x1, x2, y1, y2 = columns[0], columns[-1], rows[0], rows[-1]
    filled = np.zeros_like(mask)
    filled[y1:y2, x1:x2] = True
    return filled, (x1 + (x2 - x1) / 2, y1 + (y2 - y1) / 2)


def _overlap(truth: torch.Tensor, prediction: torch.Tensor) -> tuple[float, float]:
    truth, prediction = truth.flatten(), prediction.flatten()
    foreground = jaccard_score(truth, prediction)
    return float(foreground), float((foreground + jaccard_score(1 - truth, 1 - prediction)) / 2)


def examples(count: int, resolution: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Heat maps (64, 64) in attention's range, made of blocks of 16, 8 and 4 pixels' resolution, each with a box."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        layers = [rng.random((1, 1, side, side)) for side in (4, 8, 16, 64)]
        smooth, *blocks = (torch.from_numpy(layer) for layer in layers)
        heat = functional.interpolate(smooth, size=64, mode="bicubic")
        for layer, weight in zip(blocks, (0.6, 0.3, 0.1), strict=True):
            heat = heat + weight * functional.interpolate(layer, size=64, mode="nearest")
        mask = np.zeros((resolution, resolution), bool)
        left, top = rng.integers(0, resolution // 2, 2)
        width, height = rng.integers(resolution // 8, resolution // 2, 2)
        mask[top : top + height, left : left + width] = True
        pairs.append(((heat[0, 0].numpy().clip(0) ** 3 * 1e-3 + 5e-3).astype(np.float32), mask))
    return pairs


def largest_difference(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Between a score of ours in the published protocol and the plain one, over all pairs and scores."""
    return max(
        abs(score(heat, mask, PUBLISHED, single_box=True)[name] - value)
        for heat, mask in pairs
        for name, value in plain_scores(heat, mask).items()
    )


def _measured() -> tuple[float, float, float]:
    pairs = examples(SAMPLES, RESOLUTION)
    difference = largest_difference(pairs)
    rounds = [
        [
            cost(lambda: [plain_scores(*pair) for pair in pairs]).seconds,
            cost(lambda: [score(*pair, PUBLISHED, single_box=True) for pair in pairs]).seconds,
        ]
        for _ in range(ROUNDS)
    ]
    plain, ours = (min(seconds) / SAMPLES for seconds in zip(*rounds, strict=True))
    return plain, ours, difference


def rows() -> list[Row]:
    plain, ours, difference = alone(_measured)
    return [
        at_least(
            f"localisation: time a sample, {len(SCORES)} scores, 64 x 64 map, 512 px", 1e3 * plain, 1e3 * ours, "ms", 5
        ),
        at_most_value("localisation: largest difference of a score", difference, "", 1e-6),
    ]
