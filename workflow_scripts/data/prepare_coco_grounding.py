"""MS-COCO's objects, image table and captions -> grounding table."""

from tradeoffs.data.coco import prepare_grounding
from tradeoffs.data.conditioning import read_captions
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.data.words import with_words
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    images, captions = read_images(inputs.images), read_captions(inputs.captions)
    grounding, counts = prepare_grounding(params.coco, images, captions, params.most_captions)
    write_table(with_words(grounding, params.query_words), output.grounding)
    write_counts(counts, output.counts)
