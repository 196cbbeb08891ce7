"""The list of texts that images are generated from."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import pandas as pd

from tradeoffs.data.findings import MSCXR_FINDINGS, NO_FINDING
from tradeoffs.data.tables import PROMPT_COLUMNS
from tradeoffs.errors import InputError
from tradeoffs.randomness import numpy_rng

BALANCED_LABELS = (*MSCXR_FINDINGS, NO_FINDING)  # the original's list of classes


def balanced_prompts(images: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Draws n impressions of p19 images such that the eight MS-CXR findings and No Finding come up equally often.

    As in the original, only images with a single label are drawn, so that a prompt asks for what it is counted as. The
    labels take turns; within a label, images are drawn without replacement until all were drawn, then anew. A longer
    list begins with the shorter one of the same seed.
    Returns the prompt table and counts of images by reason; kept are those drawn from.
    Raises InputError if no image qualifies.
    """
    counts = {"read": len(images)}
    pool = images[images["split"] == "p19"]
    counts["not in the p19 split"] = len(images) - len(pool)
    with_text = pool[pool["text"] != ""]
    counts["no impression"] = len(pool) - len(with_text)
    pool = with_text.sort_values("sample_id", ignore_index=True)
    several = pool["Finding Labels"].str.contains("|", regex=False)
    counts["several labels"] = int(several.sum())
    pool = pool[~several]
    drawable = pool[pool["Finding Labels"].isin(BALANCED_LABELS)].reset_index(drop=True)
    counts["none of the nine labels"] = len(pool) - len(drawable)
    counts["kept"] = len(drawable)
    if drawable.empty:
        raise InputError(
            "the image table has no p19 image with an impression and only one of the eight findings or No Finding; "
            "check its columns split, text and Finding Labels, or give a prompt list of your own"
        )
    rows = {name: np.flatnonzero(drawable["Finding Labels"] == name).tolist() for name in BALANCED_LABELS}
    turns = [_draws(rows[name], seed, name) for name in BALANCED_LABELS if rows[name]]
    prompts = drawable.iloc[[next(turns[i % len(turns)]) for i in range(n)]].reset_index(drop=True)
    prompts["prompt_id"] = [f"{i:05d}" for i in range(n)]
    return prompts[PROMPT_COLUMNS], counts


def caption_prompts(images: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Draws n texts of test images, each image once before any comes again.

    A longer list begins with the shorter one of the same seed.
    Returns the prompt table and counts of images by reason; kept are those drawn from.
    Raises InputError if there is no test image.
    """
    pool = images[images["split"] == "test"].sort_values("sample_id", ignore_index=True)
    counts = {"read": len(images), "not in the test split": len(images) - len(pool), "kept": len(pool)}
    if pool.empty:
        raise InputError(
            "the image table has no image of the split test; check its column split, or give a prompt list of your own"
        )
    draws = _draws(list(range(len(pool))), seed, "caption")
    prompts = pool.iloc[[next(draws) for _ in range(n)]].reset_index(drop=True)
    prompts["prompt_id"] = [f"{i:05d}" for i in range(n)]
    return prompts[PROMPT_COLUMNS], counts


def mscxr_prompts(grounding: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Draws n phrases of MS-CXR (the original's `--use_mscxrlabels` with `--N`): of each image and finding one phrase,
    each pair once before any comes again.

    A longer list begins with the shorter one of the same seed.
    Returns the prompt table, with the finding as Finding Labels, and counts of phrases by reason.
    """
    rng = numpy_rng("prompts", seed, "phrase of a pair")
    shuffled = grounding.sort_values("phrase_id", ignore_index=True).iloc[rng.permutation(len(grounding))]
    pairs = shuffled.drop_duplicates(["sample_id", "category"]).sort_values("phrase_id", ignore_index=True)
    draws = _draws(list(range(len(pairs))), seed, "mscxr")
    prompts = pairs.iloc[[next(draws) for _ in range(n)]].reset_index(drop=True)
    prompts = prompts.assign(text=prompts["phrase"], **{"Finding Labels": prompts["category"]})
    prompts["prompt_id"] = [f"{i:05d}" for i in range(n)]
    further = len(grounding) - len(pairs)
    return prompts[PROMPT_COLUMNS], {"read": len(grounding), "another of its finding": further, "kept": len(pairs)}


def repeated_prompts(prompts: pd.DataFrame, n: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Takes the first n prompts of a user's list; a shorter list is gone through again, -2, -3, ... added to the ids.

    Returns the prompt table and counts of prompts by reason.
    """
    turn, row = zip(*(divmod(i, len(prompts)) for i in range(n)), strict=True)
    chosen = prompts.iloc[list(row)].reset_index(drop=True)
    chosen["prompt_id"] += [f"-{t + 1}" if t else "" for t in turn]
    used = min(n, len(prompts))
    return chosen, {"read": len(prompts), "beyond the number of samples": len(prompts) - used, "kept": used}


def label_counts(prompts: pd.DataFrame) -> dict[str, int]:
    """How many prompts have each of the nine labels (a prompt with two counts for both)."""
    labels = prompts["Finding Labels"].str.split("|").explode()
    return {name: int((labels == name).sum()) for name in BALANCED_LABELS}


def _draws(rows: Sequence[int], seed: int, label: str) -> Iterator[int]:
    for turn in count():
        yield from numpy_rng("prompts", seed, label, turn).permutation(rows)
