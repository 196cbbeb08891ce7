"""Table 1, fidelity beside localisation, as CSV, Markdown and LaTeX, with its sidecar."""

from tradeoffs.jobs import job
from tradeoffs.paper.rendering import write
from tradeoffs.paper.results import read_counts, read_results
from tradeoffs.paper.tables import table1
from tradeoffs.provenance import write_sidecar

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    table = table1(
        params.title,
        read_results(inputs.summaries, params.summaries),
        read_results(inputs.fidelity, params.fidelity),
        params.variants,
        params.datasets,
        params.protocol,
        params.extractors,
    )
    write(table, output.csv, output.markdown, output.latex)
    write_sidecar(output.sidecar, params.config, read_counts(inputs.counts))
