"""Fine-tunes the base for one variant and seed, with several GPUs in one process each."""

import json
from importlib import import_module
from pathlib import Path

import pandas as pd
from accelerate import PartialState

from tradeoffs.attention.regularisation import AttentionRegularisation
from tradeoffs.data.conditioning import conditioning, read_captions, read_sentences
from tradeoffs.data.findings_in_text import places_to_attend
from tradeoffs.data.tables import keyed, read_images, write_counts, write_table
from tradeoffs.files import atomic_path
from tradeoffs.jobs.devices import gpus_asked
from tradeoffs.jobs.distributed import launch
from tradeoffs.jobs.job import identity, job, launched
from tradeoffs.jobs.limits import LIMITS, limit
from tradeoffs.jobs.resuming import RunFolder, retire
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import Latents
from tradeoffs.model.text import count_too_long
from tradeoffs.model.trackers import tracker_of
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.model.training_progress import Onlookers
from tradeoffs.model.validation import ValidationImages, ValidationLoss, validation_images
from tradeoffs.model.variants import model_of_variant, save_variant
from tradeoffs.randomness import numpy_rng


def main() -> None:
    inputs, params, output, seed = snakemake.input, snakemake.params, snakemake.output, int(snakemake.wildcards.seed)
    origin = params.model, inputs.encoder or None, params.variant
    model = model_of_variant(*origin, seed)
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    images = read_images(inputs.images)
    unseen = images[images["split"] == params.validation]
    images = images[images["split"] == "train"]
    encoded = images["sample_id"].isin(latents.places)
    texts = {
        "captions": read_captions(inputs.captions) if inputs.captions else None,
        "sentences": read_sentences(inputs.sentences) if inputs.sentences else None,
    }
    rows, text, counts = conditioning(params.variant["text"], images[encoded], **texts)
    paces = {key.removeprefix("training."): limit(snakemake, key) for key in LIMITS if key.startswith("training.")}
    settings = TrainingSettings(**paces | params.training)
    run = RunFolder(params.checkpoints, identity(snakemake))

    weight, attention_loss = params.variant["attention_regularisation"], None
    if weight is not None:
        labels = rows["Finding Labels"].tolist()
        attention_loss = AttentionRegularisation(
            weight, lambda row, text: places_to_attend(params.variant["text"], text, labels[row])
        )

    def save(folder: str) -> None:
        with run.writing(folder) as temporary:
            save_variant(model, *origin, temporary)

    outcome = fine_tune(
        model,
        Pairs(rows["sample_id"].tolist(), text),
        latents,
        params.variant["text_encoder"] != "frozen",
        settings,
        seed,
        run,
        lambda step: save(run.milestones / f"step{step}"),
        attention_loss,
        onlookers(model, settings, images[encoded], unseen, texts),
    )
    if not PartialState().is_main_process:
        return
    save(output.model)
    if outcome.use_ema:
        outcome.use_ema()
        save(output.ema)
    else:
        Path(output.ema).mkdir()
    run.check()
    wildcards = snakemake.wildcards
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": seed}
    write_table(keyed(outcome.losses, **keys), output.losses)
    write_table(keyed(outcome.validation, **keys), output.validation)
    unreadable = {"read": len(images), "image unreadable": int((~encoded).sum())}
    rng = numpy_rng(seed, "count of long texts")
    cut = count_too_long(model.tokenizer, [text(row, rng) for row in range(len(rows))])
    cut_texts = {f"of the kept, text cut at {model.tokenizer.model_max_length} tokens": cut}
    write_counts(unreadable | counts | {"read": len(images)} | cut_texts, output.counts)
    with atomic_path(output.record) as temporary:
        temporary.write_text(json.dumps(outcome.record, indent=2) + "\n")
    run.finish(output.milestones)


def onlookers(
    model: LatentDiffusion, settings: TrainingSettings, seen: pd.DataFrame, unseen: pd.DataFrame, texts: dict
) -> Onlookers:
    """Those that the configuration asks for.

    seen, unseen: the images that the model learns from, and those of the validation split, if the data set has one
    """
    params, beside_log = snakemake.params, Path(snakemake.log[0]).parent

    def fixed(images: pd.DataFrame, count: int) -> ValidationImages:
        rows, text, _ = conditioning(params.variant["text"], images, **texts)
        return validation_images(count, rows, text)

    validation, preview = None, None
    if settings.validation_images and not unseen.empty:
        validation = ValidationLoss(model, fixed(unseen, settings.validation_images), params.resolution)
    if settings.preview_every:
        # by name: what changes no output must not be among the code whose change trains again (see code_digest)
        previews = import_module("tradeoffs.paper.previews")
        shown = fixed(seen if unseen.empty else unseen, previews.IMAGES)
        preview = previews.Previews(model, shown, params.resolution, beside_log / "previews", snakemake.config)
    return Onlookers(validation, preview, tracker_of(settings.log_with, beside_log))


with job(snakemake):
    processes = gpus_asked(snakemake.resources)
    if processes > 1 and not launched():
        launch(processes)
    else:
        main()
if not launched():
    retire(snakemake.params.checkpoints)
