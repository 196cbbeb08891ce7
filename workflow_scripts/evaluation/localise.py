"""Scores the token heat maps of one model against the grounding table, for each text and protocol."""

from collections.abc import Iterator

import pandas as pd

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import keyed, read_csv, read_grounding, write_table
from tradeoffs.evaluation.localisation import check_excluded, score_dump
from tradeoffs.jobs.job import job
from tradeoffs.protocols import PROTOCOLS

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    grounding = read_grounding(inputs.grounding)
    prompts = read_csv(inputs.wrong_prompts, ["text_kind", "id", "category"], "delete it and run again")

    def score_text(text: str) -> Iterator[pd.DataFrame]:
        """The scores in each protocol of the heat maps made with one kind of text, in memory until then."""
        maps = load_heat_maps(inputs.heat_maps, text)
        category = prompts[prompts["text_kind"] == text].set_index("id")["category"]
        wrong_maps = load_heat_maps(inputs.heat_maps, f"wrong_{text}")
        wrong_prompts = {name: (dump, category[name]) for name, dump in wrong_maps.items()}
        for protocol in params.protocols:
            table = score_dump(grounding, maps, text, PROTOCOLS[protocol], params.resolution, wrong_prompts)
            check_excluded(table, params.max_excluded, inputs.grounding)
            yield table

    table = pd.concat(table for text in params.texts for table in score_text(text))
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": wildcards.seed, "step": params.step}
    write_table(keyed(table, **keys), snakemake.output.scores)
