"""Means of one variant's score tables over its seeds, with standard deviations and 95 % intervals."""

import pandas as pd

from tradeoffs.data.tables import write_table
from tradeoffs.evaluation.statistics import summarise
from tradeoffs.jobs.job import job

with job(snakemake):
    repeats = [pd.read_csv(path) for path in snakemake.input.scores]
    write_table(summarise(repeats, snakemake.params.draws), snakemake.output.summary)
