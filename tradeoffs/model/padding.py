"""Padding tokens kept out of the U-Net's cross-attention (`variants.<name>.padding: masked`).

The text encoder then writes zeros at padding tokens, which it does at no other token, and the U-Net's cross-attention
leaves out keys made of zeros. So the mask goes wherever the context goes, through diffusers' pipelines too.
"""

import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0

from tradeoffs.errors import InputError

FILE = "padding.json"  # in the text encoder's folder, says that the model was trained so


def attended(context: torch.Tensor) -> torch.Tensor:
    """Which tokens of a context (n, L, d) take part, bool (n, L)."""
    return (context != 0).any(-1)


class PaddingMasked(AttnProcessor2_0):
    """diffusers' own cross-attention, without the keys of padding tokens."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **others):
        mask = attended(encoder_hidden_states)[:, None]
        return super().__call__(attn, hidden_states, encoder_hidden_states, mask, **others)


def mask_padding(unet: UNet2DConditionModel) -> None:
    """Has the U-Net's cross-attention leave out padding tokens, in place."""
    processors = unet.attn_processors
    unet.set_attn_processor({name: PaddingMasked() if ".attn2." in name else p for name, p in processors.items()})


def masks_padding(text_encoder: Path) -> bool:
    """Whether the model with this text encoder's folder was trained with padding masked.

    Raises InputError if its file says neither.
    """
    file = text_encoder / FILE
    if not file.is_file():
        return False
    try:
        (said,) = json.loads(file.read_text()).items()
    except (AttributeError, ValueError):
        said = None
    if said != ("masked", True):
        raise InputError(f'{file}: not {{"masked": true}}; remove it if padding was attended to in training')
    return True


def write_masked(text_encoder: Path) -> None:
    """Writes the file that `masks_padding` reads."""
    (text_encoder / FILE).write_text(json.dumps({"masked": True}) + "\n")
