"""Scores the token heat maps of one model against the grounding table, for each text and protocol."""

import pandas as pd

from tradeoffs.data.tables import read_grounding, write_table
from tradeoffs.evaluation.localisation import check_excluded, score_dump
from tradeoffs.heatmaps import load_heat_maps
from tradeoffs.jobs import job

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    grounding = read_grounding(inputs.grounding)
    tables = []
    for text in params.texts:
        maps = load_heat_maps(inputs[text])
        for protocol in params.protocols:
            tables.append(score_dump(grounding, maps, text, protocol, params.resolution))
            check_excluded(tables[-1], params.max_excluded, inputs.grounding)
    table = pd.concat(tables)
    table.insert(0, "variant", snakemake.wildcards.variant)
    table.insert(1, "seed", snakemake.wildcards.seed)
    write_table(table, snakemake.output.scores)
