"""Fine-tunes one candidate base (text encoder frozen) on phantoms of the selection seed and scores its heat maps."""

import tempfile
from pathlib import Path

import pandas as pd

from tradeoffs.attention.capture import Query, token_heat_maps
from tradeoffs.data.mimic import prepare_images
from tradeoffs.data.mscxr import prepare_grounding
from tradeoffs.data.tables import write_table
from tradeoffs.demo.phantom_files import JPG_FOLDER, MSCXR_FOLDER, REPORTS_FOLDER, write_phantoms
from tradeoffs.evaluation.localisation import score_dump
from tradeoffs.evaluation.statistics import MACRO, summarise
from tradeoffs.jobs.job import job
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents, encode_images, save_latents
from tradeoffs.model.training import Pairs, TrainingSettings, fine_tune
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal

with job(snakemake), tempfile.TemporaryDirectory() as folder:
    params, seed, raw = snakemake.params, snakemake.params.selection_seed, Path(folder)
    write_phantoms(raw, seed, train=params.train, val=0, p19=0, mscxr=params.images)
    images, _ = prepare_images(raw / JPG_FOLDER, raw / REPORTS_FOLDER, raw / MSCXR_FOLDER, ["PA", "AP"], 0.0)
    grounding, _ = prepare_grounding(raw / MSCXR_FOLDER, images)

    model = load(snakemake.input.base)
    latents = {}
    for split in ("train", "mscxr"):
        rows = images[images["split"] == split]
        mean, std, _ = encode_images(model.vae, rows["path"].tolist(), params.resolution, 32)
        save_latents(raw / f"{split}.safetensors", rows["sample_id"].tolist(), mean, std)
        latents[split] = Latents([raw / f"{split}.safetensors"], model.vae.config.scaling_factor)

    train = images[images["split"] == "train"]
    texts = train["text"].tolist()
    pairs = Pairs(train["sample_id"].tolist(), lambda row, rng: texts[row])
    settings = TrainingSettings(**params.training)
    run = RunFolder(raw / "checkpoint", "selection")
    fine_tune(model, pairs, latents["train"], False, settings, seed, run, keep_milestone=lambda step: None)
    queries = [
        Query(
            row.phrase_id,
            row.sample_id,
            row.phrase,
            latents["mscxr"].sample(row.sample_id, normal(latents["mscxr"].shape, seed, row.sample_id)),
        )
        for row in grounding.itertuples()
    ]
    maps = token_heat_maps(model, queries, seed, **params.heat_maps)
    scores = score_dump(grounding, {m.id: m for m in maps}, "phrase", CORRECTED, params.resolution)
    summary = summarise([scores.assign(variant=f"seed{snakemake.wildcards.seed}")])
    macro = summary[summary["group"] == MACRO].set_index("metric")
    row = {"candidate": summary["variant"][0], **macro["mean"], "n_samples": macro["n"].max()}
    write_table(pd.DataFrame([row]), snakemake.output.scores)
