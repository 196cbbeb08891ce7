"""What rows 2 to 11 of docs/differences.md do to the scores of one model's heat maps."""

import pandas as pd

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import read_grounding, write_table
from tradeoffs.evaluation.effects import COLUMNS, scoring_effects
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    heat_maps = {text: load_heat_maps(inputs.heat_maps, text) for text in params.texts}
    table = pd.DataFrame(scoring_effects(read_grounding(inputs.grounding), heat_maps, params.resolution))
    table = table.assign(dataset=wildcards.dataset, variant=wildcards.variant)
    write_table(table[list(COLUMNS)], snakemake.output.effects)
