"""Scores another method's heat maps on the grounding table, for each text and protocol."""

from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.external import external_maps, read_external
from tradeoffs.evaluation.localisation import samples, score_samples, score_texts
from tradeoffs.jobs.job import job, logger
from tradeoffs.jobs.limits import limit

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    external = read_external(inputs.heat_maps, read_grounding(inputs.grounding))
    grounding = read_grounding(inputs.grounding, params.part)
    logger.info("%s: %d heat maps of %s", inputs.heat_maps, len(external.maps), external.method or "unnamed method")
    map_of = external_maps(external, grounding)

    def scored(text, protocol):
        rows = samples(grounding, text, protocol, params.resolution, params.frame)
        return score_samples(rows, map_of, text, protocol)

    max_excluded = limit(snakemake, "evaluation.max_excluded")
    table = score_texts(params.texts, params.protocols, scored, max_excluded, inputs.heat_maps)
    keys = {"dataset": "cxr", "variant": snakemake.wildcards.method, "seed": "", "step": ""}
    write_table(keyed(table, **keys), snakemake.output.scores)
