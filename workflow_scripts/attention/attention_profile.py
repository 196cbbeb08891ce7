"""Where the signal sits: AUC-ROC of each cross-attention layer at each time step, for some of a model's samples."""

import pandas as pd

from tradeoffs.attention.capture import Query, layer_maps
from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import read_grounding, write_table
from tradeoffs.data.words import query_words
from tradeoffs.evaluation.localisation import control_auc, samples
from tradeoffs.evaluation.queries import Excluded, token_weights
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal, numpy_rng

with job(snakemake):
    inputs, params, seed = snakemake.input, snakemake.params, int(snakemake.wildcards.seed)
    model = load(params.model).to(default_device())
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    dumps = load_heat_maps(inputs.heat_maps, params.text)
    rows = samples(read_grounding(inputs.grounding), params.text, CORRECTED, params.resolution)
    queries, weights, masks = [], [], []
    for place in numpy_rng("profile").permutation(len(rows))[: params.samples]:
        sample = rows[place]
        mask = sample.mask(CORRECTED)
        try:
            of_tokens, _ = token_weights(dumps[sample.id], query_words(sample.category, CORRECTED), CORRECTED)
        except Excluded:
            continue  # the score table counts it with its reason
        if mask.any() and not mask.all():
            latent = latents.sample(sample.sample_id, normal(latents.shape, seed, sample.sample_id))
            queries.append(Query(sample.id, sample.sample_id, sample.text, latent))
            weights.append(of_tokens)
            masks.append(mask)
    records = []
    maps = layer_maps(model, queries, weights, seed, params.steps, params.batch_size, params.precision)
    for row, time, layer, heat in maps:
        records.append((layer, heat.shape[0], time, control_auc(heat, masks[row])))
    table = pd.DataFrame(records, columns=["layer", "resolution", "step", "auc_roc"])
    means = table.groupby(["layer", "resolution", "step"], sort=False)["auc_roc"].agg(["mean", "count"]).reset_index()
    means = means.rename(columns={"mean": "auc_roc", "count": "n"})
    means.insert(0, "variant", snakemake.wildcards.variant)
    means.insert(1, "seed", snakemake.wildcards.seed)
    write_table(means, snakemake.output.profile)
