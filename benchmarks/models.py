"""Models that the benchmarks run, and attention as the original computes it."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import einsum
from transformers import CLIPTextConfig, CLIPTextModel

from tradeoffs.demo.base import build_tokenizer
from tradeoffs.model.checkpoints import LatentDiffusion, load, noise_schedule
from tradeoffs.model.schedule import schedule_of

DEMO_BASE = Path(__file__).resolve().parents[1] / "resources" / "demo_base"
TEXTS = [
    "Large left pleural effusion with adjacent atelectasis, unchanged since the prior study.",
    "No acute cardiopulmonary process. Mild cardiomegaly.",
]


class PlainAttention:
    """Attention as in the original, which cannot use a fused kernel since it stores maps: all probabilities of a layer
    at once, of self-attention too. Those of cross-attention go to `maps`, (batch, pixels, tokens), averaged over heads.
    """

    def __init__(self, store: bool = True):
        self.store = store
        self.maps: list[torch.Tensor] = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2).flatten(0, 1)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probabilities = (einsum("bid,bjd->bij", query, key) * attn.scale).softmax(-1)
        if self.store and encoder_hidden_states is not None:
            self.maps.append(probabilities.unflatten(0, (-1, attn.heads)).mean(1).clone())
        attended = einsum("bij,bjd->bid", probabilities, value)
        return attn.to_out[1](attn.to_out[0](attended.unflatten(0, (-1, attn.heads)).transpose(1, 2).flatten(2)))


def stable_diffusion_1() -> LatentDiffusion:
    """Eight heads at every level, convolutions around the attention."""
    return _narrow(attention_head_dim=8, use_linear_projection=False)


def stable_diffusion_2() -> LatentDiffusion:
    """Heads of 64 channels, linear layers around the attention."""
    return _narrow(attention_head_dim=(1, 2, 4, 4), use_linear_projection=True)


def demo_base() -> LatentDiffusion:
    return load(DEMO_BASE)


MODELS = {
    "Stable Diffusion 2 layout": stable_diffusion_2,
    "Stable Diffusion 1 layout": stable_diffusion_1,
    "the demo's base": demo_base,
}


def _narrow(**layout: object) -> LatentDiffusion:
    """Stable Diffusion 1's or 2's U-Net with Stable Diffusion 2's text encoder, at a fifth of their widths, and the
    autoencoder at a quarter; all layers, 512 px, random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(64, 128, 256, 256), cross_attention_dim=192, **layout
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        latent_channels=4,
    )
    tokenizer = build_tokenizer(TEXTS * 8)
    tokenizer.model_max_length = 77
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=23,
        num_attention_heads=3,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    schedule = schedule_of(noise_schedule().config)
    return LatentDiffusion(unet.eval(), vae.eval(), CLIPTextModel(text).eval(), tokenizer, schedule)
