"""Rows of boxes from anywhere become a grounding table, and what cannot be scored is counted."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tradeoffs.data.box_layouts import COLUMNS
from tradeoffs.data.grounding_sets import check_prior, prepare_grounding_set, read_rows
from tradeoffs.data.tables import read_grounding, read_images, write_table
from tradeoffs.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Images a/1.png of 100 x 80 pixels, b.jpg of 50 x 40."""
    (tmp_path / "a").mkdir()
    Image.fromarray(np.zeros((80, 100), dtype=np.uint8)).save(tmp_path / "a" / "1.png")
    Image.fromarray(np.zeros((40, 50), dtype=np.uint8)).save(tmp_path / "b.jpg")
    return tmp_path


def row(image, category, *box, phrase="", subject="p", split="test", mask="", width=np.nan, height=np.nan):
    x, y, w, h = box or [np.nan] * 4
    return (image, subject, split, category, phrase or category.lower(), "", mask, x, y, w, h, width, height)


def prepared(folder, *rows, **options):
    arguments = {"trained_on": (), "max_missing": 0.5, "key": "grounding.mine.images"} | options
    return prepare_grounding_set(pd.DataFrame(rows, columns=COLUMNS), "boxes.csv", folder, **arguments)


def test_phrases_get_all_their_boxes(folder):
    grounding, images, counts = prepared(
        folder,
        row("b", "Edema", 1, 2, 3, 4),
        row("a/1", "Edema", 1, 2, 3, 4, phrase="mild  edema"),
        row("a/1", "Edema", 5, 6, 7, 8, phrase="mild edema"),
        row("a/1", "Fracture", 0.1, 0.5, 0.2, 0.25, width=1, height=1),  # in shares: x 10, y 40, w 20, h 20
        row("b", "Fracture", 10, 10, 20, 20, width=100, height=80),  # drawn on an image of twice the size
    )
    assert grounding["phrase_id"].tolist() == ["a-1-1", "a-1-2", "b-1", "b-2"]
    assert grounding["phrase"].tolist() == ["mild edema", "fracture", "edema", "fracture"]
    boxes = [np.round(boxes, 6).tolist() for boxes in grounding["boxes"]]
    assert boxes == [[[1, 2, 3, 4], [5, 6, 7, 8]], [[10, 40, 20, 20]], [[1, 2, 3, 4]], [[10, 10, 20, 20]]]
    assert grounding[["image_width", "image_height"]].to_numpy().tolist() == [[100, 80], [100, 80], [50, 40], [100, 80]]
    assert images["sample_id"].tolist() == ["a-1", "b"]
    assert images["path"].tolist() == [str(folder / "a/1.png"), str(folder / "b.jpg")]
    assert images["split"].tolist() == ["mscxr", "mscxr"]
    assert counts["kept"] == counts["read"] == 5
    write_table(grounding, folder / "grounding.csv")
    assert read_grounding(folder / "grounding.csv")["phrase_id"].tolist() == grounding["phrase_id"].tolist()
    write_table(images.assign(**{"Finding Labels": "Scoliosis"}), folder / "images.csv")  # of no other data set
    assert read_images(folder / "images.csv")["sample_id"].tolist() == ["a-1", "b"]


def test_what_is_left_out_is_counted(folder):
    grounding, images, counts = prepared(
        folder,
        row("a/1", "Edema", -10, 70, 20.5, 20),  # clipped to x 0..10.5, y 70..80
        row("a/1", "Edema", -10, 70, 20.5, 20),
        row("a/1", "Edema", 100, 0, 5, 5),
        row("a/1", "Scoliosis"),
        row("a/1", "Fracture", 0, 0, 5, 5),
        row("a/1", "", 0, 0, 5, 5),
        row("a/1", "Edema", 0, 0, 5, 5, phrase=" "),
        row("a/1", "Edema", 0, 0, 5, 5, split="train"),
        row("b", "Edema", 0, 0, 5, 5, subject="seen"),
        row("gone.png", "Edema", 0, 0, 5, 5),
        trained_on={"seen"},
        split="test",
        categories=["Edema", "Scoliosis"],
    )
    assert counts == {
        "read": 10,
        "not of the split test": 1,
        "no category": 1,
        "empty phrase": 1,
        "subject has an image that is trained on": 1,
        "image file missing": 1,
        "image file unreadable": 0,
        "another category than those asked for": 1,
        "no box, so that there is nowhere to point": 1,
        "box empty or outside the image": 1,
        "same box twice": 1,
        "clipped to the image (kept)": 1,
        "kept": 1,
    }
    assert grounding["boxes"].tolist() == [[[0, 70, 10.5, 10]]]
    assert images["Finding Labels"].tolist() == ["Edema|Scoliosis|Fracture"]  # what the image shows, boxes or not


