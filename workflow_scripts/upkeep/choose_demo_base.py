"""The candidate base with the best AUC-ROC on the selection phantoms, with a card that tells how it was made."""

import shutil

import pandas as pd

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job

CARD = """# The demo's base model

A small latent diffusion model of Stable Diffusion v2's classes (UNet2DConditionModel, AutoencoderKL, CLIPTextModel),
made by `snakemake --cores 2 demo_base` from drawn pictures only: generic scenes whose nouns fix colour, shape and
texture, and phantom chest radiographs without findings ("chest x-ray"). The autoencoder, which sees no text, saw
phantoms with findings too. The text encoder has random weights and was never trained. Weights are float16.

It is no medical model, it has seen no patient, and it draws nothing but the demo's phantoms and scenes.

Training: {training}

Candidates differ in the seed of U-Net and text encoder. Each was fine-tuned on phantoms with the text encoder frozen,
and scored on phantoms (both of the selection seed, which no table uses; text: phrase; protocol: corrected). The one
with the best AUC-ROC was chosen: **{best}**.

{scores}
"""
SHOWN = ["candidate", "auc_roc", "top1", "cnr", "iou", "miou", "specificity", "bare_auc", "n_samples"]

with job(snakemake):
    scores = pd.concat(map(pd.read_csv, snakemake.input.scores), ignore_index=True)
    best = int(scores["auc_roc"].idxmax())
    text = CARD.format(
        training=", ".join(f"{key} {value}" for key, value in snakemake.params.training.items()),
        best=scores["candidate"][best],
        scores=scores[SHOWN].to_markdown(index=False, floatfmt=".3f"),
    )
    with atomic_path(snakemake.output.chosen) as temporary:
        shutil.copytree(snakemake.input.candidates[best], temporary)
        (temporary / "README.md").write_text(text)
