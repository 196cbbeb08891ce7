"""Scores the location prior (no model) on the grounding table, for each text and protocol."""

import pandas as pd

from tradeoffs.data.tables import read_grounding, write_table
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
    table = pd.concat(tables)
    table.insert(0, "variant", LOCATION_PRIOR)
    table.insert(1, "seed", "")
    write_table(table, snakemake.output.scores)
