"""One of the paper's tables, as CSV, Markdown and LaTeX, with the dictionary of its columns and its sidecar."""

from dataclasses import replace

from tradeoffs.data.tables import write_table
from tradeoffs.jobs.job import job
from tradeoffs.paper import tables
from tradeoffs.paper.blocks import to_json
from tradeoffs.paper.dictionary import dictionary
from tradeoffs.paper.methods import methods_table
from tradeoffs.paper.notes import Compared
from tradeoffs.paper.rendering import write
from tradeoffs.paper.results import read_counts, read_differences, read_results
from tradeoffs.provenance.code import write_sidecar

SCORES = ("summaries", "fidelity", "faithfulness", "methods", "priors")
READERS = dict.fromkeys(SCORES, read_results) | {"differences": read_differences}

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    scores = {name: READERS[name](files) for name, files in inputs.items() if name in READERS}
    function = methods_table if params.table == "methods_table" else getattr(tables, params.table)
    arguments = dict(params.arguments)
    if "compared" in arguments:
        arguments["compared"] = Compared(**arguments["compared"])
    table = function(params.title, **scores, **arguments, datasets=params.datasets)
    scope = [note for dataset, note in params.scope.items() if dataset in params.datasets]
    table = replace(table, notes=[*scope, *table.notes])
    write(table, output.csv, output.markdown, output.latex)
    write_table(dictionary(table.rows.columns), output.columns)
    write_sidecar(output.sidecar, to_json(table), snakemake.config, read_counts(inputs.counts))
