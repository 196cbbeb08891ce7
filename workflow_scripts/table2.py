"""Table 2, grounding per finding, as CSV, Markdown and LaTeX, with its sidecar."""

from tradeoffs.jobs import job
from tradeoffs.paper.rendering import write
from tradeoffs.paper.results import read_counts, read_results
from tradeoffs.paper.tables import grounding_table
from tradeoffs.provenance import write_sidecar

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    table = grounding_table(
        params.title,
        read_results(inputs.summaries, params.summaries),
        params.variants,
        params.external,
        params.datasets,
        params.protocol,
    )
    write(table, output.csv, output.markdown, output.latex)
    write_sidecar(output.sidecar, params.config, read_counts(inputs.counts))
