"""One shard of a model's token heat maps on the MS-CXR images, conditioned on phrases or impressions."""

import torch

from tradeoffs.attention import Query, token_heat_maps
from tradeoffs.data.tables import read_grounding
from tradeoffs.heatmaps import save_heat_maps
from tradeoffs.jobs import job
from tradeoffs.models.checkpoints import load
from tradeoffs.models.latents import Latents
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    model = load(inputs.model).to("cuda" if torch.cuda.is_available() else "cpu")
    seed = int(wildcards.seed)
    rows = read_grounding(inputs.grounding)
    if wildcards.text == "impression":  # one dump an image; images without impression are excluded in scoring
        rows = rows[rows["text"] != ""].drop_duplicates("sample_id")
        rows = rows.assign(id=rows["sample_id"], query=rows["text"])
    else:
        rows = rows.assign(id=rows["phrase_id"], query=rows["phrase"])
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    queries = [
        Query(
            row.id, row.sample_id, row.query, latents.sample(row.sample_id, normal(latents.shape, seed, row.sample_id))
        )
        for row in rows.iloc[int(wildcards.shard) :: params.shards].itertuples()
    ]
    maps = token_heat_maps(model, queries, seed, params.steps, params.keep, params.batch_size)
    save_heat_maps(snakemake.output.heat_maps, maps)
