import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as rle

from tradeoffs.data.coco import count_images, prepare_grounding, prepare_images, read_prepared
from tradeoffs.data.coco_categories import COCO_CATEGORIES, COCO_NAMES, query_words
from tradeoffs.data.prompts import caption_prompts
from tradeoffs.data.tables import read_grounding, read_images, read_prompts, write_table
from tradeoffs.errors import InputError

PERSON, CAR, CARROT, HOT_DOG, DOG = 1, 3, 57, 58, 18
WIDTH, HEIGHT = 12, 10


def rectangle(x, y, w, h):
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def runs(mask):
    """COCO's uncompressed encoding, by walking down the columns pixel by pixel."""
    counts, value = [0], False
    for pixel in mask.T.reshape(-1).tolist():
        if pixel == value:
            counts[-1] += 1
        else:
            counts.append(1)
            value = pixel
    return {"size": list(mask.shape), "counts": counts}


def decoded(cell):
    return rle.decode(json.loads(cell)).astype(bool)


def box_mask(x, y, w, h):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return mask


class Coco:
    """A folder in MS-COCO's layout, filled image by image; parts are called train and val."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.images = {"train": [], "val": []}
        self.captions = {"train": [], "val": []}
        self.objects = {"train": [], "val": []}
        for part in self.images:
            (folder / f"{part}2017").mkdir(parents=True)

    def image(self, part, number, *captions, file=True, mode="RGB", size=(WIDTH, HEIGHT), listed=(WIDTH, HEIGHT)):
        name = f"{number:012d}.jpg"
        self.images[part].append({"id": number, "file_name": name, "width": listed[0], "height": listed[1]})
        for text in captions:
            self.caption(part, number, text, 100 * number + len(self.captions[part]))
        if file:
            Image.new(mode, size).save(self.folder / f"{part}2017" / name)

    def caption(self, part, image, text, number):
        self.captions[part].append({"id": number, "image_id": image, "caption": text})

    def object(self, part, image, category, segmentation=None, bbox=(1, 1, 4, 4), number=None, crowd=0):
        row = {"image_id": image, "category_id": category, "bbox": list(bbox), "iscrowd": crowd}
        row["segmentation"] = [rectangle(*bbox)] if segmentation is None else segmentation
        self.objects[part].append(row | {"id": number or 1000 + len(self.objects[part])})

    def write(self):
        for part in self.images:
            head = {"info": {}, "licenses": [], "images": self.images[part]}
            categories = [{"id": number, "name": name} for number, name in COCO_CATEGORIES.items()]
            self.json(f"captions_{part}2017", head | {"annotations": self.captions[part]})
            self.json(f"instances_{part}2017", head | {"annotations": self.objects[part], "categories": categories})
        return self

    def json(self, name, content):
        path = self.folder / "annotations" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def prepare(self, max_missing=0.0):
        return prepare_images(self.write().folder, max_missing)

    def ground(self, max_missing=0.0):
        return prepare_grounding(self.folder, self.prepare(max_missing)[0])


@pytest.fixture
def coco(tmp_path):
    """With one image each of train2017 and val2017."""
    made = Coco(tmp_path)
    made.image("train", 9, "A car.")
    made.image("val", 139, "A person and a car.")
    made.object("val", 139, PERSON)
    return made


def dropped(counts):
    return {reason: n for reason, n in counts.items() if n and reason not in ("read", "kept")}


# --- classes -------------------------------------------------------------------------------------------------------


def test_categories_are_cocos():
    assert len(COCO_NAMES) == len(set(COCO_NAMES)) == 80
    assert sum(" " in name for name in COCO_NAMES) == 15
    # ids that COCO left out
    assert set(range(1, 91)) - set(COCO_CATEGORIES) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert [COCO_CATEGORIES[i] for i in (1, 13, 27, 44, 62, 72, 90)] == (
        ["person", "stop sign", "backpack", "bottle", "chair", "tv", "toothbrush"]
    )


@pytest.mark.parametrize(
    "words",
    [
        ("person", "people", "persons"),
        ("mouse", "mice"),
        ("knife", "knives"),
        ("sheep",),
        ("skis",),
        ("scissors",),
        ("bus", "buses"),
        ("bench", "benches"),
        ("wine glass", "wine glasses"),
        ("toothbrush", "toothbrushes"),
        ("hot dog", "hot dogs"),
        ("car", "cars"),
    ],
)
def test_a_class_is_queried_by_its_name_and_plurals(words):
    assert words[0] in COCO_NAMES and query_words(words[0]) == words


# --- images and captions -------------------------------------------------------------------------------------------


def test_images_and_captions(coco):
    coco.image("train", 7)
    coco.caption("train", 7, "second", 21)
    coco.caption("train", 7, "third", 300)
    coco.caption("train", 7, "  first \n of  all ", 20)
    for category in (CARROT, CAR, CARROT):
        coco.object("train", 7, category)
    images, captions, counts = coco.prepare()
    assert images.to_dict("records") == [
        {
            "sample_id": name,
            "subject_id": name,
            "study_id": "",
            "path": f"{coco.folder}/{part}2017/{name}.jpg",
            "split": split,
            "text": text,
            "Finding Labels": labels,
        }
        for name, part, split, text, labels in (
            ("000000000007", "train", "train", "first of all", "car|carrot"),
            ("000000000009", "train", "train", "A car.", ""),
            ("000000000139", "val", "test", "A person and a car.", "person"),
        )
    ]
    assert captions.to_dict("list") == {
        "sample_id": ["000000000007"] * 3 + ["000000000009"],
        "text": ["first of all", "second", "third", "A car."],
    }
    assert counts["read"] == counts["kept"] == 3
    assert dropped(counts) == {"no annotated object (kept)": 1}


def test_listed_images_are_counted(coco, tmp_path):
    coco.image("train", 7, "A carrot.", file=False)
    coco.write()
    assert count_images(coco.folder) == {"train": 2, "test": 1}
    table = tmp_path / "prepared.csv"
    table.write_text("path,captions,split\ntrain2017/000000000009.jpg,A car.,1\ntrain2017/a.jpg,A car.,2\n")
    assert count_images(coco.folder, table) == {"train": 1, "test": 1}


def test_the_originals_table_stands_for_the_training_annotations(coco, tmp_path):
    coco.image("train", 7, "first of all", "second")
    coco.image("train", 8, file=False)
    expected, expected_captions, expected_counts = coco.prepare(max_missing=0.4)
    for path in (coco.folder / "annotations").glob("*_train2017.json"):
        path.unlink()
    table = tmp_path / "train2017_meta.csv"
    table.write_text(
        ",path,segmentation_path,captions,captions_filtered,split\n"
        "0,train2017/000000000009.jpg,x.png, A car.,,1\n"
        "1,train2017/000000000007.jpg,x.png, first  of all|| second ,,1.0\n"
        "2,train2017/000000000008.jpg,x.png,,,1\n"
        "3,train2017/000000000003.jpg,x.png,Of the original's validation.,,2\n"
    )
    images, captions, counts = prepare_images(coco.folder, 0.4, table)
    pd.testing.assert_frame_equal(images, expected)
    pd.testing.assert_frame_equal(captions, expected_captions)
    other = {"read": 5, "not of the split train": 1, "no annotated object (kept)": 2}
    assert counts == expected_counts | other


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("train2017/../../9.jpg,A car.,1", "path is not that of an image"),
        ("/train2017/9.jpg,A car.,1", "path is not that of an image"),
        ("9.jpg,A car.,1", "path is not that of an image"),
        ("train2017/9.jpg,A car.,train", "split is none of 0"),
    ],
)
def test_wrong_rows_of_the_originals_table_are_named(tmp_path, row, message):
    (tmp_path / "train2017_meta.csv").write_text(f"path,captions,split\ntrain2017/7.jpg,A dog.,1\n{row}\n")
    with pytest.raises(InputError, match=f"train2017_meta.csv, row 3: {message}"):
        read_prepared(tmp_path / "train2017_meta.csv")


def test_what_is_left_out_of_the_images(coco):
    coco.image("train", 10, "text", file=False)
    coco.image("train", 11)
    coco.image("train", 12, " ", "\n")
    coco.image("train", 14, "text")
    (coco.folder / "train2017" / "000000000014.jpg").write_bytes(b"<html>Error 503</html>")
    coco.image("train", 9, "listed again")  # with a caption that belongs to the first as well
    coco.image("val", 13)
    coco.caption("val", 139, "twice", 5000)
    coco.caption("val", 139, "twice", 5000)
    coco.caption("train", 4711, "of no image", 5001)
    coco.object("train", 4711, CAR)
    images, captions, counts = coco.prepare(max_missing=0.5)  # 2 of 5 are
    assert images["sample_id"].tolist() == ["000000000009", "000000000139"]
    assert captions["text"].tolist() == ["A car.", "listed again"]
    assert list(counts)[0] == "read" and list(counts)[-1] == "kept"
    assert counts == {
        "read": 8,
        "image listed twice": 1,
        "image file missing": 1,
        "image file unreadable": 1,
        "no caption": 3,
        "captions listed twice": 1,
        "captions that are empty": 2,
        "captions of unlisted images": 1,
        "objects of unlisted images": 1,
        "no annotated object (kept)": 1,
        "kept": 2,
    }
    with pytest.raises(InputError, match=r"000000000010\.jpg: 2 of 5 images are missing.*raise data.max_missing"):
        coco.prepare(max_missing=0.39)


def test_the_share_of_missing_images_is_that_of_each_part(coco):
    for number in range(20, 40):
        coco.image("train", number, "text")
    (coco.folder / "val2017" / "000000000139.jpg").unlink()  # 1 of 22 images, but of 1 in val2017
    with pytest.raises(InputError, match=r"val2017/000000000139\.jpg: 1 of 1 images are missing"):
        coco.prepare(max_missing=0.5)


def test_an_image_of_both_parts_counts_once(coco):
    coco.image("val", 9, "A car.")
    images, _, counts = coco.prepare()
    assert images.set_index("sample_id")["split"].to_dict() == {"000000000009": "train", "000000000139": "test"}
    assert counts["image listed twice"] == 1


def test_tables_can_be_read_back(coco, tmp_path):
    images, _, _ = coco.prepare()
    grounding, _ = prepare_grounding(coco.folder, images)
    write_table(images, tmp_path / "images.csv")
    write_table(grounding, tmp_path / "grounding.csv")
    pd.testing.assert_frame_equal(read_images(tmp_path / "images.csv"), images)
    pd.testing.assert_frame_equal(read_grounding(tmp_path / "grounding.csv"), grounding)


# --- grounding -----------------------------------------------------------------------------------------------------


def test_one_row_per_class_of_an_image_with_the_union_of_its_objects(coco):
    """Two cars, one of two polygons and one compressed, and a crowd of persons beside the fixture's person."""
    compressed = rle.encode(np.asfortranarray(box_mask(8, 0, 2, 3).astype(np.uint8)))
    compressed["counts"] = compressed["counts"].decode()
    coco.object("val", 139, CAR, compressed, bbox=(8, 0, 2, 3), number=60)
    coco.object("val", 139, CAR, [rectangle(0, 6, 2, 3), rectangle(4, 6, 1, 2)], bbox=(0, 6, 5, 3), number=50)
    coco.object("val", 139, PERSON, runs(box_mask(4, 3, 5, 4)), bbox=(4, 3, 5, 4), crowd=1, number=90)
    coco.image("val", 42, "Cars.", mode="L")
    coco.object("val", 42, CAR, number=10, bbox=(2.5, 1, 3, 4))
    grounding, counts = coco.ground()
    # the car's box starts at half a pixel, which decides nothing but its mask's first column
    columns = ["phrase_id", "sample_id", "subject_id", "path", "category", "phrase", "boxes", "text"]
    assert grounding[columns].to_dict("records") == [
        dict(zip(columns, row, strict=True))
        for row in (
            (
                "000000000042-1",
                *["000000000042"] * 2,
                f"{coco.folder}/val2017/000000000042.jpg",
                *["car"] * 2,
                [[2.5, 1, 3, 4]],
                "Cars.",
            ),
            (
                "000000000139-1",
                *["000000000139"] * 2,
                f"{coco.folder}/val2017/000000000139.jpg",
                *["person"] * 2,
                [[4, 3, 5, 4], [1, 1, 4, 4]],
                "A person and a car.",
            ),
            (
                "000000000139-2",
                *["000000000139"] * 2,
                f"{coco.folder}/val2017/000000000139.jpg",
                *["car"] * 2,
                [[0, 6, 5, 3], [8, 0, 2, 3]],
                "A person and a car.",
            ),
        )
    ]
    assert set(zip(grounding["image_width"], grounding["image_height"], strict=True)) == {(WIDTH, HEIGHT)}
    persons, cars = map(decoded, grounding["mask"][1:])
    np.testing.assert_array_equal(persons, box_mask(1, 1, 4, 4) | box_mask(4, 3, 5, 4))
    np.testing.assert_array_equal(cars, box_mask(0, 6, 2, 3) | box_mask(4, 6, 1, 2) | box_mask(8, 0, 2, 3))
    assert json.loads(grounding["mask"][0]).keys() == {"size", "counts"}
    assert counts["read"] == counts["kept"] == 5 and not dropped(counts)


