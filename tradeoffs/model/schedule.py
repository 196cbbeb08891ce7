"""The noise schedule that a base declares, in float64, which training, samples and heat maps all follow.

diffusers computes it in float32, the original in float64; the difference shows in the fifth digit of a heat map.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from tradeoffs.errors import InputError
from tradeoffs.model.declared import Config, Restricted, check, parameters

# Schedulers of a diffusion with discrete times whose variance is preserved; they share the keys of the noise schedule
_SCHEDULERS = [name for name in diffusers.DDPMScheduler._compatibles if name != "EDMEulerScheduler"]
_SAMPLES = "samples here do nothing of the kind"
SCHEDULER = {
    "_class_name": Restricted(_SCHEDULERS, "it is of another kind of diffusion, or of a distilled model"),
    "prediction_type": Restricted(
        ["epsilon", "v_prediction"], "of what a U-Net can predict only epsilon and v_prediction are known here"
    ),
    "predict_epsilon": Restricted([True], "of what a U-Net can predict only epsilon and v_prediction are known here"),
    "beta_schedule": Restricted(
        ["linear", "scaled_linear", "squaredcos_cap_v2"], "this noise schedule is unknown here"
    ),
    "rescale_betas_zero_snr": Restricted(
        [False], "its last time is noise alone (zero terminal SNR), where PLMS cannot begin"
    ),
    "timestep_spacing": Restricted(
        ["leading"],
        "samples are at the original's times; unless the model was distilled for others, set it to leading",
    ),
    "steps_offset": Restricted([0, 1], "samples are taken at the original's times, whose offset is 1"),
    "variance_type": Restricted(
        [None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"],
        "its U-Net predicts variances too",
    ),
    "clip_sample": Restricted([False], f"it cuts latents off in sampling, and {_SAMPLES}"),
    "thresholding": Restricted([False], f"it cuts latents off in sampling, and {_SAMPLES}"),
    "set_alpha_to_one": Restricted([True, False], "it is neither true nor false"),
    "timestep_type": Restricted(["discrete"], "its times are continuous"),
    "use_flow_sigmas": Restricted([False], "it is of another kind of diffusion, flow matching"),
    "use_dynamic_shifting": Restricted([False], "it is of another kind of diffusion, flow matching"),
}

_KEYS = parameters(*(getattr(diffusers, name) for name in _SCHEDULERS)) | {"tensor_format"}  # the last is of 2022


# What a noise schedule consists of; the rest of a configuration describes a sampler, and samplers here have their own
OBEYED = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "set_alpha_to_one",
)


class NoiseSchedule(diffusers.DDIMScheduler):
    """Noise at the times of training, in float64 until the end. Made by `schedule_of`."""

    alphas_cumprod: torch.Tensor  # abar, float64 (num_train_timesteps,)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """x_t = sqrt(abar_t) latents + sqrt(1 - abar_t) noise, all but times (B,) of the shape (B, c, h, w)."""
        signal, noisiness = self._shares(times, latents)
        return (signal * latents + noisiness * noise).to(latents.dtype)

    def get_velocity(self, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """v = sqrt(abar_t) noise - sqrt(1 - abar_t) latents (Salimans and Ho 2022), shapes as in `add_noise`."""
        signal, noisiness = self._shares(times, latents)
        return (signal * noise - noisiness * latents).to(latents.dtype)

    def _shares(self, times: torch.Tensor, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.alphas_cumprod = self.alphas_cumprod.to(latents.device)
        abar = self.alphas_cumprod[times.to(latents.device)].view(-1, *[1] * (latents.ndim - 1))
        return abar.sqrt(), (1 - abar).sqrt()


def schedule_of(declared: Mapping[str, Any]) -> NoiseSchedule:
    """The noise schedule that the configuration of a diffusers scheduler declares; see `check_schedule` before."""
    return in_double(NoiseSchedule(**obeyed(declared), clip_sample=False, steps_offset=1))


def obeyed(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a scheduler's configuration that make its noise schedule, with the original's end (abar of the first
    time, not 1) where the configuration names none."""
    return {"set_alpha_to_one": False} | {key: declared[key] for key in OBEYED if key in declared}


def in_double(scheduler: Any) -> Any:
    """A scheduler of diffusers with its noise schedule computed anew in float64, in place.

    Its coefficients are scalars, so that samples keep their own type.
    """
    scheduler.betas = betas(scheduler.config)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = scheduler.alphas.cumprod(0)
    ends_clean = scheduler.config.get("set_alpha_to_one", False)
    scheduler.final_alpha_cumprod = torch.tensor(1.0).double() if ends_clean else scheduler.alphas_cumprod[0]
    return scheduler


def betas(config: Mapping[str, Any]) -> torch.Tensor:
    """The betas that a scheduler's configuration declares, float64 (num_train_timesteps,)."""
    if config["trained_betas"] is not None:
        return torch.tensor(config["trained_betas"], dtype=torch.float64)
    times, first, last = config["num_train_timesteps"], config["beta_start"], config["beta_end"]
    if config["beta_schedule"] == "linear":
        return torch.linspace(first, last, times, dtype=torch.float64)
    if config["beta_schedule"] == "scaled_linear":
        return torch.linspace(first**0.5, last**0.5, times, dtype=torch.float64) ** 2
    # squaredcos_cap_v2: abar is a squared cosine (Nichol and Dhariwal 2021)
    abar = (torch.arange(times + 1, dtype=torch.float64).div(times).add(0.008) / 1.008 * math.pi / 2).cos() ** 2
    return (1 - abar[1:] / abar[:-1]).clamp(max=0.999)


def check_schedule(folder: Path, stated: str | None = None) -> Config:
    """What the folder's scheduler/scheduler_config.json declares.

    stated: what the U-Net predicts by base.prediction_type
    Raises InputError for a key that cannot be obeyed, or if the file says otherwise than `stated`.
    """
    file = folder / "scheduler" / "scheduler_config.json"
    declared = check(file, SCHEDULER, _KEYS)
    for key, sort in (("num_train_timesteps", int), ("beta_start", float), ("beta_end", float)):
        value = declared.get(key, 0.5)
        if key in declared and not (type(value) is sort and value > 0 and (sort is int or value < 1)):
            raise InputError(f"{file}: {key} is {value!r}, which is none; give another base")
    given, times = declared.get("trained_betas"), declared.get("num_train_timesteps", 1000)
    if given is not None and not (
        isinstance(given, list) and len(given) == times and all(type(b) in (int, float) and 0 < b < 1 for b in given)
    ):
        raise InputError(f"{file}: trained_betas are not {times} numbers between 0 and 1; give another base")
    kind = declared.get("prediction_type")
    if None not in (kind, stated) and kind != stated:
        raise InputError(
            f"{file}: prediction_type is {kind}, but base.prediction_type says {stated}; remove the key, or correct "
            "the file if it is wrong"
        )
    return declared
