"""Boxes and masks from anywhere, as their owners ship them: each reader gives the same rows, one a box or mask.

`grounding_sets` makes prepared tables of these rows. No reader opens an image.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as rle

from tradeoffs.data.raw_files import BOX_TABLES
from tradeoffs.data.tables import encoded_runs, read_csv, reject_rows
from tradeoffs.errors import InputError

NUMBERS = ["x", "y", "w", "h", "image_width", "image_height"]
# image: path below the folder of images, its suffix may be missing; image_width, image_height: the size that the box
# was drawn on, NaN for the image file's own, 1 x 1 for a box in shares of the image; mask: JSON of a run-length
# encoding as COCO has it, or ""; a row without box and mask says that the image shows the category, not where.
COLUMNS = ["image", "subject", "split", "category", "phrase", "text", "mask", *NUMBERS]


def read_boxes(layout: str, path: str | Path) -> pd.DataFrame:
    """The rows (COLUMNS; numbers as float, NaN where there are none) of a set of boxes in one of LAYOUTS.

    path: the folder of the set, or the file with its boxes where the layout is "csv"
    Raises InputError for a missing file, column or key, a value that is none, or if there are no rows.
    """
    rows = LAYOUTS[layout](Path(path))
    if rows.empty:
        raise InputError(f"{path}: has no box, mask or category; give a set that has some")
    return rows


def read_box_csv(path: Path) -> pd.DataFrame:
    """A CSV of one's own, one row a box: image, subject and category, and a box (x, y, w, h) or a mask.

    Optional are split ("test" without it), phrase (the category without it), text (of the whole image), image_width
    and image_height. A mask's runs may be compressed or not.
    Raises InputError for a missing or misspelt column, an empty image, subject or category, a cell that is no number,
    a box of which some numbers are missing, a malformed mask, an image of two subjects, splits or texts, or what says
    twice where something is: a box beside a mask, or a mask and a size of the image that is not its own.
    """
    remedy = "give it the columns image, subject, category, and x, y, w, h or mask (docs/your-own.md)"
    optional = ["split", "phrase", "text", "mask", *NUMBERS]
    table = read_csv(path, ["image", "subject", "category"], remedy, optional)
    if "mask" not in table.columns:
        for column in ("x", "y", "w", "h"):
            if column not in table.columns:
                raise InputError(f"{path}: has no column {column!r} and no column 'mask'; {remedy}")
    defaults = {"split": "test", "phrase": table["category"]} | dict.fromkeys(["text", "mask", *NUMBERS], "")
    table = table.assign(**{name: value for name, value in defaults.items() if name not in table.columns})[COLUMNS]
    for column in ("image", "subject", "category", "split"):
        table[column] = table[column].str.strip()
        reject_rows(path, table[column] == "", f"{column} is empty")
    table[NUMBERS] = _numbers(path, table, NUMBERS)
    _check_sizes(path, table)
    _check_masks(path, table)
    for column in ("subject", "split", "text"):
        first = table.groupby("image")[column].transform("first")
        reject_rows(path, table[column] != first, f"{column} differs from an earlier row of the same image")
    return table


def _check_sizes(path: Path, table: pd.DataFrame) -> None:
    """Raises InputError for boxes of which numbers are missing, that are in shares without saying so, or on an image
    without an extent."""
    several = table[["x", "y", "w", "h"]].isna().sum(axis=1)
    reject_rows(path, several.isin([1, 2, 3]), "some of x, y, w, h are empty; give all four, or none")
    one_size = table["image_width"].isna() != table["image_height"].isna()
    reject_rows(path, one_size, "one of image_width and image_height is empty; give both, or none")
    for column in ("image_width", "image_height"):
        whole = table[column].isna() | ((table[column] >= 1) & (table[column] % 1 == 0))
        reject_rows(path, ~whole, f"{column} is not a positive whole number")
    boxes = table[table["x"].notna() & table["image_width"].isna()]
    if len(boxes) and (boxes["x"] + boxes["w"]).max() <= 1 and (boxes["y"] + boxes["h"]).max() <= 1:
        raise InputError(
            f"{path}: no box is larger than a pixel; boxes in shares of the image need image_width and image_height, "
            "each 1"
        )


def _check_masks(path: Path, table: pd.DataFrame) -> None:
    """Has each mask (JSON) compressed; raises InputError where one is malformed or does not go with its row."""
    masked = table["mask"].str.strip() != ""
    encoded = {cell: _encoded(cell) for cell in table.loc[masked, "mask"].unique()}
    malformed = table["mask"].map(lambda cell: encoded.get(cell, "") is None).astype(bool)
    reject_rows(path, malformed, 'mask is not a JSON {"size": [height, width], "counts": ...}')
    table["mask"] = [encoded.get(cell, "") for cell in table["mask"]]
    reject_rows(path, masked & table["x"].notna(), "has a box and a mask; leave one of them empty")
    sizes = [json.loads(mask)["size"][::-1] if mask else [math.nan] * 2 for mask in table["mask"]]
    given = table[["image_width", "image_height"]].to_numpy()
    other = ((np.array(sizes, float).reshape(-1, 2) != given) & ~np.isnan(given)).any(axis=1)
    reject_rows(path, masked & other, "image_width and image_height are not the size of the mask; leave them empty")
    of_phrase = table["image"] + "\n" + table["phrase"].str.split().str.join(" ") + "\n" + table["category"]
    also_masked = of_phrase.isin(of_phrase[masked])
    beside = ~masked & table["x"].notna() & also_masked
    reject_rows(path, beside, "has a box, and another row of the same phrase a mask; give boxes or masks")


def _encoded(cell: str) -> str | None:
    """A mask's JSON with its runs compressed; None if it is malformed."""
    try:
        mask = encoded_runs(json.loads(cell))
    except (ValueError, RecursionError):
        return None
    return None if mask is None else _json_of(mask)


