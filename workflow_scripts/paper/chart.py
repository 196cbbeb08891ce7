"""One of the paper's charts, from score tables, as PDF and PNG."""

from tradeoffs.jobs.job import job
from tradeoffs.paper import figures
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    scores = {name: read_results(files) for name, files in snakemake.input.items()}
    function = getattr(figures, params.chart)
    save(function(**scores, **params.arguments), output.pdf, output.png)
