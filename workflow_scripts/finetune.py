"""Fine-tunes the base for one variant and seed."""

import hashlib
import json
import shutil
from pathlib import Path

from tradeoffs.conditioning import conditioning, read_captions, read_sentences
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.files import atomic_path, sha256
from tradeoffs.jobs import job
from tradeoffs.models.checkpoints import load, save_with
from tradeoffs.models.latents import Latents
from tradeoffs.training import Pairs, TrainingSettings, fine_tune

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    model = load(inputs.base)
    images = read_images(inputs.images)
    rows, text, counts = conditioning(
        params.variant["text"],
        images[images["split"] == "train"],
        captions=read_captions(inputs.captions) if inputs.captions else None,
        sentences=read_sentences(inputs.sentences) if inputs.sentences else None,
    )
    learnable = params.variant["text_encoder"] == "learnable"
    trained = {"unet": model.unet} | ({"text_encoder": model.text_encoder} if learnable else {})
    # beside the output, which Snakemake empties before a stopped job is run again
    milestones = Path(params.checkpoints, "milestones")

    def save(folder: str | Path) -> None:
        with atomic_path(folder) as temporary:
            save_with(inputs.base, temporary, trained)

    identity = [params.variant, params.training, params.code, snakemake.wildcards.seed, sha256(*inputs)]
    log = fine_tune(
        model,
        Pairs(rows["sample_id"].tolist(), text),
        Latents(inputs.latents, model.vae.config.scaling_factor),
        learnable,
        TrainingSettings(**params.training),
        int(snakemake.wildcards.seed),
        params.checkpoints,
        hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
        lambda step: save(milestones / f"step{step}"),
    )
    write_table(log, output.losses)
    write_counts(counts, output.counts)
    save(output.model)
    milestones.mkdir(parents=True, exist_ok=True)
    for checkpoint in Path(params.checkpoints).glob("step*"):  # without its milestones a run cannot be continued
        shutil.rmtree(checkpoint)
    with atomic_path(output.milestones) as temporary:
        shutil.move(milestones, temporary)
    shutil.rmtree(params.checkpoints)
