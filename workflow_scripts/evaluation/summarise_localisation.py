"""Means of one variant's score tables over its seeds, with standard deviations and 95 % intervals."""

import pandas as pd

from tradeoffs.data.tables import keyed, write_table
from tradeoffs.evaluation.statistics import on_common_samples, summarise
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, wildcards = snakemake.input, snakemake.wildcards
    scores, models = ([pd.read_csv(path) for path in paths] for paths in (inputs.scores, inputs.models))
    if models:
        scores = [on_common_samples(table, models) for table in scores]
    summary = summarise(scores, snakemake.params.draws)
    write_table(keyed(summary, dataset=wildcards.dataset, variant=wildcards.variant), snakemake.output.summary)
