"""Scores every heat-map method on one model's sums of cross-attention."""

from functools import partial

from tradeoffs.attention.sums import load_sums
from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.localisation import check_excluded
from tradeoffs.evaluation.methods import score_methods
from tradeoffs.evaluation.splits import of_patients
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    read = partial(load_sums, inputs.sums)
    grounding = of_patients(read_grounding(inputs.grounding), params.patients)
    settings = (params.text, params.resolution, params.map_size, params.frame)
    scores = score_methods(grounding, read, params.methods, *settings)
    for _, table in scores.groupby("method", sort=False):
        check_excluded(table, limit(snakemake, "evaluation.max_excluded"), inputs.sums)
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": wildcards.seed}
    write_table(keyed(scores, **keys), snakemake.output.scores)
