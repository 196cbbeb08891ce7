"""Sums of a model's cross-attention by layer group and step group, on every image and text of the default kind."""

from tradeoffs.attention.capture import TextOnImage
from tradeoffs.attention.grouped import grouped_sums
from tradeoffs.attention.sums import save_sums
from tradeoffs.data.tables import read_grounding
from tradeoffs.data.text_kinds import TEXT_KINDS
from tradeoffs.evaluation.splits import of_patients
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, seed = snakemake.input, snakemake.params, int(snakemake.wildcards.seed)
    model = load(params.model).to(default_device())
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    kind, grounding = TEXT_KINDS[params.text], of_patients(read_grounding(inputs.grounding), params.patients)
    rows = grounding[grounding[kind.text] != ""].drop_duplicates(kind.id)[[kind.id, "sample_id", kind.text]]
    texts_on_images = [
        TextOnImage(name, sample_id, text, latents.sample(sample_id, normal(latents.shape, seed, sample_id)))
        for name, sample_id, text in rows.itertuples(index=False, name=None)
    ]
    settings = (seed, params.steps, params.batch_size)
    sums = {
        noise: list(
            grouped_sums(model, texts_on_images, *settings, noise, params.precision, **kept, guidance=params.guidance)
        )
        for noise, kept in params.passes.items()
    }
    save_sums(snakemake.output.sums, sums)
