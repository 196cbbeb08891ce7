"""Fine-tunes the base for one variant and seed."""

import hashlib
import json
import shutil

from tradeoffs.data.tables import read_images
from tradeoffs.files import atomic_path, sha256
from tradeoffs.jobs import job
from tradeoffs.models.checkpoints import load, save_with
from tradeoffs.models.latents import Latents
from tradeoffs.training import Pairs, TrainingSettings, fine_tune

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    model = load(snakemake.input.base)
    images = read_images(snakemake.input.images)
    images = images[images["split"] == "train"]
    learnable = params.variant["text_encoder"] == "learnable"
    files = sha256(snakemake.input.base, snakemake.input.images, *snakemake.input.latents)
    identity = [params.variant, params.training, params.code, snakemake.wildcards.seed, files]
    log = fine_tune(
        model,
        Pairs(images["sample_id"].tolist(), images["text"].tolist()),
        Latents(snakemake.input.latents, model.vae.config.scaling_factor),
        learnable,
        TrainingSettings(**params.training),
        int(snakemake.wildcards.seed),
        params.checkpoints,
        hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
    )
    trained = {"unet": model.unet} | ({"text_encoder": model.text_encoder} if learnable else {})
    with atomic_path(output.losses) as temporary:
        log.to_csv(temporary, index=False, float_format="%.6g")
    with atomic_path(output.model) as temporary:
        save_with(snakemake.input.base, temporary, trained)
    shutil.rmtree(params.checkpoints, ignore_errors=True)
