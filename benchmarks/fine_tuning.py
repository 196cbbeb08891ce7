"""A frozen fine-tuning step: the workflow's against the original's, on the same model and latents."""

import tempfile
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.measuring import Cost, Row, alone, at_least, cost
from benchmarks.models import MODELS, TEXTS, PlainAttention
from tradeoffs.config.layers import resolve
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import Latents, save_latents
from tradeoffs.model.text import TextEncoder
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.randomness import normal

PRESETS = Path(__file__).resolve().parents[1] / "config" / "presets"
IMAGES = 32
# batch size of the paper and of the demo, steps, whether activations are computed again as at paper scale
CASES = {"Stable Diffusion 2 layout": (8, 2, True), "the demo's base": (16, 12, False)}
TARGETS = {"Stable Diffusion 2 layout": 1.3}


def plain_fine_tune(
    model: LatentDiffusion, latents: Latents, batch_size: int, steps: int, lr: float, recompute: bool
) -> None:
    """The original's steps in single precision: all texts of a batch go through the frozen text encoder at every step,
    attention computes all its probabilities at once, AdamW goes weight by weight, and so does the moving average that
    nothing evaluates. Activations are computed again in the backward pass with `recompute`, as in the original."""
    unet = model.unet
    unet.train()
    if recompute:
        unet.enable_gradient_checkpointing()
    unet.set_attn_processor(PlainAttention(store=False))
    for network in model.networks.values():
        network.requires_grad_(network is unet)
    weights = list(unet.parameters())
    averages = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.01, foreach=False)
    for step in range(steps):
        names = [str((step * batch_size + place) % IMAGES) for place in range(batch_size)]
        z = torch.stack([latents.sample(name, torch.randn(latents.shape)) for name in names])
        with torch.no_grad():
            context = TextEncoder(*model.text_side)([TEXTS[int(name) % len(TEXTS)] for name in names])
        noise, times = torch.randn_like(z), torch.randint(0, 1000, (batch_size,))
        loss = functional.mse_loss(unet(model.schedule.add_noise(z, noise, times), times, context).sample, noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for average, weight in zip(averages, weights, strict=True):
                average.sub_((1 - 0.9999) * (average - weight))


def _cost(name: str, procedure: str) -> Cost:
    """What a case's steps cost."""
    batch_size, steps, recompute = CASES[name]
    settings = {"steps": steps, "milestones": [], "batch_size": batch_size, "micro_batch_size": batch_size}
    settings |= {"precision": "fp32", "gradient_checkpointing": recompute}
    config = resolve({"preset": "paper", "training": settings}, PRESETS)
    model = MODELS[name]()
    names = list(map(str, range(IMAGES)))
    shape = (IMAGES, model.unet.config.in_channels, *[model.unet.config.sample_size] * 2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "latents.safetensors")
        save_latents(file, names, normal(shape, "mean"), torch.full(shape, 0.1))
        latents = Latents([file], 1.0)
        if procedure == "plain":
            lr = config.training.learning_rate
            return cost(lambda: plain_fine_tune(model, latents, batch_size, steps, lr, recompute))
        pairs = Pairs(names, lambda row, rng: TEXTS[row % len(TEXTS)])
        settings = TrainingSettings(**config.training_of("cxr"))
        run = RunFolder(Path(folder, "run"), "benchmark")
        return cost(lambda: fine_tune(model, pairs, latents, False, settings, 0, run, lambda step: None))


def rows() -> list[Row]:
    table = []
    for name, (batch_size, steps, _) in CASES.items():
        plain, ours = (alone(_cost, name, procedure).seconds / steps for procedure in ("plain", "ours"))
        what = f"frozen fine-tuning, {name}, batch {batch_size}: time a step"
        table.append(at_least(what, plain, ours, "s", TARGETS.get(name)))
    return table