@pytest.mark.parametrize(
    ("caption", "category", "kept"),
    [
        ("Two people.", PERSON, True),  # whole word in plural: corrected
        ("Some Hot Dogs.", HOT_DOG, True),  # two words: corrected only
        ("A hot cat and a dog.", HOT_DOG, False),
        ("A carrot.", CAR, True),  # substring: published only
        ("A scar.", CARROT, False),
        ("A hotdog.", DOG, True),
        ("A man.", PERSON, False),
    ],
)
def test_a_class_must_be_named_in_one_of_the_protocols(coco, caption, category, kept):
    coco.image("val", 1, caption)
    coco.object("val", 1, category)
    grounding, counts = coco.ground()
    assert ("000000000001" in set(grounding["sample_id"])) == kept
    assert dropped(counts) == ({} if kept else {"class not named in the caption": 1})


def test_the_first_caption_is_asked(coco):
    coco.image("val", 1, "A dog.", "A car.")
    coco.object("val", 1, CAR)
    assert dropped(coco.ground()[1]) == {"class not named in the caption": 1}


def test_what_is_left_out_of_the_grounding(coco):
    coco.object("val", 139, CAR, number=1000)  # the fixture's person has this number
    coco.object("val", 4711, CAR)
    coco.image("val", 1)  # has no caption
    coco.object("val", 1, CAR)
    coco.image("val", 2, "A car.", listed=(HEIGHT, WIDTH))
    coco.object("val", 2, CAR)
    coco.object("val", 139, CAR, bbox=(1, 1, 0, 3), segmentation=[rectangle(1, 1, 3, 3)])
    coco.object("val", 139, CAR, bbox=(WIDTH, 1, 3, 3), segmentation=[rectangle(1, 1, 3, 3)])
    coco.object("val", 139, CAR, bbox=(1, 1, 3), segmentation=[rectangle(1, 1, 3, 3)])
    grounding, counts = coco.ground()
    assert grounding["category"].tolist() == ["person"]
    assert counts == {
        "read": 8,
        "object listed twice": 1,
        "image not in the test split of the image table": 2,
        "class not named in the caption": 0,
        "image size differs from its annotation": 1,
        "outline malformed or without a pixel": 0,
        "box malformed, empty or outside the image": 3,
        "kept": 1,
    }


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[]],
        [[1, 1, 3, 3]],  # two points, which pycocotools would take for a box
        [[1, 1, 3, 1, 3]],
        [1, 1, 3, 1, 3, 3],
        [[1, 1, 3, 1, "x", 3]],
        [[1, 1, 1e12, 1, 3, 3]],
        [[1, 1, float("nan"), 1, 3, 3]],
        [rectangle(1, 1, 3, 3), [1, 1, 3, 1, "x", 3]],
        [rectangle(20, 1, 3, 3)],  # outside
        {},
        {"size": [HEIGHT, WIDTH], "counts": [WIDTH * HEIGHT]},
        {"size": [HEIGHT, WIDTH], "counts": [5, 5]},  # not all pixels
        {"size": [HEIGHT, WIDTH], "counts": [-5, WIDTH * HEIGHT + 5]},
        {"size": [HEIGHT, WIDTH], "counts": [60.0, 60.0]},
        {"size": [WIDTH, HEIGHT], "counts": [60, 60]},
        {"size": [HEIGHT, WIDTH], "counts": "zzzz"},
        {"size": [HEIGHT, WIDTH], "counts": ""},
        {"size": [HEIGHT, WIDTH]},
    ],
)
def test_outlines_without_a_pixel_are_counted(coco, segmentation):
    coco.object("val", 139, CAR, segmentation)
    grounding, counts = coco.ground()
    assert dropped(counts) == {"outline malformed or without a pixel": 1}
    assert grounding["category"].tolist() == ["person"]


