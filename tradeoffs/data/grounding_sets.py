"""Sets of boxes or masks beside those of a run's own data, as an image table and a grounding table.

The rows of `box_layouts` come in, from whichever source, and what cannot be scored is counted with its reason.
"""

import json
import os
import posixpath
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as rle

from tradeoffs.data.box_layouts import read_boxes
from tradeoffs.data.images import check_image_files, image_size
from tradeoffs.data.sets import SPLIT_OF_SETS
from tradeoffs.data.tables import GROUNDING_COLUMNS, IMAGE_COLUMNS
from tradeoffs.errors import InputError
from tradeoffs.files import for_each_file

SUFFIXES = ("", ".png", ".jpg", ".jpeg")
ALL_SPLITS = "all"
_SIZE = ["image_width", "image_height"]
_BOX = ["x", "y", "w", "h"]


def read_rows(
    key: str,
    layout: str,
    path: str | Path,
    split: str,
    texts: Iterable[str],
    categories: Iterable[str] | None,
    query_words: Iterable[str],
) -> pd.DataFrame:
    """The rows of a set (see `box_layouts`), of one split or all.

    key: of the set in the configuration; texts: kinds of its heat maps' texts; categories, query_words: those that it
    scores (None for all), and those for which it gives words
    Raises InputError as the layout's reader, or for a split or category, or the text of an image, that no row has.
    """
    rows = read_boxes(layout, path)
    there = sorted(rows["category"].str.strip().unique())
    for name, of_key in (("categories", categories or ()), ("query_words", query_words)):
        for category in of_key:
            if category not in there:
                raise InputError(f"{key}.{name}: {path} has no category {category}; there are {', '.join(there)}")
    splits = sorted(rows["split"].unique())
    if split not in (*splits, ALL_SPLITS):
        raise InputError(f"{key}.split: {path} has no split {split}; there are {', '.join(splits)}, or all")
    if "impression" in texts and not rows["text"].str.strip().any():
        raise InputError(f"{key}.texts: {path} has no text of an image; leave impression out")
    return rows


def check_prior(
    rows: pd.DataFrame, source: str | Path, split: str, categories: Collection[str] | None, max_excluded: float
) -> None:
    """Raises InputError if too many phrases have no location prior, the mean box of their category in other subjects.

    rows, split, categories: see `prepare_grounding_set`; max_excluded: share of the phrases that may be left out
    """
    rows = rows[rows["x"].notna() | (rows["mask"] != "")]
    rows = rows[(split == ALL_SPLITS) | (rows["split"] == split)]
    rows = rows[rows["category"].isin(list(categories or rows["category"]))]
    phrases = rows.drop_duplicates(["image", "phrase", "category"])
    alone = int((phrases.groupby("category")["subject"].transform("nunique") == 1).sum())
    if alone > max_excluded * len(phrases):
        raise InputError(
            f"{source}: {alone} of {len(phrases)} phrases are of a category that no other subject has a box of, so "
            f"they have no location prior; add images, or raise evaluation.max_excluded, which is {max_excluded}"
        )


