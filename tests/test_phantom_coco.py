import hashlib
import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.ndimage import label as count_parts

from tradeoffs.data.coco import prepare_grounding, prepare_images
from tradeoffs.data.coco_categories import COCO_CATEGORIES, query_words
from tradeoffs.data.findings import QUERY_WORDS
from tradeoffs.demo.phantom_coco import draw_picture, polygons, run_lengths, write_phantom_coco
from tradeoffs.demo.scenes import LOOKS

SEED, COUNTS = 5, {"train": 40, "val": 20}
PICTURES = [draw_picture(key) for key in range(150)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    return folder, write_phantom_coco(folder, SEED, **COUNTS)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def annotations(folder, kind, part):
    return json.loads((folder / "annotations" / f"{kind}_{part}.json").read_text())


def named(caption):
    """Classes in a caption, longest names first so that a hot dog is no dog."""
    found, text = set(), caption.lower()
    for name in sorted(COCO_CATEGORIES.values(), key=len, reverse=True):
        for word in query_words(name):
            if re.search(rf"\b{word}\b", text):
                found.add(name)
                text = re.sub(rf"\b{word}\b", "", text)
    return found


# --- pictures ------------------------------------------------------------------------------------------------------


def test_the_classes_are_cocos_and_none_is_a_word_of_a_finding():
    assert set(LOOKS) <= set(COCO_CATEGORIES.values()) and len(LOOKS) == 16
    assert sum(" " in name for name in LOOKS) == 4 and {"car", "carrot", "person"} <= set(LOOKS)
    assert not set(LOOKS) & {word for words in QUERY_WORDS.values() for word in words}


def test_pictures_vary():
    again = draw_picture(7)
    assert again.image.tobytes() == PICTURES[7].image.tobytes() and again.captions == PICTURES[7].captions
    assert len({picture.image.tobytes() for picture in PICTURES}) == len(PICTURES)
    shapes = np.array([picture.image.shape[:2] for picture in PICTURES])
    assert shapes.min() >= 128 and shapes.max() <= 200
    assert 30 < (shapes[:, 0] > shapes[:, 1]).sum() < 120  # portrait and landscape
    assert 0 < sum(picture.image.ndim == 2 for picture in PICTURES) < 20
    assert {thing.name for picture in PICTURES for thing in picture.seen} == set(LOOKS)
    assert 0 < sum(any(thing.crowd for thing in picture.seen) for picture in PICTURES) < 25
    several = [len(p.seen) > len({thing.name for thing in p.seen}) for p in PICTURES]
    assert 20 < sum(several) < 75  # expected: 30 % of 150


def test_masks_are_apart_visible_and_mostly_in_the_central_square():
    inside = []
    for picture in PICTURES:
        masks = [thing.mask for thing in picture.seen]
        assert np.sum(masks, axis=0).max() == 1 and min(mask.sum() for mask in masks) >= 40
        height, width = picture.image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        inside += [mask[top : top + side, left : left + side].sum() / mask.sum() for mask in masks]
    assert np.mean(inside) > 0.9


def test_places_tell_little():
    """Centres spread over the image and sizes over more than a factor of five."""
    centres = np.array(
        [np.argwhere(t.mask).mean(axis=0) / t.mask.shape for p in PICTURES for t in p.seen if not t.crowd]
    )
    assert centres.std(axis=0).min() > 0.18  # 0.29 would be uniform over the whole image
    extents = np.array([t.mask.sum() / min(t.mask.shape) ** 2 for p in PICTURES for t in p.seen])
    assert np.percentile(extents, 95) > 5 * np.percentile(extents, 5)


def test_things_have_their_colours():
    red = [p.image[t.mask].mean(axis=0) for p in PICTURES if p.image.ndim == 3 for t in p.seen if t.name == "apple"]
    blue = [p.image[t.mask].mean(axis=0) for p in PICTURES if p.image.ndim == 3 for t in p.seen if t.name == "car"]
    assert min(r - b for r, _, b in red) > 50 and min(b - r for r, _, b in blue) > 20


def test_captions_name_what_is_seen():
    complete = 0
    for picture in PICTURES:
        seen = {thing.name for thing in picture.seen}
        assert len(picture.captions) == 5 and all(named(caption) <= seen for caption in picture.captions)
        first = named(picture.captions[0])
        assert len(first) >= max(len(seen) - 1, 1)
        complete += first == seen
        for caption in picture.captions:
            for word in re.findall(r"\b(?:two|three)\b [a-z ]+", caption.lower()):
                count = {"two": 2, "three": 3}[word.split()[0]]
                names = [n for n in seen if any(word.split(" ", 1)[1].startswith(w) for w in query_words(n)[-2:])]
                assert any(sum(t.name == name for t in picture.seen) == count for name in names), caption
    assert complete > 0.8 * len(PICTURES)
    texts = [caption for picture in PICTURES for caption in picture.captions]
    assert len(set(texts)) > 0.8 * len(texts)
    for words in ("on the left", "small", "three", "next to", "people", "A black and white photo"):
        assert any(words in text for text in texts), words


def test_sides_are_the_viewers():
    found = 0
    for picture in PICTURES:
        for name, side in re.findall(r"\ba ([a-z ]+?) on the (left|right)", " ".join(picture.captions)):
            things = [thing for thing in picture.seen if thing.name == name]
            if things:
                centre = np.flatnonzero(things[0].mask.any(axis=0)).mean() / picture.image.shape[1]
                assert (centre < 0.5) == (side == "left")
                found += 1
    assert found > 30


# --- outlines ------------------------------------------------------------------------------------------------------


def test_polygons_are_the_masks_within_a_pixel():
    cut = 0
    for picture in PICTURES:
        for mask in (thing.mask for thing in picture.seen if not thing.crowd):
            outlines = polygons(mask)
            drawn = rle.decode(rle.merge(rle.frPyObjects(outlines, *mask.shape))).astype(bool)
            assert not (drawn & ~binary_dilation(mask)).any() and not (binary_erosion(mask) & ~drawn).any()
            cut += count_parts(mask)[1] > 1
    assert cut > 5  # things that occlusion splits


def test_polygons_of_a_frame_keep_its_hole():
    frame = np.zeros((20, 30), dtype=bool)
    frame[2:18, 5:25] = True
    frame[8:12, 10:20] = False
    outlines = polygons(frame)
    drawn = rle.decode(rle.merge(rle.frPyObjects(outlines, 20, 30))).astype(bool)
    assert len(outlines) == 2 and not drawn[9:11, 11:19].any()
    assert (drawn != frame).sum() <= 8  # at most the corners of the frame and of its hole
    (square,) = polygons(np.pad(np.ones((4, 3), dtype=bool), 2))
    x, y = np.array(square).reshape(-1, 2).T
    assert (x.min(), x.max(), y.min(), y.max()) == (2, 5, 2, 6)


def test_run_lengths_go_down_the_columns():
    mask = np.array([[0, 1, 1], [0, 0, 1]], dtype=bool)
    assert run_lengths(mask) == {"counts": [2, 1, 1, 2], "size": [2, 3]}  # down the columns: 00 10 11
    assert run_lengths(np.array([[1, 0]], dtype=bool)) == {"counts": [0, 1, 1], "size": [1, 2]}


# --- files ---------------------------------------------------------------------------------------------------------


def test_same_bytes_whatever_the_workers(written, tmp_path):
    write_phantom_coco(tmp_path / "two", SEED, **COUNTS, workers=2)
    expected = digests(written[0])
    assert digests(tmp_path / "two") == expected and len(expected) == 60 + 4
    write_phantom_coco(tmp_path / "other", SEED + 1, train=1, val=1)
    assert not set(digests(tmp_path / "other").values()) & set(expected.values())


def test_layout_is_cocos(written):
    folder, counts = written
    found = {"images": 0, "objects": 0, "crowds": 0}
    for part, number in (("train2017", 40), ("val2017", 20)):
        instances, captions = annotations(folder, "instances", part), annotations(folder, "captions", part)
        assert set(instances) == {"info", "licenses", "images", "annotations", "categories"}
        assert set(captions) == set(instances) - {"categories"}
        assert captions["images"] == instances["images"] and len(instances["images"]) == number
        assert {c["id"]: c["name"] for c in instances["categories"]} == COCO_CATEGORIES
        groups = {c["name"]: c["supercategory"] for c in instances["categories"]}
        expected = {
            "person": "person",
            "boat": "vehicle",
            "bench": "outdoor",
            "giraffe": "animal",
            "frisbee": "sports",
            "umbrella": "accessory",
            "bowl": "kitchen",
            "cake": "food",
            "toilet": "furniture",
            "tv": "electronic",
            "refrigerator": "appliance",
            "book": "indoor",
        }
        assert groups | expected == groups
        for image in instances["images"]:
            assert re.fullmatch(r"\d{12}\.jpg", image["file_name"]) and int(image["file_name"][:12]) == image["id"]
            with Image.open(folder / part / image["file_name"]) as file:
                assert file.size == (image["width"], image["height"]) and file.mode in ("L", "RGB")
        assert len({c["id"] for c in captions["annotations"]}) == 5 * number
        for annotation in instances["annotations"]:
            found["objects"] += 1
            found["crowds"] += annotation["iscrowd"]
            kind = dict if annotation["iscrowd"] else list
            assert isinstance(annotation["segmentation"], kind) and len(annotation["bbox"]) == 4
        assert len({a["id"] for a in instances["annotations"]}) == len(instances["annotations"])
        found["images"] += number
    assert found == counts and found["crowds"] > 0


def test_files_hold_what_was_drawn(written):
    """Pixels, captions in their order, classes, boxes and masks."""
    folder, _ = written
    instances, captions = annotations(folder, "instances", "val2017"), annotations(folder, "captions", "val2017")
    for image in instances["images"]:
        picture = draw_picture((SEED, image["id"]))
        stored = np.asarray(Image.open(folder / "val2017" / image["file_name"])).astype(int)
        assert stored.shape == picture.image.shape and np.abs(stored - picture.image).mean() < 8  # JPEG
        texts = sorted((c["id"], c["caption"]) for c in captions["annotations"] if c["image_id"] == image["id"])
        assert [text for _, text in texts] == picture.captions
        objects = [a for a in instances["annotations"] if a["image_id"] == image["id"]]
        assert len(objects) == len(picture.seen)
        for thing in picture.seen:
            rows, columns = np.nonzero(thing.mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            (found,) = (a for a in objects if a["bbox"] == box)
            assert COCO_CATEGORIES[found["category_id"]] == thing.name and found["area"] == len(rows)


def test_preparation_reads_them(written):
    folder, _ = written
    images, captions, counts = prepare_images(folder, 0.0)
    assert counts["read"] == counts["kept"] == 60 and len(captions) == 300
    assert images["split"].value_counts().to_dict() == {"train": 40, "test": 20}
    grounding, counts = prepare_grounding(folder, images, captions)
    dropped = {reason for reason, n in counts.items() if n and reason not in ("read", "kept")}
    assert dropped <= {"class not named in the caption"} and counts["kept"] > 0.85 * counts["read"]
    assert grounding["sample_id"].nunique() == 20
    for row in grounding.itertuples():
        mask = rle.decode(json.loads(row.mask)).astype(bool)
        picture = draw_picture((SEED, int(row.sample_id)))
        union = np.any([thing.mask for thing in picture.seen if thing.name == row.category], axis=0)
        assert mask.shape == union.shape == (row.image_height, row.image_width)
        assert not (mask & ~binary_dilation(union)).any() and not (binary_erosion(union) & ~mask).any()
        assert len(row.boxes) == sum(thing.name == row.category for thing in picture.seen)


def test_the_script_writes_images_and_tells_their_number_in_its_log(tmp_path, run_script):
    phantoms = {"seed": 1, "train": 2, "val": 1}
    run_script("write_phantom_coco", params={"phantoms": phantoms}, output={"raw": tmp_path / "raw"})
    assert len(list((tmp_path / "raw").rglob("*.jpg"))) == 3
    assert "3 phantoms with" in (tmp_path / "write_phantom_coco.log").read_text()
