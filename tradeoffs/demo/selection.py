"""Trials on phantoms that no table uses: where the demo's base and its rates of fine-tuning are chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.data.findings import NO_FINDING
from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.mimic import prepare_images
from tradeoffs.data.mscxr import prepare_grounding
from tradeoffs.demo.phantom_files import JPG_FOLDER, MSCXR_FOLDER, REPORTS_FOLDER, write_phantoms
from tradeoffs.evaluation.classifier import label_scores
from tradeoffs.evaluation.features import build_extractor, extract
from tradeoffs.evaluation.fidelity import frechet_distance
from tradeoffs.evaluation.localisation import score_heat_maps
from tradeoffs.evaluation.statistics import MACRO, summarise
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.latents import Latents, encode_images, save_latents
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal
from tradeoffs.sampling import draw_samples


@dataclass(frozen=True)
class Selection:
    """Phantoms of a seed: prepared tables of images and boxes, and latents of the splits train and mscxr."""

    seed: int
    resolution: int
    images: pd.DataFrame
    grounding: pd.DataFrame
    latents: dict[str, Latents]

    def rows(self, split: str) -> pd.DataFrame:
        return self.images[self.images["split"] == split]


def draw_selection(
    folder: str | Path, model: LatentDiffusion, seed: int, train: int, images: int, population: int, resolution: int
) -> Selection:
    """Writes phantoms of a seed to a folder, `train` to fine-tune on, `images` with boxes and `population` to sample
    for, and prepares and encodes them."""
    raw = Path(folder)
    write_phantoms(raw, seed, train=train, val=0, p19=population, mscxr=images)
    prepared, _ = prepare_images(raw / JPG_FOLDER, raw / REPORTS_FOLDER, raw / MSCXR_FOLDER, ["PA", "AP"], 0.0)
    grounding, _ = prepare_grounding(raw / MSCXR_FOLDER, prepared)
    latents = {}
    for split in ("train", "mscxr"):
        rows = prepared[prepared["split"] == split]
        mean, std, _ = encode_images(model.vae, rows["path"].tolist(), resolution, 32)
        save_latents(raw / f"{split}.safetensors", rows["sample_id"].tolist(), mean, std)
        latents[split] = Latents([raw / f"{split}.safetensors"], model.vae.config.scaling_factor)
    return Selection(seed, resolution, prepared, grounding, latents)


def fine_tune_on(
    selection: Selection,
    model: LatentDiffusion,
    learnable: bool,
    settings: TrainingSettings,
    run: RunFolder,
    keep_milestone: Callable[[int], None] = lambda step: None,
) -> None:
    """Fine-tunes the model in place on the impressions, as the rule `finetune` does."""
    rows = selection.rows("train")
    texts = rows["text"].tolist()
    pairs = Pairs(rows["sample_id"].tolist(), lambda row, rng: texts[row])
    fine_tune(model, pairs, selection.latents["train"], learnable, settings, selection.seed, run, keep_milestone)


@torch.no_grad()
def localisation(selection: Selection, model: LatentDiffusion, heat_maps: dict[str, Any]) -> dict[str, float]:
    """Macro means of the scores of the phrases' heat maps (corrected protocol), and the number of samples."""
    latents, seed = selection.latents["mscxr"], selection.seed
    texts_on_images = [
        TextOnImage(
            row.phrase_id,
            row.sample_id,
            row.phrase,
            latents.sample(row.sample_id, normal(latents.shape, seed, row.sample_id)),
        )
        for row in selection.grounding.itertuples()
    ]
    maps = {one.id: one for one in token_heat_maps(model, texts_on_images, seed, **heat_maps)}
    scores = score_heat_maps(selection.grounding, maps, "phrase", CORRECTED, selection.resolution)
    summary = summarise([scores])
    macro = summary[(summary["group"] == MACRO) & (summary["text"] == "phrase")].set_index("metric")
    return {**macro["mean"], "n_samples": int(macro["n"].max())}


def fidelity(
    selection: Selection, folder: str | Path, classifier: str | Path, images: int, sampling: dict[str, Any]
) -> dict[str, float]:
    """Label AUC and FID with the classifier's features of samples for balanced single-label impressions.

    folder: of the model, in diffusers' layout
    """
    population = selection.rows("p19")
    single = population[~population["Finding Labels"].str.contains("|", regex=False)]
    single = single[single["Finding Labels"] != ""]
    kinds = len(set(single["Finding Labels"]) | {NO_FINDING})
    chosen = single.groupby("Finding Labels").head(-(-images // kinds)).head(images)
    prompts = pd.DataFrame({"image_id": chosen["sample_id"], "text": chosen["text"]})
    drawn = draw_samples(folder, prompts, selection.seed, resolution=selection.resolution, **sampling)
    samples = torch.from_numpy(np.stack([np.asarray(image) for _, image in drawn])).permute(0, 3, 1, 2)
    extractor = build_extractor("findings_classifier", classifier)
    fake = extract(extractor, samples, 32)
    real = extract(extractor, ImageFiles(population["path"], selection.resolution), 32)
    logits = extractor.logits(fake)
    labels = extractor.classifier.labels
    label_auc, _ = label_scores("label_auc", chosen["Finding Labels"].tolist(), logits, labels)["label_auc"]
    return {"label_auc": label_auc, "fid_domain": frechet_distance(real, fake)}
