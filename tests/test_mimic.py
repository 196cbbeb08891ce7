import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tradeoffs.data.findings import CHEXPERT_LABELS
from tradeoffs.data.mimic import (
    finding_labels,
    list_images,
    prepare_images,
    read_chexpert,
    read_metadata,
    read_prepared,
    read_split,
)
from tradeoffs.data.tables import read_grounding, read_images, read_prompts, write_table
from tradeoffs.errors import InputError


def test_finding_labels_are_the_positive_ones_joined():
    row = dict.fromkeys(CHEXPERT_LABELS, float("nan"))
    assert finding_labels(row) == ""
    assert finding_labels(row | {"No Finding": 1.0}) == "No Finding"
    some = {"Pneumothorax": 1.0, "Edema": 1.0, "Pneumonia": -1.0, "Fracture": 0.0, "Atelectasis": 1.0}
    assert finding_labels(row | some) == "Atelectasis|Edema|Pneumothorax"


class Raw:
    """Folders in MIMIC's and MS-CXR's layout, filled image by image."""

    def __init__(self, folder: Path):
        self.jpg, self.reports, self.ms_cxr = folder / "jpg", folder / "reports", folder / "ms-cxr"
        for path in (self.jpg, self.reports / "files", self.ms_cxr):
            path.mkdir(parents=True)
        self.metadata, self.chexpert, self.split, self.boxes = [], {}, [], []

    def add(
        self,
        dicom_id,
        subject,
        study,
        *,
        report="FINDINGS: Clear.\n IMPRESSION: Clear.",
        view="PA",
        split="train",
        labels=(),  # a row of the table without any; None: no row
        box=None,
        file=True,
    ):
        self.metadata.append({"dicom_id": dicom_id, "subject_id": subject, "study_id": study, "ViewPosition": view})
        if labels is not None:
            self.chexpert[study] = {"subject_id": subject, "study_id": study} | dict(labels)
        if split:
            self.split.append({"dicom_id": dicom_id, "study_id": study, "subject_id": subject, "split": split})
        inner = Path("files") / f"p{subject[:2]}" / f"p{subject}"
        if report is not None:
            path = self.reports / inner / f"s{study}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(report)
        if file:
            path = self.jpg / inner / f"s{study}" / f"{dicom_id}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(file, bytes):
                path.write_bytes(file)
            else:
                Image.fromarray(np.zeros((10, 10), dtype=np.uint8)).save(path)
        if box:
            place = {"x": 1, "y": 1, "w": 4, "h": 4, "image_width": 10, "image_height": 10, "dicom_id": dicom_id}
            self.boxes.append({"category_name": "Edema", "label_text": "mild edema"} | place)

    def write(self, suffix=".csv.gz"):
        columns = ["subject_id", "study_id", *CHEXPERT_LABELS]
        for name, table in {
            "metadata": pd.DataFrame(self.metadata),
            "chexpert": pd.DataFrame(self.chexpert.values(), columns=columns),
            "split": pd.DataFrame(self.split, columns=["dicom_id", "study_id", "subject_id", "split"]),
        }.items():
            table.to_csv(self.jpg / f"mimic-cxr-2.0.0-{name}{suffix}", index=False)
        boxes = pd.DataFrame(
            self.boxes,
            columns=["category_name", "label_text", "x", "y", "w", "h"] + ["image_width", "image_height", "dicom_id"],
        )
        boxes.to_csv(self.ms_cxr / "MS_CXR_Local_Alignment_v1.0.0.csv", index=False)
        return self

    def prepare(self, max_missing=0.0, views=("PA", "AP")):
        return prepare_images(self.jpg, self.reports, self.ms_cxr, views, max_missing)


@pytest.fixture
def raw(tmp_path):
    return Raw(tmp_path)


