"""Diffusers folders: reading the parts of a latent diffusion model strictly, and writing a fine-tuned copy."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, UNet2DConditionModel

from tradeoffs.errors import InputError

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True)
class LatentDiffusion:
    """The parts of a latent diffusion model, in evaluation mode."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase
    schedule: DDPMScheduler

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """The parts with weights, by name."""
        return {"unet": self.unet, "vae": self.vae, "text_encoder": self.text_encoder}

    def to(self, device: torch.device | str) -> "LatentDiffusion":
        """Moves the networks to a device, in place."""
        for network in self.networks.values():
            network.to(device)
        return self


def noise_schedule(prediction_type: str = "epsilon") -> DDIMScheduler:
    """Stable Diffusion's noise schedule: 1000 steps, betas linear in their square roots."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def check_folder(folder: str | Path) -> dict:
    """The folder's `model_index.json`; raises InputError unless it holds every part of a Stable Diffusion model."""
    folder = Path(folder)
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        raise InputError(
            f"{folder}: no model_index.json; base.source must be a Stable Diffusion model in diffusers layout"
        )
    index = json.loads(index_file.read_text())
    missing = [part for part in PARTS if part not in index or not (folder / part).is_dir()]
    if missing:
        raise InputError(f"{folder}: without {', '.join(missing)}; base.source must be a complete diffusers folder")
    return index


def load(folder: str | Path) -> LatentDiffusion:
    """Loads a diffusers folder in float32 on the CPU.

    Raises InputError if a weight is missing or unexpected (docs/differences.md, row 19: the original loads with
    `strict=False`, so a wrong checkpoint runs).
    """
    folder = Path(folder)
    index = check_folder(folder)
    text_class = getattr(transformers, index["text_encoder"][1])
    tokenizer_class = getattr(transformers, index["tokenizer"][1])
    schedule = DDPMScheduler.from_config(getattr(diffusers, index["scheduler"][1]).load_config(folder / "scheduler"))
    return LatentDiffusion(
        unet=_strict(UNet2DConditionModel, folder / "unet"),
        vae=_strict(AutoencoderKL, folder / "vae"),
        text_encoder=_strict(text_class, folder / "text_encoder"),
        tokenizer=tokenizer_class.from_pretrained(folder / "tokenizer"),
        schedule=schedule,
    )


def _strict(model_class, folder: Path) -> torch.nn.Module:
    try:
        model, info = model_class.from_pretrained(folder, output_loading_info=True, torch_dtype=torch.float32)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{folder}: cannot be read as {model_class.__name__} ({error}); is it another model's?"
        ) from error
    # position_ids are a constant that older transformers saved
    unexpected = [key for key in info["unexpected_keys"] if not key.endswith("position_ids")]
    wrong = sorted(info["missing_keys"]) + sorted(unexpected) + sorted(map(str, info["mismatched_keys"]))
    if wrong:
        raise InputError(
            f"{folder}: weights do not fit {model_class.__name__} ({len(wrong)} missing, unexpected or of another "
            f"shape, such as {wrong[0]}); it is another model's"
        )
    return model.eval()


def save_with(base: str | Path, folder: str | Path, networks: dict[str, torch.nn.Module]) -> None:
    """Copies the base folder to `folder` with `networks` (by name, such as "unet") in place of the base's."""
    check_folder(base)
    for name in (*PARTS, "model_index.json"):
        source, target = Path(base) / name, Path(folder) / name
        if name in networks:
            networks[name].save_pretrained(target)
        elif source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
