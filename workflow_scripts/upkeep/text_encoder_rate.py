"""Localisation and fidelity over fine-tuning on selection phantoms, frozen or at one rate of the text encoder."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tradeoffs.data.tables import write_table
from tradeoffs.demo.selection import draw_selection, fidelity, fine_tune_on, localisation
from tradeoffs.jobs.job import job
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load, save_with
from tradeoffs.model.trainer import TrainingSettings

with job(snakemake), tempfile.TemporaryDirectory() as folder:
    inputs, params, rate = snakemake.input, snakemake.params, snakemake.wildcards.rate
    model = load(inputs.base)
    selection = draw_selection(folder, model, **params.selection, resolution=params.resolution)
    settings = TrainingSettings(**params.training)
    settings = replace(settings, milestones=params.milestones)
    if rate != "frozen":
        settings = replace(settings, text_encoder_learning_rate=float(rate))
    rows = []

    def score(step: int) -> None:
        trained = Path(folder) / f"step{step}"
        parts = {"unet": model.unet, "text_encoder": model.text_encoder, "tokenizer": model.tokenizer}
        save_with(inputs.base, trained, parts)
        scores = localisation(selection, load(trained), params.heat_maps)
        scores |= fidelity(selection, trained, inputs.classifier, params.images, params.sampling)
        rows.append({"text_encoder": rate, "step": step, **scores})

    score(0)
    fine_tune_on(selection, model, rate != "frozen", settings, RunFolder(Path(folder) / "checkpoint", rate), score)
    score(settings.steps)
    write_table(pd.DataFrame(rows), snakemake.output.scores)
