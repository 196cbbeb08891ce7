"""Small files in the layouts of the owners of sets of boxes."""

import json

import numpy as np
import pytest

from tradeoffs.data.box_layouts import COLUMNS, LAYOUTS, read_boxes
from tradeoffs.data.images import decoded_mask
from tradeoffs.errors import InputError


def test_vindr_cxr(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/annotations_test.csv").write_text(
        "image_id,class_name,x_min,y_min,x_max,y_max\n"
        "9a50,Cardiomegaly,691.0,1375.0,1653.0,1831.0\n"
        "9a50,Pleural effusion,10,20,110.5,220\n"
        "50a4,No finding,,,,\n"
    )
    (tmp_path / "annotations/annotations_train.csv").write_text(
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\n21a1,R10,Nodule/Mass,1,2,3,5\n21a1,R9,Nodule/Mass,1,2,4,5\n"
    )
    rows = read_boxes("vindr_cxr", tmp_path)
    assert rows.columns.tolist() == COLUMNS
    assert rows["image"].tolist() == ["test/9a50", "test/9a50", "test/50a4", "train/21a1", "train/21a1"]
    assert rows["subject"].tolist() == ["9a50", "9a50", "50a4", "21a1", "21a1"]
    assert rows["split"].tolist() == ["test"] * 3 + ["train"] * 2
    assert (
        rows["phrase"].tolist()[:3]
        == rows["category"].tolist()[:3]
        == ["Cardiomegaly", "Pleural effusion", "No finding"]
    )
    assert rows[["x", "y", "w", "h"]].to_numpy()[:2].tolist() == [[691, 1375, 962, 456], [10, 20, 100.5, 200]]
    assert rows[["x", "y", "w", "h", "image_width"]].iloc[2].isna().all()


def test_chestx_det(tmp_path):
    entries = [
        {"file_name": "36199.png", "syms": [], "boxes": [], "polygons": []},
        {
            "file_name": "36302.png",
            "syms": ["Effusion", "Mass"],
            "boxes": [[799, 666, 937, 761], [1, 2, 4, 6]],
            "polygons": [[[799, 678], [801, 681]], [[1, 2], [4, 6]]],
        },
    ]
    (tmp_path / "ChestX_Det_test.json").write_text(json.dumps(entries))
    rows = read_boxes("chestx_det", tmp_path)
    assert rows["image"].tolist() == ["test_data/36302.png"] * 2
    assert rows["category"].tolist() == ["Effusion", "Mass"]
    assert rows[["x", "y", "w", "h"]].to_numpy().tolist() == [[799, 666, 138, 95], [1, 2, 3, 4]]
    assert rows[["image_width", "image_height"]].to_numpy().tolist() == [[1024, 1024]] * 2
    (tmp_path / "ChestX_Det_test.json").write_text(json.dumps([entries[1] | {"syms": ["Mass"]}]))
    with pytest.raises(InputError, match=r"test.json: \[0\] has 1 syms and 2 boxes"):
        read_boxes("chestx_det", tmp_path)
    (tmp_path / "ChestX_Det_test.json").write_text(json.dumps([entries[1] | {"boxes": [[1, 2, 3], [1, 2, 3, 4]]}]))
    with pytest.raises(InputError, match=r"test.json: \[0\].boxes has the box \[1, 2, 3\], not four numbers"):
        read_boxes("chestx_det", tmp_path)


def test_chexlocalize(tmp_path, run_lengths):
    mask = np.zeros((4, 6), dtype=bool)
    empty = json.loads(run_lengths(mask))
    mask[1:3, 2:5] = True
    findings = {"Edema": json.loads(run_lengths(mask)), "Pneumothorax": empty}
    (tmp_path / "gt_segmentations_val.json").write_text(json.dumps({"patient64541_study1_view1_frontal": findings}))
    rows = read_boxes("chexlocalize", tmp_path)
    assert rows["image"].tolist() == ["val/patient64541/study1/view1_frontal"]
    assert rows["subject"].tolist() == ["patient64541"]
    assert rows["category"].tolist() == ["Edema"]
    assert json.loads(rows["mask"][0]) == findings["Edema"]
    (tmp_path / "gt_segmentations_val.json").write_text(json.dumps({"patient64541": findings}))
    with pytest.raises(InputError, match="'patient64541' is no patient64541_study1_view1_frontal"):
        read_boxes("chexlocalize", tmp_path)


