"""Checkpoints in the LDM code's names, by rules taken from that code's construction of its networks."""

import re
from collections import OrderedDict

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


class OpenClipText(nn.Module):
    """OpenCLIP's text tower, with its names; `forward` gives what Stable Diffusion 2 conditions on."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, context: int = 77):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(context, width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(self.block(width, heads) for _ in range(layers))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, width))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    @staticmethod
    def block(width: int, heads: int) -> nn.Module:
        block = nn.Module()
        block.ln_1 = nn.LayerNorm(width)
        block.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        block.ln_2 = nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": nn.GELU(), "c_proj": nn.Linear(4 * width, width)}
        block.mlp = nn.Sequential(OrderedDict(layers))
        return block

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        future = torch.full((ids.shape[1], ids.shape[1]), -torch.inf).triu(1)
        for block in self.transformer.resblocks[:-1]:
            normed = block.ln_1(x)
            x = x + block.attn(normed, normed, normed, need_weights=False, attn_mask=future)[0]
            x = x + block.mlp(block.ln_2(x))
        return self.ln_final(x)


def shaken(network: nn.Module, seed: int) -> nn.Module:
    """Every weight random, so that no two can be exchanged unseen."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=rng)
    return network.eval()


def small_unet(family: str) -> UNet2DConditionModel:
    """Three levels, two blocks each, attention in the first two (SD 2) or two levels, one block each (SD 1)."""
    two = family == "2"
    unet = UNet2DConditionModel(
        block_out_channels=(64, 64, 128) if two else (32, 64),
        layers_per_block=2 if two else 1,
        down_block_types=(*["CrossAttnDownBlock2D"] * (2 if two else 1), "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * (2 if two else 1)),
        attention_head_dim=(1, 1, 2) if two else 8,
        use_linear_projection=two,
        cross_attention_dim=128,
    )
    return shaken(unet, 0)


def small_vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        latent_channels=4,
    )
    return shaken(vae, 1)


def small_text_encoder(family: str, vocabulary: int) -> nn.Module:
    if family == "2":
        return shaken(OpenClipText(vocabulary, 128, layers=3, heads=2), 2)
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_act="quick_gelu",
    )
    return shaken(CLIPTextModel(config), 2)


def moved(state: dict, places: dict[str, str], parts: dict[str, str]) -> dict:
    """`state` with each module in `places` under its new name and, within it, the `parts` renamed."""
    renamed = {}
    for name, weight in state.items():
        place = next(place for place in places if name.startswith(f"{place}."))
        rest = name[len(place) + 1 :]
        part = next((part for part in parts if rest.startswith(f"{part}.") and places[place][-1].isdigit()), None)
        renamed[f"{places[place]}.{rest if part is None else parts[part] + rest[len(part) :]}"] = weight
    return renamed


