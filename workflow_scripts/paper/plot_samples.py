"""Samples of each variant beside real images with the same texts."""

from tradeoffs.data.tables import read_images, read_samples
from tradeoffs.jobs.job import job
from tradeoffs.paper.pictures import sample_grid, sample_rows
from tradeoffs.paper.style import save

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    images = read_images(inputs.images)
    lists = {variant: [] for variant in params.variants}
    for key, path in zip(params.samples, inputs.samples, strict=True):
        lists[key["variant"]].append(path)
    generated = {variant: read_samples(paths) for variant, paths in lists.items()}
    rows = sample_rows(images[images["split"] == params.split], generated, params.resolution)
    save(sample_grid(rows, params.note), output.pdf, output.png)
