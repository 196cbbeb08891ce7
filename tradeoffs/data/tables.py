"""The prepared tables (CSV) between data preparation and every later stage: columns, checked reading, writing.

In memory every column is text, except `boxes` (list of [x, y, w, h]), `image_width` and `image_height` (int).
"""

import json
import math
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

from tradeoffs.data.coco_categories import COCO_NAMES
from tradeoffs.data.findings import CHEXPERT_LABELS
from tradeoffs.errors import InputError
from tradeoffs.files import atomic_path

IMAGE_COLUMNS = ["sample_id", "subject_id", "study_id", "path", "split", "text", "Finding Labels"]
GROUNDING_COLUMNS = [
    "phrase_id",
    "sample_id",
    "subject_id",
    "path",
    "category",
    "phrase",
    "boxes",
    "image_width",
    "image_height",
    "text",
    "mask",
    "text_id",
    "part",
    "words",
]
OF_GROUNDING_MADE_BEFORE = {"mask": "", "part": "test", "words": ""}  # columns that a table may lack, and text_id
PARTS = ("train", "val", "test")
PROMPT_COLUMNS = ["prompt_id", "text", "Finding Labels", "sample_id"]
SAMPLE_COLUMNS = ["image_id", "prompt_id", "repeat", "text", "Finding Labels", "path"]
SPLITS = ("train", "val", "test", "p19", "mscxr")
LABELS = (*CHEXPERT_LABELS, *COCO_NAMES)  # of one data set or the other
SPLITS_WITH_TEXT = ("train", "val", "test")  # p19 and mscxr images without an impression are still of use

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}
_REMEDY = "delete the file to have it made again, or correct it if it is your own"


def read_csv(path: str | Path, columns: Sequence[str], remedy: str, optional: Collection[str] = ()) -> pd.DataFrame:
    """Reads a CSV (plain or gzip) with every cell as text; an empty cell is "".

    remedy: what the user can do about a file that is missing, unreadable, or without one of `columns`
    optional: columns that it may lack; where it has one of nearly that name instead, that name is misspelt
    Raises InputError in these cases.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; {remedy}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: cannot be read as CSV (it is not UTF-8 text: byte 0x{error.object[error.start]:02x}; if it is "
            f"Latin-1, Windows-1252 or UTF-16, save it as UTF-8); {remedy}"
        ) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: pandas' parser errors
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as CSV ({reason}); {remedy}") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes a surplus first cell for the row's name
        raise InputError(f"{path}: its rows have more cells than its header; put texts with a comma in double quotes")
    table.columns = table.columns.str.strip()  # the original's own table has a column "Finding Labels "
    for column in (*columns, *optional):
        if f"{column}.1" in table.columns:  # pandas' name for a second one
            raise InputError(f"{path}: has two columns {column!r}; remove one")
    for column in columns:
        if column not in table.columns:
            separator = next((name for mark, name in _OTHER_SEPARATORS.items() if mark in table.columns[0]), None)
            if separator and len(table.columns) == 1:
                fault = f"has no column {column!r}, because {separator} separate its columns; write it with commas"
                raise InputError(f"{path}: {fault}")
            raise InputError(f"{path}: has no column {column!r}; {remedy}")
    known = {_plain(column): column for column in (*columns, *optional)}
    for column in table.columns:
        meant = [known[name] for name in get_close_matches(_plain(column), known, n=1, cutoff=0.88)]
        if meant and meant[0] not in table.columns:
            raise InputError(f"{path}: has a column {column!r}, which is not read; call it {meant[0]!r} or remove it")
    return table.fillna("")  # cells that a short row lacks


def _plain(column: str) -> str:
    """A column's name in small letters, without what stands between its words."""
    return re.sub("[^a-z0-9]", "", column.lower())


