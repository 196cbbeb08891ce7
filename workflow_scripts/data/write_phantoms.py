"""Phantom radiographs in the raw layouts of MIMIC-CXR-JPG, its reports and MS-CXR."""

from tradeoffs.demo.phantom_files import write_phantoms
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job, logger

with job(snakemake):
    with atomic_path(snakemake.output.raw) as temporary:
        written = write_phantoms(temporary, **snakemake.params.phantoms, workers=snakemake.threads)
    logger.info("%(frontal)d frontal and %(lateral)d lateral phantoms", written)