def test_padchest_gr(tmp_path):
    study = {
        "StudyID": "2161",
        "ImageID": "2161_02-094.png",
        "PreviousStudyID": None,
        "findings": [
            {
                "sentence_en": "Bilateral  pleural effusion.",
                "sentence_es": "Derrame pleural bilateral.",
                "abnormal": True,
                "boxes": [[0.1, 0.5, 0.3, 0.9], [0.6, 0.5, 0.8, 0.75]],
                "extra_boxes": [],
                "labels": ["pleural effusion"],
                "locations": ["bilateral"],
                "progression": None,
            },
            {"sentence_en": "Chronic changes.", "abnormal": True, "boxes": [], "labels": ["chronic changes"]},
            {"sentence_en": "No other findings.", "abnormal": False},
        ],
    }
    (tmp_path / "grounded_reports_20240819.json").write_text(json.dumps([study]))
    (tmp_path / "master_table.csv").write_text(
        "StudyID,ImageID,PatientID,label,split\n2161,2161_02-094.png,77,pleural effusion,test\n"
    )
    rows = read_boxes("padchest_gr", tmp_path)
    assert rows["phrase"].tolist() == ["Bilateral pleural effusion."] * 2 + ["Chronic changes.", "No other findings."]
    assert rows["category"].tolist() == ["pleural effusion"] * 2 + ["chronic changes", ""]
    assert rows["text"].unique().tolist() == ["Bilateral pleural effusion. Chronic changes. No other findings."]
    assert rows[["subject", "split", "image"]].iloc[0].tolist() == ["77", "test", "2161_02-094.png"]
    np.testing.assert_allclose(rows[["x", "y", "w", "h"]][:2], [[0.1, 0.5, 0.2, 0.4], [0.6, 0.5, 0.2, 0.25]])
    assert rows["x"].isna().tolist() == [False, False, True, True]
    assert set(rows["image_width"]) == {1.0}
    (tmp_path / "master_table.csv").write_text("ImageID,PatientID,split\nother.png,77,test\n")
    with pytest.raises(InputError, match="master_table.csv: has no row of the image 2161_02-094.png"):
        read_boxes("padchest_gr", tmp_path)


def test_chestxray14(tmp_path):
    (tmp_path / "BBox_List_2017.csv").write_text(  # the header of the file as NIH ships it
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00013118_008.png,Atelectasis,225.08,547.01,86.77,79.18,,,\n"
    )
    rows = read_boxes("chestxray14", tmp_path)
    assert rows[["image", "subject", "category"]].iloc[0].tolist() == [
        "images/00013118_008.png",
        "00013118",
        "Atelectasis",
    ]
    np.testing.assert_allclose(rows[["x", "y", "w", "h"]], [[225.08, 547.01, 86.77, 79.18]])


def test_a_csv_of_ones_own(tmp_path, run_lengths):
    path = tmp_path / "boxes.csv"
    path.write_text("image,subject,category,x,y,w,h\na/1.png,p1,Edema,1,2,3,4\na/1.png,p1,Fracture,,,,\n")
    rows = read_boxes("csv", path)
    assert rows["phrase"].tolist() == ["Edema", "Fracture"]
    assert rows["split"].tolist() == ["test", "test"]
    assert rows["x"].isna().tolist() == [False, True]
    for text, message in (
        ("image,category,x,y,w,h\n", "boxes.csv: has no column 'subject'"),
        ("image,subject,category,x,y,w\n", "boxes.csv: has no column 'h' and no column 'mask'"),
        ("image,subject,category,x,y,w,h\na,p,Edema,1,2,3,four\n", "row 2: h is not a number"),
        ("image,subject,category,x,y,w,h\na,p,Edema,1,2,3,\n", "row 2: some of x, y, w, h are empty"),
        ("image,subject,category,x,y,w,h\na,p,,1,2,3,4\n", "row 2: category is empty"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_boxes("csv", path)


BOX = "image,subject,category,x,y,w,h"
MASK = '"{""size"": [2, 2], ""counts"": [1, 2, 1]}"'
TOO_FEW_RUNS = '"{""size"": [80, 100], ""counts"": ""01""}"'


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (f"{BOX},Split", ["a,p,Edema,1,2,3,4,train"], "has a column 'Split', which is not read; call it 'split' or"),
        (f"{BOX},image_widht", ["a,p,Edema,1,2,3,4,9"], "has a column 'image_widht', which .* call it 'image_width'"),
        (f"{BOX},phrases", ["a,p,Edema,1,2,3,4,edema"], "has a column 'phrases', which is not read; call it 'phrase'"),
        (f"{BOX},split,split", ["a,p,Edema,1,2,3,4,test,val"], "has two columns 'split'"),
        (BOX, [], "boxes.csv: has no box, mask or category"),
        (BOX, ["a,p,Edema,1,2,3,4", "a,q,Edema,5,6,7,8"], "row 3: subject differs from an earlier row of the same"),
        (f"{BOX},split", ["a,p,Edema,1,2,3,4,test", "a,p,Edema,5,6,7,8,val"], "row 3: split differs from an earlier"),
        (f"{BOX},text", ["a,p,Edema,1,2,3,4,one", "a,p,Edema,5,6,7,8,two"], "row 3: text differs from an earlier"),
        (BOX, ["a,p,Edema,0.1,0.2,0.3,0.4"], "no box is larger than a pixel; .* need image_width and image_height"),
        (f"{BOX},image_width,image_height", ["a,p,Edema,1,2,3,4,0,0"], "row 2: image_width is not a positive whole"),
        (f"{BOX},image_width,image_height", ["a,p,Edema,1,2,3,4,9,8.5"], "row 2: image_height is not a positive whole"),
        ("image,subject,category,mask", ["a,p,Edema,{x"], "row 2: mask is not a JSON"),
        ("image,subject,category,mask", [f"a,p,Edema,{TOO_FEW_RUNS}"], "row 2: mask is not a JSON"),
        (f"{BOX},mask", [f"a,p,Edema,1,2,3,4,{MASK}"], "row 2: has a box and a mask; leave one of them empty"),
        (f"{BOX},mask", [f"a,p,Edema,,,,,{MASK}", "a,p,Edema,0,0,2,2,"], "row 3: has a box, and another row of the"),
        (
            f"{BOX},mask,image_width,image_height",
            [f"a,p,Edema,,,,,{MASK},4,4"],
            "row 2: image_width and image_height are not the size of the mask",
        ),
    ],
)
def test_what_a_csv_of_ones_own_says_wrongly_or_twice_is_told(tmp_path, header, rows, message):
    path = tmp_path / "boxes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(InputError, match=message):
        read_boxes("csv", path)


