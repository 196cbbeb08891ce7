"""Stable Diffusion 2 at its true size with random weights, through every stage that runs a model.

Not in the default run (some 15 minutes, 15 GB of memory and of disk): python -m pytest -m full_size -s
Each stage has a process of its own, as a job has.
"""

import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ldm_checkpoints import checkpoint, full_size
from PIL import Image
from safetensors.torch import load_file, save_file

from benchmarks.measuring import alone
from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.config.layers import resolve
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model import ldm
from tradeoffs.model.checkpoints import load, save_with
from tradeoffs.model.latents import Latents, encode_images, save_latents
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.randomness import normal
from tradeoffs.sampling import draw_samples

PRESETS = Path(__file__).parents[1] / "config" / "presets"
TEXT = "Large left pleural effusion with adjacent atelectasis."


def write_checkpoint(folder):
    """A single file in the LDM code's names, half precision; its numbers of parameters."""
    networks = full_size("2")
    rng = torch.Generator().manual_seed(0)
    weights = {}
    for name, weight in checkpoint(*networks).items():
        if weight.is_meta:
            spread = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.02
            weights[name] = (torch.randn(weight.shape, generator=rng) * spread + (weight.ndim == 1)).half()
    save_file(weights, folder / "model.safetensors")
    return [sum(p.numel() for p in network.parameters()) for network in networks]


def convert(folder):
    ldm.convert(folder / "model.safetensors", folder / "base")
    (folder / "model.safetensors").unlink()


def encode_image(folder):
    model = load(folder / "base")
    pixels = np.random.default_rng(0).integers(0, 256, (640, 512), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    mean, std, _ = encode_images(model.vae, [folder / "a.png"], 512, 1)
    save_latents(folder / "train.safetensors", ["a"], mean, std)


def finetune(folder):
    one = {"steps": 1, "milestones": [], "batch_size": 1, "micro_batch_size": 1, "precision": "fp32"}
    settings = TrainingSettings(**resolve({"preset": "paper", "training": one}, PRESETS).training_of("cxr"))
    model = load(folder / "base")
    pairs, latents = Pairs(["a"], lambda row, rng: TEXT), Latents([folder / "train.safetensors"], 0.18215)
    run = RunFolder(folder / "checkpoint", "full size")
    outcome = fine_tune(model, pairs, latents, False, settings, 0, run, lambda step: None)
    save_with(folder / "base", folder / "final", {"unet": model.unet})
    return outcome.losses["loss"].tolist()


def heat_map(folder):
    model = load(folder / "final")
    latents = Latents([folder / "train.safetensors"], 0.18215)
    one = TextOnImage("a", "a", TEXT, latents.sample("a", normal(latents.shape, 0, "a")))
    (maps,) = token_heat_maps(model, [one], seed=0, steps=50, keep=4, batch_size=2)
    return maps


def sample(folder):
    rows = pd.DataFrame([{"image_id": "0", "text": TEXT}])
    ((_, image),) = draw_samples(
        folder / "final", rows, 0, guidance=4.0, steps=2, scheduler="plms", batch_size=1, resolution=512
    )
    return image.size


def measured(stage, folder):
    start = time.perf_counter()
    result = stage(folder)
    seconds, gigabytes = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{stage.__name__}: {seconds:.0f} s, at most {gigabytes:.1f} GB", flush=True)
    assert gigabytes < 24
    return result


@pytest.mark.full_size
def test_stable_diffusion_2_at_its_true_size(tmp_path):
    def run(stage):
        return alone(measured, stage, tmp_path, threads=2)

    assert [round(count / 1e6) for count in run(write_checkpoint)] == [866, 84, 354]
    run(convert)
    run(encode_image)
    (loss,) = run(finetune)
    assert np.isfinite(loss)
    name = "unet/diffusion_pytorch_model.safetensors"
    base, tuned = (load_file(tmp_path / folder / name) for folder in ("base", "final"))
    changed = [name for name in base if not torch.equal(base[name], tuned[name])]
    assert len(changed) > 0.95 * len(base)
    del base, tuned
    maps = run(heat_map)
    assert maps.heat.shape == (len(maps.tokens), 64, 64) and len(maps.tokens) > 5
    assert maps.heat.min() > 0 and maps.heat.sum(axis=0).max() < 1
    assert maps.heat.std(axis=(1, 2)).min() > 0
    assert run(sample) == (512, 512)