def _json_of(runs: dict) -> str:
    return json.dumps({"size": runs["size"], "counts": runs["counts"].decode("ascii")})


def read_vindr_cxr(folder: Path) -> pd.DataFrame:
    """VinDr-CXR (Nguyen et al. 2022, PhysioNet): annotations/annotations_{train,test}.csv, images {train,test}/<id>.

    Corners in pixels of the original image. In train each of three radiologists drew boxes of their own, in test there
    is one consensus. "No finding" and findings of the whole image have no box. Each image is a subject of its own: the
    set does not say which images are of one patient.
    """
    columns = ["image_id", "class_name", "x_min", "y_min", "x_max", "y_max"]
    parts = []
    for path in _found(folder, "vindr_cxr"):
        table = read_csv(path, columns, "download VinDr-CXR's annotations from PhysioNet again")[columns]
        for column in ("image_id", "class_name"):
            reject_rows(path, table[column] == "", f"{column} is empty")
        split = path.stem.removeprefix("annotations_")
        rows = {"image": f"{split}/" + table["image_id"], "subject": table["image_id"], "split": split}
        rows |= {"category": table["class_name"]}
        corners = _numbers(path, table, columns[2:])
        part_of_box = pd.Series(np.isin(np.isnan(corners).sum(axis=1), [1, 2, 3]))
        reject_rows(path, part_of_box, "some of x_min, y_min, x_max, y_max are empty")
        parts.append(_rows(pd.DataFrame(rows), corners))
    return pd.concat(parts, ignore_index=True)


def read_chestx_det(folder: Path) -> pd.DataFrame:
    """ChestX-Det (Lian et al. 2021): ChestX_Det_{train,test}.json, images {train,test}_data/<file_name>, 1024 x 1024.

    Corners in pixels; the polygons beside the boxes are not read. An image without a finding has no row. The names of
    the images are not those of ChestX-ray14, from which they come, and name no patient: each image is a subject.
    """
    rows: list[dict] = []
    corners: list[list[float]] = []
    for path in _found(folder, "chestx_det"):
        split = path.stem.removeprefix("ChestX_Det_")
        for i, entry in enumerate(_read_json(path, list)):
            name, names, boxes = _values(path, f"[{i}]", entry, {"file_name": str, "syms": list, "boxes": list})
            if len(names) != len(boxes):
                raise InputError(f"{path}: [{i}] has {len(names)} syms and {len(boxes)} boxes; download the file again")
            image = {"image": f"{split}_data/{name}", "subject": Path(name).stem, "split": split}
            rows += [image | {"category": str(category)} for category in names]
            corners += [_corners(path, f"[{i}].boxes", box) for box in boxes]
    return _rows(pd.DataFrame(rows, columns=["image", "subject", "split", "category"]), corners, side=1024.0)


