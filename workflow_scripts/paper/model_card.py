"""A fine-tuned model as a folder to hand on: a diffusers folder with its card."""

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.paper.model_card import is_pipeline, model_card, write_published
from tradeoffs.paper.results import read_counts, read_results
from tradeoffs.provenance.records import commit

with job(snakemake):
    inputs, wildcards = snakemake.input, snakemake.wildcards
    (counts,) = read_counts([inputs.counts]).values()
    card = model_card(
        wildcards.dataset,
        wildcards.variant,
        int(wildcards.seed),
        snakemake.config,
        read_results(inputs.summaries),
        read_results(inputs.fidelity),
        counts,
        commit(),
        is_pipeline(inputs.model),
    )
    with atomic_path(snakemake.output.folder) as temporary:
        write_published(inputs.model, card, temporary)
