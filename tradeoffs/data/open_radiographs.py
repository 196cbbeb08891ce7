"""The data set cxr from open data: Open-i's pairs of image and text to train on, ChestX-ray14's boxes to score."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tradeoffs.data import open_i
from tradeoffs.data.box_layouts import read_boxes
from tradeoffs.data.findings import CHESTXRAY14_LABELS
from tradeoffs.data.grounding_sets import prepare_grounding_set
from tradeoffs.data.images import check_image_files
from tradeoffs.data.limits import BEYOND, beyond_limits
from tradeoffs.data.mimic import in_an_earlier_split
from tradeoffs.data.raw_files import CHESTXRAY14_ENTRIES, newest
from tradeoffs.data.tables import IMAGE_COLUMNS, read_csv, reject_labels, reject_rows
from tradeoffs.errors import InputError


def prepare_images(
    open_i_folder: str | Path,
    chestxray14: str | Path,
    views: Sequence[str],
    max_missing: float,
    limits: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Makes the image table: Open-i's images (train, val, p19) and ChestX-ray14's that have boxes (split mscxr).

    max_missing: share of the images of each that may be missing or unreadable
    limits: a pilot's images of a split, at most (see `beyond_limits`)
    Returns the table, sorted by split and image, and counts of images by reason.
    Raises InputError as list_images does, or if too many files are missing, or nothing is left.
    """
    table, counts = list_images(open_i_folder, chestxray14, views, limits)
    folders = {"data.open_i": str(open_i_folder), "data.chestxray14": str(chestxray14)}
    of_boxes = table["split"] == "mscxr"
    parts = []
    for (key, folder), rows in zip(folders.items(), (table[~of_boxes], table[of_boxes]), strict=True):
        rows = rows.assign(path=f"{folder}/" + rows["path"])
        parts.append(rows.assign(fault=check_image_files(rows["path"].tolist(), max_missing, key)))
    table = pd.concat(parts, ignore_index=True)
    for fault in ("missing", "unreadable"):
        counts[f"image file {fault}"] = int((table["fault"] == fault).sum())
    table = table[table["fault"] == ""]
    counts["kept"] = len(table)
    for split in (*open_i.SHARES, "mscxr"):
        if not (table["split"] == split).any():
            raise InputError(f"{open_i_folder}, {chestxray14}: no image of the split {split} is left of {counts}")
    return table[IMAGE_COLUMNS].reset_index(drop=True), counts


def list_images(
    open_i_folder: str | Path, chestxray14: str | Path, views: Sequence[str], limits: Mapping[str, int] | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The images that both collections list, by split; no image is opened (path is seen from the collection's folder).

    Returns them and counts of images by reason. Raises InputError if the files are not as their owners ship them.
    """
    pairs, counts = open_i.list_images(open_i_folder, views)
    boxed = read_boxes("chestxray14", chestxray14).drop_duplicates("image")
    entries = read_entries(chestxray14)
    names = boxed["image"].map(lambda image: Path(image).name)
    counts["read"] += len(boxed)
    counts["boxes' image not in the table of images"] = int((~names.isin(entries.index)).sum())
    names = names[names.isin(entries.index)]
    labels = entries.loc[names]
    boxes = pd.DataFrame(
        {
            "sample_id": names.str.removesuffix(".png").tolist(),
            "subject_id": labels["Patient ID"].tolist(),
            "study_id": "",
            "path": ("images/" + names).tolist(),
            "split": "mscxr",
            "text": "",
            "Finding Labels": labels["Finding Labels"].tolist(),
        }
    )
    table = pd.concat([pairs, boxes.sort_values("sample_id")], ignore_index=True)
    seen = in_an_earlier_split(table)
    counts["subject has an image of another split"] = int(seen.sum())
    table = table[~seen]
    if limits:
        beyond = beyond_limits(table, limits)
        counts[BEYOND] = int(beyond.sum())
        table = table[~beyond]
    return table.reset_index(drop=True), counts


def prepare_grounding(chestxray14: str | Path, images: pd.DataFrame, max_missing: float) -> tuple[pd.DataFrame, dict]:
    """The grounding table of ChestX-ray14's boxes, whose images are those of the split mscxr, and counts of boxes.

    The finding's name is the phrase: the boxes have no others.
    """
    rows = read_boxes("chestxray14", chestxray14)
    boxed = images[images["split"] == "mscxr"]
    known = rows["image"].map(lambda image: Path(image).stem).isin(boxed["sample_id"])
    trained_on = set(images.loc[images["split"].isin(["train", "val"]), "subject_id"])
    grounding, _, counts = prepare_grounding_set(
        rows[known].assign(image=rows["image"].str.removeprefix("images/")),
        source=chestxray14,
        folder=Path(chestxray14, "images"),
        trained_on=trained_on,
        max_missing=max_missing,
        key="data.chestxray14",
    )
    left_out = {"read": len(rows), "image not in the mscxr split of the image table": int((~known).sum())}
    return grounding, left_out | {reason: count for reason, count in counts.items() if reason != "read"}


def read_entries(folder: str | Path) -> pd.DataFrame:
    """ChestX-ray14's table of images, Data_Entry_2017*.csv, by name: Patient ID (8 digits) and Finding Labels.

    Raises InputError for a missing file or column, an image in two rows, or a finding that is none of the 14.
    """
    path = newest(folder, CHESTXRAY14_ENTRIES)
    if not path:
        raise InputError(f"{folder}: holds no {CHESTXRAY14_ENTRIES}; download ChestX-ray14's table of images into it")
    columns = ["Image Index", "Finding Labels", "Patient ID"]
    table = read_csv(path, columns, "download ChestX-ray14's table of images again")[columns]
    reject_rows(path, table["Image Index"].duplicated(), "Image Index occurs in an earlier row too")
    reject_rows(path, ~table["Patient ID"].str.fullmatch(r"\d{1,8}"), "Patient ID does not consist of digits")
    reject_labels(path, table["Finding Labels"], CHESTXRAY14_LABELS)
    return table.assign(**{"Patient ID": table["Patient ID"].str.zfill(8)}).set_index("Image Index")
