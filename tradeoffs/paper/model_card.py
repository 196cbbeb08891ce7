"""The model card of a fine-tuned model, and its folder as it is handed on: a diffusers folder with README.md."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tradeoffs.data.sets import DataSet, data_set
from tradeoffs.files import SNAKEMAKE_TIMESTAMP
from tradeoffs.metrics import CONTROLS, FIDELITY, LOCATION_PRIOR, METRICS, REAL_IMAGES
from tradeoffs.paper.formatting import MISSING, estimate, fixed, readable

CARD = "README.md"  # where the hub and people look for it
TEXTS_OF_TRAINING = {
    "impression": "the report's impression",
    "finding_labels": "the finding labels, shuffled at each use",
    "sentences": "a language-model sentence of one finding, drawn at each use",
    "findings_first": "the findings' names and the report's impression",
    "findings_random": "the report's impression with the findings' names between its first words",
    "finding_tokens": "one token per finding, present or absent",
}
CAPTIONS = "a caption of the image, drawn at each use"  # where images have no reports
TEXT_ENCODERS = {"frozen": "frozen", "learnable": "trained along", "lora": "trained along by adapters of low rank"}
DATA = {  # by the data set's source
    "mimic": "MIMIC-CXR-JPG with the reports of MIMIC-CXR",
    "open": "Open-i's Indiana University collection of chest X-rays",
    "coco": "MS-COCO 2017",
}
LICENCES = {
    "mimic": "**Trained on credentialed data: do not share.** The data use agreements of MIMIC-CXR-JPG, MIMIC-CXR and "
    "MS-CXR (PhysioNet) hold for this model too: a diffusion model can give back images that it was trained on.",
    "open": "Trained on Open-i's Indiana University collection, whose licence (CC BY-NC-ND 4.0) forbids "
    "commercial use and changed copies; see docs/data.md before you share the model.",
    "coco": "Trained on MS-COCO 2017, whose annotations are CC BY 4.0; each of its images has a licence of its own, "
    "which the annotation files name.",
}
LICENCE_NAMES = {"mimic": "credentialed-data-do-not-share", "open": "open-i-and-base", "coco": "ms-coco-and-base"}
DEMO = "Trained on drawn phantoms: it holds no patient's data, and is of no use for radiographs or scenes."


def model_card(
    dataset: str,
    variant: str,
    seed: int,
    config: Mapping[str, Any],
    summaries: pd.DataFrame,
    fidelity: pd.DataFrame,
    counts: Mapping[str, int],
    commit: str,
    loads_in_diffusers: bool,
) -> str:
    """The card in Markdown, with the hub's metadata at its head.

    config: the resolved configuration, as a plain dict
    summaries: rows of localisation_summary.csv of the variant and of the location prior
    fidelity: rows of fidelity.csv of this model and of the real images
    counts: of training_counts.csv; commit: of the code
    loads_in_diffusers: whether diffusers' own pipeline reads the folder, which has no projection behind another encoder
    """
    demo = config["data"]["source"] == "phantoms"
    entry, base = config["variants"][variant], config["base"]["source"]
    of_set = data_set(dataset, config["data"]["cxr"])
    licence = DEMO if demo else LICENCES[of_set.source]
    head = {"library_name": "diffusers", "pipeline_tag": "text-to-image", "license": "other"}
    head["license_name"] = "drawn-phantoms" if demo else LICENCE_NAMES[of_set.source]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)}---",
        f"# {readable(variant)}, {dataset}, seed {seed}",
        licence,
        "A latent diffusion model that was fine-tuned to compare a frozen with a learnable text encoder (Dombrowski et "
        "al., *Trade-Offs in Fine-Tuned Diffusion Models between Accuracy and Interpretability*, AAAI 2024). It is for "
        "research; it is no medical device, and its images are no evidence of anything.",
        "## Use",
        _use(config["sampling"], loads_in_diffusers),
        "## How it was made",
        _table(("", ""), _making(of_set, entry, seed, config, counts, demo, commit)),
        "## Scores",
        _localisation(of_set.texts[0], variant, summaries),
        _fidelity(variant, fidelity),
        "## Licences",
        f"{licence} The base, {base}, has a licence of its own, which goes with this model.",
    ]
    return "\n\n".join(parts) + "\n"


def write_published(model: str | Path, card: str, folder: str | Path) -> None:
    """Puts the model's files and its card into a folder that is not there yet.

    The files are hard links where the disk allows it, so that they take no space.
    """
    shutil.copytree(model, folder, copy_function=_link, ignore=shutil.ignore_patterns(SNAKEMAKE_TIMESTAMP))
    Path(folder, CARD).write_text(card)


def is_pipeline(model: str | Path) -> bool:
    """Whether diffusers' own StableDiffusionPipeline reads a model's folder: its text encoder is a CLIP of its own."""
    index = json.loads(Path(model, "model_index.json").read_text())
    return index["text_encoder"][1] == "CLIPTextModel" and not list(Path(model, "text_encoder").glob("projection.*"))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _use(sampling: Mapping[str, Any], loads_in_diffusers: bool) -> str:
    if not loads_in_diffusers:
        return "diffusers' pipelines do not know its text encoder: `tradeoffs.model.checkpoints.load` reads the folder."
    return (
        "```python\nfrom diffusers import StableDiffusionPipeline\n\n"
        'pipeline = StableDiffusionPipeline.from_pretrained("this folder")\n'
        f'image = pipeline("a text", num_inference_steps={sampling["steps"]}, '
        f"guidance_scale={sampling['guidance']}).images[0]\n```"
    )


def _making(
    of_set: DataSet,
    entry: Mapping[str, Any],
    seed: int,
    config: Mapping[str, Any],
    counts: Mapping[str, int],
    demo: bool,
    commit: str,
) -> list[tuple[str, str]]:
    own_training = {key: value for key, value in (entry["training"] or {}).items() if value is not None}
    training, data = config["training"] | own_training, DATA[of_set.source]
    own = "the base's own"
    rate = training["text_encoder_learning_rate"]
    padding = [("padding", "left out of cross-attention, which StableDiffusionPipeline does not do")]
    padding = padding if entry["padding"] == "masked" else []
    of_encoder = f", of the text encoder {rate}" if rate and entry["text_encoder"] != "frozen" else ""
    return [
        ("base", config["base"]["source"]),
        ("fine-tuning began at", entry["from"] or "the base"),
        ("U-Net", "adapters of low rank, merged" if entry["unet"] == "lora" else "all its weights"),
        ("text encoder", f"{entry['encoder'] or own}, {TEXT_ENCODERS[entry['text_encoder']]}"),
        *padding,
        ("data", "drawn phantoms in the layout of " + data if demo else data),
        ("training images", f"{counts['kept']:,} of {counts['read']:,}"),
        ("text", CAPTIONS if of_set.has_captions else TEXTS_OF_TRAINING[entry["text"]]),
        ("steps, batch size", f"{training[of_set.training_key('steps')]:,}, {training['batch_size']}"),
        ("learning rate", f"{training['learning_rate']}{of_encoder}"),
        ("text dropout", str(training["text_dropout"])),
        ("precision", training["precision"]),
        ("resolution", f"{config['image']['resolution']} px"),
        ("seed", str(seed)),
        ("commit of the code", commit),
    ]


def _localisation(text: str, variant: str, summaries: pd.DataFrame) -> str:
    """AUC-ROC of the variant beside the location prior's and its other controls, macro means."""
    rows = summaries[(summaries["protocol"] == "corrected") & (summaries["pairs"] == "all")]
    rows = rows[(rows["group"] == "macro") & (rows["text"] == text)]
    cells = []
    for metric in ("auc_roc", *CONTROLS):
        found = {row["variant"]: row for _, row in rows[rows["metric"] == metric].iterrows()}
        texts = [_cell(found.get(name)) for name in (variant, LOCATION_PRIOR)]
        cells.append((METRICS[metric].heading, *texts))
    seeds = rows.loc[rows["variant"] == variant, "seeds"].max()
    return (
        f"Localisation of {text}s by cross-attention, macro mean over categories and {seeds:.0f} seed(s) "
        "of the variant, with 95 % intervals over subjects. An AUC-ROC means something only above that of the location "
        "prior, which needs no model.\n\n" + _table(("score", readable(variant), "location prior"), cells)
    )


def _fidelity(variant: str, fidelity: pd.DataFrame) -> str:
    """Scores of this model's samples beside those of real images."""
    values = fidelity.set_index(["variant", "metric"])["value"]
    cells = []
    for name, metric in FIDELITY.items():
        if (variant, name) in values.index:
            both = [_value(values.get((whose, name)), metric.decimals) for whose in (variant, REAL_IMAGES)]
            cells.append((metric.heading, *both))
    return "Fidelity of its samples, and of real images among themselves:\n\n" + _table(
        ("score", readable(variant), "real images"), cells
    )


def _cell(row: pd.Series | None) -> str:
    return MISSING if row is None else estimate(row["mean"], row["sd"], row["low"], row["high"], 3)


def _value(value: float | None, digits: int) -> str:
    return MISSING if value is None or pd.isna(value) else fixed(value, digits)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
