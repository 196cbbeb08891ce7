"""MS-COCO -> image table and all captions."""

from tradeoffs.data.coco import prepare_images
from tradeoffs.data.tables import write_counts, write_table
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    prepared = snakemake.input.prepared or None
    images, captions, counts = prepare_images(params.coco, limit(snakemake, "data.max_missing"), prepared)
    write_table(images, output.images)
    write_table(captions, output.captions)
    write_counts(counts, output.counts)
