"""The real images that generated ones are compared with, those of the prompts or a draw of the population, and the
features of either side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import label_matrix
from tradeoffs.files import atomic_path
from tradeoffs.randomness import seed_of


@dataclass(frozen=True)
class ImageFeatures:
    """What is known of n images: an id and labels ("Edema|Pneumonia") of each, and their features (n, d) by kind."""

    ids: Sequence[str]
    labels: Sequence[str]
    features: dict[str, np.ndarray]

    def rows(self, chosen: np.ndarray) -> "ImageFeatures":
        """Some of the images, by row numbers or a bool array (n,)."""
        ids, labels = (np.asarray(texts, dtype=object)[chosen].tolist() for texts in (self.ids, self.labels))
        return ImageFeatures(ids, labels, {kind: features[chosen] for kind, features in self.features.items()})

    def of_label(self, label: str) -> "ImageFeatures":
        """The images that have a label."""
        return self.rows(label_matrix(self.labels, [label]).reshape(-1, 1)[:, 0])

    def save(self, path: str | Path) -> None:
        """Writes an .npz with the arrays id and labels and one for each kind of features."""
        arrays: dict[str, Any] = {
            "id": np.array(self.ids, dtype=np.str_),
            "labels": np.array(self.labels, dtype=np.str_),
        }
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays | self.features)


def load_features(path: str | Path) -> ImageFeatures:
    """What `ImageFeatures.save` wrote."""
    with np.load(path) as stored:
        features = {kind: stored[kind] for kind in stored.files if kind not in ("id", "labels")}
        return ImageFeatures(stored["id"].tolist(), stored["labels"].tolist(), features)


def images_of_prompts(images: pd.DataFrame, prompts: pd.DataFrame, n: int) -> pd.DataFrame:
    """The image of each of the first `n` prompts, in the order of the prompts: as often as it is prompted with.

    So both sides of FID have the same labels, as in the original, whose prompts and real images are one list
    (docs/differences.md, row 22).
    images, prompts: see read_images and read_prompts
    Raises InputError if a prompt has no image of the table.
    """
    known = images.set_index("sample_id", drop=False)
    wanted = prompts.iloc[:n]
    unknown = wanted[~wanted["sample_id"].isin(known.index)]
    if len(unknown):
        prompt_id, sample_id = unknown.iloc[0][["prompt_id", "sample_id"]]
        raise InputError(
            f"prompt {prompt_id}: its sample_id {sample_id!r} is none of the image table (such prompts: "
            f"{len(unknown)}); correct it in data.prompts, or set evaluation.reference to population"
        )
    return known.loc[wanted["sample_id"]].reset_index(drop=True)


def images_of_population(images: pd.DataFrame, split: str, n: int, seed: int) -> pd.DataFrame:
    """At most `n` images of one split, drawn at random in its natural mix of labels, in the order of their ids.

    An image keeps its place in the draw when others come or go.
    Raises InputError if there is none.
    """
    images = images[images["split"] == split]
    if images.empty:
        raise InputError(f"no image of the table has split {split!r}; add such rows or set another split")
    order = images["sample_id"].map(lambda name: seed_of(seed, "real images", name))
    return images.loc[order.sort_values().index[:n]].sort_values("sample_id", ignore_index=True)
