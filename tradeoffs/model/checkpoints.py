"""Diffusers folders: reading the parts of a latent diffusion model strictly, and writing a fine-tuned copy."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tradeoffs.errors import InputError
from tradeoffs.model.declared import check_index, check_networks, read_json
from tradeoffs.model.encoders import build_network, described, fit_tokenizer, load_encoder, load_network
from tradeoffs.model.finding_tokens import FindingTokenizer
from tradeoffs.model.padding import mask_padding, masks_padding, write_masked
from tradeoffs.model.schedule import SCHEDULER, NoiseSchedule, check_schedule, schedule_of
from tradeoffs.model.weights import check_shapes, load_strictly, naming, variant_of
from tradeoffs.randomness import torch_rng

PROJECTION = "projection.safetensors"  # in the text encoder's folder
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class LatentDiffusion:
    """The parts of a latent diffusion model, in evaluation mode."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase | FindingTokenizer
    schedule: NoiseSchedule
    projection: torch.nn.Linear | None = None  # behind a text encoder that is not the base's own
    padding_masked: bool = False  # the U-Net's cross-attention leaves out padding tokens (see tradeoffs.model.padding)

    def __post_init__(self):
        if self.padding_masked:
            mask_padding(self.unet)

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """The parts with weights, by name."""
        networks = {"unet": self.unet, "vae": self.vae, "text_encoder": self.text_encoder}
        return networks if self.projection is None else networks | {"projection": self.projection}

    @property
    def text_side(self) -> tuple:
        """What TextEncoder and CachedTextEncoder are made of."""
        return self.tokenizer, self.text_encoder, self.projection, self.padding_masked

    def to(self, device: torch.device | str) -> "LatentDiffusion":
        """Moves the networks to a device, in place."""
        for network in self.networks.values():
            network.to(device)
        return self