def reject_rows(path: str | Path, bad: pd.Series, fault: str) -> None:
    """Raises InputError naming the first row where `bad` is true, counted as in a spreadsheet (the header is row 1)."""
    rows = np.flatnonzero(bad)
    if rows.size:
        raise InputError(f"{path}, row {rows[0] + 2}: {fault}; correct it (such rows: {rows.size})")


def reject_labels(path: str | Path, cells: pd.Series, names: Collection[str]) -> None:
    """Raises InputError for the first row whose cell, labels joined by "|", has another label than `names`."""
    unknown = [sorted(set(cell.split("|")) - {"", *names}) for cell in cells]
    first = next((labels[0] for labels in unknown if labels), "")
    reject_rows(
        path,
        pd.Series([bool(labels) for labels in unknown], dtype=bool),
        f"Finding Labels has another name ({first!r}) than {', '.join(names)}",
    )


def read_images(path: str | Path) -> pd.DataFrame:
    """Reads a prepared image table (IMAGE_COLUMNS).

    labels: names that Finding Labels may have; None for any, where they are no labels to train on or to compare with
    Raises InputError for a missing column, an id that is empty or occurs twice, an empty path, an unknown split, or a
    train, val or test image without text, or an unknown label. Does not look whether the image files exist.
    """
    table = read_csv(path, IMAGE_COLUMNS, _REMEDY)[IMAGE_COLUMNS]
    _reject_bad_ids(path, table["sample_id"])
    reject_rows(path, table["subject_id"] == "", "subject_id is empty")
    reject_rows(path, table["path"] == "", "path is empty")
    reject_rows(path, ~table["split"].isin(SPLITS), f"split is none of {', '.join(SPLITS)}")
    without_text = table["split"].isin(SPLITS_WITH_TEXT) & (table["text"].str.strip() == "")
    reject_rows(path, without_text, f"text is empty, which a {', '.join(SPLITS_WITH_TEXT)} image needs")
    # images with boxes are not trained on, and have their own set's names
    reject_labels(path, table["Finding Labels"].mask(table["split"] == "mscxr", ""), LABELS)
    return table


def read_grounding(path: str | Path, part: str = "all") -> pd.DataFrame:
    """Reads a grounding table (GROUNDING_COLUMNS), boxes as lists of [x, y, w, h] floats, sizes as int.

    `mask` is empty where the boxes are the ground truth, or a run-length encoded mask as COCO has it, in JSON:
    {"size": [height, width], "counts": "..."}; a table without the column has boxes only. `text_id` names the text
    of the row's image (an impression, or one of several captions), by default it is the sample_id. `part` is val, on
    which choices are made, test, which tables show, or MS-CXR's train, which neither sees. `words` are those that ask
    for the category, joined by "|", or empty for its default ones (see `words.query_words`), as without the column.
    part: train, val or test for the rows of that part only
    Raises InputError for a missing column, an id that is empty or occurs twice, an empty category, path or phrase,
    words one of which is empty, an image size that is no positive whole number, boxes that are malformed or outside
    the image, or a mask that is malformed or of another size than the image.
    """
    lacked = {*OF_GROUNDING_MADE_BEFORE, "text_id"}
    table = read_csv(path, [column for column in GROUNDING_COLUMNS if column not in lacked], _REMEDY)
    defaults = OF_GROUNDING_MADE_BEFORE | {"text_id": table["sample_id"]}
    table = table.assign(**{name: default for name, default in defaults.items() if name not in table.columns})
    table = table[GROUNDING_COLUMNS]
    _reject_bad_ids(path, table["phrase_id"])
    reject_rows(path, ~table["part"].isin(PARTS), f"part is none of {', '.join(PARTS)}")
    for column in ("sample_id", "subject_id", "path", "category", "phrase", "text_id"):
        reject_rows(path, table[column].str.strip() == "", f"{column} is empty")
    reject_rows(path, table["words"].str.contains(r"^\||\|\s*\||\|$"), "words has an empty word")
    for column in ("image_width", "image_height"):
        reject_rows(path, ~table[column].str.fullmatch("0*[1-9][0-9]{,8}"), f"{column} is not a positive whole number")
        table[column] = table[column].astype("int64")
    sizes = zip(table["boxes"], table["image_width"], table["image_height"], strict=True)
    boxes = [_parse_boxes(*row) for row in sizes]
    malformed = pd.Series([b is None for b in boxes], dtype=bool)
    reject_rows(path, malformed, "boxes is not a JSON list of [x, y, w, h] in pixels inside the image")
    table["boxes"] = pd.Series(boxes, dtype=object)
    sizes = zip(table["mask"], table["image_width"], table["image_height"], strict=True)
    bad_masks = pd.Series([mask != "" and not _is_mask_of(mask, *size) for mask, *size in sizes], dtype=bool)
    reject_rows(path, bad_masks, 'mask is not a JSON {"size": [height, width], "counts": "..."} of the image\'s size')
    pair = [table["text_id"], table["category"]]
    masked = (table["mask"] != "").groupby(pair).transform("any")
    again = table.duplicated(["text_id", "category"]) & masked
    reject_rows(path, again, "an earlier row has this category of this text too, with a mask; unite them in one row")
    if part == "all":
        return table
    if not (table["part"] == part).any():
        raise InputError(f"{path}: has no row of the part {part} (column split of MS-CXR); use another MS-CXR")
    return table[table["part"] == part].reset_index(drop=True)