def test_what_passes_the_border_is_cut(coco):
    coco.object("val", 139, CAR, bbox=(-3, -2, 5, 6))
    coco.object("val", 139, CAR, bbox=(8.1, 7, 20, 30))
    grounding, _ = coco.ground()
    boxes = grounding["boxes"][1]
    # x, y from 0; 5 - 3 = 2 wide, 6 - 2 = 4 high; 12 - 8.1 = 3.9 wide, 10 - 7 = 3 high
    assert boxes == [[0, 0, 2, 4], [8.1, 7, pytest.approx(3.9), 3]]
    assert boxes[1][0] + boxes[1][2] <= WIDTH
    np.testing.assert_array_equal(decoded(grounding["mask"][1]), box_mask(0, 0, 2, 4) | box_mask(8, 7, 4, 3))


def test_lines_beside_a_polygon_do_not_matter(coco):
    coco.object("val", 139, CAR, [[1, 1, 9, 9], rectangle(6, 2, 3, 3)])
    np.testing.assert_array_equal(decoded(coco.ground()[0]["mask"][1]), box_mask(6, 2, 3, 3))


def test_nothing_to_ground_is_an_error(tmp_path):
    made = Coco(tmp_path)
    made.image("train", 1, "A car.")
    made.image("val", 2, "A scene.")
    made.object("val", 2, CAR)
    with pytest.raises(InputError, match=r"instances_val2017\.json: no object is left.*'class not named in the cap"):
        made.ground()