def test_images_and_what_is_left_out(raw):
    raw.add(
        "train",
        "10000002",
        "51",
        report="\ufeffIMPRESSION:\n Edema,\n no NA.",
        labels={"Edema": 1.0, "Pneumonia": -1.0},
    )
    raw.add("val", "10000001", "52", split="validate", view="AP", labels={"No Finding": 1.0})
    raw.add("test", "11000001", "53", split="test", report="Impression: Clear.")
    raw.add("p19", "19000001", "54", split="train", labels={"Fracture": 1.0})
    raw.add("p19-silent", "19000001", "55", report="FINDINGS: Clear.")
    raw.add("p19-unreported", "19000002", "56", split=None, report=None)
    raw.add("lateral", "10000003", "57", view="LATERAL")
    raw.add("no-view", "10000003", "58", view="")
    raw.add("box", "12000001", "59", box=True, view="", split=None, report="FINDINGS: Clear.")
    raw.add("same-subject", "12000001", "60")
    raw.add("same-study", "12000001", "59", report=None)
    raw.add("p19-box", "19000003", "61", box=True, labels={"Edema": 1.0, "Pleural Effusion": 1.0})
    raw.add("p19-same-subject", "19000003", "62")
    raw.add("silent", "13000001", "63", report="FINDINGS: Clear.")
    raw.add("unreported", "13000002", "64", split="test", report=None)
    raw.add("unsplit", "13000001", "65", split=None)
    raw.add("lost", "13000001", "66", file=False)
    raw.add("train", "14000001", "67", split=None)
    raw.add("damaged", "13000001", "68", file=b"\xff\xd8 cut short")
    raw.add("of-a-test-patient", "11000001", "69")
    images, counts = raw.write().prepare(max_missing=0.2)

    assert counts == {
        "read": 20,
        "dicom_id listed twice": 1,
        "view is not PA or AP": 2,
        "not in the split file": 1,
        "split mscxr, but not in MS-CXR": 0,
        "subject has an MS-CXR image": 3,
        "subject has an image of another split": 1,
        "report file missing": 1,
        "no impression in the report": 1,
        "image file missing": 1,
        "image file unreadable": 1,
        "impression: cut where MIMIC's authors say so for this report (kept)": 0,
        "impression: head not in capitals (kept)": 1,
        "impression: head not indented (kept)": 1,
        "impression: head within a line (kept)": 0,
        "impression: head misspelt (kept)": 0,
        "impression: head of another form (kept)": 0,
        "impression: signature cut off (kept)": 0,
        "kept": 8,
    }
    assert list(counts)[0] == "read" and list(counts)[-1] == "kept"
    assert images.set_index("sample_id")[["subject_id", "split", "text", "Finding Labels"]].to_dict("index") == {
        name: {"subject_id": subject, "split": split, "text": text, "Finding Labels": labels}
        for name, subject, split, text, labels in (
            ("val", "10000001", "val", "Clear.", "No Finding"),
            ("train", "10000002", "train", "Edema, no NA.", "Edema"),
            ("test", "11000001", "test", "Clear.", ""),
            ("box", "12000001", "mscxr", "", ""),
            ("p19", "19000001", "p19", "Clear.", "Fracture"),
            ("p19-silent", "19000001", "p19", "", ""),
            ("p19-unreported", "19000002", "p19", "", ""),
            ("p19-box", "19000003", "mscxr", "Clear.", "Edema|Pleural Effusion"),
        )
    }
    assert images["subject_id"].is_monotonic_increasing
    assert images["path"][1] == f"{raw.jpg}/files/p10/p10000002/s51/train.jpg"
    assert all(Path(path).is_file() for path in images["path"])


def test_images_are_listed_without_their_files(raw):
    raw.add("train", "10000002", "51", report=None, file=False)
    raw.add("p19", "19000001", "54", file=False)
    raw.add("box", "12000001", "59", box=True, file=False)
    raw.add("same-subject", "12000001", "60", file=False)
    raw.write()
    listed, counts = list_images(raw.jpg, raw.reports, raw.ms_cxr, ["PA", "AP"])
    assert listed["sample_id"].tolist() == ["train", "box", "p19"]
    assert listed["split"].tolist() == ["train", "mscxr", "p19"]
    assert counts["read"] == 4 and counts["subject has an MS-CXR image"] == 1


