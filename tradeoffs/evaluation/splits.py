"""The validation and the test part of images with boxes, and the choice of a method that sees the first only."""

from collections.abc import Iterable

import pandas as pd

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


def validation_means(scores: pd.DataFrame) -> pd.Series:
    """By method, the macro mean over categories of CRITERION on the validation part."""
    kept = scores[(scores["split"] == VALIDATION) & (scores["excluded"].fillna("") == "")]
    by_category = kept.groupby(["method", "category"], sort=False)[CRITERION].mean()
    return by_category.groupby(level="method", sort=False).mean()


def chosen(means: pd.Series, methods: Iterable[str]) -> str:
    """The method with the highest validation mean; the first one listed of several, or if there is no mean."""
    means = means.reindex(list(methods))
    return means.index[0] if means.isna().all() else means.idxmax()
