"""AUC-ROC and specificity per finding or class and variant, of one data set."""

from tradeoffs.jobs.job import job
from tradeoffs.paper.figures import findings, main_rows
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    summary = main_rows(read_results(inputs.summaries), params.protocol)
    save(findings(summary, params.variants, params.title, params.note), output.pdf, output.png)