def read_prompts(path: str | Path, labels: Collection[str] = CHEXPERT_LABELS) -> pd.DataFrame:
    """Reads a prompt list (PROMPT_COLUMNS), or any CSV with the texts in `text` or, as in the original, `impression`.

    labels: names that Finding Labels may have, joined by "|". Another name would count as a finding that is absent.
    Without a column prompt_id the ids are the row numbers 00000, 00001, ... Without a column sample_id (in the
    original dicom_id), the image that a text belongs to, it is "".
    Raises InputError for a missing column, two that contradict each other, an empty text, another label, or an id that
    is no file name or occurs twice.
    """
    remedy = "give it the columns text (or impression) and Finding Labels (its cells may be empty)"
    table = read_csv(path, ["Finding Labels"], remedy, optional=["prompt_id", "sample_id", "dicom_id"])
    for one, other in (("text", "impression"), ("sample_id", "dicom_id")):
        if {one, other} <= {*table.columns}:
            reject_rows(path, table[one] != table[other], f"{one} and {other}, which mean the same, differ")
    if "text" not in table.columns:
        if "impression" not in table.columns:
            raise InputError(f"{path}: has no column 'text'; {remedy}")
        table["text"] = table["impression"]
    if "prompt_id" not in table.columns:
        table["prompt_id"] = [f"{i:05d}" for i in range(len(table))]
    if "sample_id" not in table.columns:
        table["sample_id"] = table.get("dicom_id", "")
    table = table[PROMPT_COLUMNS]
    table["Finding Labels"] = table["Finding Labels"].str.replace(r"\s*\|\s*", "|", regex=True).str.strip()
    if table.empty:
        raise InputError(f"{path}: has no rows; a prompt list needs at least one text")
    _reject_bad_ids(path, table["prompt_id"])
    no_file_name = ~table["prompt_id"].str.fullmatch(r"\w[\w.-]*")  # generated images are named after their prompt
    reject_rows(path, no_file_name, "prompt_id has characters other than letters, digits and, not in front, . and -")
    reject_rows(path, table["text"].str.strip() == "", "text is empty")
    reject_labels(path, table["Finding Labels"], labels)
    return table