# --- broken folders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captions_train2017", '{"images": [', "captions_train2017.json: cannot be read as JSON"),
        ("captions_val2017", "[]", "captions_val2017.json: has no list 'images'"),
        ("captions_val2017", {"images": []}, "captions_val2017.json: has no list 'annotations'"),
        ("captions_val2017", {"images": [{"id": 1}], "annotations": []}, r"images\[0\] has no valid 'file_name'"),
        ("captions_val2017", {"images": [7], "annotations": []}, r"images\[0\] has no valid 'id'"),
        (
            "captions_val2017",
            {"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": None}]},
            r"annotations\[0\] has no valid 'caption'",
        ),
        ("instances_train2017", {"annotations": []}, "instances_train2017.json: has no list 'categories'"),
        (
            "instances_train2017",
            {"annotations": [], "categories": [{"id": 5, "name": "boat"}]},
            "category 5 'boat' is none of MS-COCO's 80",
        ),
        (
            "instances_train2017",
            {
                "annotations": [{"id": 1, "image_id": 1, "category_id": 12, "bbox": [], "segmentation": []}],
                "categories": [],
            },
            r"annotations\[0\] has the category_id 12",
        ),
    ],
)
def test_broken_annotations_are_an_error_that_names_them(coco, name, content, message):
    coco.write().json(name, content)
    with pytest.raises(InputError, match=message) as error:
        prepare_images(coco.folder, 0.0)
    assert "\n" not in str(error.value) and "download" in str(error.value)


