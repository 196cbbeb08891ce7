"""FID against AUC-ROC, with seeds, intervals and the location prior."""

from tradeoffs.jobs.job import job
from tradeoffs.paper.figures import macro_means, main_rows, tradeoff, with_fid
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

KEYS = ["dataset", "variant", "seed"]

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    summary = main_rows(read_results(inputs.summaries), params.protocol)
    summary = summary[(summary["group"] == "macro") & (summary["metric"] == "auc_roc")]
    scores = main_rows(read_results(inputs.localisation), params.protocol)
    repeats = with_fid(macro_means(scores, KEYS), read_results(inputs.fidelity), KEYS)
    save(tradeoff(summary, repeats, params.variants, params.titles, params.note), output.pdf, output.png)
