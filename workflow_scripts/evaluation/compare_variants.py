"""Paired differences between a variant with frozen and one with learnable text encoder, with intervals and p values."""

import pandas as pd

from tradeoffs.data.tables import keyed, write_table
from tradeoffs.evaluation.statistics import paired_differences
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    frozen, learnable = ([pd.read_csv(path) for path in paths] for paths in (inputs.frozen, inputs.learnable))
    table = paired_differences(frozen, learnable, params.draws, params.permutations)
    keys = {"dataset": wildcards.dataset, "frozen": wildcards.frozen, "learnable": wildcards.learnable}
    write_table(keyed(table, **keys), snakemake.output.differences)