@pytest.mark.parametrize("path", ["annotations/captions_val2017.json", "annotations/instances_val2017.json"])
def test_missing_annotations_are_an_error(coco, path):
    (coco.write().folder / path).unlink()
    with pytest.raises(InputError, match=f"{path}: there is no such file; download"):
        prepare_images(coco.folder, 0.0)


def test_missing_folders_are_an_error(coco, tmp_path):
    (coco.write().folder / "val2017").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"val2017: no image is left of .*'image file missing': 1"):
        prepare_images(coco.folder, 1.0)


def test_a_part_without_images_is_an_error(coco):
    coco.captions["val"] = []
    with pytest.raises(InputError, match="val2017: no image is left of .*'no caption': 1"):
        coco.prepare()


def test_a_part_that_lists_nothing_is_an_error(coco):
    coco.images["val"] = []
    with pytest.raises(InputError, match="val2017: no image is left of"):
        coco.prepare()


# --- prompts -------------------------------------------------------------------------------------------------------


def test_prompts_are_captions_of_test_images():
    rows = [(f"{i:02d}", "test", f"text {i}", "car") for i in range(5)] + [("09", "train", "text 9", "")]
    images = pd.DataFrame(rows, columns=["sample_id", "split", "text", "Finding Labels"])
    prompts, counts = caption_prompts(images, 12, 0)
    assert counts == {"read": 6, "not in the test split": 1, "kept": 5}
    assert prompts.columns.tolist() == ["prompt_id", "text", "Finding Labels", "sample_id"]
    assert prompts["prompt_id"].tolist() == [f"{i:05d}" for i in range(12)]
    texts = prompts["text"].tolist()
    for start in (0, 5):  # two whole rounds of five
        assert sorted(texts[start : start + 5]) == [f"text {i}" for i in range(5)]
    assert len(set(texts[10:])) == 2 and set(prompts["Finding Labels"]) == {"car"}
    shorter, _ = caption_prompts(images.sample(frac=1, random_state=1), 3, 0)
    pd.testing.assert_frame_equal(shorter, prompts.head(3))
    assert any(caption_prompts(images, 5, seed)[0]["text"].tolist() != texts[:5] for seed in (1, 2))
    with pytest.raises(InputError, match="no image of the split test"):
        caption_prompts(images[images["split"] == "train"], 1, 0)


