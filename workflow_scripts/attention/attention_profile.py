"""Where the signal sits: AUC-ROC of each cross-attention layer at each time step, for some of a model's samples."""

from tradeoffs.attention.capture import TextOnImage, layer_maps
from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.localisation import samples
from tradeoffs.evaluation.profile import mean_profile, profiled_samples
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, wildcards, seed = (
        snakemake.input,
        snakemake.params,
        snakemake.wildcards,
        int(snakemake.wildcards.seed),
    )
    model = load(params.model).to(default_device())
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    rows = samples(read_grounding(inputs.grounding, params.part), params.text, CORRECTED, params.resolution)
    heat_maps = load_heat_maps(inputs.heat_maps, params.text)
    chosen = profiled_samples(rows, heat_maps, params.samples)
    texts_on_images = []
    for one in (profiled.sample for profiled in chosen):
        latent = latents.sample(one.sample_id, normal(latents.shape, seed, one.sample_id))
        texts_on_images.append(TextOnImage(one.id, one.sample_id, heat_maps[one.id].text, latent))
    weights = [profiled.weights for profiled in chosen]
    maps = layer_maps(model, texts_on_images, weights, seed, params.steps, params.batch_size, params.precision)
    profile = mean_profile(maps, chosen)
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": seed}
    write_table(keyed(profile, **keys), snakemake.output.profile)
