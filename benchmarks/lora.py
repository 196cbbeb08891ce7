"""Memory and time of a fine-tuning step: all weights of the U-Net against adapters of low rank in it."""

import tempfile
from pathlib import Path

import torch

from benchmarks.measuring import Cost, Row, alone, at_least, cost
from benchmarks.models import TEXTS, stable_diffusion_2
from tradeoffs.config.layers import resolve
from tradeoffs.config.sections.model import Variant
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.latents import Latents, save_latents
from tradeoffs.model.lora import adapters, unet_with_adapters
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.randomness import normal

PRESETS = Path(__file__).resolve().parents[1] / "config" / "presets"
STEPS, BATCH = 2, 1
SETTINGS = {"steps": STEPS, "milestones": [], "batch_size": BATCH, "micro_batch_size": BATCH, "precision": "fp32"}


def _cost(mode: str) -> tuple[Cost, int]:
    """What the steps cost, without the last checkpoint, and how many numbers learn. mode: of `variants.<name>.unet`"""
    model, variant = stable_diffusion_2(), Variant()
    learning = list(model.unet.parameters())
    if mode == "lora":
        unet_with_adapters(model.unet, variant.unet_lora_rank, variant.unet_lora_targets, seed=0)
        learning = adapters(model.unet)
    shape = (1, model.unet.config.in_channels, *[model.unet.config.sample_size] * 2)
    settings = TrainingSettings(**resolve({"preset": "paper", "training": SETTINGS}, PRESETS).training_of("cxr"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "latents.safetensors")
        save_latents(file, ["0"], normal(shape, "mean"), torch.full(shape, 0.1))
        pairs, run = Pairs(["0"], lambda row, rng: TEXTS[0]), RunFolder(Path(folder, "run"), "benchmark")
        latents = Latents([file], 1.0)
        taken = cost(lambda: fine_tune(model, pairs, latents, False, settings, 0, run, lambda step: None))
    return taken, sum(weight.numel() for weight in learning)


def rows() -> list[Row]:
    (full, weights), (lora, of_adapters) = (alone(_cost, mode) for mode in ("full", "lora"))
    what = (
        f"fine-tuning, Stable Diffusion 2 layout, batch {BATCH}, all weights of the U-Net against adapters of rank 16"
    )
    return [
        at_least(f"{what}: numbers that learn", weights / 1e6, of_adapters / 1e6, "million"),
        at_least(f"{what}: memory beyond the model's weights", full.megabytes, lora.megabytes, "MB"),
        at_least(f"{what}: time per step", full.seconds / STEPS, lora.seconds / STEPS, "s"),
    ]
