"""MS-COCO -> image table, captions of the training images, grounding table."""

from tradeoffs.data.coco import prepare_grounding, prepare_images
from tradeoffs.data.tables import write_counts, write_table
from tradeoffs.data.words import with_words
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    prepared = snakemake.input.prepared or None
    images, captions, images_counts = prepare_images(
        params.coco, limit(snakemake, "data.max_missing"), prepared, params.limits
    )
    grounding, grounding_counts = prepare_grounding(params.coco, images)
    write_table(images, output.images)
    write_table(captions, output.captions)
    write_table(with_words(grounding, snakemake.params.query_words), output.grounding)
    write_counts(images_counts, output.images_counts)
    write_counts(grounding_counts, output.grounding_counts)
