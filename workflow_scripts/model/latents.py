"""One shard of the latents of the training images, or of those on which localisation is scored."""

from tradeoffs.data.tables import read_images
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit
from tradeoffs.jobs.shards import rows_of_shard
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import encode_images, save_latents

with job(snakemake):
    params, wildcards = snakemake.params, snakemake.wildcards
    images = read_images(snakemake.input.images)
    images = images[images["split"] == wildcards.subset]
    images = images.iloc[rows_of_shard(len(images), params.batch_size, int(wildcards.shard), params.shards)]
    vae = load(snakemake.input.base).vae.to(default_device())
    # fine-tuning can do without an image, an evaluation cannot
    max_missing = limit(snakemake, "data.max_missing") if wildcards.subset == "train" else 0.0
    mean, std, rows = encode_images(
        vae, images["path"].tolist(), params.resolution, params.batch_size, max_missing, snakemake.threads - 1
    )
    save_latents(snakemake.output.latents, images["sample_id"].iloc[rows].tolist(), mean, std)