def test_masks_are_united(folder, run_lengths):
    masks = np.zeros((3, 80, 100), dtype=bool)
    masks[0, 10:20, 30:50] = masks[1, 15:40, 40:60] = masks[2, :5, :5] = True
    rows = [row("a/1", "Edema", mask=run_lengths(mask)) for mask in masks[:2]]
    grounding, _, _ = prepared(folder, *rows, row("a/1", "Fracture", mask=run_lengths(masks[2])))
    assert json.loads(grounding["mask"][0]) == json.loads(run_lengths(masks[0] | masks[1]))
    assert grounding["boxes"].tolist() == [[[30, 10, 20, 10], [40, 15, 20, 25]], [[0, 0, 5, 5]]]
    write_table(grounding, folder / "grounding.csv")
    read_grounding(folder / "grounding.csv")

    with pytest.raises(InputError, match="1.png has several phrases of Edema, of which one has a mask"):
        prepared(folder, rows[0], row("a/1", "Edema", phrase="more edema", mask=run_lengths(masks[1])))
    with pytest.raises(InputError, match="b.jpg: is 50 x 40, but its boxes were drawn on 40 x 50"):
        prepared(folder, row("b", "Edema", mask=run_lengths(np.ones((50, 40), dtype=bool))))


def test_a_mask_that_covers_nothing_is_counted(folder, run_lengths):
    empty, some = np.zeros((2, 80, 100), dtype=bool)
    some[:5, :5] = True
    rows = [row("a/1", "Edema", mask=run_lengths(empty)), row("a/1", "Fracture", mask=run_lengths(some))]
    grounding, _, counts = prepared(folder, *rows)
    assert grounding["category"].tolist() == ["Fracture"] and counts["box empty or outside the image"] == 1


def test_an_image_that_is_spelt_in_several_ways_is_one(folder):
    names = ("a/1", "a/1.png", "./a/1.png", str(folder / "a/1.png"))
    grounding, images, _ = prepared(folder, *(row(name, "Edema", i, i, 5, 5) for i, name in enumerate(names)))
    assert grounding["sample_id"].tolist() == images["sample_id"].tolist() == ["a-1"]
    assert len(grounding["boxes"][0]) == 4


def test_wrong_sets_are_one_line(folder):
    with pytest.raises(InputError, match="boxes.csv: no box is left of"):
        prepared(folder, row("a/1", "Edema"))
    with pytest.raises(InputError, match="gone.png: 1 of 1 images are missing.*set grounding.mine.images to"):
        prepared(folder, row("gone.png", "Edema", 0, 0, 5, 5))
    with pytest.raises(InputError, match="boxes.csv: several images have the name a-1; rename all but one"):
        prepared(folder, row("a/1", "Edema", 0, 0, 5, 5), row("a-1", "Edema", 0, 0, 5, 5))
    with pytest.raises(InputError, match="'edema' of .*b.jpg has boxes or masks on images of several sizes"):
        prepared(folder, row("b", "Edema", 0, 0, 5, 5), row("b", "Edema", 0, 0, 5, 5, width=100, height=80))


