"""MS-CXR: boxes that radiologists drew for phrases of reports (Boecking et al. 2022, PhysioNet)."""

from pathlib import Path

import numpy as np
import pandas as pd

from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.data.grounding_sets import check_shapes, clipped
from tradeoffs.data.raw_files import MS_CXR_TABLE, newest
from tradeoffs.data.tables import GROUNDING_COLUMNS, read_csv, reject_rows
from tradeoffs.errors import InputError
from tradeoffs.randomness import numpy_rng

_NUMBERS = ["x", "y", "w", "h", "image_width", "image_height"]
_COLUMNS = ["dicom_id", "category_name", "label_text", *_NUMBERS]
# By the split of 1.1.0, which is train, val or test
_PARTS = {"train": "train"} | dict.fromkeys(("val", "valid", "validate", "validation"), "val") | {"test": "test"}
VALIDATION_SHARE = 0.2  # of the subjects, where the CSV has no split


def read_mscxr(path: str | Path) -> pd.DataFrame:
    """Reads MS_CXR_Local_Alignment_v*.csv, one row a box, numbers as float (NaN where the cell is empty), and `part`:
    train, val or test by version 1.1.0's column split, "" in version 1.0.0, which has none.

    path: the CSV, or its folder (of several versions the newest is read)
    Raises InputError for a missing file or column, a cell that is no number, another split, or an image with two sizes
    or splits.
    """
    path = Path(path)
    if path.is_dir():
        found = newest(path, MS_CXR_TABLE)
        if not found:
            raise InputError(f"{path}: holds no {MS_CXR_TABLE}; download MS-CXR from PhysioNet into it")
        path = found
    table = read_csv(path, _COLUMNS, "download MS-CXR's CSV from PhysioNet again", optional=["split"])
    split = table["split"].str.strip().str.lower() if "split" in table.columns else None
    table = table[_COLUMNS].assign(part="" if split is None else split.map(_PARTS))
    reject_rows(path, table["dicom_id"] == "", "dicom_id is empty")
    reject_rows(path, table["part"].isna(), f"split is none of {', '.join(_PARTS)}")
    first = table.groupby("dicom_id")["part"].transform("first")
    reject_rows(path, table["part"] != first, "split differs from an earlier row of the same image")
    for column in _NUMBERS:
        numbers = pd.to_numeric(table[column], errors="coerce")
        reject_rows(path, ~np.isfinite(numbers) & (table[column].str.strip() != ""), f"{column} is not a number")
        table[column] = numbers.astype(float)
    for column in ("image_width", "image_height"):
        reject_rows(path, ~(table[column] >= 1), f"{column} is not a positive number")
        first = table.groupby("dicom_id")[column].transform("first")
        reject_rows(path, table[column] != first, f"{column} differs from an earlier row of the same image")
    return table


def prepare_grounding(ms_cxr: str | Path, images: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Groups MS-CXR's rows into one row per image, phrase and finding, with all its boxes.

    ms_cxr: MS-CXR's CSV or folder
    images: prepared image table, of which the split mscxr is used
    Returns the grounding table (sorted by image, an image's phrases in file order) and counts of boxes by reason. Its
    `part` is that of MS-CXR, or where MS-CXR has none a fixed draw of VALIDATION_SHARE of the subjects.
    Raises InputError if nothing is left, or if an image file has another shape than MS-CXR's boxes were drawn on.
    """
    rows = read_mscxr(ms_cxr)
    counts = {"read": len(rows)}
    rows["phrase"] = rows["label_text"].str.split().str.join(" ")
    rows = rows.rename(columns={"dicom_id": "sample_id", "category_name": "category"})

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal rows
        counts[reason] = int(bad.sum())
        rows = rows[~bad]

    drop(~rows["category"].isin(MSCXR_FINDINGS), "unknown category")
    drop(rows["phrase"] == "", "empty phrase")
    mscxr = images[images["split"] == "mscxr"].set_index("sample_id")
    drop(~rows["sample_id"].isin(mscxr.index), "image not in the mscxr split of the image table")
    drop(~((rows["w"] > 0) & (rows["h"] > 0) & rows["x"].notna() & rows["y"].notna()), "empty box")
    rows, passes_border = clipped(rows)
    drop((rows["w"] <= 0) | (rows["h"] <= 0), "box outside the image")
    group = ["sample_id", "phrase", "category"]
    drop(rows.duplicated([*group, "x", "y", "w", "h"]), "same box twice")
    counts["clipped to the image (kept)"] = int(passes_border[rows.index].sum())
    counts["kept"] = len(rows)
    if rows.empty:
        raise InputError(f"{ms_cxr}: no box is left of {counts}; check that it fits the folders of MIMIC-CXR")

    rows = rows.assign(boxes=rows[["x", "y", "w", "h"]].to_numpy().tolist())
    phrases = rows.groupby(group, sort=False).agg(
        boxes=("boxes", list),
        part=("part", "first"),
        image_width=("image_width", "first"),
        image_height=("image_height", "first"),
    )
    phrases = phrases.reset_index().astype({"image_width": "int64", "image_height": "int64"})
    phrases = phrases.sort_values("sample_id", kind="stable", ignore_index=True)
    number = phrases.groupby("sample_id").cumcount() + 1
    phrases["phrase_id"] = phrases["sample_id"] + "-" + number.astype(str)
    phrases = phrases.join(mscxr[["subject_id", "path", "text"]], on="sample_id")
    phrases = phrases.assign(part=phrases["part"].mask(phrases["part"] == "", phrases["subject_id"].map(drawn_part)))
    train, val, test = (phrases[phrases["part"] == part] for part in ("train", "val", "test"))
    if len(train):
        counts["phrases of the training part (kept, in no table and no choice)"] = len(train)
    counts["phrases of the validation part (kept)"] = len(val)
    both = val["subject_id"].isin(test["subject_id"])
    counts["phrases of the validation part whose subject is in the test part too (kept)"] = int(both.sum())
    counts["kept"] = counts.pop("kept")
    check_shapes(phrases.drop_duplicates("sample_id"))
    return phrases.assign(mask="", words="", text_id=phrases["sample_id"])[GROUNDING_COLUMNS], counts


def drawn_part(subject: str) -> str:
    """The part of a subject where boxes have no split: the same in every run."""
    return "val" if numpy_rng("MS-CXR validation part", subject).random() < VALIDATION_SHARE else "test"
