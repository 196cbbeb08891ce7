"""Where the signal sits: AUC-ROC of each cross-attention layer at each time step, for some of a model's samples."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.data.words import query_words
from tradeoffs.evaluation.localisation import Sample, control_auc
from tradeoffs.evaluation.queries import Excluded, token_weights
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import numpy_rng


@dataclass(frozen=True)
class Profiled:
    """A sample whose layers are scored one by one.

    weights: (k,), how much each token of its text counts; mask: ground truth, bool (r, r)
    """

    sample: Sample
    weights: np.ndarray
    mask: np.ndarray


def profiled_samples(rows: Sequence[Sample], maps: Mapping[str, TokenHeatMaps], most: int) -> list[Profiled]:
    """Of `most` samples drawn at random, the same for every model, those that can be scored.

    maps: token heat maps by the samples' ids, which tell the tokens of each text
    """
    chosen = []
    for place in numpy_rng("profile").permutation(len(rows))[:most]:
        sample = rows[place]
        mask = sample.mask(CORRECTED)
        words = query_words(sample.category, CORRECTED, sample.words)
        try:
            weights, _ = token_weights(maps[sample.id], words, CORRECTED)
        except Excluded:
            continue  # the score table counts it with its reason
        if mask.any() and not mask.all():
            chosen.append(Profiled(sample, weights, mask))
    return chosen


def mean_profile(maps: Iterable[tuple[int, int, str, np.ndarray]], samples: Sequence[Profiled]) -> pd.DataFrame:
    """Mean AUC-ROC over samples per layer and time step: columns layer, resolution, step, auc_roc, n.

    maps: place in `samples`, diffusion time, the layer's name and its map (h, h), as `capture.layer_maps` gives them
    """
    records = [
        (layer, heat.shape[0], time, control_auc(heat, samples[place].mask, CORRECTED))
        for place, time, layer, heat in maps
    ]
    keys = ["layer", "resolution", "step"]
    table = pd.DataFrame(records, columns=[*keys, "auc_roc"])
    return table.groupby(keys, sort=False)["auc_roc"].agg(auc_roc="mean", n="count").reset_index()
