"""Boxes of MS-CXR or ChestX-ray14 and the image table -> grounding table."""

from tradeoffs.data import mscxr, open_radiographs
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.data.words import with_words
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    images, folders = read_images(snakemake.input.images), snakemake.params.folders
    if "chestxray14" in folders:
        max_missing = limit(snakemake, "data.max_missing")
        grounding, counts = open_radiographs.prepare_grounding(folders["chestxray14"], images, max_missing)
    else:
        grounding, counts = mscxr.prepare_grounding(folders["ms_cxr"], images)
    write_table(with_words(grounding, snakemake.params.query_words), snakemake.output.grounding)
    write_counts(counts, snakemake.output.counts)