def ldm_unet(unet: UNet2DConditionModel) -> dict:
    levels, layers = len(unet.config.block_out_channels), unet.config.layers_per_block
    places = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    block = 1
    for level in range(levels):
        for layer in range(layers):
            places[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{block}.0"
            places[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{block}.1"
            block += 1
        places[f"down_blocks.{level}.downsamplers.0"] = f"input_blocks.{block}.0"
        block += level < levels - 1
    block = 0
    for level, kind in enumerate(unet.config.up_block_types):
        for layer in range(layers + 1):
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{block}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{block}.1"
            block += 1
        places[f"up_blocks.{level}.upsamplers.0"] = f"output_blocks.{block - 1}.{1 if kind == 'UpBlock2D' else 2}"
    renamed = moved(unet.state_dict(), places, RESNET)
    return {
        name.replace(".0.conv.", ".0.op.") if "input_blocks" in name else name: weight
        for name, weight in renamed.items()
    }


def ldm_vae(vae: AutoencoderKL) -> dict:
    levels, layers = len(vae.config.block_out_channels), vae.config.layers_per_block
    places = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for half in ("encoder", "decoder"):
        for part in ("conv_in", "conv_out"):
            places[f"{half}.{part}"] = f"{half}.{part}"
        places[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        places[f"{half}.mid_block.resnets.0"] = f"{half}.mid.block_1"
        places[f"{half}.mid_block.attentions.0"] = f"{half}.mid.attn_1"
        places[f"{half}.mid_block.resnets.1"] = f"{half}.mid.block_2"
    for level in range(levels):
        for layer in range(layers + 1):
            places[f"encoder.down_blocks.{level}.resnets.{layer}"] = f"encoder.down.{level}.block.{layer}"
            # the LDM code counts the decoder's levels by resolution, finest first
            places[f"decoder.up_blocks.{level}.resnets.{layer}"] = f"decoder.up.{levels - 1 - level}.block.{layer}"
        places[f"encoder.down_blocks.{level}.downsamplers.0"] = f"encoder.down.{level}.downsample"
        places[f"decoder.up_blocks.{level}.upsamplers.0"] = f"decoder.up.{levels - 1 - level}.upsample"
    renamed = moved(vae.state_dict(), places, {"conv_shortcut": "nin_shortcut", **ATTENTION})
    # attention is made of 1x1 convolutions there
    return {
        name: weight[:, :, None, None] if ".attn_1." in name and weight.ndim == 2 else weight
        for name, weight in renamed.items()
    }


def checkpoint(unet: UNet2DConditionModel, vae: AutoencoderKL, text_encoder: nn.Module) -> dict:
    """The networks' weights in the LDM code's names, with some of the extras of real files."""
    if isinstance(text_encoder, OpenClipText):
        prefix, extras = "cond_stage_model.model.", {}
    else:
        prefix = "cond_stage_model.transformer.text_model."
        extras = {f"{prefix}embeddings.position_ids": torch.arange(77)[None]}
    return {
        "betas": torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2,
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.diffusion_modeltime_embed0weight": torch.full((1,), 7.0),
        **{f"model.diffusion_model.{name}": weight for name, weight in ldm_unet(unet).items()},
        **{f"first_stage_model.{name}": weight for name, weight in ldm_vae(vae).items()},
        **{f"{prefix}{name}": weight for name, weight in text_encoder.state_dict().items()},
        **extras,
    }


def small(family: str, vocabulary: int = 300) -> tuple[UNet2DConditionModel, AutoencoderKL, nn.Module]:
    return small_unet(family), small_vae(), small_text_encoder(family, vocabulary)


def full_size(family: str) -> tuple[UNet2DConditionModel, AutoencoderKL, nn.Module]:
    """The networks of Stable Diffusion 1 or 2 without weights, on the device "meta"."""
    with init_empty_weights():
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        )
        if family == "2":
            heads = (5, 10, 20, 20)
            unet = UNet2DConditionModel(attention_head_dim=heads, cross_attention_dim=1024, use_linear_projection=True)
            return unet, vae, OpenClipText(49408, 1024, layers=24, heads=16)
        config = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
        return UNet2DConditionModel(attention_head_dim=8, cross_attention_dim=768), vae, CLIPTextModel(config)


@torch.no_grad()
def assert_same_outputs(found, unet, vae, text_encoder, tolerance: float = 1e-5) -> None:
    rng = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 300, (2, 77), generator=rng)
    context = text_encoder(ids)
    context = context if torch.is_tensor(context) else context.last_hidden_state
    torch.testing.assert_close(found.text_encoder(ids).last_hidden_state, context, rtol=0, atol=tolerance)
    latents = torch.randn(2, 4, 8, 8, generator=rng)
    times = torch.tensor([3, 900])
    noise, expected = (network(latents, times, context).sample for network in (found.unet, unet))
    torch.testing.assert_close(noise, expected, rtol=0, atol=tolerance)
    images = torch.rand(1, 3, 16, 16, generator=rng) * 2 - 1
    moments, expected = (network.encode(images).latent_dist.parameters for network in (found.vae, vae))
    torch.testing.assert_close(moments, expected, rtol=0, atol=tolerance)
    decoded, expected = (network.decode(latents).sample for network in (found.vae, vae))
    torch.testing.assert_close(decoded, expected, rtol=0, atol=tolerance)


def starting_with(*parts: object) -> str:
    """Pattern for a message that begins with the parts as they are."""
    return "^" + re.escape("".join(map(str, parts)))
