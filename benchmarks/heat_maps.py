"""Token heat maps: the workflow's running sums against the original's procedure, on the same model and images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch.nn import functional

from benchmarks.measuring import Cost, Row, alone, at_least, at_most, cost
from benchmarks.models import MODELS, TEXTS, PlainAttention
from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.text import TextEncoder
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.randomness import normal

SEED, STEPS, KEEP = 0, 50, 40


@torch.no_grad()
def plain_token_maps(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    seed: int,
    steps: int,
    keep: int,
    batch_size: int = 8,
) -> list[torch.Tensor]:
    """Each text's map of every token of the context, (L, h, w): what the original's in-painting with a mask of ones
    gives, with this workflow's noise in place of the clock's.

    One batch of images after the other; all steps run, the map of every token, layer and step stays in a list, the
    sample is decoded, the list is brought to the latent's size and concatenated, and the last steps are averaged.
    """
    sampler = DDIMScheduler.from_config(model.schedule.config, timestep_spacing="leading", steps_offset=1)
    sampler.set_timesteps(steps)
    before = model.unet.attn_processors
    results = []
    for start in range(0, len(texts_on_images), batch_size):
        batch = texts_on_images[start : start + batch_size]
        context = TextEncoder(*model.text_side)([one.text for one in batch])
        latents = torch.stack([one.latent for one in batch])
        stored = []
        for time in sampler.timesteps.tolist():
            noise = torch.stack([normal(tuple(one.latent.shape), seed, one.sample_id, time) for one in batch])
            noisy = model.schedule.add_noise(latents, noise, torch.tensor([time] * len(batch)))
            attention = PlainAttention()
            model.unet.set_attn_processor(attention)
            sample = sampler.step(model.unet(noisy, time, context).sample, time, noisy).prev_sample
            stored.append(attention.maps)
        model.unet.set_attn_processor(dict(before))  # which diffusers empties
        model.vae.decode(sample / model.vae.config.scaling_factor)
        results += [maps[-keep:].mean(dim=(0, 1)) for maps in _concatenated(stored, latents.shape[2:])]
    return results


def _concatenated(stored: list, size: torch.Size) -> torch.Tensor:
    """All maps of a batch at the latent's size, (batch, steps, layers, tokens, h, w)."""
    height, width = size
    sizes = {}
    while height * width not in sizes:
        sizes[height * width] = (height, width)
        height, width = -(-height // 2), -(-width // 2)
    for step, layers in enumerate(stored):
        for layer, maps in enumerate(layers):
            maps = maps.transpose(1, 2).unflatten(2, sizes[maps.shape[1]])
            layers[layer] = functional.interpolate(maps, size=tuple(size), mode="nearest")[:, None]
        stored[step] = torch.cat(layers, dim=1)[:, None]
    return torch.cat(stored, dim=1)


@torch.no_grad()
def bare_passes(
    model: LatentDiffusion, texts_on_images: Sequence[TextOnImage], times: Sequence[int], batch_size: int
) -> None:
    """A U-Net pass for each text and time with diffusers' default attention, and nothing else."""
    context = TextEncoder(*model.text_side)(TEXTS[:1])
    pairs = [(one, time) for one in texts_on_images for time in times]
    for first in range(0, len(pairs), batch_size):
        batch = pairs[first : first + batch_size]
        latents = torch.stack([one.latent for one, _ in batch])
        model.unet(latents, torch.tensor([time for _, time in batch]), context.expand(len(batch), -1, -1))


@dataclass(frozen=True)
class Case:
    """How much is measured: `rounds` times `images` images, `batch_size` of them in a U-Net pass of the plain
    procedure, and as many pairs of image and step as `pairs` in one of ours."""

    images: int
    batch_size: int
    pairs: int
    rounds: int


CASES = {
    "the demo's base": Case(images=16, batch_size=8, pairs=64, rounds=3),
    "Stable Diffusion 2 layout": Case(images=1, batch_size=1, pairs=1, rounds=1),
    "Stable Diffusion 1 layout": Case(images=1, batch_size=1, pairs=1, rounds=1),
}


def _costs(name: str) -> dict[str, list[Cost]]:
    """What each procedure costs, by turns, one entry a round."""
    case, model = CASES[name], MODELS[name]()
    side = model.unet.config.sample_size
    shape = (model.unet.config.in_channels, side, side)
    names = list(map(str, range(case.images)))
    texts_on_images = [
        TextOnImage(n, n, TEXTS[i % len(TEXTS)], normal(shape, "benchmark", n)) for i, n in enumerate(names)
    ]
    times = evenly_spaced_steps(1000, STEPS)[-KEEP:]
    calls = {
        "bare": lambda: bare_passes(model, texts_on_images, times, case.pairs),
        "ours": lambda: list(token_heat_maps(model, texts_on_images, SEED, STEPS, KEEP, case.pairs)),
        "bare passes of plain": lambda: bare_passes(model, texts_on_images, times[:1], case.batch_size),
        "plain": lambda: plain_token_maps(model, texts_on_images, SEED, STEPS, KEEP, case.batch_size),
    }
    bare_passes(model, texts_on_images[:1], times[:1], 1)  # the first pass is slower
    rounds = [{procedure: cost(call) for procedure, call in calls.items()} for _ in range(case.rounds)]
    return {procedure: [costs[procedure] for costs in rounds] for procedure in calls}


def rows() -> list[Row]:
    table = []
    for name, case in CASES.items():
        costs = alone(_costs, name)
        seconds = {key: min(one.seconds for one in of_rounds) / case.images for key, of_rounds in costs.items()}
        peak = {key: max(one.megabytes for one in of_rounds) for key, of_rounds in costs.items()}
        plain = peak["plain"] - peak["bare passes of plain"]
        ours = max(1.0, peak["ours"] - peak["bare"])  # less is noise
        what = f"heat maps, {name}:"
        table += [
            at_least(f"{what} time an image", seconds["plain"], seconds["ours"], "s", 4),
            at_most(f"{what} memory beyond that of U-Net passes", plain, ours, "MB", 0.1),
            at_most(f"{what} time against bare U-Net passes (plain)", seconds["bare"], seconds["ours"], "s", 1.15),
        ]
    return table
