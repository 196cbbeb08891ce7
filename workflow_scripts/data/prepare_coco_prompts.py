"""Image table of MS-COCO -> prompts for sampling."""

from tradeoffs.data.prompts import caption_prompts
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.jobs.job import job

with job(snakemake):
    params = snakemake.params
    prompts, counts = caption_prompts(read_images(snakemake.input.images), params.n, params.seed)
    write_table(prompts, snakemake.output.prompts)
    write_counts(counts, snakemake.output.counts)
