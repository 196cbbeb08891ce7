"""The text encoder of the demo's base: pre-trained contrastively on the captioned pictures, then never changed."""

import json

import pandas as pd
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from tradeoffs.demo.base import train_text_encoder
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    text_encoder, accuracy = train_text_encoder(
        load_file(inputs.latents)["mean"],
        pd.read_csv(inputs.captions)["text"].tolist(),
        CLIPTokenizer.from_pretrained(inputs.tokenizer),
        **params.training,
        seed=params.seed,
    )
    with atomic_path(output.text_encoder) as temporary:
        text_encoder.save_pretrained(temporary)
    with atomic_path(output.accuracy) as temporary:
        temporary.write_text(json.dumps({"own caption ranked first of 64": accuracy}) + "\n")
