"""The file between attention and evaluation: one heat map per token of a text, with the token's place in it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_NPZ, atomic_path

_SMALL = ("kind", "id", "text", "truncated_at", "count", "token", "span", "name_count", "name_span")


@dataclass(frozen=True)
class TokenHeatMaps:
    """Heat maps of one image and text.

    id: row of the grounding table (maps of phrases) or sample id of the image (of impressions and captions)
    text: the text that conditioned the U-Net
    tokens: the k token strings of the text that fit into the context (no start, end or padding token)
    spans: int array (k, 2), start and end of each token in `text` (characters)
    heat: float32 array (k, h, w) at latent size: mean softmax probability over kept steps, layers and heads
    truncated_at: first character of `text` that did not fit into the context, or len(text)
    names: int array (m, 2), start and end of the findings' names that were put into `text`, which alone are asked for;
      without any, all of the text's words are
    """

    id: str
    text: str
    tokens: list[str]
    spans: np.ndarray
    heat: np.ndarray
    truncated_at: int
    names: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))


def save_heat_maps(path: str | Path, by_text: dict[str, list[TokenHeatMaps]]) -> None:
    """Writes the maps of one or several kinds of text, by name, to one `.npz` without pickles.

    The maps of each kind are an array of their own, such as `heat_phrase`, so that one can be read without the
    others.
    """
    maps = [(text, m) for text, some in by_text.items() for m in some]
    heat: dict[str, Any] = {
        f"heat_{text}": np.concatenate([m.heat for m in some]).astype(np.float32)
        for text, some in by_text.items()
        if some
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            kind=np.array([text for text, _ in maps], dtype=np.str_),
            id=np.array([m.id for _, m in maps], dtype=np.str_),
            text=np.array([m.text for _, m in maps], dtype=np.str_),
            truncated_at=np.array([m.truncated_at for _, m in maps], dtype=np.int64),
            count=np.array([len(m.tokens) for _, m in maps], dtype=np.int64),
            token=np.array([t for _, m in maps for t in m.tokens], dtype=np.str_),
            span=np.concatenate([np.empty((0, 2)), *(m.spans for _, m in maps)]).astype(np.int64),
            name_count=np.array([len(m.names) for _, m in maps], dtype=np.int64),
            name_span=np.concatenate([np.empty((0, 2)), *(m.names for _, m in maps)]).astype(np.int64),
            **heat,
        )


def load_heat_maps(
    paths: str | Path | Iterable[str | Path], text: str, ids: Collection[str] | None = None
) -> dict[str, TokenHeatMaps]:
    """Reads the maps of one kind of text, or those of some ids, from one or several shards into a dict by id.

    Keeps no more than these in memory: the maps of thousands of texts take about a GB.
    Raises InputError if a file is not a heat map file or two files hold the same id.
    """
    maps: dict[str, TokenHeatMaps] = {}
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        try:
            with np.load(path, allow_pickle=False) as stored:
                data = {key: stored[key] for key in _SMALL}
                places = np.flatnonzero(data["kind"] == text)
                heat = stored[f"heat_{text}"] if places.size else np.empty((0, 1, 1))
        except UNREADABLE_NPZ as error:
            raise InputError(f"{path}: not a file of token heat maps ({error}); delete it and run again") from error
        ends, name_ends = np.cumsum(data["count"]), np.cumsum(data["name_count"])
        read = 0  # maps of this kind of text that stand before
        for i in places:
            count = data["count"][i]
            rows, of_text = slice(ends[i] - count, ends[i]), slice(read, read + count)
            read += count
            name = str(data["id"][i])
            if name in maps:
                raise InputError(f"{path}: id {name!r} is in another file of heat maps too; delete both and run again")
            if ids is not None and name not in ids:
                continue
            maps[name] = TokenHeatMaps(
                id=name,
                text=str(data["text"][i]),
                tokens=[str(t) for t in data["token"][rows]],
                spans=data["span"][rows],
                heat=heat[of_text] if ids is None else heat[of_text].copy(),  # a view would keep all maps
                truncated_at=int(data["truncated_at"][i]),
                names=data["name_span"][name_ends[i] - data["name_count"][i] : name_ends[i]],
            )
    return maps
