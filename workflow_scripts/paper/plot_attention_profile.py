"""Where the signal sits: AUC-ROC by cross-attention layer and diffusion time, of one data set."""

from tradeoffs.jobs.job import job
from tradeoffs.paper.figures import attention_profile
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    profile = read_results(snakemake.input.profiles)
    save(attention_profile(profile, params.variants, params.title, params.note), output.pdf, output.png)
