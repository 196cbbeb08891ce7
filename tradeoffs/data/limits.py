"""Pilots: a part of each split, drawn by subject."""

from collections.abc import Mapping

import pandas as pd

from tradeoffs.errors import InputError
from tradeoffs.randomness import seed_of

BEYOND = "beyond data.limit"  # reason in counts


def beyond_limits(images: pd.DataFrame, limits: Mapping[str, int]) -> pd.Series:
    """Which rows of an image table (subject_id, split) a pilot leaves out: bool, with the table's index.

    limits: at most so many images of a split; splits without one are kept whole

    Subjects are taken whole, in an order that follows from their ids alone, until the next one would exceed the limit.
    So a higher limit keeps all that a lower one keeps, and the order of the table or other images change nothing.
    Raises InputError if the first subject of a split alone exceeds its limit.
    """
    beyond = pd.Series(False, index=images.index)
    for split, limit in limits.items():
        subjects = images.loc[images["split"] == split, "subject_id"]
        sizes = subjects.value_counts()
        order = sorted(sizes.index, key=lambda subject: seed_of("data.limit", subject))
        kept = sizes[order].cumsum() <= limit
        if order and not kept.iloc[0]:
            raise InputError(
                f"data.limit: {limit} images of split {split} are fewer than the {sizes[order[0]]} of the first "
                "subject; raise it"
            )
        beyond[subjects.index] = ~subjects.isin(kept.index[kept])
    return beyond
