"""Scores of heat-map methods, and the choice among them on validation patients only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from tradeoffs.attention.grouped import GroupedSums
from tradeoffs.attention.methods import method_maps
from tradeoffs.attention.passes import passes_of
from tradeoffs.evaluation.localisation import score_heat_maps
from tradeoffs.evaluation.map_scores import Threshold
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import seed_of

VALIDATION_SHARE = 0.3
VALIDATION, TEST = "validation", "test"
CRITERION = "auc_roc"  # the macro mean of which the choice looks at


def split_of(subject_id: str) -> str:
    """Whether a subject belongs to the validation or the test part of the images with boxes: by its id alone, so that
    no subject is in both, and a part does not change with the others."""
    return VALIDATION if seed_of("method choice", subject_id) % 1000 < 1000 * VALIDATION_SHARE else TEST


def splits_of(grounding: pd.DataFrame) -> dict[str, str]:
    """The split of each subject of a grounding table: test if it has a box of the test part, else validation if it has
    one of the validation part, else none; where a table has no validation part (MS-COCO), by `split_of`."""
    parts = grounding.groupby("subject_id")["part"].agg(set)
    if (grounding["part"] == "val").any():
        return {subject: TEST if "test" in its else VALIDATION for subject, its in parts.items() if its != {"train"}}
    return {subject: split_of(subject) for subject in parts.index}


def of_patients(grounding: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """The rows of at most so many subjects, drawn by their ids alone, so that every model has the same; None: all."""
    subjects = sorted(grounding["subject_id"].unique(), key=lambda subject: seed_of("methods", subject))
    return grounding[grounding["subject_id"].isin(subjects[:most])]


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


def validation_means(scores: pd.DataFrame) -> pd.Series:
    """By method, the macro mean over categories of CRITERION on the validation part."""
    kept = scores[(scores["split"] == VALIDATION) & (scores["excluded"].fillna("") == "")]
    by_category = kept.groupby(["method", "category"], sort=False)[CRITERION].mean()
    return by_category.groupby(level="method", sort=False).mean()


def chosen(means: pd.Series, methods: Iterable[str]) -> str:
    """The method with the highest validation mean; the first one listed of several, or if there is no mean."""
    means = means.reindex(list(methods))
    return means.index[0] if means.isna().all() else means.idxmax()
