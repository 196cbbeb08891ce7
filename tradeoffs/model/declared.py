"""What the configurations of a diffusers folder declare: every key is obeyed, of no influence here, or refused.

docs/encoders.md holds the same as a table, with single files. Only JSON is read here, so that a run stops before its
first long job.
"""

import inspect
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
from diffusers import AutoencoderKL, UNet2DConditionModel

from tradeoffs.errors import InputError

Config = dict[str, Any]


@dataclass(frozen=True)
class Restricted:
    """Values of a key that can be obeyed, and what another one would mean."""

    values: Collection[Any]
    otherwise: str


def parameters(*classes: type) -> set[str]:
    """Names of the keys that some classes of diffusers obey."""
    return {name for one in classes for name in inspect.signature(one).parameters} - {"kwargs"}


CLASSES = "its U-Net is conditioned on classes, as an upscaling model's"
_CAPTURE = "its attention is of another kind, which heat maps cannot read"
UNET = {
    "_class_name": Restricted(["UNet2DConditionModel"], "it is no U-Net of Stable Diffusion"),
    "class_embed_type": Restricted([None], CLASSES),
    "num_class_embeds": Restricted([None], CLASSES),
    "class_embeddings_concat": Restricted([False], CLASSES),
    "time_cond_proj_dim": Restricted([None], "its U-Net takes the guidance as an input, as a distilled model's"),
    "addition_embed_type": Restricted([None], "its U-Net takes more than a text, as that of Stable Diffusion XL"),
    "encoder_hid_dim": Restricted([None], "its U-Net projects what it is conditioned on, as Kandinsky's"),
    "encoder_hid_dim_type": Restricted([None], "its U-Net projects what it is conditioned on, as Kandinsky's"),
    "attention_type": Restricted(["default"], "its U-Net takes boxes beside the text, as GLIGEN's"),
    "dual_cross_attention": Restricted([False], _CAPTURE),
    "only_cross_attention": Restricted([False], _CAPTURE),
    "mid_block_only_cross_attention": Restricted([None, False], _CAPTURE),
    "cross_attention_norm": Restricted([None], _CAPTURE),
    "mid_block_type": Restricted([None, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn"], _CAPTURE),
    "down_block_types": Restricted(["CrossAttnDownBlock2D", "DownBlock2D"], _CAPTURE),
    "up_block_types": Restricted(["CrossAttnUpBlock2D", "UpBlock2D"], _CAPTURE),
    "quantization_config": Restricted([None], "its weights are quantised"),
}
VAE = {
    "_class_name": Restricted(["AutoencoderKL"], "it is no autoencoder of Stable Diffusion"),
    "in_channels": Restricted([3], "it encodes more than colour images"),
    "out_channels": Restricted([3], "it decodes more than colour images"),
    "shift_factor": Restricted([None, 0], "its latents are shifted, as Stable Diffusion 3's"),
    "latents_mean": Restricted([None], "its latents are normalised by channel"),
    "latents_std": Restricted([None], "its latents are normalised by channel"),
    "quantization_config": Restricted([None], "its weights are quantised"),
}
WHOLE = "base.source must be a whole Stable Diffusion 1.x or 2.x model"
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")  # parts on which the images do not depend


OTHER = "give another base"
INDEX = {"unet": ["UNet2DConditionModel"], "vae": ["AutoencoderKL"]}
INDEX_KEYS = ("requires_safety_checker", "force_zeros_for_empty_prompt")
# Of diffusers' pipelines those whose U-Net may be of images from text; inputs of other kinds show in its channels
PIPELINES = re.compile("DiffusionPipeline|StableDiffusion(Img2Img|Inpaint(Legacy)?|PAG|Panorama|SAG)?Pipeline")


def read_json(file: Path) -> Config:
    """The object in a JSON file; raises InputError if it holds none."""
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{file}: there is no such file; download the model again") from error
    except (OSError, ValueError) as error:  # JSON's and encoding errors
        raise InputError(f"{file}: cannot be read as JSON ({error}); download the model again") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds no keys with values; download the model again")
    return content


def check(file: Path, restricted: Mapping[str, Restricted], known: Collection[str]) -> Config:
    """The configuration in a JSON file; raises InputError for a key that cannot be obeyed, or that is unknown.

    known: names of the keys that diffusers obeys or that are of no influence here
    """
    config = read_json(file)
    for key, value in config.items():
        if key not in restricted:
            if key not in known and not key.startswith("_"):  # _diffusers_version and the like
                raise InputError(f"{file}: the key {key} is unknown; if the model does without it, remove it")
            continue
        values = value if isinstance(value, list) and value else [value]
        for one in values:
            if one not in restricted[key].values:
                raise InputError(f"{file}: {key} is {one!r}, but {restricted[key].otherwise}; give another base")
    return config


def check_index(file: Path, index: Config, parts: Collection[str]) -> None:
    """Raises InputError for a part in `model_index.json` beside the model's `parts`, and for a key that cannot be
    obeyed."""
    for name, value in index.items():
        if name in INDEX and isinstance(value, list) and value[1] not in INDEX[name]:
            raise InputError(f"{file}: {name} is {value[1]}, but can only be {' or '.join(INDEX[name])}; {OTHER}")
        if isinstance(value, list) and any(value) and name not in (*parts, *LEFT_OUT):
            raise InputError(f"{file}: has the part {name}, which Stable Diffusion 1.x and 2.x lack; {OTHER}")
        if value and not isinstance(value, list) and not name.startswith("_") and name not in (*parts, *INDEX_KEYS):
            raise InputError(f"{file}: the key {name} is unknown; if the model does without it, remove it")
    pipeline = str(index.get("_class_name"))
    if hasattr(diffusers, pipeline) and not PIPELINES.fullmatch(pipeline):
        raise InputError(f"{file}: _class_name is {pipeline}, no pipeline of Stable Diffusion 1.x or 2.x; {OTHER}")
    if index.get("force_zeros_for_empty_prompt"):
        raise InputError(
            f"{file}: force_zeros_for_empty_prompt is true, but the empty text is encoded here; give another base"
        )


def check_networks(folder: Path) -> None:
    """Raises InputError for a key in the configurations of the folder's U-Net and autoencoder that cannot be obeyed, or
    if they are not for images from text alone."""
    unet = read_json(folder / "unet" / "config.json")
    vae = check(folder / "vae" / "config.json", VAE, parameters(AutoencoderKL))
    scale = vae.get("scaling_factor", 1.0)
    if isinstance(scale, bool) or not (isinstance(scale, int | float) and 0 < scale < math.inf):
        raise InputError(f"{folder / 'vae' / 'config.json'}: scaling_factor is {scale!r}, no positive number; {OTHER}")
    channels = [unet.get("in_channels", 4), unet.get("out_channels", 4), vae.get("latent_channels", 4)]
    try:
        check_channels(*channels)
    except InputError as error:
        raise InputError(f"{folder}: {error}; {WHOLE}") from error
    check(folder / "unet" / "config.json", UNET, parameters(UNet2DConditionModel))


def check_channels(inputs: int, outputs: int, latents: int) -> None:
    """Raises InputError, without the model's name, if a U-Net with these channels does not map latents to latents."""
    if (inputs, outputs) != (latents, latents):
        raise InputError(
            f"its U-Net maps {inputs} to {outputs} channels, but the latents have {latents} (an in-painting, depth or "
            "upscaling model)"
        )