def test_runs_that_are_not_compressed_are_read(tmp_path):
    """As MS-COCO has those of crowds: runs go down the columns, the first one is of zeros."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"image,subject,category,mask\na,p,Edema,{MASK}\n")
    (mask,) = read_boxes("csv", path)["mask"]
    np.testing.assert_array_equal(decoded_mask(mask), [[False, True], [True, False]])


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "csv"])
def test_a_folder_of_something_else_is_one_line(tmp_path, layout):
    with pytest.raises(InputError, match=f"{tmp_path}: holds no .*; give the folder that does"):
        read_boxes(layout, tmp_path)
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        read_boxes(layout, tmp_path / "nowhere")


MASK_OF_NOTHING = {"size": [4, 4], "counts": "`0"}


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [4], "counts": "04"},
        {"size": ["4", 4], "counts": "04"},
        {"size": [-4, 4], "counts": "04"},
        {"size": [10**12, 10**12], "counts": "04"},
        {"size": [4, 4], "counts": "rubb{{ish"},
        {"size": [4, 4]},
        None,
    ],
)
def test_a_damaged_mask_of_chexlocalize_is_one_line(tmp_path, mask):
    findings = {"Edema": mask, "Atelectasis": MASK_OF_NOTHING}
    (tmp_path / "gt_segmentations_test.json").write_text(json.dumps({"patient1_study1_view1": findings}))
    with pytest.raises(InputError, match="patient1_study1_view1.Edema is no run-length encoded mask; download"):
        read_boxes("chexlocalize", tmp_path)


@pytest.mark.parametrize(
    ("finding", "message"),
    [
        (None, r"\[0\].findings\[0\] is no finding"),
        ({"labels": "edema"}, "has no list of boxes or of labels"),
        ({"labels": [3]}, "has no list of boxes or of labels"),
        ({"boxes": 5}, "has no list of boxes or of labels"),
        ({"boxes": ["abc"]}, r"findings\[0\].boxes has the box 'abc', not four numbers"),
    ],
)
def test_a_damaged_finding_of_padchest_is_one_line(tmp_path, finding, message):
    (tmp_path / "master_table.csv").write_text("ImageID,PatientID,split\na.png,p,test\n")
    (tmp_path / "grounded_reports_1.json").write_text(json.dumps([{"ImageID": "a.png", "findings": [finding]}]))
    with pytest.raises(InputError, match=message):
        read_boxes("padchest_gr", tmp_path)


def test_what_tables_of_sets_contradict_is_told(tmp_path):
    (tmp_path / "master_table.csv").write_text("ImageID,PatientID,split\na.png,p,test\na.png,q,train\n")
    (tmp_path / "grounded_reports_1.json").write_text("[]")
    with pytest.raises(InputError, match="master_table.csv, row 3: ImageID has another PatientID or split"):
        read_boxes("padchest_gr", tmp_path)
    (tmp_path / "annotations").mkdir()
    rows = "image_id,class_name,x_min,y_min,x_max,y_max\na,Edema,1,2,3,4\na,Edema,1,,3,4\n"
    (tmp_path / "annotations" / "annotations_test.csv").write_text(rows)
    with pytest.raises(InputError, match="annotations_test.csv, row 3: some of x_min, y_min, x_max, y_max are empty"):
        read_boxes("vindr_cxr", tmp_path)
    (tmp_path / "ChestX_Det_test.json").write_text("[]")
    with pytest.raises(InputError, match="has no box, mask or category"):
        read_boxes("chestx_det", tmp_path)