def prepare_grounding_set(
    rows: pd.DataFrame,
    source: str | Path,
    folder: str | Path,
    trained_on: Collection[str],
    max_missing: float,
    key: str,
    split: str = ALL_SPLITS,
    categories: Collection[str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Groups a set's rows into one row per image, phrase and category, with all its boxes or the union of its masks.

    rows: see `box_layouts.COLUMNS`; source: where they come from, for messages
    folder: of the image files; key: of that folder in the configuration
    trained_on: subjects whose images the models were trained on; their rows are dropped
    max_missing: share of the image files that may be missing or unreadable
    split, categories: of the rows that are scored; "all" and None for all
    A box of an image whose file is a smaller or larger copy of the same shape stays as it was drawn.

    Returns the grounding table (sorted by image, an image's phrases in the order of the rows), the image table (all of
    split mscxr; Finding Labels are the categories that its rows name, with and without a box) and counts of rows.
    Raises InputError if nothing is left, if too many images are missing, if an image's file has another shape than its
    boxes were drawn on, if a mask is of another size than the image, or if an image has several phrases of one category
    of which one has a mask.
    """
    rows = rows.assign(phrase=rows["phrase"].str.split().str.join(" "), category=rows["category"].str.strip())
    counts = {"read": len(rows)}

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal rows
        counts[reason] = int(bad.sum())
        rows = rows[~bad]

    if split != ALL_SPLITS:
        drop(rows["split"] != split, f"not of the split {split}")
    drop(rows["category"] == "", "no category")
    drop(rows["phrase"] == "", "empty phrase")
    drop(rows["subject"].isin(list(trained_on)), "subject has an image that is trained on")
    rows = rows.assign(path=image_paths(rows["image"], Path(folder)))
    file = rows["path"].map(os.path.abspath)  # rows may spell one file in several ways
    rows = rows.assign(**rows.groupby(file)[["image", "path"]].transform("first"))
    rows = rows.assign(sample_id=_ids(rows["image"], source))
    images = rows.drop_duplicates("path")
    faults = check_image_files(images["path"].tolist(), max_missing, key)
    fault = rows["path"].map(dict(zip(images["path"], faults, strict=True))).astype(str)
    drop(fault == "missing", "image file missing")
    drop(fault[rows.index] == "unreadable", "image file unreadable")
    shown = rows.groupby("sample_id")["category"].agg(lambda names: "|".join(dict.fromkeys(names)))
    if categories is not None:
        drop(~rows["category"].isin(list(categories)), "another category than those asked for")
    drop(rows["x"].isna() & (rows["mask"] == ""), "no box, so that there is nowhere to point")
    rows = _on_image_size(rows)
    rows, passes_border = clipped(rows)
    has_place = (rows["w"] > 0) & (rows["h"] > 0)
    has_place |= rows["mask"].map(lambda mask: mask != "" and rle.area(json.loads(mask)) > 0).astype(bool)
    drop(~has_place, "box empty or outside the image")
    drop(rows.duplicated(["path", "phrase", "category", "mask", *_BOX, *_SIZE]), "same box twice")
    counts["clipped to the image (kept)"] = int(passes_border[rows.index].sum())
    counts["kept"] = len(rows)
    if rows.empty:
        raise InputError(f"{source}: no box is left of {counts}; check split, categories and the folder of images")
    return _grounding(rows, source), _image_table(rows, shown), counts


def clipped(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Boxes cut at the image border (no positive w, h if wholly outside), and which ones passed it.

    Columns x, y, w, h, image_width, image_height, in pixels.
    """
    x1, y1 = rows["x"] + rows["w"], rows["y"] + rows["h"]
    passes = (rows["x"] < 0) | (rows["y"] < 0) | (x1 > rows["image_width"]) | (y1 > rows["image_height"])
    x0, y0 = rows["x"].clip(lower=0.0), rows["y"].clip(lower=0.0)
    width = (x1.clip(upper=rows["image_width"]) - x0).where(passes, rows["w"])
    height = (y1.clip(upper=rows["image_height"]) - y0).where(passes, rows["h"])
    return rows.assign(x=x0, y=y0, w=width, h=height), passes


def check_shapes(images: pd.DataFrame) -> None:
    """Raises InputError if an image file has another shape than its boxes were drawn on.

    A resized copy is fine, a cropped or stretched one would shift every box. Columns path, image_width, image_height.
    """
    for path, box_width, box_height in images[["path", *_SIZE]].itertuples(index=False):
        width, height = image_size(path)
        if abs(width / height * box_height / box_width - 1) > 0.01:
            raise InputError(
                f"{path}: is {width} x {height}, but its boxes were drawn on {box_width:g} x {box_height:g}; "
                "use images of the original shape"
            )


def image_paths(images: pd.Series, folder: Path) -> list[str]:
    """The image files: those that the rows name, or without a suffix there what the folder has by that name."""
    found = {
        name: next((folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()), None)
        for name in images.unique()
    }
    return [str(found[name] or folder / name) for name in images]


def _ids(images: pd.Series, source: str | Path) -> pd.Series:
    """An id for each image: its path without suffix, - in place of /."""
    ids = images.map(posixpath.normpath).str.replace(r"\.\w+$", "", regex=True).str.strip("/").str.replace("/", "-")
    names = images.groupby(ids).nunique()
    if (names > 1).any():
        raise InputError(f"{source}: several images have the name {names.index[names > 1][0]}; rename all but one")
    return ids


def _on_image_size(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the size in pixels that each image's boxes are on, and boxes in pixels of it."""
    masked = rows["mask"] != ""
    sizes = np.array([json.loads(mask)["size"][::-1] for mask in rows.loc[masked, "mask"]], float).reshape(-1, 2)
    rows = rows.copy()
    rows.loc[masked, _SIZE] = sizes
    paths = rows["path"].unique().tolist()
    real = dict(zip(paths, for_each_file(image_size, paths, "image sizes"), strict=True))
    of_file = pd.DataFrame([real[path] for path in rows["path"]], index=rows.index, columns=_SIZE, dtype=float)
    shares = (rows[_SIZE] == 1).all(axis=1)
    rows.loc[shares, _BOX] = rows.loc[shares, _BOX].mul(of_file.loc[shares, _SIZE * 2].to_numpy())
    own = shares | rows["image_width"].isna()
    rows.loc[own, _SIZE] = of_file[own]
    check_shapes(rows.drop_duplicates(["path", *_SIZE]))
    return rows


def _grounding(rows: pd.DataFrame, source: str | Path) -> pd.DataFrame:
    group = ["sample_id", "path", "phrase", "category"]
    sizes = rows.groupby(group)[_SIZE].nunique().max(axis=1)
    if (sizes > 1).any():
        _, path, phrase, _ = sizes.index[sizes > 1][0]
        raise InputError(f"{source}: {phrase!r} of {path} has boxes or masks on images of several sizes; use one size")
    rows = rows.assign(boxes=[_boxes(*row) for row in rows[["mask", *_BOX]].itertuples(index=False)])
    table = rows.groupby(group, sort=False).agg(
        {"subject": "first", "text": "first", "boxes": "sum", "mask": union} | dict.fromkeys(_SIZE, "first")
    )
    table = table.reset_index().rename(columns={"subject": "subject_id"}).astype(dict.fromkeys(_SIZE, "int64"))
    several = table.duplicated(["path", "category"], keep=False) & (table["mask"] != "")
    if several.any():
        first = table[several].iloc[0]
        raise InputError(
            f"{source}: {first['path']} has several phrases of {first['category']}, of which one has a mask; "
            "give an image one phrase of a category, or boxes"
        )
    table = table.sort_values("sample_id", kind="stable", ignore_index=True)
    table["phrase_id"] = table["sample_id"] + "-" + (table.groupby("sample_id").cumcount() + 1).astype(str)
    return table.assign(words="", text_id=table["sample_id"], part="test")[GROUNDING_COLUMNS]


def _image_table(rows: pd.DataFrame, shown: pd.Series) -> pd.DataFrame:
    images = rows.drop_duplicates("sample_id").rename(columns={"subject": "subject_id"})
    images = images.assign(study_id="", split=SPLIT_OF_SETS, **{"Finding Labels": images["sample_id"].map(shown)})
    return images.sort_values("sample_id", ignore_index=True)[IMAGE_COLUMNS]


def _boxes(mask: str, *box: float) -> list[list[float]]:
    """A row's boxes: its own, or the one around its mask."""
    return [list(box)] if not np.isnan(box[0]) else [rle.toBbox(json.loads(mask)).tolist()]


def union(masks: pd.Series) -> str:
    """The union of run-length encoded masks (JSON) of one size; "" if there are none."""
    given = [json.loads(mask) for mask in masks if mask]
    if not given:
        return ""
    merged = rle.merge(given)
    return json.dumps({"size": merged["size"], "counts": merged["counts"].decode("ascii")})
