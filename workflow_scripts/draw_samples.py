"""Synthetic images of one model from the prompt list."""

from pathlib import Path

from tradeoffs.data.tables import read_prompts, write_table
from tradeoffs.files import atomic_path
from tradeoffs.jobs import job
from tradeoffs.sampling import draw_samples, sample_list

with job(snakemake):
    params = snakemake.params
    rows = sample_list(read_prompts(snakemake.input.prompts), params.ms_ssim["prompts"], params.ms_ssim["repeats"])
    with atomic_path(snakemake.output.images) as folder:
        folder.mkdir(parents=True)
        for row, image in draw_samples(
            snakemake.input.model, rows, seed=int(snakemake.wildcards.seed), **params.sampling
        ):
            image.save(folder / Path(row["path"]).name)
    write_table(rows, snakemake.output.samples)
