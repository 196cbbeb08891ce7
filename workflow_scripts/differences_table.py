"""All differences frozen minus learnable, as CSV, Markdown and LaTeX, with its sidecar."""

from tradeoffs.jobs import job
from tradeoffs.paper.rendering import write
from tradeoffs.paper.results import read_counts, read_differences
from tradeoffs.paper.tables import differences_table
from tradeoffs.provenance import write_sidecar

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    table = differences_table(
        params.title,
        read_differences(inputs.differences, params.differences),
        params.datasets,
        params.protocol,
    )
    write(table, output.csv, output.markdown, output.latex)
    write_sidecar(output.sidecar, params.config, read_counts(inputs.counts))
