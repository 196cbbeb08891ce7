"""The streaming heat maps against the plain procedure that the benchmarks time (keep every map, upsample, average), and
against one in double precision."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from benchmarks.heat_maps import plain_token_maps
from benchmarks.models import PlainAttention
from tradeoffs.attention.capture import TextOnImage, cross_attention_layers, token_heat_maps
from tradeoffs.model.text import TextEncoder
from tradeoffs.randomness import normal

SEED, STEPS, KEEP = 3, 10, 3
LAYOUTS = {
    "Stable Diffusion 1.x": {"attention_head_dim": 4, "use_linear_projection": False},  # four heads at every level
    "Stable Diffusion 2.x": {"attention_head_dim": (1, 2, 4), "use_linear_projection": True},  # heads 8 wide
}
SIZES = [(8, 8), (9, 7), (5, 12)]  # the last two are odd on some level


def with_unet(model, layout):
    """The tiny base with a U-Net of three levels: cross-attention at the latent's size, its half and its quarter."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=model.text_encoder.config.hidden_size,
        **LAYOUTS[layout],
    ).eval()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if ".attn2.to_q." in name or ".attn2.to_k." in name:
                weight.mul_(4)  # maps that are far from uniform
    return replace(model, unet=unet)


def texts_on_images_of(size):
    texts = ["left pleural effusion", "no acute cardiopulmonary process and mild edema", "edema", "left pneumonia"]
    latents = {name: normal((4, *size), "latent", name) for name in "abc"}
    return [TextOnImage(f"{i}", "aabc"[i], text, latents["aabc"[i]]) for i, text in enumerate(texts)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_streaming_equals_keeping_every_map(tiny_model, layout, size):
    model, texts_on_images = with_unet(tiny_model, layout), texts_on_images_of(size)
    assert len(cross_attention_layers(model.unet)) == 7
    expected = plain_token_maps(model, texts_on_images, SEED, STEPS, KEEP, batch_size=3)
    for batch_size, shards in [(1, 1), (2, 3), (3, 2), (64, 1)]:
        found = {}
        for shard in range(shards):
            for maps in token_heat_maps(model, texts_on_images[shard::shards], SEED, STEPS, KEEP, batch_size):
                found[maps.id] = maps.heat
        for one, plain in zip(texts_on_images, expected, strict=True):
            heat = found[one.id]
            assert heat.shape == (heat.shape[0], *size) and plain.shape == (24, *size)
            own = plain[1 : 1 + len(heat)].numpy()  # behind the start token
            np.testing.assert_allclose(heat, own, rtol=0, atol=1e-5 * own.max())
            assert own.std(axis=(1, 2)).min() > 100 * 1e-5 * own.max()  # a wrong place or step would show


@torch.no_grad()
def maps_in_double(model, one):
    """The map of every token of the context, (L, 8, 8): the noise schedule from its formula, all networks in double."""
    config = model.schedule.config
    betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, config.num_train_timesteps) ** 2
    signal = np.cumprod(1 - betas)
    unet, encoder = deepcopy(model.unet).double(), deepcopy(model.text_encoder).double()
    context = TextEncoder(model.tokenizer, encoder)([one.text])
    total, count = 0, 0
    for time in (201, 101, 1):  # the last 3 of 10 from 901 down to 1
        noise = normal(tuple(one.latent.shape), SEED, one.sample_id, time).double()
        noisy = signal[time] ** 0.5 * one.latent.double() + (1 - signal[time]) ** 0.5 * noise
        attention = PlainAttention()
        unet.set_attn_processor(attention)
        unet(noisy[None], time, context)
        for maps in attention.maps:
            side = round(maps.shape[1] ** 0.5)
            maps = maps[0].T.view(-1, side, side)
            total = total + maps.repeat_interleave(8 // side, 1).repeat_interleave(8 // side, 2)
            count += 1
    return total / count


def test_heat_maps_are_those_of_double_precision(tiny_model):
    model = with_unet(tiny_model, "Stable Diffusion 2.x")
    assert model.schedule.config.beta_schedule == "scaled_linear"
    texts_on_images = texts_on_images_of((8, 8))
    for one, maps in zip(texts_on_images, token_heat_maps(model, texts_on_images, SEED, STEPS, KEEP, 4), strict=True):
        expected = maps_in_double(model, one)[1 : 1 + len(maps.heat)].numpy()
        np.testing.assert_allclose(maps.heat, expected, rtol=0, atol=1e-5 * expected.max())
