"""Heat-map methods: from grouped sums of cross-attention to token heat maps, by the settings of a method.

The settings are an entry of `attention.methods` (see `tradeoffs.config.sections.attention.Method`).
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch.nn import functional

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.attention.passes import EMPTY, FRESH, GENERATION, QUARTERS, heads_of
from tradeoffs.attention.sums import SELF_ATTENTION, SPECIAL, STEP_GROUPS, GroupedSums
from tradeoffs.errors import InputError

PAPER = {  # of the run's own heat maps
    "layers": ["down", "mid", "up"],
    "coarsest": None,
    "heads": list(QUARTERS),
    "steps": [2, 3, 4, 5],
    "tokens": "words",
    "noise": FRESH,
    "guidance_difference": False,
    "scale_each": False,
    "interpolation": "nearest",
    "self_attention": 0,
    "bimodal": False,
    "smoothing": 0.0,
}


def method_maps(passes: Mapping[str, GroupedSums], method: Mapping[str, Any], size: int) -> TokenHeatMaps:
    """The token heat maps (k, size, size) of a method.

    passes: of one text on one image, by their noise, those that `passes_of` names
    With `tokens` "all", "start", "end" or "padding" every token has that one map, so that words make no difference:
    specificity is 0 for two findings of one text, as it should be for a map that no word chooses.
    Raises InputError if a method asks for self-attention that the U-Net does not have.
    """
    sums = passes[method["noise"]]
    if method["guidance_difference"]:
        sums = _difference(sums, passes[EMPTY])
    heat = _mean(sums, method, size)
    if method["self_attention"]:
        heat = _refined(heat, sums, method)
    if method["bimodal"]:
        heat = _bimodal(heat, passes[method["noise"]], passes[GENERATION], method)
    maps = heat.numpy()
    if method["smoothing"]:
        maps = gaussian_filter(maps, (0, method["smoothing"], method["smoothing"]))
    return TokenHeatMaps(sums.id, sums.text, sums.tokens, sums.spans, maps, sums.truncated_at)


def _mean(sums: GroupedSums, method: Mapping[str, Any], size: int) -> torch.Tensor:
    """Mean maps (k, size, size) over the layers, heads and steps of a method."""
    total, weight = torch.zeros(len(sums.tokens), size, size), 0.0
    steps = [step - 1 for step in method["steps"] if sums.steps[step - 1]]
    for group in chosen_groups(sums, method):
        own = _of_tokens(_of_heads(sums, group, method)[steps], method["tokens"], len(sums.tokens))
        if method["scale_each"]:
            own, passes = _scaled(own).sum(0), float(len(steps))
        else:
            own, passes = own.sum(0), float(sums.layers[group] * sums.steps[steps].sum())
        total += _resized(own, size, method["interpolation"])
        weight += passes
    return total / weight


def _difference(sums: GroupedSums, empty: GroupedSums) -> GroupedSums:
    """What the text changes: maps with it minus maps of the pass with the empty text, at the same places of the context
    and on the same noisy latents, as `--subtract_attn_images` of Nützel et al.'s code."""
    return replace(
        sums,
        sums={group: maps - empty.sums[group] for group, maps in sums.sums.items()},
        heads={
            quarter: {group: maps - empty.heads[quarter][group] for group, maps in of_quarter.items()}
            for quarter, of_quarter in sums.heads.items()
            if quarter in empty.heads
        },
    )


def _refined(heat: torch.Tensor, sums: GroupedSums, method: Mapping[str, Any]) -> torch.Tensor:
    """Maps (k, size, size) multiplied by a power of the mean self-attention: a pixel gets what the pixels have that it
    attends to (power 1: Wang et al. 2023, DiffSegmenter; 4: Nguyen et al., NeurIPS 2023, Dataset Diffusion)."""
    if sums.self_attention is None:
        raise InputError(
            f"attention.methods: self_attention needs a self-attention layer of at most {SELF_ATTENTION} latent "
            "pixels, which this U-Net has not; set it to 0"
        )
    steps = [step - 1 for step in method["steps"]]
    weights = sums.steps[steps] / sums.steps[steps].sum()
    matrix = torch.from_numpy(np.tensordot(weights, sums.self_attention[steps].astype(np.float32), 1)).float()
    side, size = isqrt(len(matrix)), heat.shape[-1]
    coarse = functional.adaptive_avg_pool2d(heat, side).flatten(1)
    refined = torch.linalg.matrix_power(matrix, method["self_attention"]) @ coarse.T
    return _resized(refined.T.unflatten(1, (side, side)), size, method["interpolation"])


