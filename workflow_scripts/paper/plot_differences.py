"""Frozen minus learnable, score by score, with intervals and p values."""

from tradeoffs.jobs.job import job
from tradeoffs.paper.figures import differences, main_rows
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    table = main_rows(read_results(inputs.differences), params.protocol)
    table = table[table["group"] == "macro"]
    save(differences(table, params.variants, params.titles, params.note), output.pdf, output.png)
