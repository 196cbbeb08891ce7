"""What taking a finding's words away does to the images that one model predicts, inside and outside the finding."""

from tradeoffs.attention.capture import TextOnImage
from tradeoffs.attention.intervention import changes
from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.controls import location_prior_aucs
from tradeoffs.evaluation.faithfulness import faithfulness, interventions
from tradeoffs.evaluation.localisation import samples
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    seed = int(wildcards.seed)
    grounding = read_grounding(inputs.grounding, params.part)
    rows = samples(grounding, params.text, CORRECTED, params.resolution)
    chosen = interventions(rows, params.samples)
    prior = location_prior_aucs(rows, [one.sample for one in chosen], params.text, params.map_size)
    model = load(params.model).to(default_device())
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    texts_on_images = [
        TextOnImage(
            one.id, one.sample_id, one.text, latents.sample(one.sample_id, normal(latents.shape, seed, one.sample_id))
        )
        for one in (intervention.sample for intervention in chosen)
    ]
    settings = (seed, params.steps, params.keep, params.batch_size, params.precision)
    maps = list(changes(model, texts_on_images, [one.texts for one in chosen], *settings))
    table = faithfulness(chosen, maps, prior)
    of_whom = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": seed, "text": params.text}
    write_table(keyed(table, **of_whom), snakemake.output.scores)
