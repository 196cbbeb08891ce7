"""Scores of heat-map methods."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from tradeoffs.attention.methods import method_maps
from tradeoffs.attention.passes import passes_of
from tradeoffs.attention.sums import GroupedSums
from tradeoffs.evaluation.localisation import score_heat_maps
from tradeoffs.evaluation.map_scores import Threshold
from tradeoffs.evaluation.splits import splits_of
from tradeoffs.protocols import CORRECTED


def score_methods(
    grounding: pd.DataFrame,
    read: Callable[[str], Sequence[GroupedSums]],
    methods: Mapping[str, Mapping[str, Any]],
    text: str,
    resolution: int,
    map_size: int,
    frame: str = "crop",
) -> pd.DataFrame:
    """Scores of each method (see `localisation.score_heat_maps`), in the corrected protocol, with columns method
    and split.

    read: gives the sums of a noise, and is asked for those of each method anew, since all at once need much memory
    methods: by name; map_size: height of the heat maps, as of the latents; frame: see `localisation.samples`
    """
    tables, splits = [], splits_of(grounding)
    for name, method in methods.items():
        noises = passes_of(method)
        of_texts = [dict(zip(noises, some, strict=True)) for some in zip(*map(read, noises), strict=True)]
        maps = {some[method["noise"]].id: method_maps(some, method, map_size) for some in of_texts}
        threshold = Threshold(method["threshold"], method["threshold_at"])
        table = score_heat_maps(grounding, maps, text, CORRECTED, resolution, frame=frame, threshold=threshold)
        tables.append(table.assign(method=name, split=table["subject_id"].map(splits)))
    return pd.concat(tables, ignore_index=True)
