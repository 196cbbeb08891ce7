"""The location prior: where a finding usually is, without any model. A localisation claim counts only above it.

The other controls (bare map, wrong word, wrong prompt) need the model's own heat maps and stand beside its scores.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import torch

from tradeoffs.evaluation.localisation import Sample, SampleMap, control_auc, one_per_image, samples, score_samples
from tradeoffs.evaluation.queries import Excluded
from tradeoffs.protocols import CORRECTED, Protocol


def location_prior(
    grounding: pd.DataFrame, text: str, protocol: Protocol, resolution: int, map_size: int, frame: str = "crop"
) -> pd.DataFrame:
    """Scores (columns `localisation.COLUMNS`) of the mean mask of the same finding or class in all *other* subjects.

    A class counts once an image, however many captions name it.

    The samples are those of `score_heat_maps` for the same text and protocol. The mean of the (corrected) masks is
    area-averaged to (map_size, map_size), the size of the model's heat maps, and scored like one of them. The wrong
    word is the other finding's prior. It covers the central square only, as a model's map does, also where `frame` is
    image. `query` is empty, `bare_auc` and `wrong_prompt_auc` are NaN: no word is involved.
    """
    rows = samples(grounding, text, protocol, resolution, frame)
    cropped = samples(grounding, text, protocol, resolution)
    masks = small_masks(one_per_image(cropped, text), map_size)

    def map_of(sample: Sample) -> SampleMap:
        return SampleMap(prior_map(masks[sample.category], {sample.subject_id}))

    return score_samples(rows, map_of, text, protocol)


def location_prior_aucs(
    rows: Sequence[Sample], chosen: Iterable[Sample], text: str, map_size: int
) -> dict[tuple[str, str], float]:
    """The AUC-ROC alone that `location_prior` gives in the corrected protocol, of some of its samples (`rows`), by id
    and category; without an entry where there is no other subject."""
    masks, found = small_masks(one_per_image(rows, text), map_size), {}
    for sample in chosen:
        with suppress(Excluded):
            heat = prior_map(masks[sample.category], {sample.subject_id})
            found[sample.id, sample.category] = control_auc(heat, sample.mask(CORRECTED), CORRECTED)
    return found


def small_masks(rows: Sequence[Sample], map_size: int) -> dict[str, list[tuple[str, np.ndarray]]]:
    """By category, each sample's subject and (corrected) mask, area-averaged to (map_size, map_size)."""
    masks = defaultdict(list)
    for sample in rows:
        masks[sample.category].append((sample.subject_id, area_average(sample.mask(CORRECTED), map_size)))
    return masks


def prior_map(masks: Sequence[tuple[str, np.ndarray]], without: Collection[str]) -> np.ndarray:
    """Mean (h, h) of the masks of all subjects but `without`; raises Excluded if there is none."""
    others = [mask for subject, mask in masks if subject not in without]
    if not others:
        raise Excluded("no other subject with this finding")
    return np.mean(others, axis=0)


def area_average(mask: np.ndarray, size: int) -> np.ndarray:
    """Share of True pixels of a bool (r, r) in each cell of a (size, size) grid, 0..1."""
    pixels = torch.from_numpy(mask.astype(np.float64))[None, None]
    return torch.nn.functional.adaptive_avg_pool2d(pixels, size)[0, 0].numpy()
