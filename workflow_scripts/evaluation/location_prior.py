"""Scores the location prior (no model) on the grounding table, for each text and protocol."""

import pandas as pd

from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.controls import location_prior
from tradeoffs.evaluation.localisation import check_excluded
from tradeoffs.jobs.job import job
from tradeoffs.metrics import LOCATION_PRIOR
from tradeoffs.protocols import PROTOCOLS

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    grounding = read_grounding(inputs.grounding)
    tables = []
    for text in params.texts:
        for protocol in params.protocols:
            tables.append(location_prior(grounding, text, PROTOCOLS[protocol], params.resolution, params.map_size))
            check_excluded(tables[-1], params.max_excluded, inputs.grounding)
    keys = {"dataset": snakemake.wildcards.dataset, "variant": LOCATION_PRIOR, "seed": "", "step": ""}
    write_table(keyed(pd.concat(tables), **keys), snakemake.output.scores)
