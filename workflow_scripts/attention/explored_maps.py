"""Maps to explore: each token's by layer and by diffusion time, for the samples of the attention profile."""

from tradeoffs.attention.capture import TextOnImage
from tradeoffs.attention.exploring import token_views
from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.attention.views import save_views
from tradeoffs.data.tables import read_grounding
from tradeoffs.evaluation.localisation import samples
from tradeoffs.evaluation.profile import profiled_samples
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, seed = snakemake.input, snakemake.params, int(snakemake.wildcards.seed)
    model = load(params.model).to(default_device())
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    rows = samples(read_grounding(inputs.grounding), params.text, CORRECTED, params.resolution)
    chosen = profiled_samples(rows, load_heat_maps(inputs.heat_maps, params.text), params.samples)
    texts_on_images = {
        one.id: TextOnImage(
            one.id, one.sample_id, one.text, latents.sample(one.sample_id, normal(latents.shape, seed, one.sample_id))
        )
        for one in (profiled.sample for profiled in chosen)
    }
    views = token_views(
        model, list(texts_on_images.values()), seed, params.steps, params.keep, params.batch_size, params.precision
    )
    save_views(snakemake.output.maps, views)
