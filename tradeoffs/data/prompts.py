"""The list of texts that images are generated from."""

from collections.abc import Iterator
from itertools import count

import pandas as pd

from tradeoffs.data.findings import MSCXR_FINDINGS, NO_FINDING
from tradeoffs.data.tables import PROMPT_COLUMNS
from tradeoffs.errors import InputError
from tradeoffs.randomness import numpy_rng

BALANCED_LABELS = (*MSCXR_FINDINGS, NO_FINDING)  # the original's list of classes


def balanced_prompts(images: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """Draws n impressions of p19 images such that the eight MS-CXR findings and No Finding come up equally often.

    The labels take turns; within a label, images are drawn without replacement until all were drawn, then anew. An
    image with several labels can be drawn for each. A longer list begins with the shorter one of the same seed.
    Returns the prompt table and counts of images by reason; kept are those drawn from.
    Raises InputError if no image qualifies.
    """
    counts = {"read": len(images)}
    pool = images[images["split"] == "p19"]
    counts["not in the p19 split"] = len(images) - len(pool)
    with_text = pool[pool["text"] != ""]
    counts["no impression"] = len(pool) - len(with_text)
    pool = with_text.sort_values("sample_id", ignore_index=True)
    labels = pool["Finding Labels"].str.split("|")
    rows = {name: [i for i, found in enumerate(labels) if name in found] for name in BALANCED_LABELS}
    drawable = set().union(*rows.values())
    counts["none of the nine labels"] = len(pool) - len(drawable)
    counts["kept"] = len(drawable)
    if not drawable:
        raise InputError(
            "the image table has no p19 image with an impression and one of the eight findings or No Finding; "
            "check its columns split, text and Finding Labels, or give a prompt list of your own"
        )
    turns = [_draws(rows[name], seed, name) for name in BALANCED_LABELS if rows[name]]
    prompts = pool.iloc[[next(turns[i % len(turns)]) for i in range(n)]].reset_index(drop=True)
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


def _draws(rows: list[int], seed: int, label: str) -> Iterator[int]:
    for turn in count():
        yield from numpy_rng("prompts", seed, label, turn).permutation(rows)
