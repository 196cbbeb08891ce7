"""MS-COCO 2017 (Lin et al. 2014) as an image table, a caption table and a grounding table.

As in the original, train2017 is trained on (split train) and val2017 is tested on (split test).
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pycocotools import mask as rle

from tradeoffs.data.coco_categories import COCO_CATEGORIES
from tradeoffs.data.images import check_image_files, image_size
from tradeoffs.data.limits import BEYOND, beyond_limits
from tradeoffs.data.raw_files import coco_annotations
from tradeoffs.data.tables import GROUNDING_COLUMNS, IMAGE_COLUMNS, encoded_runs, read_csv, reject_rows
from tradeoffs.data.words import is_named
from tradeoffs.errors import InputError
from tradeoffs.files import for_each_file
from tradeoffs.protocols import PROTOCOLS

_SPLITS = {"train2017": "train", "val2017": "test"}
_SIDE_COUNTS = (
    "captions listed twice",
    "captions that are empty",
    "captions of unlisted images",
    "objects of unlisted images",
)
Kinds = dict[str, dict[str, type | tuple[type, ...]]]  # lists of an annotation file: keys of entries, their types
_SIZED_IMAGES: Kinds = {"images": {"id": int, "file_name": str, "width": int, "height": int}}
_REMEDY = "download MS-COCO 2017's images and annotations again"


def prepare_images(
    coco: str | Path,
    max_missing: float,
    prepared: str | Path | None = None,
    limits: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Makes the image table and the table of all captions.

    coco: the folder with annotations/, train2017/ and val2017/
    max_missing: share of the images of train2017, and of val2017, that may be missing or unreadable
    prepared: the original's table of training images (see read_prepared) in place of train2017's annotations
    limits: a pilot's images of a split (train, test), at most (see `beyond_limits`; each image is a subject)

    An image's text is its first caption, the one of lowest id that is not empty; white space is folded. Its labels are
    the classes annotated in it, in the order of their ids; the prepared table knows none.
    Returns the image table sorted by id, the captions (sample_id, text) sorted by image and caption id, and counts of
    images by reason; the counts that begin with "captions" or "objects" are of those.
    Raises InputError if the files are not as their owners ship them, too many are missing, or nothing is left.
    """
    coco = Path(coco)
    side_counts = dict.fromkeys(_SIDE_COUNTS, 0)
    parts = [_read_part(coco, part, side_counts) for part in _SPLITS if not (prepared and part == "train2017")]
    if prepared:
        parts.insert(0, read_prepared(prepared))
    images = pd.concat(parts, ignore_index=True)
    images["path"] = [f"{coco}/{path}" for path in images["path"]]
    counts = {"read": len(images)}

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal images
        counts[reason] = int(bad.sum())
        images = images[~bad]

    drop(images["sample_id"].duplicated() | images.duplicated(["split", "image_id"]), "image listed twice")
    if prepared:
        drop(images["split"] == "", "not of the split train")
    if limits:
        drop(beyond_limits(images.assign(subject_id=images["sample_id"]), limits), BEYOND)
    paths_of_parts = [part["path"] for _, part in images.groupby("split")]
    faults = pd.concat(
        pd.Series(check_image_files(paths.tolist(), max_missing, "data.coco"), paths.index, dtype=str)
        for paths in paths_of_parts
    )
    drop(faults[images.index] == "missing", "image file missing")
    drop(faults[images.index] == "unreadable", "image file unreadable")
    drop(images["captions"].map(len) == 0, "no caption")
    counts |= side_counts
    counts["no annotated object (kept)"] = int((images["Finding Labels"] == "").sum())
    counts["kept"] = len(images)
    for part, split in _SPLITS.items():
        if not (images["split"] == split).any():
            raise InputError(f"{coco / part}: no image is left of {counts}; {_REMEDY}")

    images = images.sort_values("sample_id", ignore_index=True)
    images["text"] = images["captions"].str[0].astype(str)
    captions = images.explode("captions", ignore_index=True)
    captions = captions[["sample_id", "captions"]].rename(columns={"captions": "text"})
    return images.assign(subject_id=images["sample_id"], study_id="")[IMAGE_COLUMNS], captions, counts


