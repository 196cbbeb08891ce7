"""Table 7, grounding with the impression as text, as CSV, Markdown and LaTeX, with its sidecar."""

from tradeoffs.jobs import job
from tradeoffs.paper.rendering import write
from tradeoffs.paper.results import read_counts, read_results
from tradeoffs.paper.tables import table7
from tradeoffs.provenance import write_sidecar

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    table = table7(
        params.title,
        read_results(inputs.summaries, params.summaries),
        params.variants,
        params.external,
        params.datasets,
        params.protocol,
    )
    write(table, output.csv, output.markdown, output.latex)
    write_sidecar(output.sidecar, params.config, read_counts(inputs.counts))
