"""MIMIC-CXR-JPG, its reports (or the original's table) and MS-CXR, or Open-i and ChestX-ray14 -> image table."""

from tradeoffs.data import mimic, open_radiographs
from tradeoffs.data.tables import write_counts, write_table
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    folders, views = snakemake.params.folders, snakemake.params.views
    limits = snakemake.params.limits
    max_missing = limit(snakemake, "data.max_missing")
    if "open_i" in folders:
        images, counts = open_radiographs.prepare_images(
            folders["open_i"], folders["chestxray14"], views, max_missing, limits
        )
    else:
        prepared = snakemake.input.prepared or None
        images, counts = mimic.prepare_images(
            **folders, views=views, max_missing=max_missing, prepared=prepared, limits=limits
        )
    write_table(images, snakemake.output.images)
    write_counts(counts, snakemake.output.counts)
