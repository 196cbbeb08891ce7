"""Paired differences between a variant with frozen and one with learnable text encoder, with intervals and p values."""

import pandas as pd

from tradeoffs.data.tables import write_table
from tradeoffs.evaluation.statistics import paired_differences
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    frozen, learnable = ([pd.read_csv(path) for path in paths] for paths in (inputs.frozen, inputs.learnable))
    table = paired_differences(frozen, learnable, params.draws, params.permutations)
    table.insert(0, "frozen", params.names[0])
    table.insert(1, "learnable", params.names[1])
    write_table(table, snakemake.output.differences)
