"""Fine-tunes the base for one variant and seed, with several GPUs in one process each."""

import hashlib
import json

from accelerate import PartialState

from tradeoffs.conditioning import conditioning, read_captions, read_sentences
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.distributed import launch, launched
from tradeoffs.files import atomic_path, sha256
from tradeoffs.jobs import job
from tradeoffs.models.checkpoints import load, save_with
from tradeoffs.models.latents import Latents
from tradeoffs.resuming import RunFolder
from tradeoffs.training import Pairs, TrainingSettings, fine_tune


def main(inputs, output, params, seed: int) -> None:
    model = load(inputs.base)
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    images = read_images(inputs.images)
    images = images[images["split"] == "train"]
    encoded = images["sample_id"].isin(latents.places)
    rows, text, counts = conditioning(
        params.variant["text"],
        images[encoded],
        captions=read_captions(inputs.captions) if inputs.captions else None,
        sentences=read_sentences(inputs.sentences) if inputs.sentences else None,
    )
    learnable = params.variant["text_encoder"] == "learnable"
    trained = {"unet": model.unet} | ({"text_encoder": model.text_encoder} if learnable else {})
    identity = [params.variant, params.training, params.code, seed, sha256(*inputs)]
    run = RunFolder(params.checkpoints, hashlib.sha256(json.dumps(identity).encode()).hexdigest())

    def save(folder: str) -> None:
        with run.writing(folder) as temporary:
            save_with(inputs.base, temporary, trained)

    outcome = fine_tune(
        model,
        Pairs(rows["sample_id"].tolist(), text),
        latents,
        learnable,
        TrainingSettings(**params.training),
        seed,
        run,
        lambda step: save(run.milestones / f"step{step}"),
    )
    if not PartialState().is_main_process:
        return
    save(output.model)
    if outcome.use_ema:
        outcome.use_ema()
        save(output.ema)
    run.check()
    write_table(outcome.losses, output.losses)
    unreadable = {"read": len(images), "image unreadable": int((~encoded).sum())}
    write_counts(unreadable | counts | {"read": len(images)}, output.counts)
    with atomic_path(output.record) as temporary:
        temporary.write_text(json.dumps(outcome.record, indent=2) + "\n")
    run.finish(output.milestones)


with job(snakemake):
    processes = snakemake.resources.processes
    if processes > 1 and not launched():
        launch(processes)
    else:
        main(snakemake.input, snakemake.output, snakemake.params, int(snakemake.wildcards.seed))
