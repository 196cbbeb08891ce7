"""MS-CXR and the image table -> grounding table."""

from tradeoffs.data.mscxr import prepare_grounding
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.jobs.job import job

with job(snakemake):
    images = read_images(snakemake.input.images)
    grounding, counts = prepare_grounding(snakemake.params.ms_cxr, images)
    write_table(grounding, snakemake.output.grounding)
    write_counts(counts, snakemake.output.counts)