def test_prepared_table_can_be_read_back(raw, tmp_path):
    raw.add("a", "10000001", "51", report="IMPRESSION:\n 1. Edema,\n 2. caf\xe9.")
    images, _ = raw.write().prepare()
    write_table(images, tmp_path / "images.csv")
    pd.testing.assert_frame_equal(read_images(tmp_path / "images.csv"), images)


def test_the_originals_table_gives_what_the_raw_files_give(raw, tmp_path):
    raw.add("a", "10000001", "51", labels={"Edema": 1.0, "Atelectasis": 1.0, "Pneumonia": -1.0})
    raw.add("b", "10000002", "52", split="validate", view="AP", report="IMPRESSION:\n Mild\n edema.")
    raw.add("c", "11000001", "53", split="test", labels={"No Finding": 1.0})
    raw.add("d", "19000001", "54", report="FINDINGS: Clear.")
    raw.add("e", "12000001", "55", box=True, view="LL")
    raw.add("f", "12000001", "56")
    raw.add("g", "13000001", "57", view="LATERAL")
    raw.add("h", "13000001", "58", report="FINDINGS: Clear.")
    raw.add("i", "13000001", "59", file=b"cut short")
    from_raw, raw_counts = raw.write().prepare(max_missing=0.2)
    numbers = {"train": "1", "validate": "2", "test": "0"}
    rows = [
        {
            "dicom_id": image["dicom_id"],
            "subject_id": f"{image['subject_id']}.0",
            "study_id": f"{image['study_id']}.0",
            "ViewPosition": image["ViewPosition"],
            "path": "files/p{subject_id:.2}/p{subject_id}/s{study_id}/{dicom_id}.dcm".format(**image),
            "split": {"d": "3", "e": "4"}.get(image["dicom_id"], numbers[split["split"]]),
            "impression": {"b": "Mild\nedema.", "d": "", "h": ""}.get(image["dicom_id"], "Clear."),
            "Finding Labels ": {"a": "Edema | Atelectasis", "c": "No Finding"}.get(image["dicom_id"], ""),
        }
        for image, split in zip(raw.metadata, raw.split, strict=True)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "prepared.csv", index=False)
    images, counts = prepare_images(raw.jpg, None, raw.ms_cxr, ["PA", "AP"], 0.2, tmp_path / "prepared.csv")
    pd.testing.assert_frame_equal(images, from_raw)
    assert counts == {reason: n for reason, n in raw_counts.items() if not reason.startswith("impression: ")}
    assert images["split"].tolist() == ["train", "val", "test", "mscxr", "p19"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject_id": "10000032.5"}, "subject_id does not consist of 8 digits"),
        ({"study_id": ""}, "study_id is empty"),
        ({"dicom_id": "../a"}, "dicom_id does not consist of letters"),
        ({"split": "train"}, "split is none of 0, 1, 2, 3, 4"),
        ({"split": ""}, "split is none of 0, 1, 2, 3, 4"),
        ({"Finding Labels": "Edema|Oedema"}, "Finding Labels has another name .'Oedema'. than Atelectasis"),
        ({"path": "/files/p10/a.dcm"}, "path is not that of an image below the folder"),
        ({"path": "files/../../a.jpg"}, "path is not that of an image below the folder"),
        ({"path": ""}, "path is not that of an image below the folder"),
    ],
)
def test_wrong_rows_of_the_originals_table_are_named(tmp_path, change, message):
    row = {"dicom_id": "a", "subject_id": "10000032.0", "study_id": "50414267.0", "ViewPosition": "PA", "split": "1"}
    row |= {"path": "files/p10/p10000032/s50414267/a.dcm", "impression": "Edema.", "Finding Labels": "Edema"}
    pd.DataFrame([row, row | change]).to_csv(tmp_path / "prepared.csv", index=False)
    with pytest.raises(InputError, match=f"prepared.csv, row 3: {message}"):
        read_prepared(tmp_path / "prepared.csv")


