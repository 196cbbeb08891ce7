"""Samples of each variant beside real images with the same texts."""

from tradeoffs.data.tables import read_images, read_samples
from tradeoffs.jobs.job import job
from tradeoffs.paper.pictures import by_variant, sample_grid, sample_rows
from tradeoffs.paper.style import save

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    images = read_images(inputs.images)
    generated = {variant: read_samples(paths) for variant, paths in by_variant(params.variants, inputs.samples)}
    rows = sample_rows(images[images["split"] == params.split], generated, params.resolution)
    save(sample_grid(rows, params.note), output.pdf, output.png)