def read_samples(sources: Iterable[str | Path]) -> pd.DataFrame:
    """Reads the lists of generated images of one model (SAMPLE_COLUMNS), shard after shard; `repeat` as int.

    In the files `path` is seen from the list, here from the working directory.
    Raises InputError for a missing column, a repeat that is no whole number, an unknown label or a repeated image.
    """
    tables: list[pd.DataFrame] = []
    for source in sources:
        table = read_csv(source, SAMPLE_COLUMNS, "delete it to have the images sampled again")[SAMPLE_COLUMNS]
        reject_rows(source, ~table["repeat"].str.fullmatch("[0-9]+"), "repeat is not a whole number")
        earlier = [name for done in tables for name in done["image_id"]]
        reject_rows(source, table["image_id"].isin(earlier), "another list has this image too")
        _reject_bad_ids(source, table["image_id"])
        reject_labels(source, table["Finding Labels"], LABELS)
        paths = [str(Path(source).parent / path) for path in table["path"]]
        tables.append(table.assign(repeat=table["repeat"].astype(int), path=paths))
    return pd.concat(tables, ignore_index=True)


def keyed(table: pd.DataFrame, **keys: str | int) -> pd.DataFrame:
    """The table with columns in front that say whose its rows are, such as dataset="cxr", variant="frozen".

    So the rows of several files can stand under one another.
    """
    return table.assign(**keys)[[*keys, *table.columns]]


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Writes a prepared table as CSV, whole or not at all; a column `boxes` becomes JSON."""
    if "boxes" in table.columns:
        table = table.assign(boxes=[json.dumps(boxes) for boxes in table["boxes"]])
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def write_counts(counts: Mapping[str, int], path: str | Path) -> None:
    """Writes what was read, dropped (by reason) and kept as CSV with the columns reason, count, in the given order."""
    write_table(pd.DataFrame({"reason": list(counts), "count": list(counts.values())}), path)


def _reject_bad_ids(path: str | Path, ids: pd.Series) -> None:
    reject_rows(path, ids.str.strip() == "", f"{ids.name} is empty")
    reject_rows(path, ids.duplicated(), f"{ids.name} occurs in an earlier row too")


def _is_mask_of(cell: str, width: int, height: int) -> bool:
    """Whether a cell is a mask of that size, run-length encoded and compressed as by pycocotools, in JSON."""
    try:
        mask = json.loads(cell)
    except (ValueError, RecursionError):
        return False
    encoded = encoded_runs(mask)
    return encoded is not None and (mask["size"], mask["counts"]) == ([height, width], encoded["counts"].decode())


def _parse_boxes(cell: str, width: int, height: int) -> list[list[float]] | None:
    try:
        boxes = [[float(value) for value in box] for box in json.loads(cell)]
    except (TypeError, ValueError, RecursionError):
        return None
    for box in boxes:
        if len(box) != 4 or not all(map(math.isfinite, box)):
            return None
        x, y, w, h = box
        if min(x, y) < 0 or min(w, h) <= 0 or x + w > width or y + h > height:
            return None
    return boxes or None


_MOST_PIXELS = 2**28  # of a mask; an image of as many is beyond Pillow's limit


def encoded_runs(runs: Any) -> dict | None:
    """A run-length encoding as COCO has it, compressed (text) or not (a list), as pycocotools' compressed one.

    None if it is malformed.
    """
    size, counts = (runs.get("size"), runs.get("counts")) if isinstance(runs, dict) else (None, None)
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        return None
    if math.prod(size) > _MOST_PIXELS:
        return None
    if isinstance(counts, str):
        counts = _decompressed(counts)
    # pycocotools does not check them, and leaves pixels undefined where runs are missing
    if not (isinstance(counts, list) and all(isinstance(run, int) and run >= 0 for run in counts)):
        return None
    return coco_mask.frPyObjects({"size": size, "counts": counts}, *size) if sum(counts) == math.prod(size) else None


def _decompressed(counts: str) -> list[int] | None:
    """The run lengths of COCO's compressed text, which pycocotools reads but does not give; None if it is malformed.

    A character has 5 bits of a number, the lowest first, and one that says whether more follow; from the fourth run on
    the number is the difference from the run before the last.
    """
    runs: list[int] = []
    number = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (1 << shift) if bits & 16 else 0
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    return None if shift else runs
