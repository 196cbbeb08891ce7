"""Sheets of images: test images with their phrases and boxes, and samples beside real images."""

from pathlib import Path

import pandas as pd

from tradeoffs.data.tables import read_grounding, read_images
from tradeoffs.files import atomic_path
from tradeoffs.jobs import job
from tradeoffs.paper.figures import Picture, sheet

COLUMNS = 6


def save(figure, path: str) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    grounding = read_grounding(inputs.grounding)
    findings = {
        finding: [Picture(row.path, row.phrase, row.boxes) for row in rows.iloc[:COLUMNS].itertuples()]
        for finding, rows in grounding.groupby("category")
    }
    save(sheet(findings, params.resolution), output.findings)

    images = read_images(inputs.images)
    real = images[(images["split"] == "p19") & (images["text"] != "")].iloc[:COLUMNS]
    rows = {"real": [Picture(row.path, row.text) for row in real.itertuples()]}
    for variant, path in zip(params.variants, inputs.samples, strict=True):
        samples = pd.read_csv(path).query("repeat == 0").iloc[:COLUMNS]
        rows[variant] = [Picture(str(Path(path).parent / row.path), row.text) for row in samples.itertuples()]
    save(sheet(rows, params.resolution), output.samples)
