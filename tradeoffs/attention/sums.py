"""Files of grouped sums of cross-attention: what a heat-map method is computed from, without a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tradeoffs.attention.passes import FIFTHS, QUARTERS
from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_NPZ, atomic_path

STEP_GROUPS = len(FIFTHS)
SPECIAL = ("start", "end", "padding")  # tokens that stand behind a text's own, the mean where there are several
SELF_ATTENTION = 16  # latent pixels: the highest resolution whose self-attention is kept, 256 x 256 numbers a fifth


@dataclass(frozen=True)
class GroupedSums:
    """Sums of cross-attention probabilities (means over heads) of one text on one image.

    id, text, tokens, spans, truncated_at: as in TokenHeatMaps
    sums: by layer group, such as "up_16" (16 latent pixels high), float32 (STEP_GROUPS, k + 3, h, w): the k tokens of
        the text, then SPECIAL (0 where the context has none)
    layers: how many layers each group has; steps: how many time steps each of the STEP_GROUPS has in the sums
    heads: by quarter of the heads (1 to 4), sums as above with means over the heads of that quarter
    self_attention: float16 (STEP_GROUPS, n, n), n = h * w of the finest layers up to SELF_ATTENTION pixels high: how
        much a pixel (row) attends to each other, mean over heads, these layers and the time steps; None if not kept
    """

    id: str
    text: str
    tokens: list[str]
    spans: np.ndarray
    truncated_at: int
    sums: Mapping[str, np.ndarray]
    layers: Mapping[str, int]
    steps: np.ndarray
    heads: Mapping[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    self_attention: np.ndarray | None = None


_TEXTS = ("noise", "id", "text", "truncated_at", "count", "token", "span")


def save_sums(path: str | Path, sums: Mapping[str, Sequence[GroupedSums]]) -> None:
    """Writes grouped sums by their noise, such as "fresh" or "inversion", to one `.npz` without pickles."""
    every = [(noise, one) for noise, some in sums.items() for one in some]
    layers = every[0][1].layers if every else {}
    arrays: dict[str, Any] = {}
    for noise, some in sums.items():
        for quarter in (0, *some[0].heads) if some else ():
            parts = [one.heads[quarter] if quarter else one.sums for one in some]
            arrays |= {_key(noise, quarter, name): np.concatenate([one[name] for one in parts], 1) for name in layers}
        if kept := [one.self_attention for one in some if one.self_attention is not None]:
            arrays[f"self_attention_{noise}"] = np.stack(kept)
        if some:
            arrays[f"steps_{noise}"] = some[0].steps
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            noise=np.array([noise for noise, _ in every], dtype=np.str_),
            id=np.array([one.id for _, one in every], dtype=np.str_),
            text=np.array([one.text for _, one in every], dtype=np.str_),
            truncated_at=np.array([one.truncated_at for _, one in every], dtype=np.int64),
            count=np.array([len(one.tokens) for _, one in every], dtype=np.int64),
            token=np.array([token for _, one in every for token in one.tokens], dtype=np.str_),
            span=np.concatenate([np.empty((0, 2)), *(one.spans for _, one in every)]).astype(np.int64),
            group=np.array(list(layers), dtype=np.str_),
            layers=np.array(list(layers.values()), dtype=np.int64),
            **arrays,
        )


def load_sums(path: str | Path, noise: str) -> list[GroupedSums]:
    """Reads the sums of one noise; raises InputError for a file that is none of grouped sums."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = {key: stored[key] for key in (*_TEXTS, "group", "layers")}
            layers = dict(zip(map(str, data["group"]), map(int, data["layers"]), strict=True))
            sums = {
                quarter: {name: stored[_key(noise, quarter, name)] for name in layers}
                for quarter in (0, *QUARTERS)
                if layers and _key(noise, quarter, next(iter(layers))) in stored
            }
            self_name = f"self_attention_{noise}"
            self_attention = stored.get(self_name)
            steps = stored[f"steps_{noise}"] if noise in data["noise"] else np.zeros(STEP_GROUPS, np.int64)
    except UNREADABLE_NPZ as error:
        raise InputError(f"{path}: not a file of grouped attention sums ({error}); delete it and run again") from error
    ends, found, read = np.cumsum(data["count"]), [], 0
    for place, row in enumerate(np.flatnonzero(data["noise"] == noise)):
        count = int(data["count"][row])
        own = slice(ends[row] - count, ends[row])
        columns = slice(read, read + count + len(SPECIAL))
        read = columns.stop
        maps = {part: {name: of_all[:, columns] for name, of_all in some.items()} for part, some in sums.items()}
        found.append(
            GroupedSums(
                str(data["id"][row]),
                str(data["text"][row]),
                [str(token) for token in data["token"][own]],
                data["span"][own],
                int(data["truncated_at"][row]),
                maps.pop(0),
                layers,
                steps,
                maps,
                None if self_attention is None else self_attention[place],
            )
        )
    return found


def _key(noise: str, quarter: int, group: str) -> str:
    return f"sums_{noise}_{group}" + (f"_heads{quarter}" if quarter else "")
