"""Fine-tunes one candidate base (text encoder frozen) on selection phantoms and scores its heat maps."""

import tempfile
from pathlib import Path

import pandas as pd

from tradeoffs.data.tables import write_table
from tradeoffs.demo.selection import draw_selection, fine_tune_on, localisation
from tradeoffs.jobs.job import job
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load
from tradeoffs.model.trainer import TrainingSettings

with job(snakemake), tempfile.TemporaryDirectory() as folder:
    params = snakemake.params
    model = load(snakemake.input.base)
    selection = draw_selection(folder, model, **params.selection, resolution=params.resolution)
    run = RunFolder(Path(folder) / "checkpoint", "selection")
    fine_tune_on(selection, model, False, TrainingSettings(**params.training), run)
    scores = localisation(selection, model, params.heat_maps)
    row = {"candidate": f"seed{snakemake.wildcards.seed}", **scores}
    write_table(pd.DataFrame([row]), snakemake.output.scores)
