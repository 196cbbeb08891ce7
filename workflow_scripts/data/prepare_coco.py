"""MS-COCO -> image table and all captions."""

from tradeoffs.data.coco import prepare_images
from tradeoffs.data.tables import write_counts, write_table
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    prepared = snakemake.input.prepared or None
    max_missing = limit(snakemake, "data.max_missing")
    images, captions, counts = prepare_images(params.coco, max_missing, prepared, params.limits)
    write_table(images, output.images)
    write_table(captions, output.captions)
    write_counts(counts, output.counts)