def test_views_are_the_configured_ones(raw):
    raw.add("pa", "10000001", "51")
    raw.add("ap", "10000001", "51", view="AP")
    raw.write()
    assert raw.prepare(views=["AP"])[0]["sample_id"].tolist() == ["ap"]
    with pytest.raises(InputError, match="no image of the split train is left of .*'view is not LL': 2"):
        raw.prepare(views=["LL"])


def test_studies_without_a_row_of_labels_are_counted_and_tables_of_other_studies_are_refused(raw):
    raw.add("a", "10000001", "51", labels={"Edema": 1.0})
    raw.add("b", "10000002", "52", labels=None)
    raw.write()
    table, counts = raw.prepare()
    assert table["Finding Labels"].tolist() == ["Edema", ""]
    assert counts["study not in the table of labels (kept)"] == 1
    for name, column, ids, message in (
        ("chexpert", "study_id", ["61"], "has no study_id of .*metadata"),
        ("chexpert", "study_id", ["51.0"], "row 2: study_id does not consist of digits"),
        ("split", "dicom_id", ["c", "d"], "has no dicom_id of .*metadata"),
    ):
        path = raw.jpg / f"mimic-cxr-2.0.0-{name}.csv.gz"
        whole = pd.read_csv(path, dtype=str)
        whole.assign(**{column: ids}).to_csv(path, index=False)
        with pytest.raises(InputError, match=f"{name}.csv.gz.*{message}"):
            raw.prepare()
        whole.to_csv(path, index=False)


def test_too_many_missing_files_are_an_error(raw):
    for i in range(10):
        raw.add(f"i{i}", "10000001", f"5{i}", file=i != 3, report=None if i == 4 else "IMPRESSION: Clear.")
    raw.write()
    assert raw.prepare(max_missing=0.12)[1]["kept"] == 8  # 1 of 10 reports, then 1 of 9 images
    with pytest.raises(InputError, match=r"i3.jpg: 1 of 9 images are missing or unreadable"):
        raw.prepare(max_missing=0.1)
    with pytest.raises(InputError, match=r"s54.txt: 1 of 10 reports are missing or unreadable"):
        raw.prepare(max_missing=0.09)


def test_plain_and_newer_files_are_found(raw):
    raw.add("a", "10000001", "51", labels={"Edema": 1.0})
    raw.write(".csv")
    assert read_metadata(raw.jpg)["dicom_id"].tolist() == ["a"]
    assert read_chexpert(raw.jpg)["Edema"].tolist() == [1.0]
    assert read_split(raw.jpg).to_dict("records") == [{"dicom_id": "a", "split": "train"}]
    newer = "dicom_id,subject_id,study_id,ViewPosition\nb,10000001,51,PA\n"
    with gzip.open(raw.jpg / "mimic-cxr-2.1.0-metadata.csv.gz", "wt") as file:
        file.write(newer)
    assert read_metadata(raw.jpg)["dicom_id"].tolist() == ["b"]


