"""Scores the location prior (no model) on the grounding table, for each text and protocol."""

from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.controls import location_prior
from tradeoffs.evaluation.localisation import score_texts
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit
from tradeoffs.metrics import LOCATION_PRIOR

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    grounding = read_grounding(inputs.grounding, params.part)

    def scored(text, protocol):
        return location_prior(grounding, text, protocol, params.resolution, params.map_size, params.frame)

    max_excluded = limit(snakemake, "evaluation.max_excluded")
    table = score_texts(params.texts, params.protocols, scored, max_excluded, inputs.grounding)
    keys = {"dataset": snakemake.wildcards.dataset, "variant": LOCATION_PRIOR, "seed": "", "step": ""}
    write_table(keyed(table, **keys), snakemake.output.scores)