def noise_schedule(prediction_type: str = "epsilon", **declared: float) -> DDIMScheduler:
    """Stable Diffusion's noise schedule: 1000 steps, betas linear in their square roots.

    declared: what a checkpoint has otherwise, such as beta_start
    """
    return DDIMScheduler(
        **{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"} | declared,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def check_folder(folder: str | Path, prediction_type: str | None = None) -> dict:
    """The folder's `model_index.json`, with the classes of diffusers and transformers for parts of another library's.

    prediction_type: what the U-Net predicts, as base.prediction_type states it where the folder does not
    Raises InputError unless the folder holds every part of a Stable Diffusion model and all that its configurations
    declare can be obeyed; no weight is read.
    """
    folder = Path(folder)
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise InputError(
            f"{folder}: no model_index.json; give a Stable Diffusion model in diffusers layout as base.source"
        )
    index = read_json(index_file)
    index |= {part: _class_of(folder, part, index[part]) for part in PARTS if index.get(part)}
    missing = [part for part in PARTS if part not in index or not (folder / part).is_dir()]
    if missing:
        raise InputError(f"{folder}: without {', '.join(missing)}; give a complete diffusers folder as base.source")
    check_networks(folder)
    described(folder / "text_encoder")
    masks_padding(folder / "text_encoder")
    check_index(index_file, index, PARTS)
    if index["scheduler"][1] not in SCHEDULER["_class_name"].values:
        raise InputError(
            f"{index_file}: scheduler is {index['scheduler'][1]}, of another kind of diffusion, or of a distilled "
            "model; give another base"
        )
    check_schedule(folder, prediction_type)
    for part in ("unet", "vae", "text_encoder"):
        variant_of(folder / part)
    return index


def check_built(folder: str | Path) -> None:
    """Raises InputError unless the networks of a diffusers folder can be built from their configurations, and the
    headers of its .safetensors files fit them."""
    for part, network in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        of_part = Path(folder, part)
        with naming(of_part, network.__name__), init_empty_weights():
            built = network.from_config(read_json(of_part / "config.json"))
        check_shapes(of_part, built)
    check_shapes(Path(folder, "text_encoder"), build_network(Path(folder, "text_encoder")))


def _class_of(folder: Path, part: str, entry: list) -> list:
    """Library and class of a part: as `model_index.json` says, or where it names a class of another library, which may
    be a known one under another name, as the part's own configuration says. Raises InputError if neither is known."""
    libraries = {"transformers": transformers, "diffusers": diffusers}
    library = "transformers" if part in ("text_encoder", "tokenizer") else "diffusers"
    if len(entry) == 2 and entry[0] == library and hasattr(libraries[library], str(entry[1])):
        return entry
    names = {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
    file = folder / part / names.get(part, "config.json")
    declared = read_json(file) if file.is_file() else {}
    own = (
        declared.get("_class_name")
        or declared.get("tokenizer_class")
        or next(iter(declared.get("architectures") or []), "")
    )
    if own and hasattr(libraries[library], str(own)):
        return [library, str(own)]
    raise InputError(
        f"{folder / 'model_index.json'}: {part} is {entry!r}, which is no class of diffusers or transformers, and "
        f"{file} names none either; give a Stable Diffusion model"
    )


def load(folder: str | Path) -> LatentDiffusion:
    """Loads a diffusers folder in float32 on the CPU.

    Its text encoder may be of any family that `encoders.FAMILIES` knows, with a projection beside it.
    Raises InputError if a weight is missing or unexpected, or the parts do not fit together.
    """
    folder = Path(folder)
    index = check_folder(folder)
    tokenizer_class = getattr(transformers, index["tokenizer"][1])
    model = LatentDiffusion(
        unet=load_strictly(UNet2DConditionModel, folder / "unet"),
        vae=load_strictly(AutoencoderKL, folder / "vae"),
        text_encoder=load_network(folder / "text_encoder"),
        tokenizer=tokenizer_class.from_pretrained(folder / "tokenizer"),
        schedule=schedule_of(check_schedule(folder)),
        projection=_load_projection(folder / "text_encoder" / PROJECTION),
        padding_masked=masks_padding(folder / "text_encoder"),
    )
    fit_tokenizer(folder, model.text_encoder, model.tokenizer)
    _check_width(folder, model)
    finding_tokens = FindingTokenizer.read(folder / "tokenizer")
    return model if finding_tokens is None else replace(model, tokenizer=finding_tokens)


def with_encoder(model: LatentDiffusion, folder: str | Path, seed: int) -> LatentDiffusion:
    """The model with another text encoder in place of the base's, and a new projection from its width to the U-Net's.

    folder: of the text encoder and its tokenizer (see encoders.load_encoder)
    There is a projection also where the widths are equal: the U-Net knows the base's context only. Texts are cut to
    the base's context length, or the encoder's where that is shorter, so that variants see as much of a text.
    """
    network, tokenizer = load_encoder(folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.tokenizer.model_max_length)
    width = network.config.hidden_size
    projection = torch.nn.Linear(width, model.unet.config.cross_attention_dim)
    torch.nn.init.normal_(projection.weight, std=width**-0.5, generator=torch_rng(seed, "projection"))
    torch.nn.init.zeros_(projection.bias)
    return replace(model, text_encoder=network, tokenizer=tokenizer, projection=projection)


def _load_projection(file: Path) -> torch.nn.Linear | None:
    if not file.is_file():
        return None
    weights = load_file(file)
    try:
        projection = torch.nn.Linear(*weights["weight"].shape[::-1])
        projection.load_state_dict(weights)
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{file}: not the projection of a text encoder ({error}); it is another model's") from error
    return projection


def _check_width(folder: Path, model: LatentDiffusion) -> None:
    """Raises InputError unless the text encoder gives what its projection or the U-Net takes."""
    width = model.text_encoder.config.hidden_size
    if model.projection is not None:
        if model.projection.in_features != width:
            raise InputError(
                f"{folder}: its projection takes a text encoder of width {model.projection.in_features}, its text "
                f"encoder has {width}; they are of different models"
            )
        width = model.projection.out_features
    if model.unet.config.cross_attention_dim != width:
        raise InputError(
            f"{folder}: its U-Net takes text of width {model.unet.config.cross_attention_dim}, its text encoder gives "
            f"{width}; they are of different models"
        )


def save_with(base: str | Path, folder: str | Path, parts: Mapping[str, Any]) -> None:
    """Copies the base folder to `folder` with `parts` by name, such as "unet", in place of the base's.

    parts: networks, a tokenizer, "projection", a linear layer that is saved beside the text encoder, "finding_tokens",
    which are saved beside the base's tokenizer, and "padding_masked", true or false. What else `model_index.json` may
    list, such as a safety checker, is left out.
    """
    index, folder = check_folder(base), Path(folder)
    for name in PARTS:
        if name in parts:
            parts[name].save_pretrained(folder / name)
            index[name] = [type(parts[name]).__module__.split(".")[0], type(parts[name]).__name__]
        else:
            shutil.copytree(Path(base) / name, folder / name)
    if parts.get("projection") is not None:
        save_file(parts["projection"].state_dict(), folder / "text_encoder" / PROJECTION)
    if parts.get("finding_tokens") is not None:
        parts["finding_tokens"].save_pretrained(folder / "tokenizer")
    if parts.get("padding_masked"):
        write_masked(folder / "text_encoder")
    others = {name for name, value in index.items() if isinstance(value, list)} - set(PARTS)
    index |= {name: [None, None] for name in others}
    if not hasattr(diffusers, str(index.get("_class_name"))):  # a pipeline of another library's
        index["_class_name"] = "StableDiffusionPipeline"
    if "requires_safety_checker" in index:
        index["requires_safety_checker"] = False
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
