"""One candidate for the demo's base: a U-Net from random weights of its own seed, trained as a fine-tuning is."""

import pandas as pd
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from tradeoffs.data.tables import write_table
from tradeoffs.demo.base import build_unet, save_base
from tradeoffs.jobs.job import identity, job
from tradeoffs.jobs.resuming import RunFolder, retire
from tradeoffs.model.checkpoints import LatentDiffusion, noise_schedule
from tradeoffs.model.latents import Latents
from tradeoffs.model.schedule import schedule_of
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import Pairs, fine_tune

with job(snakemake):
    inputs, params, output, seed = snakemake.input, snakemake.params, snakemake.output, int(snakemake.wildcards.seed)
    parts = {
        "vae": AutoencoderKL.from_pretrained(inputs.vae),
        "text_encoder": CLIPTextModel.from_pretrained(inputs.text_encoder),
        "tokenizer": CLIPTokenizer.from_pretrained(inputs.tokenizer),
        "unet": build_unet(seed),
    }
    captions = pd.read_csv(inputs.captions, dtype={"sample_id": str})
    texts = captions["text"].tolist()
    run = RunFolder(params.checkpoints, identity(snakemake))

    def save(folder: str) -> None:
        with run.writing(folder) as temporary:
            save_base(temporary, **parts)

    outcome = fine_tune(
        LatentDiffusion(**parts, schedule=schedule_of(noise_schedule().config)),
        Pairs(captions["sample_id"].tolist(), lambda row, rng: texts[row]),
        Latents([inputs.latents], parts["vae"].config.scaling_factor),
        False,
        TrainingSettings(**params.training),
        seed,
        run,
        lambda step: save(run.milestones / f"step{step}"),
    )
    outcome.use_ema()
    save(output.base)
    write_table(outcome.losses, output.losses)
    run.finish(output.milestones)
retire(snakemake.params.checkpoints)
