"""One shard of a model's token heat maps on test images: a dump per kind of text, and of wrong prompts as a control."""

import torch

from tradeoffs.attention import Query, token_heat_maps
from tradeoffs.data.tables import read_csv, read_grounding
from tradeoffs.heatmaps import save_heat_maps
from tradeoffs.jobs import job
from tradeoffs.models.checkpoints import load
from tradeoffs.models.latents import Latents
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    shard, seed = int(wildcards.shard), int(wildcards.seed)
    model = load(params.model).to("cuda" if torch.cuda.is_available() else "cpu")
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    grounding = read_grounding(inputs.grounding)
    wrong_prompts = read_csv(inputs.wrong_prompts, ["text_kind", "id", "sample_id", "text"], "delete it and run again")

    dumps = {}
    for text in params.texts:
        if text == "phrase":
            dumps[text] = grounding[["phrase_id", "sample_id", "phrase"]]
        else:  # images without the text are excluded in scoring
            images = grounding[grounding["text"] != ""].drop_duplicates("sample_id")
            dumps[text] = images[["sample_id", "sample_id", "text"]]
        if params.wrong_prompts:
            dumps[f"wrong_{text}"] = wrong_prompts[wrong_prompts["text_kind"] == text][["id", "sample_id", "text"]]
    maps = {}
    for dump, rows in dumps.items():
        queries = [
            Query(name, sample_id, text, latents.sample(sample_id, normal(latents.shape, seed, sample_id)))
            for name, sample_id, text in rows.iloc[shard :: params.shards].itertuples(index=False, name=None)
        ]
        maps[dump] = token_heat_maps(model, queries, seed, params.steps, params.keep, params.batch_size)
    save_heat_maps(snakemake.output.heat_maps, maps)
