"""Scores the token heat maps of one model against the grounding table, for each text and protocol."""

from functools import lru_cache

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import keyed, read_csv, read_grounding, write_table
from tradeoffs.evaluation.localisation import score_heat_maps, score_texts
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    grounding = read_grounding(inputs.grounding, params.part)
    prompts = read_csv(inputs.wrong_prompts, ["text_kind", "id", "category"], "delete it and run again")

    @lru_cache(maxsize=1)
    def maps_of(text: str) -> tuple[dict, dict]:
        """The heat maps made with one kind of text, and those of its wrong prompts, in memory until the next kind."""
        category = prompts[prompts["text_kind"] == text].set_index("id")["category"]
        wrong_maps = load_heat_maps(inputs.heat_maps, f"wrong_{text}")
        return load_heat_maps(inputs.heat_maps, text), {
            name: (of_text, category[name]) for name, of_text in wrong_maps.items()
        }

    def scored(text, protocol):
        maps, wrong_prompts = maps_of(text)
        return score_heat_maps(grounding, maps, text, protocol, params.resolution, wrong_prompts, params.frame)

    max_excluded = limit(snakemake, "evaluation.max_excluded")
    table = score_texts(params.texts, params.protocols, scored, max_excluded, inputs.grounding)
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": wildcards.seed, "step": params.step}
    write_table(keyed(table, **keys), snakemake.output.scores)