# --- scripts -------------------------------------------------------------------------------------------------------


def test_the_scripts_write_tables_prompts_and_counts(coco, tmp_path, run_script):
    coco.image("val", 140, "A second car.")
    coco.write()
    outputs = ("images", "captions", "grounding", "images_counts", "grounding_counts", "prompts", "counts")
    paths = {name: tmp_path / f"{name}.csv" for name in outputs}
    params = {"coco": str(coco.folder), "query_words": {}}
    run_script("prepare_coco", params=params, input={"prepared": []}, output=paths)
    assert read_images(paths["images"])["split"].tolist() == ["train", "test", "test"]
    assert read_grounding(paths["grounding"])["phrase_id"].tolist() == ["000000000139-1"]
    assert pd.read_csv(paths["captions"]).columns.tolist() == ["sample_id", "text"]
    counts = [
        pd.read_csv(paths[f"{name}_counts"]).iloc[[0, -1]].to_numpy().tolist() for name in ("images", "grounding")
    ]
    assert counts == [[["read", 3], ["kept", 3]], [["read", 1], ["kept", 1]]]

    run_script("prepare_coco_prompts", params={"n": 3, "seed": 0}, input={"images": paths["images"]}, output=paths)
    texts = read_prompts(paths["prompts"], COCO_NAMES)["text"].tolist()
    assert set(texts) == {"A person and a car.", "A second car."} and len(texts) == 3
    assert paths["counts"].read_text() == "reason,count\nread,3\nnot in the test split,1\nkept,2\n"