def count_images(
    coco: str | Path, prepared: str | Path | None = None, limits: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Numbers of listed images by split (train, test); images and objects are not looked at.

    coco, prepared, limits: as in prepare_images, whose errors it raises
    """
    numbers = {
        split: count_listed(coco, part) for part, split in _SPLITS.items() if not (prepared and part == "train2017")
    }
    if prepared:
        numbers["train"] = int((read_prepared(prepared)["split"] == "train").sum())
    return {split: min(number, (limits or {}).get(split, number)) for split, number in numbers.items()}


def listed_images(coco: str | Path, part: str) -> list[str]:
    """Paths below COCO's folder of the images that train2017 or val2017 lists, captions and instances read as a run
    reads them; raises InputError as that does."""
    if part == "val2017":  # its objects are scored on
        _read_instances(Path(coco, coco_annotations("instances", part)), _SIZED_IMAGES)
    return _read_part(Path(coco), part, dict.fromkeys(_SIDE_COUNTS, 0))["path"].tolist()


def count_listed(coco: str | Path, part: str) -> int:
    """Number of images that the captions of train2017 or val2017 list; raises InputError if they cannot be read."""
    return len(_read(Path(coco, coco_annotations("captions", part)), {"images": {"id": int}})["images"])


def count_captions(coco: str | Path, part: str, most: int | None = None) -> int:
    """Number of captions of train2017 or val2017, of each image `most` at most; raises InputError as `count_listed`."""
    content = _read(Path(coco, coco_annotations("captions", part)), {"annotations": {"image_id": int}})
    of_images = Counter(caption["image_id"] for caption in content["annotations"])
    return sum(min(number, most or number) for number in of_images.values())


def prepare_grounding(
    coco: str | Path, images: pd.DataFrame, captions: pd.DataFrame, most_captions: int | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Groups the objects of val2017 into one row per caption and class that the caption names.

    coco: the folder with annotations/ and val2017/
    images, captions: of prepare_images, of which the split test is used
    most_captions: so many captions of an image at most, those of the lowest ids; None: all, as in the original

    A class counts as named if either protocol finds it in the caption (docs/differences.md, row 10).
    `text_id` is the caption's: the image's id and the caption's number in the image, from 1.
    `mask` is the union of the class's objects, crowds included: JSON of a compressed run-length encoding as
    pycocotools has it, {"size": [height, width], "counts": "..."}; `boxes` are the objects' boxes cut at the border.
    Returns the grounding table, sorted by image, caption and class id, and counts of objects by reason.
    Raises InputError if the annotations are not as their owners ship them, or nothing is left.
    """
    path = Path(coco, coco_annotations("instances", "val2017"))
    content = _read_instances(path, _SIZED_IMAGES)
    listed = {
        image["id"]: (Path(image["file_name"]).stem, image["width"], image["height"]) for image in content["images"]
    }
    rows = pd.DataFrame(content["annotations"], columns=["id", "image_id", "category_id", "bbox", "segmentation"])
    counts = {"read": len(rows)}
    test = images[images["split"] == "test"].set_index("sample_id")

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal rows
        counts[reason] = int(bad.sum())
        rows = rows[~bad]

    drop(rows["id"].duplicated(), "object listed twice")
    rows = rows.assign(sample_id=[listed.get(image, ("",))[0] for image in rows["image_id"]])
    drop(~rows["sample_id"].isin(test.index), "image not in the test split of the image table")
    rows = rows.join(test[["subject_id", "path"]], on="sample_id")
    rows = rows.assign(category=rows["category_id"].map(COCO_CATEGORIES))
    named = _named(rows, captions, most_captions)
    pairs = pd.MultiIndex.from_frame(named[["sample_id", "category"]])
    drop(~pd.MultiIndex.from_frame(rows[["sample_id", "category"]]).isin(pairs), "class not named in a caption")
    sizes = [listed[image][1:] for image in rows["image_id"]]
    rows = rows.assign(image_width=[width for width, _ in sizes], image_height=[height for _, height in sizes])
    paths = rows["path"].unique().tolist()
    real = dict(zip(paths, for_each_file(image_size, paths, "image sizes"), strict=True))
    differs = [real[path] != size for path, size in zip(rows["path"], sizes, strict=True)]
    drop(pd.Series(differs, index=rows.index, dtype=bool), "image size differs from its annotation")

    size = ("image_width", "image_height")
    rows = rows.assign(
        mask=[_encoded(*row) for row in rows[["segmentation", *size]].itertuples(index=False)],
        boxes=[_clipped(*row) for row in rows[["bbox", *size]].itertuples(index=False)],
    )
    drop(rows["mask"].isna(), "outline malformed or without a pixel")
    drop(rows["boxes"].isna(), "box malformed, empty or outside the image")
    counts["kept"] = len(rows)
    if rows.empty:
        raise InputError(f"{path}: no object is left of {counts}; check that it fits the image table")

    rows = rows.sort_values(["sample_id", "category_id", "id"])
    table = rows.groupby(["sample_id", "category_id"], sort=True, as_index=False).agg(
        {"subject_id": "first", "path": "first", "category": "first", "boxes": list, "mask": _union}
        | dict.fromkeys(size, "first")
    )
    table = table.merge(named, on=["sample_id", "category"])
    table = table.sort_values(["sample_id", "caption", "category_id"], ignore_index=True)
    number = table.groupby("sample_id").cumcount() + 1
    table = table.assign(
        phrase_id=table["sample_id"] + "-" + number.astype(str),
        phrase=table["category"],
        text_id=table["sample_id"] + "-caption" + table["caption"].astype(str),
        part="test",
        words="",
    )
    return table[GROUNDING_COLUMNS], counts


def read_prepared(path: str | Path) -> pd.DataFrame:
    """Reads the original's table of training images, train2017_meta.csv, one row per image.

    Returns sample_id, image_id, split (train, "" for others), path below COCO's folder, captions (lists) and Finding
    Labels (all empty). In the file, captions are joined by "|" and split is 1 for training.
    Raises InputError for a missing file or column, an unknown split, or a path that is no image below the folder.
    """
    columns = ["path", "captions", "split"]
    table = read_csv(path, columns, "give the original's train2017_meta.csv")[columns]
    split = table["split"].str.removesuffix(".0")
    reject_rows(path, ~split.isin(["0", "1", "2"]), "split is none of 0 (test), 1 (train), 2 (val)")
    image = table["path"].str.fullmatch(r"train2017/\w[\w.-]*")
    reject_rows(path, ~image, "path is not that of an image below the folder, train2017/<name>.jpg")
    captions = table["captions"].str.split("|").map(lambda texts: [" ".join(text.split()) for text in texts])
    names = table["path"].map(lambda path: Path(path).stem)
    return pd.DataFrame(
        {
            "sample_id": names,
            "image_id": names,
            "split": split.map({"1": "train"}).fillna(""),
            "path": table["path"],
            "captions": captions.map(lambda texts: [text for text in texts if text]),
            "Finding Labels": "",
        }
    )


def _read_part(coco: Path, part: str, counts: dict[str, int]) -> pd.DataFrame:
    """All listed images of train2017 or val2017: columns as of read_prepared, and the classes as Finding Labels."""
    path = coco / coco_annotations("captions", part)
    content = _read(
        path,
        {"images": {"id": int, "file_name": str}, "annotations": {"id": int, "image_id": int, "caption": str}},
    )
    listed = {image["id"] for image in content["images"]}
    captions = {caption["id"]: caption for caption in reversed(content["annotations"])}  # of several the first counts
    counts["captions listed twice"] += len(content["annotations"]) - len(captions)
    texts = defaultdict(list)
    for caption in sorted(captions.values(), key=lambda caption: caption["id"]):
        text = " ".join(caption["caption"].split())
        if caption["image_id"] not in listed:
            counts["captions of unlisted images"] += 1
        elif not text:
            counts["captions that are empty"] += 1
        else:
            texts[caption["image_id"]].append(text)

    classes = defaultdict(set)
    for annotation in _read_instances(coco / coco_annotations("instances", part))["annotations"]:
        classes[annotation["image_id"]].add(annotation["category_id"])
        counts["objects of unlisted images"] += annotation["image_id"] not in listed

    names = [image["file_name"] for image in content["images"]]
    for i, name in enumerate(names):
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise InputError(f"{path}: images[{i}] has the file_name {name!r}, which is none in {part}/; {_REMEDY}")
    return pd.DataFrame(
        {
            "sample_id": [Path(name).stem for name in names],
            "image_id": [image["id"] for image in content["images"]],
            "split": _SPLITS[part],
            "path": [f"{part}/{name}" for name in names],
            "captions": [texts[image["id"]] for image in content["images"]],
            "Finding Labels": [
                "|".join(COCO_CATEGORIES[number] for number in sorted(classes[image["id"]]))
                for image in content["images"]
            ],
        }
    )


def _read_instances(path: Path, more: Kinds | None = None) -> dict[str, list[dict]]:
    """Objects and classes of an annotation file, and `more` of its lists; the classes must be COCO's."""
    kinds: Kinds = {
        "annotations": {"id": int, "image_id": int, "category_id": int, "bbox": list, "segmentation": (list, dict)},
        "categories": {"id": int, "name": str},
    }
    content = _read(path, kinds | (more or {}))
    for category in content["categories"]:
        if COCO_CATEGORIES.get(category["id"]) != category["name"]:
            raise InputError(
                f"{path}: category {category['id']} {category['name']!r} is none of MS-COCO's 80; {_REMEDY}"
            )
    for i, annotation in enumerate(content["annotations"]):
        if annotation["category_id"] not in COCO_CATEGORIES:
            raise InputError(
                f"{path}: annotations[{i}] has the category_id {annotation['category_id']}, which is none of "
                f"MS-COCO's 80; {_REMEDY}"
            )
    return content


def _read(path: Path, kinds: Kinds) -> dict[str, list[dict]]:
    """A file of annotations; `kinds` names its lists and, of every entry of a list, keys and types."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; {_REMEDY}") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: JSON's and encoding errors
        raise InputError(f"{path}: cannot be read as JSON ({error}); {_REMEDY}") from error
    for kind, keys in kinds.items():
        entries = content.get(kind) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise InputError(f"{path}: has no list {kind!r}; {_REMEDY}")
        for i, entry in enumerate(entries):
            for key, expected in keys.items():
                if not isinstance(entry, dict) or not isinstance(entry.get(key), expected):
                    raise InputError(f"{path}: {kind}[{i}] has no valid {key!r}; correct it or {_REMEDY}")
    return content


def _named(rows: pd.DataFrame, captions: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """Of the objects' images, each caption with each of the image's classes that either protocol finds in it: columns
    sample_id, category, caption (its number in the image) and text."""
    captions = captions.assign(caption=captions.groupby("sample_id").cumcount() + 1)
    if most is not None:
        captions = captions[captions["caption"] <= most]
    pairs = rows[["sample_id", "category"]].drop_duplicates().merge(captions, on="sample_id")
    named = [
        any(is_named(row.text, row.category, protocol) for protocol in PROTOCOLS.values()) for row in pairs.itertuples()
    ]
    return pairs[np.array(named, dtype=bool)]


def _encoded(segmentation: list | dict, width: int, height: int) -> dict | None:
    """A segmentation (polygons or run-length encoding) as pycocotools' compressed encoding.

    None if it is malformed or covers no pixel.
    """
    if isinstance(segmentation, list):
        encoded = _encoded_polygons(segmentation, width, height)
    else:
        encoded = _encoded_runs(segmentation, width, height)
    return encoded if encoded is not None and rle.area(encoded) > 0 else None


def _encoded_polygons(polygons: list, width: int, height: int) -> dict | None:
    corners = []
    for polygon in polygons:
        try:
            points = np.array(polygon, dtype=float).reshape(-1, 2)
        except (TypeError, ValueError):
            return None
        # pycocotools needs time and memory in proportion to a coordinate, without a limit.
        if not (np.abs(points - np.array([width, height]) / 2) <= 10 * max(width, height)).all():
            return None
        if len(points) >= 3:  # fewer cover nothing, and pycocotools takes two for a box
            corners.append(points.ravel().tolist())
    return rle.merge(rle.frPyObjects(corners, height, width)) if corners else None


def _encoded_runs(runs: dict, width: int, height: int) -> dict | None:
    return encoded_runs(runs) if runs.get("size") == [height, width] else None


def _clipped(box: list, width: int, height: int) -> list[float] | None:
    """The box [x, y, w, h] cut at the image border; None if it is malformed or nothing is left."""
    if len(box) != 4 or not all(isinstance(value, int | float) and math.isfinite(value) for value in box):
        return None
    x, y, w, h = map(float, box)
    left, top = max(x, 0.0), max(y, 0.0)
    # A width is changed only where the border cuts it, so that left + width never exceeds the image by rounding.
    w = min(x + w if x < 0 else w, width - left)
    h = min(y + h if y < 0 else h, height - top)
    return [left, top, w, h] if w > 0 and h > 0 else None


def _union(masks: pd.Series) -> str:
    merged = rle.merge(masks.tolist())
    return json.dumps({"size": merged["size"], "counts": merged["counts"].decode("ascii")})