def test_the_csv_of_the_documentation_is_read(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "your-own.md").read_text()
    (tmp_path / "boxes.csv").write_text(re.search("```csv\n(.*?)```", page, re.S).group(1))
    for name in ("p1/scan1.png", "p2/scan7.png", "p3/scan2.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (1024, 1024)).save(tmp_path / name)
    rows = read_rows("grounding.mine", "csv", tmp_path / "boxes.csv", "test", ["phrase"], None, ["Consolidation"])
    check_prior(rows, "boxes.csv", "test", None, max_excluded=0)
    grounding, _, counts = prepare_grounding_set(rows, "boxes.csv", tmp_path, (), 0, "grounding.mine.images")
    assert grounding["boxes"].map(len).tolist() == [1, 2, 1, 1]
    assert counts["no box, so that there is nowhere to point"] == 1


def test_phrases_without_a_location_prior_are_told_before_a_run():
    """Two of the four test phrases are of categories that one subject alone has a box of."""
    rows = [row("a", "Edema", 0, 0, 5, 5), row("b", "Edema", 0, 0, 5, 5, subject="q"), row("a", "Fracture", 0, 0, 5, 5)]
    rows += [row("a", "Nodule", 0, 0, 5, 5), row("b", "Nodule", subject="q")]
    rows += [row("b", "Fracture", 0, 0, 5, 5, subject="q", split="train")]
    table = pd.DataFrame(rows, columns=COLUMNS)
    check_prior(table, "boxes.csv", "test", None, max_excluded=0.5)
    check_prior(table, "boxes.csv", "all", ["Edema", "Fracture"], max_excluded=0)
    with pytest.raises(
        InputError, match="boxes.csv: 2 of 4 phrases are of a category that no other subject has a box of"
    ):
        check_prior(table, "boxes.csv", "test", None, max_excluded=0.4)


def test_the_script_leaves_out_who_was_trained_on(folder, run_script):
    boxes = ["a/1,seen,Edema,1,2,3,4", "b,other,Edema,1,2,3,4"]
    (folder / "boxes.csv").write_text("\n".join(["image,subject,category,x,y,w,h", *boxes]))
    images = pd.DataFrame({"sample_id": ["t"], "subject_id": ["seen"], "study_id": ["1"], "path": ["t.png"]})
    write_table(images.assign(split="train", text="Edema.", **{"Finding Labels": "Edema"}), folder / "trained_on.csv")
    of_set = {"layout": "csv", "path": str(folder / "boxes.csv"), "split": "test", "texts": ["phrase"]}
    of_set |= {"categories": None, "query_words": {"Edema": ["edema", "congestion"]}}
    output = {name: str(folder / f"{name}.csv") for name in ("images", "grounding", "counts")}
    run_script(
        "prepare_boxes",
        wildcards={"boxes": "mine"},
        input={"trained_on": str(folder / "trained_on.csv")},
        params={"of_set": of_set, "folder": str(folder)},
        output=output,
    )
    grounding = read_grounding(output["grounding"])
    assert grounding["sample_id"].tolist() == read_images(output["images"])["sample_id"].tolist() == ["b"]
    assert grounding["words"].tolist() == ["edema|congestion"]
    assert "subject has an image that is trained on,1" in Path(output["counts"]).read_text()


def test_what_the_configuration_asks_for_must_be_there(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,subject,category,x,y,w,h\na.png,p,Edema,1,2,3,4\n")

    def read(split="test", texts=("phrase",), categories=None, query_words=()):
        return read_rows("grounding.mine", "csv", path, split, texts, categories, query_words)

    assert len(read()) == len(read("all", categories=["Edema"], query_words=["Edema"])) == 1
    for change, message in (
        ({"split": "val"}, "grounding.mine.split: .*boxes.csv has no split val; there are test, or all"),
        ({"categories": ["edema"]}, "grounding.mine.categories: .*boxes.csv has no category edema; there are Edema"),
        ({"query_words": ["edema"]}, "grounding.mine.query_words: .*boxes.csv has no category edema; there are Edema"),
        ({"texts": ["phrase", "impression"]}, "grounding.mine.texts: .*boxes.csv has no text of an image"),
    ):
        with pytest.raises(InputError, match=message):
            read(**change)