def read_chexlocalize(folder: Path) -> pd.DataFrame:
    """CheXlocalize (Saporta et al. 2022): gt_segmentations_{val,test}.json, masks by image and finding.

    The images are CheXpert's, {val,test}/patient64541/study1/view1_frontal. Empty masks are those of findings that an
    image does not show; such rows are left out here.
    """
    rows = []
    for path in _found(folder, "chexlocalize"):
        split = path.stem.removeprefix("gt_segmentations_")
        for name, findings in _read_json(path, dict).items():
            parts = name.split("_", 2)
            if len(parts) < 3 or not isinstance(findings, dict):
                raise InputError(f"{path}: {name!r} is no patient64541_study1_view1_frontal; download the file again")
            image = {"image": "/".join([split, *parts]), "subject": parts[0], "split": split}
            for category, mask in findings.items():
                runs = encoded_runs(mask)
                if runs is None:
                    raise InputError(f"{path}: {name}.{category} is no run-length encoded mask; download it again")
                if rle.area(runs):
                    rows.append(image | {"category": category, "mask": _json_of(runs)})
    return _rows(pd.DataFrame(rows, columns=["image", "subject", "split", "category", "mask"]), None)


def read_padchest_gr(folder: Path) -> pd.DataFrame:
    """PadChest-GR (Castro et al. 2024): grounded_reports_*.json and master_table.csv, images <ImageID>.

    A sentence of the report is a phrase, with boxes (corners in shares of the image) or without; each of its labels is
    a category. The English sentences of a study, one after the other, are its text. master_table.csv names the patient
    and the split (train, validation, test).
    """
    *_, reports, master = _found(folder, "padchest_gr")
    table = read_csv(master, ["ImageID", "PatientID", "split"], "download PadChest-GR from BIMCV again")
    patients = table[["ImageID", "PatientID", "split"]].drop_duplicates()
    reject_rows(master, patients["ImageID"].duplicated(), "ImageID has another PatientID or split in an earlier row")
    of_image = {row.ImageID: (row.PatientID, row.split) for row in patients.itertuples()}
    rows: list[tuple] = []
    corners: list[list[float]] = []
    for i, study in enumerate(_read_json(reports, list)):
        image, findings = _values(reports, f"[{i}]", study, {"ImageID": str, "findings": list})
        if image not in of_image:
            raise InputError(f"{master}: has no row of the image {image}; download PadChest-GR from BIMCV again")
        parts = [_finding(reports, f"[{i}].findings[{j}]", finding) for j, finding in enumerate(findings)]
        phrases = [phrase for phrase, _, _ in parts]
        for phrase, boxes, labels in parts:
            for label in labels or [""]:
                row = (image, *of_image[image], label, phrase, " ".join(filter(None, phrases)))
                rows += [row] * max(1, len(boxes))
                corners += boxes or [[math.nan] * 4]
    columns = ["image", "subject", "split", "category", "phrase", "text"]
    return _rows(pd.DataFrame(rows, columns=columns), corners, side=1.0)


def _finding(path: Path, place: str, finding: Any) -> tuple[str, list[list[float]], list[str]]:
    """Sentence, boxes and labels of a finding of PadChest-GR; each may be missing."""
    if not isinstance(finding, dict):
        raise InputError(f"{path}: {place} is no finding; download the file again")
    boxes, labels = (finding.get(key) or [] for key in ("boxes", "labels"))
    if not (isinstance(boxes, list) and isinstance(labels, list) and all(isinstance(name, str) for name in labels)):
        raise InputError(f"{path}: {place} has no list of boxes or of labels; download the file again")
    return _folded(finding.get("sentence_en")), [_corners(path, f"{place}.boxes", box) for box in boxes], labels


