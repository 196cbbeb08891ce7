"""Phantom pictures in the raw layout of MS-COCO 2017."""

from tradeoffs.demo.phantom_coco import write_phantom_coco
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job, logger

with job(snakemake):
    with atomic_path(snakemake.output.raw) as temporary:
        written = write_phantom_coco(temporary, **snakemake.params.phantoms, workers=snakemake.threads)
    logger.info("%(images)d phantoms with %(objects)d objects, %(crowds)d of them crowds", written)
