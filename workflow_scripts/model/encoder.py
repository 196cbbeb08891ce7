"""A text encoder with its tokenizer as one folder, whatever it was before."""

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.model.sources import materialise_encoder

with job(snakemake):
    params = snakemake.params
    with atomic_path(snakemake.output.encoder) as temporary:
        materialise_encoder(params.key, params.kind, params.source, params.revision, temporary)
