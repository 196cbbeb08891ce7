"""Samples of each variant beside real images with the same texts."""

from pathlib import Path

import pandas as pd

from tradeoffs.data.tables import read_images
from tradeoffs.jobs import job
from tradeoffs.paper.pictures import sample_grid, sample_rows
from tradeoffs.paper.style import save

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    images = read_images(inputs.images)
    generated = {}
    for key, path in zip(params.samples, inputs.samples, strict=True):
        table = pd.read_csv(path, dtype={"prompt_id": str})
        generated[key["variant"]] = table.assign(path=[Path(path).parent / image for image in table["path"]])
    generated = {variant: generated[variant] for variant in params.variants}
    rows = sample_rows(images[images["split"] == params.split], generated, params.resolution)
    save(sample_grid(rows, params.note), output.pdf, output.png)
