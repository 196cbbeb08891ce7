"""The candidate base with the best AUC-ROC on the selection phantoms, with a card that tells how it was made."""

import json
import shutil
from pathlib import Path

import pandas as pd
import yaml

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.provenance.records import records_of

CARD = """# The demo's base model

A small latent diffusion model of Stable Diffusion v2's classes (UNet2DConditionModel, AutoencoderKL, CLIPTextModel),
made by `snakemake --cores 2 demo_base` from drawn pictures only: generic captioned scenes ({scenes:.0%}), and
radiographs as the web shows them, tinted, framed and coarse, under captions such as "x-ray of a chest with pneumonia".
Their chests are the demo's phantoms, drawn from other seeds; none of the demo's own images or reports is among them.
The autoencoder, which sees no text, saw phantoms as the demo's data have them too. The text encoder was trained
contrastively on the captioned pictures, as CLIP but with the mean of a caption's words in place of its end token, and
then frozen; among the captions of 64 held-out radiographs with findings it ranks the right one first in {accuracy:.0%}
of the cases. Texts are padded with "!", as for Stable Diffusion 2. Then the U-Net was trained. The weights are the
moving average, in float32.

It is no medical model, it has seen no patient, and it draws nothing but the demo's phantoms and scenes.

## Learning curve

*Text use* is the loss with the captions of other pictures minus that with a picture's own, times 1000; AUC-ROC is that
of the nouns' heat maps on held-out scenes. The last row is the moving average at the end, the others are the weights as
they were.

{curve}

Samples at these steps, from top to bottom, for {prompts}:

![Samples at the milestones](samples.png)

## Choice

Candidates differ in the seed of the U-Net. Each was fine-tuned on phantoms with the text encoder frozen and scored on
phantoms (both of the selection seed, which no table uses; text: phrase; protocol: corrected). The one with the best
AUC-ROC was chosen: **{best}**.

{scores}

## Settings

```
{making}```

`classifier/` holds the findings classifier whose features and labels the demo's FID (X-ray) and label AUC use, so that
they are the same measure in every run. It was trained on phantoms of a seed of its own.

## Time

CPU time in minutes, by rule:

{times}
"""
SHOWN = ["candidate", "auc_roc", "top1", "cnr", "iou", "miou", "specificity", "bare_auc", "n_samples"]

with job(snakemake):
    inputs, making = snakemake.input, snakemake.params.making
    scores = pd.concat(map(pd.read_csv, inputs.scores), ignore_index=True)
    best = int(scores["auc_roc"].idxmax())
    records = [json.loads(file.read_text()) for file in records_of(Path(snakemake.output.chosen).parent)]
    times = pd.DataFrame([{"rule": one["rule"], "minutes": one["cpu_seconds"]["all"] / 60} for one in records])
    pictures = making["pictures"]
    text = CARD.format(
        scenes=pictures["scene"] / sum(pictures.values()),
        accuracy=next(iter(json.loads(Path(inputs.text_encoder).read_text()).values())),
        curve=pd.read_csv(inputs.curves[best], dtype={"step": str}).to_markdown(index=False, floatfmt=".3f"),
        prompts=", ".join(f'"{prompt}"' for prompt in making["learning_curve"]["prompts"]),
        best=scores["candidate"][best],
        scores=scores[SHOWN].to_markdown(index=False, floatfmt=".3f"),
        times=times.groupby("rule").sum().sort_values("minutes", ascending=False).to_markdown(floatfmt=".0f"),
        making=yaml.safe_dump({**making, "fine-tuning of candidates": snakemake.params.fine_tuning}, sort_keys=False),
    )
    with atomic_path(snakemake.output.chosen) as temporary:
        shutil.copytree(inputs.candidates[best], temporary)
        shutil.copytree(inputs.classifier, temporary / "classifier")
        shutil.copyfile(inputs.samples[best], temporary / "samples.png")
        (temporary / "README.md").write_text(text)
