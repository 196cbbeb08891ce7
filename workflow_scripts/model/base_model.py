"""The base model, or one of the user's, as a diffusers folder, whatever it was before."""

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.model.sources import materialise_base

with job(snakemake):
    params = snakemake.params
    with atomic_path(snakemake.output.base) as temporary:
        materialise_base(params.kind, params.source, params.revision, temporary, params.prediction_type, params.key)
