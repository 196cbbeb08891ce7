"""Which passes of the U-Net heat-map methods need; without torch, since Snakemake reads it."""

from collections.abc import Iterable, Mapping
from typing import Any

FRESH, INVERSION, GENERATION, EMPTY = "fresh", "inversion", "generation", "empty"
QUARTERS = (1, 2, 3, 4)  # of a layer's heads
FIFTHS = (1, 2, 3, 4, 5)  # of the time steps, the noisiest first


def passes_of(method: Mapping[str, Any]) -> list[str]:
    """The passes that a method looks at: that of its noise, with the empty text for a guidance difference, and one that
    generates an image for bimodal bias merging."""
    further = {EMPTY: method["guidance_difference"], GENERATION: method["bimodal"]}
    return [method["noise"], *(name for name, asked in further.items() if asked)]


def heads_of(method: Mapping[str, Any]) -> list[int]:
    """The quarters of the heads that a method needs apart; none if it averages all heads."""
    return sorted(method["heads"]) if set(method["heads"]) != set(QUARTERS) else []


def asked_of(methods: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the passes have to keep for all methods, by pass: heads, the quarters that are kept apart, self_attention,
    whether that is kept, and fifths, those of the time steps. The fresh pass is always there, with all steps."""
    asked: dict[str, dict[str, Any]] = {FRESH: {"heads": [], "self_attention": False, "fifths": list(FIFTHS)}}
    for method in methods:
        for name in passes_of(method):
            kept = asked.setdefault(name, {"heads": [], "self_attention": False, "fifths": []})
            kept["heads"] = sorted({*kept["heads"], *heads_of(method)})
            steps = FIFTHS if method["bimodal"] else method["steps"]
            kept["fifths"] = sorted({*kept["fifths"], *steps})
        asked[method["noise"]]["self_attention"] |= method["self_attention"] > 0
    return dict(sorted(asked.items()))
