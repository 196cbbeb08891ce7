"""Views of a text's heat maps, such as one by layer, and the file that keeps them for the page to explore."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_NPZ, atomic_path

ALL = "all layers and times"
LARGEST = 32  # latent pixels of a view's side; what is larger is averaged down to it


@dataclass(frozen=True)
class View:
    """One way to average. kind: mean, layer or time; maps: float (k, h, w), one map a token"""

    name: str
    kind: str
    maps: np.ndarray


@dataclass(frozen=True)
class TokenViews:
    """All views of one text on one image. tokens: those of the text, with their mean maps; others: names of the tokens
    (start, end, padding) whose maps follow theirs in each view"""

    tokens: TokenHeatMaps
    others: tuple[str, ...]
    views: tuple[View, ...]


def from_heat_maps(maps: TokenHeatMaps) -> TokenViews:
    """The one view that a file of heat maps holds, the mean over layers and times; it does not keep the maps alive."""
    heat = small(torch.from_numpy(maps.heat))
    return TokenViews(replace(maps, heat=heat), (), (View(ALL, "mean", heat),))


def small(maps: torch.Tensor) -> np.ndarray:
    """Maps (k, h, w) averaged down to at most LARGEST latent pixels a side."""
    height, width = maps.shape[1:]
    return adaptive_avg_pool2d(maps, (min(height, LARGEST), min(width, LARGEST))).numpy()


def save_views(path: str | Path, views: Iterable[tuple[str, tuple[str, ...], tuple[View, ...]]]) -> None:
    """Writes what `token_views` yields: `id`, `others` and `count` (maps in a view) one entry a text, `name` and `kind`
    one a view, and `view_<number>`, the maps of all texts in float16."""
    ids, others, of_texts = zip(*views, strict=True) if (views := list(views)) else ((), (), ())
    first = of_texts[0] if of_texts else ()
    maps: dict[str, Any] = {
        f"view_{k}": np.concatenate([of_text[k].maps for of_text in of_texts]).astype(np.float16)
        for k in range(len(first))
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            id=np.array(ids, dtype=np.str_),
            others=np.array([" ".join(names) for names in others], dtype=np.str_),
            count=np.array([len(of_text[0].maps) for of_text in of_texts], dtype=np.int64),
            name=np.array([view.name for view in first], dtype=np.str_),
            kind=np.array([view.kind for view in first], dtype=np.str_),
            **maps,
        )


def load_views(path: str | Path, maps: Mapping[str, TokenHeatMaps]) -> dict[str, TokenViews]:
    """The views of each of the maps, by id; of a text that the file lacks only its mean maps.

    Raises InputError if it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = dict(stored)
            described = list(zip(data["name"].tolist(), data["kind"].tolist(), strict=True))
            ends = np.cumsum(data["count"])
    except UNREADABLE_NPZ as error:
        raise InputError(f"{path}: not a file of maps to explore ({error}); delete it and run again") from error
    found = {name: from_heat_maps(own) for name, own in maps.items()}
    for name, others, count, end in zip(data["id"].tolist(), data["others"].tolist(), data["count"], ends, strict=True):
        views = [View(*about, data[f"view_{k}"][end - count : end]) for k, about in enumerate(described)]
        found[name] = TokenViews(found[name].tokens, tuple(others.split()), tuple(views))
    return found
