"""Means of one variant's score tables over its seeds, with standard deviations and 95 % intervals."""

import pandas as pd

from tradeoffs.data.tables import keyed, write_table
from tradeoffs.evaluation.statistics import summarise
from tradeoffs.jobs.job import job

with job(snakemake):
    wildcards = snakemake.wildcards
    summary = summarise([pd.read_csv(path) for path in snakemake.input.scores], snakemake.params.draws)
    write_table(keyed(summary, dataset=wildcards.dataset, variant=wildcards.variant), snakemake.output.summary)
