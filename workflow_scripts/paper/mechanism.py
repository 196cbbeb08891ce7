"""Why the trade-off happens: the table with its paragraph, and the figure."""

from tradeoffs.data.tables import write_table
from tradeoffs.jobs.job import job
from tradeoffs.paper.blocks import to_json
from tradeoffs.paper.dictionary import dictionary
from tradeoffs.paper.mechanism import mechanism_figure, mechanism_rows, mechanism_table
from tradeoffs.paper.rendering import write
from tradeoffs.paper.results import read_counts, read_results
from tradeoffs.paper.style import save
from tradeoffs.provenance.code import write_sidecar

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    rows = mechanism_rows(read_results(inputs.measures), params.pairs, params.draws, params.datasets)
    table = mechanism_table(params.title, rows)
    write(table, output.csv, output.markdown, output.latex)
    write_table(dictionary(table.rows.columns), output.columns)
    write_sidecar(output.sidecar, to_json(table), snakemake.config, read_counts(inputs.counts))
    save(mechanism_figure(rows, params.variants, params.note), output.pdf, output.png)
