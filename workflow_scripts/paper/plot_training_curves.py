"""AUC-ROC and FID over training steps."""

from tradeoffs.jobs.job import job
from tradeoffs.paper.figures import macro_means, main_rows, training_curves, with_fid
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

KEYS = ["dataset", "variant", "seed", "step"]

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    prior = main_rows(read_results(inputs.location_prior), params.protocol)
    prior = prior[(prior["group"] == "macro") & (prior["metric"] == "auc_roc")]
    scores = main_rows(read_results(inputs.localisation), params.protocol)
    repeats = with_fid(macro_means(scores, KEYS), read_results(inputs.fidelity), KEYS)
    save(training_curves(repeats, prior, params.variants, params.titles, params.note), output.pdf, output.png)
