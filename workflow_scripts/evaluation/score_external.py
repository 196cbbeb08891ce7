"""Scores another method's heat maps on the grounding table, for each text and protocol."""

import pandas as pd

from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.external import external_maps, read_external
from tradeoffs.evaluation.localisation import check_excluded, samples, score_samples
from tradeoffs.jobs.job import job, logger
from tradeoffs.protocols import PROTOCOLS

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    grounding = read_grounding(inputs.grounding)
    external = read_external(inputs.heat_maps, grounding)
    logger.info("%s: %d heat maps of %s", inputs.heat_maps, len(external.maps), external.method or "unnamed method")
    map_of = external_maps(external, grounding)
    tables = []
    for text in params.texts:
        for protocol in map(PROTOCOLS.get, params.protocols):
            rows = samples(grounding, text, protocol, params.resolution)
            tables.append(score_samples(rows, map_of, text, protocol))
            check_excluded(tables[-1], params.max_excluded, inputs.heat_maps)
    keys = {"dataset": "cxr", "variant": snakemake.wildcards.method, "seed": "", "step": ""}
    write_table(keyed(pd.concat(tables), **keys), snakemake.output.scores)
