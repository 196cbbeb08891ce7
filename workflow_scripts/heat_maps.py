"""One shard of a model's token heat maps on the MS-CXR images, conditioned on phrases and on impressions."""

import torch

from tradeoffs.attention import Query, token_heat_maps
from tradeoffs.data.tables import read_grounding
from tradeoffs.heatmaps import save_heat_maps
from tradeoffs.jobs import job
from tradeoffs.models.checkpoints import load
from tradeoffs.models.latents import Latents
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, shard, seed = (
        snakemake.input,
        snakemake.params,
        int(snakemake.wildcards.shard),
        int(snakemake.wildcards.seed),
    )
    model = load(inputs.model).to("cuda" if torch.cuda.is_available() else "cpu")
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    phrases = read_grounding(inputs.grounding)
    impressions = phrases[phrases["text"] != ""].drop_duplicates("sample_id")  # without one: excluded in scoring
    dumps = {
        snakemake.output.phrase: phrases[["phrase_id", "sample_id", "phrase"]],
        snakemake.output.impression: impressions[["sample_id", "sample_id", "text"]],
    }
    for path, rows in dumps.items():
        queries = [
            Query(name, sample_id, text, latents.sample(sample_id, normal(latents.shape, seed, sample_id)))
            for name, sample_id, text in rows.iloc[shard :: params.shards].itertuples(index=False, name=None)
        ]
        save_heat_maps(path, token_heat_maps(model, queries, seed, params.steps, params.keep, params.batch_size))
