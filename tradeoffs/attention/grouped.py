"""Sums of cross-attention by layer group and step group, from which every heat-map method is computed afterwards.

A layer group is the layers of one part of the U-Net (down, mid, up) at one resolution; a step group is a fifth of the
time steps, the noisiest first. So choosing layers, steps, tokens and what is done with them needs no further pass.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tradeoffs.attention.capture import (
    Query,
    captured_cross_attention,
    context_of,
    map_size,
    noised,
)
from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_NPZ, atomic_path
from tradeoffs.jobs.devices import autocast
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.text import CachedTextEncoder, Tokens, tokenize
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.progress import Progress

STEP_GROUPS = 5
SPECIAL = ("start", "end", "padding")  # tokens that stand behind a text's own, the mean where there are several
FRESH, INVERSION = "fresh", "inversion"


@dataclass(frozen=True)
class GroupedSums:
    """Sums of cross-attention probabilities (means over heads) of one text on one image.

    id, text, tokens, spans, truncated_at: as in TokenHeatMaps
    sums: by layer group, such as "up_16" (16 latent pixels high), float32 (STEP_GROUPS, k + 3, h, w): the k tokens of
        the text, then SPECIAL (0 where the context has none)
    layers: how many layers each group has; steps: how many time steps each of the STEP_GROUPS has
    """

    id: str
    text: str
    tokens: list[str]
    spans: np.ndarray
    truncated_at: int
    sums: Mapping[str, np.ndarray]
    layers: Mapping[str, int]
    steps: np.ndarray


class _Recorder:
    """Adds up the rows of a batch by text and step group."""

    def __init__(self, texts: int, latent: tuple[int, int]):
        self.texts, self.latent = texts, latent
        self.rows = torch.empty(0, dtype=torch.long)  # text * STEP_GROUPS + step group, of the last rows of a batch
        self.sums: dict[str, torch.Tensor] = {}
        self.layers: dict[str, set[str]] = defaultdict(set)

    def add(self, layer: str, probabilities: torch.Tensor) -> None:
        maps = probabilities[-len(self.rows) :].mean(1)
        group = layer_group(layer, maps.shape[1], self.latent)
        self.layers[group].add(layer)
        if group not in self.sums:
            self.sums[group] = maps.new_zeros(self.texts * STEP_GROUPS, *maps.shape[1:])
        self.sums[group].index_add_(0, self.rows.to(maps.device), maps)


def layer_group(layer: str, pixels: int, latent: tuple[int, int]) -> str:
    """The group of a layer with maps of so many pixels: "down_64", "mid_8", "up_32" for latents of 64 x 64."""
    return f"{layer.split('_')[0]}_{map_size(pixels, latent)[0]}"


def step_group(place: int, steps: int) -> int:
    """The group of a time step by its place, from the noisiest, 0."""
    return place * STEP_GROUPS // steps


@torch.no_grad()
def grouped_sums(
    model: LatentDiffusion,
    queries: Sequence[Query],
    seed: int,
    steps: int,
    batch_size: int,
    noise: str = FRESH,
    precision: str = "fp32",
) -> Iterator[GroupedSums]:
    """Yields the grouped sums of each query over all `steps` evenly spaced time steps, in order.

    noise: "fresh", that of `token_heat_maps`; "inversion", the latents that deterministic DDIM inversion without text
        (as Vilouras et al. 2024, IEEE JBHI) makes of the image
    batch_size, precision: as in `token_heat_maps`
    """
    times = evenly_spaced_steps(model.schedule.config.num_train_timesteps, steps)
    encoder = CachedTextEncoder(*model.text_side)
    passes = _inverted if noise == INVERSION else _fresh
    progress = Progress(total=len(queries) * len(times), desc=f"sums, {noise}", unit="step")
    for first in range(0, len(queries), batch_size):
        group = queries[first : first + batch_size]
        tokens = [tokenize(model.tokenizer, query.text) for query in group]
        recorder = _Recorder(len(group), (group[0].latent.shape[1], group[0].latent.shape[2]))
        with captured_cross_attention(model.unet, recorder.add), autocast("heat_maps.precision", precision):
            context = context_of(encoder, [query.text for query in group], precision)
            passes(model, encoder, group, context, times, recorder, seed, batch_size)
        progress.update(len(group) * len(times))
        layers = {name: len(of_group) for name, of_group in recorder.layers.items()}
        counts = np.bincount([step_group(place, len(times)) for place in range(len(times))], minlength=STEP_GROUPS)
        sums = {name: maps.unflatten(0, (len(group), STEP_GROUPS)).cpu() for name, maps in recorder.sums.items()}
        for row, (query, own) in enumerate(zip(group, tokens, strict=True)):
            of_query = {name: _of_tokens(maps[row], own, recorder.latent) for name, maps in sums.items()}
            yield GroupedSums(query.id, query.text, own.strings, own.spans, own.truncated_at, of_query, layers, counts)
    progress.close()


def _fresh(model, encoder, group, context, times, recorder, seed, batch_size) -> None:
    pairs = [(row, place) for row in range(len(group)) for place in range(len(times))]
    for first in range(0, len(pairs), batch_size):
        batch = pairs[first : first + batch_size]
        recorder.rows = torch.tensor([row * STEP_GROUPS + step_group(place, len(times)) for row, place in batch])
        latents = torch.stack([noised(model, group[row], times[place], seed) for row, place in batch])
        at = torch.tensor([times[place] for _, place in batch])
        rows = torch.tensor([row for row, _ in batch])
        _predicted(model, latents, at, context[rows.to(context.device)])


def _inverted(model, encoder, group, context, times, recorder, seed, batch_size) -> None:
    """From the image to noise: x' = sqrt(abar') x0 + sqrt(1 - abar') eps with what the U-Net predicts without text.

    The maps are those of a second half of each batch, with the text.
    """
    latents = torch.stack([query.latent for query in group])
    both = torch.cat([encoder([""] * len(group)), context])
    abar = model.schedule.alphas_cumprod.cpu()
    for place in reversed(range(len(times))):
        recorder.rows = torch.arange(len(group)) * STEP_GROUPS + step_group(place, len(times))
        at = torch.full((2 * len(group),), times[place])
        predicted = _predicted(model, torch.cat([latents, latents]), at, both)[: len(group)].float().cpu()
        signal, noisiness = abar[times[place]].sqrt(), (1 - abar[times[place]]).sqrt()
        if model.schedule.config.prediction_type == "v_prediction":
            predicted = signal * predicted + noisiness * latents
        clean = (latents - noisiness * predicted) / signal
        if place:
            following = abar[times[place - 1]]
            latents = (following.sqrt() * clean + (1 - following).sqrt() * predicted).float()


def _predicted(model: LatentDiffusion, latents: torch.Tensor, times: torch.Tensor, context) -> torch.Tensor:
    device = model.unet.device
    return model.unet(latents.to(device, torch.float32), times.to(device), context).sample


def _of_tokens(maps: torch.Tensor, tokens: Tokens, latent: tuple[int, int]) -> np.ndarray:
    """From (STEP_GROUPS, h * w, L) to (STEP_GROUPS, k + 3, h, w)."""
    positions = tokens.positions
    special = [place for place in range(maps.shape[2]) if place not in set(positions)]
    last = positions[-1] if positions else 0
    start = [place for place in special if place < (positions[0] if positions else 1)]
    behind = [place for place in special if place > last]
    parts = [start, behind[:1], behind[1:]]
    means = [maps[..., part].mean(-1) if part else torch.zeros(maps.shape[:2]) for part in parts]
    rows = torch.cat([maps[..., positions], torch.stack(means, -1)], -1).transpose(1, 2)
    return rows.unflatten(2, map_size(rows.shape[2], latent)).float().numpy()


# --- the file -----------------------------------------------------------------------------------------------------

_TEXTS = ("noise", "id", "text", "truncated_at", "count", "token", "span")


def save_sums(path: str | Path, sums: Mapping[str, Sequence[GroupedSums]]) -> None:
    """Writes grouped sums by their noise, "fresh" or "inversion", to one `.npz` without pickles."""
    every = [(noise, one) for noise, some in sums.items() for one in some]
    arrays: dict[str, Any] = {
        f"sums_{noise}_{group}": np.concatenate([one.sums[group] for one in some], axis=1)
        for noise, some in sums.items()
        for group in (some[0].sums if some else ())
    }
    layers = every[0][1].layers if every else {}
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
            steps=every[0][1].steps if every else np.zeros(STEP_GROUPS, dtype=np.int64),
            **arrays,
        )


def load_sums(path: str | Path, noise: str) -> list[GroupedSums]:
    """Reads the sums of one noise; raises InputError for a file that is none of grouped sums."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = {key: stored[key] for key in (*_TEXTS, "group", "layers", "steps")}
            layers = dict(zip(map(str, data["group"]), map(int, data["layers"]), strict=True))
            some = (data["noise"] == noise).any()
            sums = {group: stored[f"sums_{noise}_{group}"] for group in layers} if some else {}
    except UNREADABLE_NPZ as error:
        raise InputError(f"{path}: not a file of grouped attention sums ({error}); delete it and run again") from error
    ends, found, read = np.cumsum(data["count"]), [], 0
    for row in np.flatnonzero(data["noise"] == noise):
        count = int(data["count"][row])
        own = slice(ends[row] - count, ends[row])
        maps = {group: of_all[:, read : read + count + len(SPECIAL)] for group, of_all in sums.items()}
        read += count + len(SPECIAL)
        found.append(
            GroupedSums(
                str(data["id"][row]),
                str(data["text"][row]),
                [str(token) for token in data["token"][own]],
                data["span"][own],
                int(data["truncated_at"][row]),
                maps,
                layers,
                data["steps"],
            )
        )
    return found
