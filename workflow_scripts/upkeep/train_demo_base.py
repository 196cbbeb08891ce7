"""One candidate for the demo's base: a U-Net and a random text encoder of its own seed."""

import json
from pathlib import Path

from diffusers import AutoencoderKL
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from tradeoffs.demo.base import build_text_encoder, save_base, train_unet
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, seed = snakemake.input, snakemake.params, int(snakemake.wildcards.seed)
    tokenizer = CLIPTokenizer.from_pretrained(inputs.tokenizer)
    text_encoder = build_text_encoder(tokenizer, seed)
    unet = train_unet(
        load_file(inputs.latents)["latents"],
        json.loads(Path(inputs.captions).read_text()),
        tokenizer,
        text_encoder,
        params.steps,
        params.batch_size,
        params.learning_rate,
        params.unconditional,
        seed,
    )
    with atomic_path(snakemake.output.base) as temporary:
        save_base(temporary, AutoencoderKL.from_pretrained(inputs.vae), text_encoder, tokenizer, unet)
