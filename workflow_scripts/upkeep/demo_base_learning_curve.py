"""How a candidate for the demo's base came to use its text: loss, text use and heat maps at its milestones."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tradeoffs.data.tables import write_table
from tradeoffs.demo.base import encode_pictures, sample_sheet, scene_auc, text_use
from tradeoffs.demo.pictures import draw_pictures
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import load

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    milestones = sorted(Path(inputs.milestones).glob("step*"), key=lambda folder: int(folder.name.removeprefix("step")))
    held_out = {kind: draw_pictures(kind, params.seed, n, snakemake.threads) for kind, n in params.pictures.items()}
    rows, sheets = [], []
    for folder in [*milestones, Path(inputs.base)]:
        model = load(folder)
        row = {"step": int(folder.name.removeprefix("step")) if folder in milestones else params.steps}
        for kind, pictures in held_out.items():
            loss, use = text_use(model, encode_pictures(model.vae, pictures.images)[0], pictures.captions, params.seed)
            row |= {f"loss ({kind})": loss, f"text use x 1000 ({kind})": 1000 * use}
        rows.append(row | {"AUC-ROC (scene)": scene_auc(model, params.scenes, params.seed)})
        sheets.append(np.asarray(sample_sheet(folder, params.prompts, params.seed)))
    write_table(pd.DataFrame(rows), snakemake.output.curve)
    with atomic_path(snakemake.output.samples) as temporary:
        Image.fromarray(np.concatenate(sheets)).save(temporary, format="PNG")