def test_missing_folders_and_files_are_named(raw, tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no such folder"):
        read_metadata(tmp_path / "nowhere")
    for read, name in ((read_metadata, "metadata"), (read_chexpert, "chexpert"), (read_split, "split")):
        with pytest.raises(InputError, match=rf"jpg: holds no mimic-cxr-2.\*-{name}.csv.gz"):
            read(raw.jpg)
    raw.add("a", "10000001", "51")
    raw.write()
    with pytest.raises(InputError, match="jpg2: has no folder files"):
        (tmp_path / "jpg2").mkdir()
        prepare_images(raw.jpg, tmp_path / "jpg2", raw.ms_cxr, ["PA"], 0.0)


@pytest.mark.parametrize(
    ("read", "name", "content", "message"),
    [
        (read_metadata, "metadata", "dicom_id,subject_id,study_id\na,b,c\n", "csv: has no column 'ViewPosition'"),
        (
            read_metadata,
            "metadata",
            "dicom_id,subject_id,study_id,ViewPosition\na,,c,PA\n",
            "row 2: subject_id is empty",
        ),
        (read_split, "split", "dicom_id,split\na,train\nb,dev\n", "row 3: split is none of train, validate, test"),
        (read_split, "split", "dicom_id,split\na,train\na,test\n", "row 3: dicom_id occurs"),
        (read_chexpert, "chexpert", "subject_id,study_id\n1,2\n", "csv: has no column 'Atelectasis'"),
        (
            read_chexpert,
            "chexpert",
            f"study_id,{','.join(CHEXPERT_LABELS)}\n" + f"1{',' * 14}\n" * 2,
            "row 3: study_id occurs",
        ),
        (
            read_chexpert,
            "chexpert",
            f"study_id,{','.join(CHEXPERT_LABELS)}\n1,yes{',' * 13}\n",
            "row 2: Atelectasis is none of 1.0, 0.0, -1.0 and empty",
        ),
    ],
)
def test_wrong_rows_and_columns_are_named(tmp_path, read, name, content, message):
    (tmp_path / f"mimic-cxr-2.0.0-{name}.csv").write_text(content)
    with pytest.raises(InputError, match=f"mimic-cxr-2.0.0-{name}.*{message}"):
        read(tmp_path)


def test_scripts_from_raw_files_to_prompts(raw, tmp_path, run_script):
    raw.add("a", "10000001", "51")
    raw.add("b", "10000002", "52", box=True)
    raw.add("c", "19000001", "53", labels={"Edema": 1.0}, report="IMPRESSION: Mild edema.")
    raw.write()
    out = {
        name: str(tmp_path / f"{name}.csv") for name in ("images", "grounding", "wrong_prompts", "prompts", "counts")
    }
    run_script(
        "prepare_images",
        params={
            "folders": {
                "mimic_cxr_jpg": str(raw.jpg),
                "mimic_cxr_reports": str(raw.reports),
                "ms_cxr": str(raw.ms_cxr),
            },
            "limits": {},
            "views": ["PA"],
        },
        input={"prepared": []},
        output={"images": out["images"], "counts": out["counts"]},
    )
    assert read_images(out["images"])["split"].tolist() == ["train", "mscxr", "p19"]
    assert Path(out["counts"]).read_text().splitlines()[-1] == "kept,3"

    run_script(
        "prepare_grounding",
        input={"images": out["images"]},
        params={"folders": {"ms_cxr": str(raw.ms_cxr)}, "query_words": {"Edema": ["edema", "congestion"]}},
        output={"grounding": out["grounding"], "counts": out["counts"]},
    )
    grounding = read_grounding(out["grounding"])
    assert grounding["phrase_id"].tolist() == ["b-1"]
    assert grounding["words"].tolist() == ["edema|congestion" if grounding["category"][0] == "Edema" else ""]

    run_script(
        "prepare_wrong_prompts",
        input={"grounding": out["grounding"], "images": out["images"]},
        params={"texts": ["phrase", "impression"], "seed": 0},
        output={"wrong_prompts": out["wrong_prompts"]},
    )
    # one phrase alone has no other subject's text as its control
    assert Path(out["wrong_prompts"]).read_text() == "text_kind,id,sample_id,text,category\n"

    mine = tmp_path / "mine.csv"
    mine.write_text("impression,Finding Labels\nLarge effusion.,Pleural Effusion\n")
    for user_csv, text in (([], "Mild edema."), (str(mine), "Large effusion.")):
        run_script(
            "prepare_prompts",
            input={"images": out["images"], "phrases": [], "user_csv": user_csv},
            params={"n": 2, "seed": 0},
            output={"prompts": out["prompts"], "counts": out["counts"]},
        )
        assert read_prompts(out["prompts"])["text"].tolist() == [text, text]


def test_scripts_print_wrong_input_as_one_line(run_script, capsys):
    folders = {"mimic_cxr_jpg": "nowhere", "mimic_cxr_reports": "", "ms_cxr": ""}
    params = {"folders": folders, "views": ["PA"], "limits": {}}
    with pytest.raises(SystemExit):
        run_script("prepare_images", params=params, input={"prepared": []}, output={"images": "x", "counts": "y"})
    assert capsys.readouterr().err.startswith("Error in rule prepare_images: nowhere: there is no such folder")
