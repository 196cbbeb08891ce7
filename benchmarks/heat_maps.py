"""Token heat maps: the workflow's running sums against the original's procedure, on the same model and images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import einsum
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.measuring import Cost, Row, alone, at_least, at_most, cost
from tradeoffs.attention import Query, evenly_spaced_steps, token_heat_maps
from tradeoffs.models.checkpoints import LatentDiffusion, load, noise_schedule
from tradeoffs.models.demo_base import build_tokenizer
from tradeoffs.models.text import encode, tokenize
from tradeoffs.randomness import normal

SEED, STEPS, KEEP = 0, 50, 40
TEXTS = [
    "Large left pleural effusion with adjacent atelectasis, unchanged since the prior study.",
    "No acute cardiopulmonary process. Mild cardiomegaly.",
]
DEMO_BASE = Path(__file__).resolve().parents[1] / "resources" / "demo_base"


# --- the original's procedure --------------------------------------------------------------------------------------


class _StoringAttention:
    """Attention as the original computes it while maps are stored: all probabilities of a layer at once, of
    self-attention too. Those of cross-attention go to `maps`, (batch, pixels, tokens), as means over the heads."""

    def __init__(self) -> None:
        self.maps: list[torch.Tensor] = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2).flatten(0, 1)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probabilities = (einsum("bid,bjd->bij", query, key) * attn.scale).softmax(-1)
        if encoder_hidden_states is not None:
            self.maps.append(probabilities.unflatten(0, (-1, attn.heads)).mean(1).clone())
        attended = einsum("bij,bjd->bid", probabilities, value)
        return attn.to_out[1](attn.to_out[0](attended.unflatten(0, (-1, attn.heads)).transpose(1, 2).flatten(2)))


@torch.no_grad()
def plain_token_maps(
    model: LatentDiffusion, queries: Sequence[Query], seed: int, steps: int, keep: int, batch_size: int = 8
) -> list[torch.Tensor]:
    """Each query's map of every token of the context, (L, h, w): what the original's in-painting with a mask of ones
    gives, with this workflow's noise in place of the clock's.

    One batch of images after the other; all steps run, the map of every token, layer and step stays in a list, the
    sample is decoded, the list is brought to the latent's size and concatenated, and the last steps are averaged.
    """
    sampler = DDIMScheduler.from_config(model.schedule.config, timestep_spacing="leading", steps_offset=1)
    sampler.set_timesteps(steps)
    before = model.unet.attn_processors
    results = []
    for start in range(0, len(queries), batch_size):
        batch = queries[start : start + batch_size]
        context = encode(model.text_encoder, torch.stack([tokenize(model.tokenizer, query.text).ids for query in batch]))
        latents = torch.stack([query.latent for query in batch])
        stored = []
        for time in sampler.timesteps.tolist():
            noise = torch.stack([normal(tuple(query.latent.shape), seed, query.sample_id, time) for query in batch])
            noisy = model.schedule.add_noise(latents, noise, torch.tensor([time] * len(batch)))
            attention = _StoringAttention()
            model.unet.set_attn_processor(attention)
            prediction = model.unet(noisy, time, context).sample
            noisy = sampler.step(prediction, time, noisy).prev_sample
            stored.append(attention.maps)
        model.unet.set_attn_processor(before)
        model.vae.decode(noisy / model.vae.config.scaling_factor)
        maps = _concatenated(stored, latents.shape[2:])
        results += [of_image[-keep:].mean(dim=(0, 1)) for of_image in maps]
    return results


def _concatenated(stored: list, size: torch.Size) -> torch.Tensor:
    """All maps of a batch at the latent's size, (batch, steps, layers, tokens, h, w)."""
    sizes = {}
    height, width = size
    while (height, width) not in sizes.values():
        sizes[height * width] = (height, width)
        height, width = -(-height // 2), -(-width // 2)
    for step, layers in enumerate(stored):
        for layer, maps in enumerate(layers):
            maps = maps.transpose(1, 2).unflatten(2, sizes[maps.shape[1]])
            layers[layer] = functional.interpolate(maps, size=tuple(size), mode="nearest")[:, None]
        stored[step] = torch.cat(layers, dim=1)[:, None]
    return torch.cat(stored, dim=1)


# --- the measurement -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A model and how much of it is measured: `rounds` times `images` images, `batch_size` of them (or of the pairs
    of image and step) in one U-Net pass of the plain procedure and `pairs` in one of ours."""

    name: str
    model: Callable[[], LatentDiffusion]
    size: int
    images: int
    batch_size: int
    pairs: int
    rounds: int


def narrow_model(layout: str) -> LatentDiffusion:
    """Stable Diffusion's U-Net and autoencoder for 512 px with all layers, at a fifth and a quarter of their widths,
    and a small text encoder; random weights."""
    torch.manual_seed(0)
    widths = (64, 128, 256, 256)
    heads = {"1": 8, "2": tuple(width // 64 for width in widths)}[layout]  # 8 everywhere, or 64 channels each
    unet = UNet2DConditionModel(
        block_out_channels=widths,
        attention_head_dim=heads,
        use_linear_projection=layout == "2",
        cross_attention_dim=256,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    tokenizer = build_tokenizer(TEXTS * 8)
    tokenizer.model_max_length = 77
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    schedule = noise_schedule()
    return LatentDiffusion(unet.eval(), vae.eval(), CLIPTextModel(text).eval(), tokenizer, schedule)


CASES = {
    "sd2": Case("Stable Diffusion 2 layout, fifth of the width, 64 x 64 latents", lambda: narrow_model("2"), 64, 1, 1, 1, 2),
    "sd1": Case("Stable Diffusion 1 layout, fifth of the width, 64 x 64 latents", lambda: narrow_model("1"), 64, 1, 1, 1, 1),
    "demo": Case("the demo's base, 16 x 16 latents", lambda: load(DEMO_BASE), 16, 16, 8, 64, 3),
}


def _queries(model: LatentDiffusion, case: Case) -> list[Query]:
    shape = (model.unet.config.in_channels, case.size, case.size)
    return [
        Query(str(i), str(i), TEXTS[i % len(TEXTS)], normal(shape, "benchmark", i)) for i in range(case.images)
    ]


@torch.no_grad()
def _bare_forwards(model: LatentDiffusion, queries: list[Query], batch_size: int) -> None:
    """The U-Net passes that our heat maps need, with diffusers' default attention, and nothing else."""
    context = encode(model.text_encoder, tokenize(model.tokenizer, TEXTS[0]).ids[None])
    pairs = [(query, time) for query in queries for time in evenly_spaced_steps(1000, STEPS, KEEP)]
    for first in range(0, len(pairs), batch_size):
        batch = pairs[first : first + batch_size]
        latents = torch.stack([query.latent for query, _ in batch])
        model.unet(latents, torch.tensor([time for _, time in batch]), context.expand(len(batch), -1, -1))


def _cost_of(name: str, procedures: tuple[str, ...]) -> list[list[Cost]]:
    """Costs of the procedures by turns, one list a round."""
    case = CASES[name]
    model = case.model()
    queries = _queries(model, case)
    calls = {
        "plain": lambda: plain_token_maps(model, queries, SEED, STEPS, KEEP, case.batch_size),
        "ours": lambda: token_heat_maps(model, queries, SEED, STEPS, KEEP, case.pairs),
        "bare": lambda: _bare_forwards(model, queries, case.pairs),
    }
    _bare_forwards(model, queries[:1], 1)  # the first passes are slower
    return [[cost(calls[procedure]) for procedure in procedures] for _ in range(case.rounds)]
