import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from project import copy_project, snakemake, watched
from pycocotools import mask as coco_mask
from small_training import IDS
from transformers import CLIPTextConfig, CLIPTextModel

from tradeoffs.config.schema import Config
from tradeoffs.demo.base import build_tokenizer, save_base
from tradeoffs.model.checkpoints import LatentDiffusion, load
from tradeoffs.model.latents import Latents, save_latents
from tradeoffs.provenance import again
from tradeoffs.randomness import normal

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
# two processes of one thread each are faster than two that share the cores; the workflow's jobs limit themselves
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
TINY_TEXTS = ["left pleural effusion and right pneumonia", "no acute cardiopulmonary process", "mild edema."]


@pytest.fixture(scope="session")
def run_lengths():
    """From a mask, (height, width), to the text that stands for it in a grounding table."""

    def encode(mask) -> str:
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return json.dumps({"size": encoded["size"], "counts": encoded["counts"].decode()})

    return encode


@pytest.fixture
def run_script(tmp_path) -> Callable[..., None]:
    """Runs a script of the workflow by its name; parts of snakemake's object are such as input={"images": path}."""

    def run(name: str, **parts: dict) -> None:
        (script,) = SCRIPTS.glob(f"*/{name}.py")
        config = Config().dump() | parts.pop("config", {})
        try:
            again.run_script(script, again.mock_snakemake(name, tmp_path / f"{name}.log", config=config, **parts))
        finally:
            logging.basicConfig(force=True)  # job() let the root logger write to the rule's log

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A copy of the project in which the smoke preset has made everything, watched for ways out of this machine.

    Its users are the xdist group "workflow".
    """
    folder = copy_project(tmp_path_factory.mktemp("workflow") / "project")
    run = snakemake(folder, "--cores", "4", environment=watched(folder))
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    (folder / "snakemake.txt").write_text(run.stdout + run.stderr)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """A Stable Diffusion folder of a few kB with random weights: 64 px images, 8x8 latents, texts of 24 tokens.

    Its U-Net has cross-attention at 8 and 4 latent pixels, peaked enough for maps to differ from uniform ones.
    """
    tokenizer = build_tokenizer(TINY_TEXTS * 8)
    tokenizer.model_max_length = 24
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        cross_attention_dim=16,
        use_linear_projection=True,
    )
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if ".attn2.to_q." in name or ".attn2.to_k." in name:
                weight.mul_(3)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        sample_size=64,
        mid_block_add_attention=False,
        scaling_factor=0.5,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    folder = tmp_path_factory.mktemp("tiny_base")
    save_base(folder, vae, text_encoder, tokenizer, unet)
    return folder


@pytest.fixture
def tiny_model(tiny_base) -> LatentDiffusion:
    """The tiny base, loaded anew for each test."""
    return load(tiny_base)


@pytest.fixture(scope="session")
def tiny_latents(tmp_path_factory) -> Latents:
    """Latents of the images of `small_training.IDS`, of the tiny base's size."""
    path = tmp_path_factory.mktemp("latents") / "train_0.safetensors"
    save_latents(path, IDS, normal((6, 4, 8, 8), "mean"), normal((6, 4, 8, 8), "std").abs() * 0.1)
    return Latents([path], scaling_factor=0.5)
