"""Sums of cross-attention by layer group and step group, from which every heat-map method is computed afterwards.

A layer group is the layers of one part of the U-Net (down, mid, up) at one resolution; a step group is a fifth of the
time steps, the noisiest first. So choosing layers, steps, tokens and what is done with them needs no further pass.
Where a method asks for them, quarters of the heads are kept apart, and the self-attention of one resolution.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from tradeoffs.attention.capture import (
    TextOnImage,
    captured_cross_attention,
    context_of,
    map_size,
    noised,
)
from tradeoffs.attention.passes import EMPTY, FIFTHS, FRESH, INVERSION, QUARTERS
from tradeoffs.attention.sums import SELF_ATTENTION, STEP_GROUPS, GroupedSums
from tradeoffs.jobs.devices import autocast
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.text import CachedTextEncoder, Tokens, tokenize
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.progress import Progress
from tradeoffs.randomness import normal


class _Recorder:
    """Adds up the rows of a batch by text and step group."""

    def __init__(self, texts: int, latent: tuple[int, int], heads: Sequence[int], self_attention: bool):
        self.texts, self.latent, self.heads = texts, latent, heads
        self.rows = torch.empty(0, dtype=torch.long)  # text * STEP_GROUPS + step group, of the rows of a batch
        height, width = latent
        while height > SELF_ATTENTION:
            height, width = -(-height // 2), -(-width // 2)
        self.pixels = height * width if self_attention else 0  # of the finest self-attention that is kept
        self.sums: dict[tuple[str, int], torch.Tensor] = {}  # by layer group and quarter of the heads, 0 for all
        self.self_sums: dict[int, torch.Tensor] = {}  # by number of pixels
        self.layers: dict[str | int, set[str]] = defaultdict(set)

    def add(self, layer: str, probabilities: torch.Tensor) -> None:
        """Adds one layer's cross-attention (batch, heads, h * w, L)."""
        group = layer_group(layer, probabilities.shape[2], self.latent)
        self.layers[group].add(layer)
        for quarter in (0, *self.heads):
            own = quarter_of_heads(probabilities, quarter) if quarter else probabilities
            self._add(self.sums, (group, quarter), own)

    def add_self(self, layer: str, probabilities: torch.Tensor) -> None:
        """Adds one layer's self-attention (batch, heads, n, n)."""
        self.layers[probabilities.shape[2]].add(layer)
        self._add(self.self_sums, probabilities.shape[2], probabilities)

    def _add(self, sums: dict, key: Any, probabilities: torch.Tensor) -> None:
        maps = probabilities.mean(1)
        if key not in sums:
            sums[key] = maps.new_zeros(self.texts * STEP_GROUPS, *maps.shape[1:])
        sums[key].index_add_(0, self.rows.to(maps.device), maps)

    def of_texts(self, quarter: int) -> dict[str, torch.Tensor]:
        """By layer group, (texts, STEP_GROUPS, h * w, L) of a quarter of the heads."""
        by_text = (self.texts, STEP_GROUPS)
        return {group: maps.unflatten(0, by_text).cpu() for (group, part), maps in self.sums.items() if part == quarter}

    def self_attention(self, steps: np.ndarray) -> list[np.ndarray | None]:
        """Of each text, see `GroupedSums`."""
        if not self.self_sums:
            return [None] * self.texts
        pixels = max(self.self_sums)
        counts = len(self.layers[pixels]) * torch.from_numpy(steps).clamp(min=1)[:, None, None]
        means = self.self_sums[pixels].unflatten(0, (self.texts, STEP_GROUPS)).cpu() / counts
        return list(means.half().numpy())


