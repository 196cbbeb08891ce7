"""Pilots: a part of the images by whole subjects, with the right counts."""

import pandas as pd
import pytest

from tradeoffs.config.sections.data import Limit
from tradeoffs.data import coco, mimic
from tradeoffs.data.limits import beyond_limits
from tradeoffs.data.mscxr import prepare_grounding
from tradeoffs.demo.phantom_coco import write_phantom_coco
from tradeoffs.demo.phantom_files import write_phantoms
from tradeoffs.errors import InputError

# 6 training subjects of 2 images, 4 test subjects of 1
IMAGES = pd.DataFrame(
    [(f"1{i}", "train") for i in range(6) for _ in range(2)] + [(f"2{i}", "p19") for i in range(4)],
    columns=["subject_id", "split"],
)


def kept(images: pd.DataFrame, **limits: int) -> pd.DataFrame:
    return images[~beyond_limits(images, limits)]


def test_whole_subjects_are_kept_and_other_splits_left_alone():
    some = kept(IMAGES, train=7)
    assert (some["split"] == "train").sum() == 6  # a fourth subject would make 8
    assert some["subject_id"].value_counts().loc[lambda n: n.index.str.startswith("1")].tolist() == [2, 2, 2]
    assert (some["split"] == "p19").sum() == 4
    assert kept(IMAGES, train=12, p19=100).equals(IMAGES)


def test_the_draw_depends_on_the_ids_alone_and_grows_with_the_limit():
    some = set(kept(IMAGES, train=6)["subject_id"])
    shuffled = IMAGES.sample(frac=1, random_state=0)
    more = pd.concat([shuffled, IMAGES.assign(split="val", subject_id="9" + IMAGES["subject_id"])], ignore_index=True)
    assert set(kept(shuffled, train=6)["subject_id"]) == some
    assert set(kept(more, train=6).query("split != 'val'")["subject_id"]) == some
    assert some < set(kept(IMAGES, train=8)["subject_id"])


def test_a_limit_below_the_first_subject_is_an_error():
    with pytest.raises(InputError, match="data.limit: 1 images of split train are fewer than the 2 of .*; raise it"):
        beyond_limits(IMAGES, {"train": 1})


def test_the_limits_of_a_data_set_have_the_names_of_its_splits():
    limit = Limit(train=5, mscxr=2, coco_val=3)
    assert limit.of("cxr") == {"train": 5, "mscxr": 2} and limit.of("coco") == {"test": 3}


def test_a_pilot_of_radiographs_counts_what_it_leaves_out(tmp_path):
    write_phantoms(tmp_path, seed=0, train=6, val=2, p19=4, mscxr=4)
    folders = [tmp_path / name for name in ("mimic-cxr-jpg", "mimic-cxr", "ms-cxr")]
    whole, before = mimic.list_images(*folders, ["PA", "AP"])
    listed, _ = mimic.list_images(*folders, ["PA", "AP"], limits={"train": 3, "mscxr": 2})
    some, counts = mimic.prepare_images(*folders, ["PA", "AP"], 0.0, limits={"train": 3, "mscxr": 2})
    sizes = listed["split"].value_counts()
    assert 0 < sizes["train"] <= 3 and 0 < sizes["mscxr"] <= 2 and sizes["p19"] == (whole["split"] == "p19").sum()
    assert counts["beyond data.limit"] == len(whole) - len(listed) > 0 and "beyond data.limit" not in before
    left_out = whole[~whole["sample_id"].isin(listed["sample_id"])]
    assert not set(left_out["subject_id"]) & set(listed["subject_id"])
    assert set(some["sample_id"]) <= set(listed["sample_id"])
    boxes, of_boxes = prepare_grounding(folders[2], some)
    assert set(boxes["sample_id"]) == set(some.query("split == 'mscxr'")["sample_id"])
    assert of_boxes["image not in the mscxr split of the image table"] > 0


def test_a_pilot_of_scenes_counts_what_it_leaves_out(tmp_path):
    write_phantom_coco(tmp_path, seed=0, train=5, val=4)
    images, captions, counts = coco.prepare_images(tmp_path, 0.0, limits={"train": 2, "test": 3})
    assert images["split"].value_counts().to_dict() == {"test": 3, "train": 2}
    assert counts["beyond data.limit"] == 4 and counts["kept"] == 5
    assert set(captions["sample_id"]) == set(images["sample_id"])
    assert coco.count_images(tmp_path, limits={"train": 2}) == {"train": 2, "test": 4}
