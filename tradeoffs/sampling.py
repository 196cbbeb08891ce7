"""Synthetic images by classifier-free guidance, with noise that belongs to the image, not to the batch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler
from PIL import Image

from tradeoffs.data.tables import SAMPLE_COLUMNS
from tradeoffs.jobs.devices import autocast, default_device
from tradeoffs.model.checkpoints import LatentDiffusion, load
from tradeoffs.model.latents import latent_size
from tradeoffs.model.pipelines import stable_diffusion
from tradeoffs.model.schedule import in_double, obeyed
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.progress import Progress
from tradeoffs.randomness import normal


class _PLMS(PNDMScheduler):
    """diffusers' PLMS at the original's times; its own begin later (at 963, not 989, for 75 steps), which matters
    since sampling begins with pure noise.

    As in Liu et al. (2022) predictions of the noise are extrapolated, also where the U-Net predicts v: diffusers' would
    extrapolate v, which makes PLMS a method of first order, with errors above those of DDIM.
    """

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        first, *others = evenly_spaced_steps(self.config.num_train_timesteps, num_inference_steps)
        self.timesteps = torch.tensor([first, *others[:1], *others], device=device)  # the second twice, as PLMS does

    def step_plms(self, model_output, timestep, sample, return_dict=True):
        if self.config.prediction_type == "v_prediction":
            abar = self.alphas_cumprod[timestep]
            model_output = abar.sqrt() * model_output + (1 - abar).sqrt() * sample
        return super().step_plms(model_output, timestep, sample, return_dict)

    def _get_prev_sample(self, sample, timestep, prev_timestep, model_output):
        if self.config.prediction_type == "v_prediction":  # of the noise, which diffusers' takes for one of v
            abar = self.alphas_cumprod[timestep]
            model_output = (model_output - (1 - abar).sqrt() * sample) / abar.sqrt()
        return super()._get_prev_sample(sample, timestep, prev_timestep, model_output)


class _DDIM(DDIMScheduler):
    """diffusers' DDIM at the original's times."""

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        times = evenly_spaced_steps(self.config.num_train_timesteps, num_inference_steps)
        self.timesteps = torch.tensor(times, device=device)


class _DPM(DPMSolverMultistepScheduler):
    """diffusers' DPM-Solver++ with noise levels that are not rounded to float32."""

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        signal = self.alphas_cumprod[self.timesteps.cpu()]
        self.sigmas = torch.cat([((1 - signal) / signal).sqrt(), signal.new_zeros(1)])


def sampler(name: str, schedule_config: Mapping[str, Any]):
    """The diffusers scheduler for plms (the paper's), ddim or dpm (DPM-Solver++), on the model's own noise schedule.

    plms and ddim use the original's times (77 for 75 steps, see `evenly_spaced_steps`); dpm begins at the last one.
    Of the configuration only the noise schedule counts (`schedule.OBEYED`), in float64: its sampler's options do not.
    """
    declared = obeyed(schedule_config) | {"steps_offset": 1}  # of Stable Diffusion, or its pipeline warns
    if name == "plms":
        return in_double(_PLMS(**declared, skip_prk_steps=True))
    if name == "ddim":
        return in_double(_DDIM(**declared, clip_sample=False))
    del declared["set_alpha_to_one"]  # DPM-Solver++ ends without noise
    return in_double(_DPM(**declared, timestep_spacing="trailing"))


def sample_list(prompts: pd.DataFrame, repeated: int, repeats: int) -> pd.DataFrame:
    """One row per image to make: every prompt once, and the first `repeated` prompts `repeats` times (for MS-SSIM).

    Columns SAMPLE_COLUMNS; repeats count from 0.
    """
    rows = []
    for place, prompt in enumerate(prompts.to_dict("records")):
        for repeat in range(repeats if place < repeated else 1):
            image_id = f"{place:05d}-{repeat}"
            rows.append(
                {
                    "image_id": image_id,
                    "prompt_id": prompt["prompt_id"],
                    "repeat": repeat,
                    "text": prompt["text"],
                    "Finding Labels": prompt["Finding Labels"],
                    "path": f"images/{image_id}.png",
                }
            )
    return pd.DataFrame(rows, columns=SAMPLE_COLUMNS)


def draw_samples(
    folder: str | Path,
    rows: pd.DataFrame,
    seed: int,
    guidance: float,
    steps: int,
    scheduler: str,
    batch_size: int,
    resolution: int,
    precision: str = "fp32",
    unconditional: str = "",
) -> Iterator[tuple[dict, Image.Image]]:
    """Yields each row of the sample list with its image (PIL, RGB).

    folder: diffusers folder of the model. Initial noise depends on
    (seed, image id) only (docs/differences.md, row 1).
    resolution: side of the images in pixels, of which the U-Net's own size in its folder may differ
    precision: of autocast, fp32, fp16 or bf16
    unconditional: the text that guidance leads away from
    Raises InputError for a resolution that the model, or a precision that the device does not have.
    """
    drawing = Sampler(
        load(folder).to(default_device()), scheduler, resolution, seed, guidance, steps, precision, unconditional
    )
    records = rows.to_dict("records")
    for start in Progress(range(0, len(records), batch_size), desc="samples", unit="batch"):
        batch = records[start : start + batch_size]
        images = drawing.images([row["text"] for row in batch], [row["image_id"] for row in batch])
        yield from zip(batch, images, strict=True)


class Sampler:
    """A model that draws images at one setting; see `draw_samples` for the parameters."""

    def __init__(
        self,
        model: LatentDiffusion,
        scheduler: str,
        resolution: int,
        seed: int,
        guidance: float,
        steps: int,
        precision: str,
        unconditional: str = "",
    ):
        self.encoder = CachedTextEncoder(*model.text_side)
        # the text encoder may be of any family, so texts are given as embeddings
        self.pipeline = stable_diffusion(model.vae, None, None, model.unet, sampler(scheduler, model.schedule.config))
        self.pipeline.set_progress_bar_config(disable=True)
        size = latent_size(model.vae, resolution)
        self.shape = (model.unet.config.in_channels, size, size)  # of the latents
        self.seed, self.guidance, self.steps, self.precision = seed, guidance, steps, precision
        self.unconditional = unconditional

    def images(self, texts: Sequence[str], image_ids: Sequence[str]) -> list[Image.Image]:
        """One image a text, as one batch; each from the noise of its id."""
        noise = torch.stack([normal(self.shape, self.seed, "sample", image_id) for image_id in image_ids])
        with autocast("sampling.precision", self.precision):
            return self.pipeline(
                prompt_embeds=self.encoder(texts),
                negative_prompt_embeds=self.encoder([self.unconditional] * len(texts)),
                latents=noise.to(self.pipeline.device),
                guidance_scale=self.guidance,
                num_inference_steps=self.steps,
                eta=0.0,
            ).images