def read_chestxray14(folder: Path) -> pd.DataFrame:
    """ChestX-ray14's boxes (Wang et al. 2017): BBox_List_2017.csv, images images/<Image Index>, 1024 x 1024.

    The patient is the number in front of an image's name. The split is train_val for what test_list.txt, where there
    is that file, does not list, else test. Infiltrate is called Infiltration, as in the table of images.
    """
    (path,) = _found(folder, "chestxray14")
    columns = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]
    table = read_csv(path, columns, "download ChestX-ray14's BBox_List_2017.csv again")[columns]
    names = table["Image Index"]
    reject_rows(path, ~names.str.fullmatch(r"\d{8}_\d{3}\.png"), "Image Index is not like 00000001_000.png")
    reject_rows(path, table["Finding Label"] == "", "Finding Label is empty")
    x, y, w, h = _numbers(path, table, columns[2:]).T
    rows = pd.DataFrame({"image": "images/" + names, "subject": names.str[:8], "split": "test"})
    rows["category"] = table["Finding Label"].replace("Infiltrate", "Infiltration")
    tested = folder / "test_list.txt"
    if tested.is_file():
        rows.loc[~names.isin(tested.read_text().split()), "split"] = "train_val"
    return _rows(rows, np.stack([x, y, x + w, y + h], axis=1), side=1024.0)


LAYOUTS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "csv": read_box_csv,
    "vindr_cxr": read_vindr_cxr,
    "chestx_det": read_chestx_det,
    "chexlocalize": read_chexlocalize,
    "padchest_gr": read_padchest_gr,
    "chestxray14": read_chestxray14,
}


def _found(folder: Path, layout: str) -> list[Path]:
    """The tables of a layout in its folder, of each name at least one, in the order of the names."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the folder of the set")
    found: list[Path] = []
    for pattern in BOX_TABLES[layout]:
        of_name = sorted(folder.glob(pattern))
        if not of_name:
            raise InputError(f"{folder}: holds no {pattern}; give the folder that does")
        found += of_name
    return found


def _rows(table: pd.DataFrame, corners: Sequence | np.ndarray | None, side: float = math.nan) -> pd.DataFrame:
    """COLUMNS from what a layout has: the finding's name is the phrase where it has none.

    corners: of boxes, x0, y0, x1, y1; side: of the square that they were drawn on, NaN for the image file's own size
    """
    x0, y0, x1, y1 = np.asarray([[math.nan] * 4] * len(table) if corners is None else corners, float).reshape(-1, 4).T
    box = {"x": x0, "y": y0, "w": x1 - x0, "h": y1 - y0, "image_width": side, "image_height": side}
    defaults = {"phrase": table["category"], "text": "", "mask": ""}
    return table.assign(**{name: value for name, value in defaults.items() if name not in table}, **box)[COLUMNS]


def _numbers(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """The cells of some columns as float (n, columns), NaN where they are empty."""
    values = []
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce")
        reject_rows(path, ~np.isfinite(numbers) & (table[column].str.strip() != ""), f"{column} is not a number")
        values.append(numbers.to_numpy(float))
    return np.stack(values, axis=1)


def _read_json(path: Path, kind: type) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); download the file again") from error
    if not isinstance(content, kind):
        raise InputError(f"{path}: is no JSON {'list' if kind is list else 'object'}; download the file again")
    return content


def _values(path: Path, place: str, entry: Any, types: Mapping[str, type]) -> list[Any]:
    """The values of some keys of an entry of a JSON file."""
    for key, kind in types.items():
        if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
            raise InputError(f"{path}: {place} has no valid {key!r}; download the file again")
    return [entry[key] for key in types]


def _corners(path: Path, place: str, box: Any) -> list[float]:
    try:
        corners = [float(value) for value in box]
    except (TypeError, ValueError):
        corners = []
    if len(corners) != 4:
        raise InputError(f"{path}: {place} has the box {box!r}, not four numbers; download the file again")
    return corners


def _folded(text: object) -> str:
    return " ".join(str(text or "").split())
