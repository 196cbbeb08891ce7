"""Heat-map methods: from grouped sums of cross-attention to token heat maps, by the settings of a method.

The settings are an entry of `attention.methods` (see `tradeoffs.config.sections.attention.Method`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from tradeoffs.attention.grouped import SPECIAL, GroupedSums
from tradeoffs.attention.heat_maps import TokenHeatMaps

PAPER = {  # of the run's own heat maps
    "layers": ["down", "mid", "up"],
    "coarsest": None,
    "steps": [2, 3, 4, 5],
    "tokens": "words",
    "scale_each": False,
    "interpolation": "nearest",
    "smoothing": 0.0,
}


def method_maps(sums: GroupedSums, method: Mapping[str, Any], size: int) -> TokenHeatMaps:
    """The token heat maps (k, size, size) of a method.

    With `tokens` "all", "start", "end" or "padding" every token has that one map, so that words make no difference:
    specificity is 0, as it should be for a map that no word chooses.
    """
    total, weight = torch.zeros(len(sums.tokens), size, size), 0.0
    steps = [step - 1 for step in method["steps"] if sums.steps[step - 1]]
    for group in chosen_groups(sums, method):
        maps = torch.from_numpy(sums.sums[group][steps])
        own = _of_tokens(maps, method["tokens"], len(sums.tokens))
        if method["scale_each"]:
            low, high = own.amin((2, 3), keepdim=True), own.amax((2, 3), keepdim=True)
            scale = torch.where(high > low, high - low, torch.ones(()))
            own = (own - low) / scale
            own, passes = own.sum(0), float(len(steps))
        else:
            own, passes = own.sum(0), float(sums.layers[group] * sums.steps[steps].sum())
        total += _resized(own, size, method["interpolation"])
        weight += passes
    heat = (total / weight).numpy()
    if method["smoothing"]:
        heat = gaussian_filter(heat, (0, method["smoothing"], method["smoothing"]))
    return TokenHeatMaps(sums.id, sums.text, sums.tokens, sums.spans, heat, sums.truncated_at)


def chosen_groups(sums: GroupedSums, method: Mapping[str, Any]) -> list[str]:
    """The layer groups of a method: of its parts of the U-Net, those of the `coarsest` resolutions there.

    Where these parts have no cross-attention, as the middle of some U-Nets, all groups are taken.
    """
    parts = [group for group in sums.layers if group.split("_")[0] in method["layers"]] or list(sums.layers)
    sizes = sorted({int(group.split("_")[1]) for group in parts})[: method["coarsest"]]
    return [group for group in parts if int(group.split("_")[1]) in sizes]


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
