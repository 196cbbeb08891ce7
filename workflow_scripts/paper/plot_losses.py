"""Training loss of every fine-tuning."""

from tradeoffs.jobs.job import job
from tradeoffs.paper.figures import losses
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    table = read_results(inputs.losses)
    save(losses(table, params.variants, params.titles, params.note), output.pdf, output.png)
