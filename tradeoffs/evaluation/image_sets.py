"""Sets of images that were made elsewhere, in a folder or a list, and all that can be scored of them."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from tradeoffs.data.findings import CHEXPERT_LABELS
from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.images import check_image_files, load_image
from tradeoffs.data.tables import read_csv, reject_labels, reject_rows
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import Scores
from tradeoffs.evaluation.features import FindingsFeatures, build_extractor, extract
from tradeoffs.evaluation.fidelity import distances, distances_by_finding, diversity
from tradeoffs.evaluation.label_consistency import label_consistency
from tradeoffs.evaluation.reference import ImageFeatures

SUFFIXES = (".png", ".jpg", ".jpeg")
OTHER_SUFFIXES = (".bmp", ".dcm", ".gif", ".jfif", ".jp2", ".tif", ".tiff", ".webp")


def read_image_set(source: str | Path) -> pd.DataFrame:
    """The images of a folder (in folders below it too) or of a CSV: columns path, prompt and Finding Labels.

    CSV: path (seen from the CSV), prompt and Finding Labels (or label), CheXpert's names joined by "|"; either may be
    missing. In a folder an image has the label that its own folder is named after, as in the original, and no prompt.
    Raises InputError if there is no image, for another label, or if a file is missing, listed twice, no image, or in a
    folder of a format that is not looked for.
    """
    table = _of_folder(Path(source)) if Path(source).is_dir() else _of_csv(Path(source))
    if table.empty:
        raise InputError(f"{source}: holds no image; give a folder with {', '.join(SUFFIXES)} or a CSV that lists some")
    faults = pd.Series(check_image_files(list(table["path"]), 1.0, str(source)))
    if (faults != "").any():
        first = table["path"][faults != ""].iloc[0]
        try:
            load_image(first, 8)
        except InputError as error:
            reason = f"{error.__cause__}; such: {(faults != '').sum()}"
            raise InputError(f"{first}: {faults[faults != ''].iloc[0]} image of {source} ({reason})") from error
    return table


def _of_folder(folder: Path) -> pd.DataFrame:
    files = sorted(folder.rglob("*"))
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [path for path in files if path.suffix.lower() in OTHER_SUFFIXES]
    if paths and others:
        raise InputError(
            f"{others[0]}: is not read, since a folder is searched for {', '.join(SUFFIXES)} (such: {len(others)}); "
            f"move it away, convert it, or list the images in a CSV"
        )
    labels = [path.parent.name if path.parent.name in CHEXPERT_LABELS else "" for path in paths]
    for path, label in zip(paths, labels, strict=True):
        if not label and path.parent != folder and (meant := _nearly_a_label(path.parent.name)):
            raise InputError(
                f"{path.parent}: is not named after a finding; did you mean {meant!r}? Else give it another name"
            )
    return pd.DataFrame({"path": list(map(str, paths)), "prompt": "", "Finding Labels": labels})


def _nearly_a_label(name: str) -> str | None:
    """The label that a folder's name may mean: of nearly that spelling, or of more words."""
    labels = {label.lower().replace(" ", ""): label for label in CHEXPERT_LABELS}
    plain = re.sub("[^a-z]", "", name.lower())
    meant = get_close_matches(plain, labels, n=1, cutoff=0.88)
    meant += [label for label in labels if label.endswith(plain) and len(plain) > 3]
    return labels[meant[0]] if meant else None


def _of_csv(file: Path) -> pd.DataFrame:
    table = read_csv(
        file,
        ["path"],
        "give it the columns path, prompt and Finding Labels (the last two may be missing)",
        ["prompt", "Finding Labels", "label"],
    )
    reject_rows(file, table["path"] == "", "path is empty")
    reject_rows(file, table["path"].duplicated(), "path occurs in an earlier row too")
    if {"Finding Labels", "label"} <= {*table.columns}:
        raise InputError(f"{file}: has the columns Finding Labels and label; remove one")
    labels = table.get("Finding Labels", table.get("label", pd.Series("", table.index)))
    labels = labels.str.replace(r"\s*\|\s*", "|", regex=True).str.strip()
    reject_labels(file, labels, CHEXPERT_LABELS)
    paths = [str(file.parent / path) for path in table["path"]]
    return pd.DataFrame({"path": paths, "prompt": table.get("prompt", ""), "Finding Labels": labels})


def build_extractors(names: Mapping[str, str], weights: Mapping[str, str | Path]) -> dict[str, nn.Module]:
    """The feature extractors by kind. names, weights: of each kind (see `build_extractor`)"""
    return {kind: build_extractor(name, weights.get(kind, "")) for kind, name in names.items()}


def features_of(
    table: pd.DataFrame, extractors: Mapping[str, nn.Module], resolution: int, batch_size: int, workers: int = 0
) -> ImageFeatures:
    """The features of the images of a table with the columns path and Finding Labels; ids are the paths."""
    files = ImageFiles(table["path"], resolution)
    features = {kind: extract(network, files, batch_size, workers) for kind, network in extractors.items()}
    return ImageFeatures(list(table["path"]), list(table["Finding Labels"]), features)


def fidelity_scores(real: ImageFeatures, fake: ImageFeatures, domain: nn.Module | None, *, seed: int, **kid) -> Scores:
    """All scores of generated images but MS-SSIM: `distances`, also by finding, and label consistency.

    domain: the network that names findings, behind the features of this kind; without it the first alone
    kid: sizes of KID's subsets
    """
    scores = distances(real.features, fake.features, **kid, seed=seed)
    if not isinstance(domain, FindingsFeatures):
        return scores
    consistency = label_consistency(fake.labels, domain.logits(fake.features["domain"]), domain.classifier.labels)
    return {**scores, **distances_by_finding(real, fake, **kid, seed=seed), **consistency}


def diversity_within(prompts: Sequence[str], paths: Sequence[str], resolution: int) -> Scores:
    """MS-SSIM within each prompt that has several images (see `diversity`); images without a prompt are left out."""
    table = pd.DataFrame({"prompt": np.asarray(prompts, dtype=object), "path": np.asarray(paths, dtype=object)})
    groups = [rows["path"] for prompt, rows in table.groupby("prompt", sort=False) if prompt and len(rows) > 1]
    return diversity(torch.stack(list(ImageFiles(group, resolution))) for group in groups)