def quarter_of_heads(probabilities: torch.Tensor, quarter: int) -> torch.Tensor:
    """Of (batch, heads, ...) the heads of a quarter, 1 to 4, in the layer's own order; at least one, so that fewer than
    four heads stand in several quarters."""
    heads = probabilities.shape[1]
    first = (quarter - 1) * heads // len(QUARTERS)
    return probabilities[:, first : max(first + 1, quarter * heads // len(QUARTERS))]


@contextmanager
def captured_self_attention(
    unet: UNet2DConditionModel, record: Callable[[str, torch.Tensor], None], pixels: int
) -> Iterator[None]:
    """Within the block, `record` gets the name and the probabilities, float32 (batch, heads, n, n), of each
    self-attention layer with n of at most `pixels`."""

    def hook(layer: str):
        def look(attn, inputs, _):
            if inputs[0].shape[1] <= pixels:
                query, key = (to(inputs[0]).unflatten(-1, (attn.heads, -1)).float() for to in (attn.to_q, attn.to_k))
                with torch.autocast(query.device.type, enabled=False):
                    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)
                    record(layer, (scores * attn.scale).softmax(-1))

        return look

    layers = [(name, module) for name, module in unet.named_modules() if name.endswith(".attn1")]
    hooks = [module.register_forward_pre_hook(hook(name), with_kwargs=True) for name, module in layers]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def layer_group(layer: str, pixels: int, latent: tuple[int, int]) -> str:
    """The group of a layer with maps of so many pixels: "down_64", "mid_8", "up_32" for latents of 64 x 64."""
    return f"{layer.split('_')[0]}_{map_size(pixels, latent)[0]}"


def step_group(place: int, steps: int) -> int:
    """The group of a time step by its place, from the noisiest, 0."""
    return place * STEP_GROUPS // steps


@torch.no_grad()
def grouped_sums(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    seed: int,
    steps: int,
    batch_size: int,
    noise: str = FRESH,
    precision: str = "fp32",
    heads: Sequence[int] = (),
    self_attention: bool = False,
    fifths: Sequence[int] = FIFTHS,
    guidance: float | None = None,
) -> Iterator[GroupedSums]:
    """Yields the grouped sums of each text over `steps` evenly spaced time steps, in order.

    noise: "fresh", that of `token_heat_maps`; "empty", the same noise with the empty text, looked at in the places of
        the text's tokens; "inversion", the latents that deterministic DDIM inversion without text (as Vilouras et al.
        2024, IEEE JBHI) makes of the image; "generation", the latents of deterministic DDIM sampling from noise of the
        text's id, with classifier-free guidance, which never see the image
    batch_size, precision: as in `token_heat_maps`
    heads, self_attention: quarters of the heads that are kept apart, and whether self-attention is kept
    fifths: of the time steps that are summed up, 1 the noisiest; passes that none of them needs are left out
    guidance: scale of the classifier-free guidance of "generation"
    """
    times = evenly_spaced_steps(model.schedule.config.num_train_timesteps, steps)
    groups = [step_group(place, len(times)) for place in range(len(times))]
    kept = [place for place, group in enumerate(groups) if group + 1 in fifths]
    kept = kept or list(range(len(times)))  # with fewer steps than fifths none may lie in those asked for
    counts = np.bincount([groups[place] for place in kept], minlength=STEP_GROUPS)
    encoder = CachedTextEncoder(*model.text_side)
    progress = Progress(total=len(texts_on_images) * len(kept), desc=f"sums, {noise}", unit="step")
    for first in range(0, len(texts_on_images), batch_size):
        some = texts_on_images[first : first + batch_size]
        recorder = _Recorder(len(some), (some[0].latent.shape[1], some[0].latent.shape[2]), heads, self_attention)
        with autocast("heat_maps.precision", precision):
            context = context_of(encoder, ["" if noise == EMPTY else one.text for one in some], precision)
            if noise in (FRESH, EMPTY):
                _fresh(model, some, context, times, kept, recorder, seed, batch_size)
            else:
                empty = context_of(encoder, [""] * len(some), precision)
                if noise == INVERSION:
                    _inverted(model, some, empty, context, times, kept, recorder)
                else:
                    _generated(model, some, empty, context, times, kept, recorder, seed, guidance)
        progress.update(len(some) * len(kept))
        yield from _of_queries(model, some, recorder, counts)
    progress.close()


def _of_queries(
    model: LatentDiffusion, group: Sequence[TextOnImage], recorder: _Recorder, steps: np.ndarray
) -> Iterator[GroupedSums]:
    sums = {quarter: recorder.of_texts(quarter) for quarter in (0, *recorder.heads)}
    layers = {name: len(recorder.layers[name]) for name in sums[0]}
    for row, (one, self_attention) in enumerate(zip(group, recorder.self_attention(steps), strict=True)):
        own = tokenize(model.tokenizer, one.text)
        heads = {
            quarter: {name: _of_tokens(maps[row], own, recorder.latent) for name, maps in of_quarter.items()}
            for quarter, of_quarter in sums.items()
        }
        whole = heads.pop(0)
        text = (one.id, one.text, own.strings, own.spans, own.truncated_at)
        yield GroupedSums(*text, whole, layers, steps, heads, self_attention)


def _fresh(model, group, context, times, kept, recorder, seed, batch_size) -> None:
    pairs = [(row, place) for row in range(len(group)) for place in kept]
    for first in range(0, len(pairs), batch_size):
        batch = pairs[first : first + batch_size]
        latents = torch.stack([noised(model, group[row], times[place], seed) for row, place in batch])
        rows = torch.tensor([row for row, _ in batch])
        _seen(model, latents, times, batch, context[rows.to(context.device)], recorder)


def _inverted(model, group, empty, context, times, kept, recorder) -> None:
    """From the image to noise, by what the U-Net predicts without text; the maps are those with the text."""
    latents = torch.stack([one.latent for one in group])
    noisiest = min(kept, default=len(times))
    for place in reversed(range(noisiest, len(times))):
        at = [(row, place) for row in range(len(group))]
        if place in kept:
            _seen(model, latents, times, at, context, recorder)
        if place > noisiest:
            without = _predicted(model, latents, times, at, empty)
            latents = _ddim(model, latents, without, times[place], times[place - 1])


def _generated(model, group, empty, context, times, kept, recorder, seed, guidance) -> None:
    """From noise to an image of the text; the maps are those with the text."""
    shape = tuple(group[0].latent.shape)
    latents = torch.stack([normal(shape, seed, "generation", one.id) for one in group])
    last = max(kept, default=-1)
    for place in range(last + 1):
        at = [(row, place) for row in range(len(group))]
        if place in kept:
            text = _seen(model, latents, times, at, context, recorder)
        else:
            text = _predicted(model, latents, times, at, context)
        if place < last:
            without = _predicted(model, latents, times, at, empty)
            guided = without + guidance * (text - without)
            latents = _ddim(model, latents, guided, times[place], times[place + 1])


def _seen(model, latents, times, at, context, recorder) -> torch.Tensor:
    """What the U-Net predicts; records the maps. at: row of the text and place of the time step, for each latent"""
    recorder.rows = torch.tensor([row * STEP_GROUPS + step_group(place, len(times)) for row, place in at])
    with (
        captured_cross_attention(model.unet, recorder.add),
        captured_self_attention(model.unet, recorder.add_self, recorder.pixels),
    ):
        return _predicted(model, latents, times, at, context)


def _ddim(model: LatentDiffusion, latents: torch.Tensor, predicted: torch.Tensor, now: int, then: int) -> torch.Tensor:
    """x' = sqrt(abar') x0 + sqrt(1 - abar') eps, a deterministic DDIM step in either direction."""
    abar = model.schedule.alphas_cumprod.cpu()
    signal, noisiness = abar[now].sqrt(), (1 - abar[now]).sqrt()
    if model.schedule.config.prediction_type == "v_prediction":
        predicted = signal * predicted + noisiness * latents
    clean = (latents - noisiness * predicted) / signal
    return (abar[then].sqrt() * clean + (1 - abar[then]).sqrt() * predicted).float()


def _predicted(model, latents, times, at, context) -> torch.Tensor:
    device, steps = model.unet.device, torch.tensor([times[place] for _, place in at])
    return model.unet(latents.to(device, torch.float32), steps.to(device), context).sample.float().cpu()


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
