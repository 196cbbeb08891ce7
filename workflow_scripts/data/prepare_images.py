"""MIMIC-CXR-JPG, its reports (or the original's table) and MS-CXR -> image table."""

from tradeoffs.data.mimic import prepare_images
from tradeoffs.data.tables import write_counts, write_table
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    params = snakemake.params
    images, counts = prepare_images(
        params.mimic_cxr_jpg,
        params.mimic_cxr_reports,
        params.ms_cxr,
        params.views,
        limit(snakemake, "data.max_missing"),
        snakemake.input.prepared or None,
        params.limits,
    )
    write_table(images, snakemake.output.images)
    write_counts(counts, snakemake.output.counts)