def _bimodal(heat: torch.Tensor, seen: GroupedSums, generated: GroupedSums, method: Mapping[str, Any]) -> torch.Tensor:
    """Bimodal bias merging (Nützel et al., MIDL 2025) of a method's maps (k, size, size), as in their code.

    The image bias I is the map of the token that starts the context, on the real image; the text bias T_k a token's map
    while an image is generated from the text alone; both are means over all time steps. The merged biases M are the
    mean of the matrix products I T_k. With maps scaled to 0..1 and s = max(0, SSIM(I, T_k)) the result is
    (1 - s)^2 A + s (1 - s) (A + M + A M) + s^2 M: a method's map A where the biases differ, M where they agree.
    The original multiplies at each layer and step, here it is each layer group and fifth of the steps.
    """
    size, merged = heat.shape[-1], torch.zeros_like(heat)
    every = {**method, "steps": list(range(1, STEP_GROUPS + 1)), "scale_each": False}
    for group in chosen_groups(seen, method):
        image = _of_tokens(_of_heads(seen, group, method), "start", len(heat))
        text = _of_tokens(_of_heads(generated, group, method), method["tokens"], len(heat))
        for step in np.flatnonzero(seen.steps):
            product = _resized(image[step], size, "nearest") @ _resized(text[step], size, "nearest")
            merged += product / (seen.layers[group] * seen.steps[step])
    image_bias = _scaled(_mean(seen, {**every, "tokens": "start"}, size)).numpy()
    text_bias = _scaled(_mean(generated, every, size)).numpy()
    alike = [_similarity(image, text) for image, text in zip(image_bias, text_bias, strict=True)]
    s = torch.tensor(alike).float()[:, None, None]
    own, merged = _scaled(heat), _scaled(merged)
    return (1 - s) ** 2 * own + s * (1 - s) * (own + merged + own * merged) + s**2 * merged


def _similarity(one: np.ndarray, other: np.ndarray) -> float:
    """SSIM of two maps (h, w) in 0..1, in windows of 7 x 7 or as large as there are; 0 if it is negative."""
    window = min(7, len(one) - 1 + len(one) % 2)
    return max(0.0, float(structural_similarity(one, other, win_size=window, data_range=1.0)))


def chosen_groups(sums: GroupedSums, method: Mapping[str, Any]) -> list[str]:
    """The layer groups of a method: of its parts of the U-Net, those of the `coarsest` resolutions there.

    Where these parts have no cross-attention, as the middle of some U-Nets, all groups are taken.
    """
    parts = [group for group in sums.layers if group.split("_")[0] in method["layers"]] or list(sums.layers)
    sizes = sorted({int(group.split("_")[1]) for group in parts})[: method["coarsest"]]
    return [group for group in parts if int(group.split("_")[1]) in sizes]


def _of_heads(sums: GroupedSums, group: str, method: Mapping[str, Any]) -> torch.Tensor:
    """(STEP_GROUPS, k + 3, h, w) of a layer group, the mean over the quarters of the heads that a method looks at."""
    parts = [sums.heads[quarter][group] for quarter in heads_of(method)] or [sums.sums[group]]
    return torch.from_numpy(parts[0] if len(parts) == 1 else np.mean(parts, axis=0))


def _scaled(maps: torch.Tensor) -> torch.Tensor:
    """Each map (..., h, w) scaled to 0..1; 0 where it is constant."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, torch.ones(()))


def _of_tokens(maps: torch.Tensor, tokens: str, count: int) -> torch.Tensor:
    """From (steps, k + 3, h, w) to (steps, k, h, w) of the tokens that a method looks at."""
    if tokens == "words":
        return maps[:, :count]
    one = maps[:, :count].mean(1) if tokens == "all" else maps[:, count + SPECIAL.index(tokens)]
    return one[:, None].expand(-1, count, -1, -1)


def _resized(maps: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """(k, h, w) at (size, size); bicubic, as in DAAM (Tang et al. 2023), is cut off at 0."""
    options = {} if interpolation == "nearest" else {"align_corners": False}
    resized = functional.interpolate(maps[None], size=(size, size), mode=interpolation, **options)[0]
    return resized.clamp(min=0) if interpolation == "bicubic" else resized
