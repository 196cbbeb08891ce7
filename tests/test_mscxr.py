import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tradeoffs.data.mscxr import prepare_grounding, read_mscxr
from tradeoffs.data.tables import GROUNDING_COLUMNS, read_grounding, write_table
from tradeoffs.errors import InputError


def box(dicom_id, category, phrase, x, y, w, h, width=100, height=80):
    return {
        "category_name": category,
        "label_text": phrase,
        "path": f"files/{dicom_id}.jpg",
        "x": x,
        "y": y,
        "w": w,
        "h": h,
        "image_width": width,
        "image_height": height,
        "dicom_id": dicom_id,
    }


def write(path, *rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def images(tmp_path):
    """Two MS-CXR images (b at half size, as a downsized copy) and a training image."""
    rows = []
    for name, size, split in (("b", (50, 40), "mscxr"), ("a", (100, 80), "mscxr"), ("t", (100, 80), "train")):
        path = tmp_path / f"{name}.jpg"
        Image.fromarray(np.zeros(size[::-1], dtype=np.uint8)).save(path)
        rows.append(
            {"sample_id": name, "subject_id": f"1{name}", "path": str(path), "split": split, "text": f"T {name}."}
        )
    return pd.DataFrame(rows)


def test_rows_become_phrases_with_all_their_boxes(tmp_path, images):
    path = write(
        tmp_path / "MS_CXR_Local_Alignment_v1.0.0.csv",
        box("b", "Pneumonia", "patchy opacities", 10, 10, 5, 5),
        box("a", "Edema", "mild  edema\nin both lungs", 1, 2, 3, 4),
        box("b", "Pneumonia", "patchy opacities", 30, 10, 5, 5),
        box("b", "Lung Opacity", "patchy opacities", 30, 10, 5, 5),
        box("a", "Edema", "Edema", 7, 8, 9, 10),
        box("a", "Edema", "mild edema in both lungs", 50, 2, 3, 4),
    )
    grounding, counts = prepare_grounding(path, images)
    assert grounding.columns.tolist() == GROUNDING_COLUMNS
    assert grounding["phrase_id"].tolist() == ["a-1", "a-2", "b-1", "b-2"]
    assert grounding["phrase"].tolist() == ["mild edema in both lungs", "Edema", "patchy opacities", "patchy opacities"]
    assert grounding["category"].tolist() == ["Edema", "Edema", "Pneumonia", "Lung Opacity"]
    assert grounding["boxes"].tolist() == [
        [[1, 2, 3, 4], [50, 2, 3, 4]],
        [[7, 8, 9, 10]],
        [[10, 10, 5, 5], [30, 10, 5, 5]],
        [[30, 10, 5, 5]],
    ]
    assert grounding["text"].tolist() == ["T a.", "T a.", "T b.", "T b."]
    assert grounding["subject_id"].tolist() == ["1a", "1a", "1b", "1b"]
    assert grounding["path"].tolist() == [str(tmp_path / f"{name}.jpg") for name in "aabb"]
    assert grounding["image_width"].tolist() == [100] * 4
    assert grounding["mask"].tolist() == [""] * 4
    assert grounding["text_id"].tolist() == ["a", "a", "b", "b"]
    assert counts["read"] == counts["kept"] == 6


def test_what_is_left_out_is_counted(tmp_path, images):
    path = write(
        tmp_path / "boxes.csv",
        box("a", "Edema", "edema", 0, 0, 100, 80),  # the whole image passes no border
        box("a", "Edema", "edema", -10, 70, 20.5, 20),  # -> x 0..10.5, y 70..80
        box("a", "Edema", "edema", 95, -5, 10, 10),  # -> x 95..100, y 0..5
        box("a", "Edema", "edema", 97, 0, 3, 5.5),
        box("a", "Edema", "edema", 97, 0, 3, 5.5),
        box("a", "Edema", "edema", 100, 0, 5, 5),
        box("a", "Edema", "edema", 0, -9, 5, 9),
        box("a", "Edema", "edema", 0, 0, 0, 5),
        box("a", "Edema", "edema", 0, 0, 5, -5),
        box("a", "Edema", "edema", "", "", "", ""),
        box("a", "Fracture", "fracture", 0, 0, 5, 5),
        box("a", "Edema", " ", 0, 0, 5, 5),
        box("t", "Edema", "edema", 0, 0, 5, 5),
        box("unknown", "Edema", "edema", 0, 0, 5, 5),
    )
    grounding, counts = prepare_grounding(path, images)
    assert counts == {
        "read": 14,
        "unknown category": 1,
        "empty phrase": 1,
        "image not in the mscxr split of the image table": 2,
        "empty box": 3,
        "box outside the image": 2,
        "same box twice": 1,
        "clipped to the image (kept)": 2,
        "phrases of the validation part (kept)": 0,
        "phrases of the validation part whose subject is in the test part too (kept)": 0,
        "kept": 4,
    }
    assert list(counts)[0] == "read" and list(counts)[-1] == "kept"
    assert grounding["boxes"].tolist() == [[[0, 0, 100, 80], [0, 70, 10.5, 10], [95, 0, 5, 5], [97, 0, 3, 5.5]]]


def test_the_split_of_version_1_1_0_is_obeyed(tmp_path, images):
    rows = [box("a", "Edema", "edema", 0, 0, 5, 5), box("b", "Edema", "edema", 0, 0, 5, 5)]
    path = write(
        tmp_path / "boxes.csv", *(row | {"split": split} for row, split in zip(rows, ("val", "test"), strict=True))
    )
    grounding, counts = prepare_grounding(path, images)
    assert dict(zip(grounding["sample_id"], grounding["part"], strict=True)) == {"a": "val", "b": "test"}
    assert counts["phrases of the validation part (kept)"] == 1
    same = prepare_grounding(path, images.assign(subject_id="1"))[1]
    assert same["phrases of the validation part whose subject is in the test part too (kept)"] == 1
    write_table(grounding, tmp_path / "grounding.csv")
    assert read_grounding(tmp_path / "grounding.csv", "val")["sample_id"].tolist() == ["a"]
    assert read_grounding(tmp_path / "grounding.csv", "test")["sample_id"].tolist() == ["b"]
    write_table(grounding[1:], tmp_path / "grounding.csv")
    with pytest.raises(InputError, match="grounding.csv: has no row of the part val"):
        read_grounding(tmp_path / "grounding.csv", "val")
    with pytest.raises(InputError, match="row 2: split is none of train, val, valid, validate, validation, test"):
        read_mscxr(write(tmp_path / "boxes.csv", rows[0] | {"split": "dev"}))
    with pytest.raises(InputError, match="row 3: split differs from an earlier row of the same image"):
        read_mscxr(write(tmp_path / "boxes.csv", rows[0] | {"split": "val"}, rows[0] | {"split": "test"}))


def test_the_training_part_of_version_1_1_0_is_neither_shown_nor_chosen_from(tmp_path, images):
    rows = [box("a", "Edema", "edema", 0, 0, 5, 5), box("b", "Edema", "edema", 0, 0, 5, 5)]
    for other in ("val", "test"):
        path = write(tmp_path / "boxes.csv", rows[0] | {"split": "train"}, rows[1] | {"split": other})
        grounding, counts = prepare_grounding(path, images)
        assert counts["phrases of the training part (kept, in no table and no choice)"] == 1 and counts["kept"] == 2
        write_table(grounding, tmp_path / "grounding.csv")
        assert read_grounding(tmp_path / "grounding.csv", other)["sample_id"].tolist() == ["b"]
        assert len(read_grounding(tmp_path / "grounding.csv")) == 2  # evaluation.ms_cxr_part: all


def test_without_a_split_a_fifth_of_the_subjects_is_drawn_once_for_all(tmp_path, images):
    one = images.iloc[0]
    many = pd.DataFrame([dict(one) | {"sample_id": f"i{n}", "subject_id": f"s{n // 2}"} for n in range(400)])
    rows = [box(f"i{n}", "Edema", "edema", 0, 0, 5, 5) for n in range(400)]
    grounding, _ = prepare_grounding(write(tmp_path / "boxes.csv", *rows), many)
    parts = grounding.groupby("subject_id")["part"].agg(set)
    assert set(map(len, parts)) == {1}  # no subject in both
    assert 24 <= sum(part == {"val"} for part in parts) <= 56  # 200 / 5 = 40, standard deviation 5.7
    fewer, _ = prepare_grounding(write(tmp_path / "boxes.csv", *rows[::7]), many)
    of_all = dict(zip(grounding["sample_id"], grounding["part"], strict=True))
    assert all(of_all[name] == part for name, part in zip(fewer["sample_id"], fewer["part"], strict=True))


def test_prepared_table_can_be_read_back(tmp_path, images):
    row = box("b", "Edema", 'a "quoted", phrase', 0.1, 0.7, 99.95, 79.9)
    path = write(tmp_path / "boxes.csv", row, row | {"x": 0.1, "y": 0.1, "w": 0.2, "h": 0.2})
    grounding, _ = prepare_grounding(path, images)
    assert grounding["boxes"][0][1] == [0.1, 0.1, 0.2, 0.2]  # not 0.1 + 0.2 - 0.1
    write_table(grounding, tmp_path / "grounding.csv")
    pd.testing.assert_frame_equal(read_grounding(tmp_path / "grounding.csv"), grounding)


def test_folder_stands_for_its_newest_version(tmp_path):
    write(tmp_path / "MS_CXR_Local_Alignment_v1.0.0.csv", box("old", "Edema", "edema", 0, 0, 5, 5))
    assert read_mscxr(tmp_path)["dicom_id"].tolist() == ["old"]
    write(tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv", box("new", "Edema", "edema", 0, 0, 5, 5) | {"split": "test"})
    assert read_mscxr(tmp_path)["dicom_id"].tolist() == ["new"]


def test_wrong_input_is_explained(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no MS_CXR_Local_Alignment"):
        read_mscxr(tmp_path / "empty")
    with pytest.raises(InputError, match="absent.csv: there is no such file"):
        read_mscxr(tmp_path / "absent.csv")
    row = box("a", "Edema", "edema", 0, 0, 5, 5)
    for change, message in (
        ({"dicom_id": ""}, "row 3: dicom_id is empty"),
        ({"w": "five"}, "row 3: w is not a number"),
        ({"image_width": ""}, "row 3: image_width is not a positive number"),
        ({"image_height": 81}, "row 3: image_height differs from an earlier row of the same image"),
    ):
        with pytest.raises(InputError, match=message):
            read_mscxr(write(tmp_path / "boxes.csv", row, row | change))
    with pytest.raises(InputError, match="boxes.csv: has no column 'label_text'"):
        read_mscxr(write(tmp_path / "boxes.csv", {k: v for k, v in row.items() if k != "label_text"}))


def test_boxes_without_any_image_are_an_error(tmp_path, images):
    with pytest.raises(InputError, match="boxes.csv: no box is left of {'read': "):
        prepare_grounding(write(tmp_path / "boxes.csv", box("x", "Edema", "edema", 0, 0, 5, 5)), images)


def test_cropped_or_stretched_images_are_an_error(tmp_path, images):
    path = write(tmp_path / "boxes.csv", box("a", "Edema", "edema", 0, 0, 5, 5, width=80, height=80))
    with pytest.raises(InputError, match="a.jpg: is 100 x 80, but its boxes were drawn on 80 x 80"):
        prepare_grounding(path, images)
