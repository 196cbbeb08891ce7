import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tradeoffs.data.mimic import prepare_images
from tradeoffs.data.mscxr import prepare_grounding
from tradeoffs.demo import phantom_files
from tradeoffs.demo.phantom_files import write_phantoms
from tradeoffs.demo.phantoms import render

COUNTS = {"train": 60, "val": 5, "p19": 6, "mscxr": 30}
SEED = 10


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder, what `write_phantoms` returned, and the frontal phantoms as they were drawn, by study."""
    folder, drawn = tmp_path_factory.mktemp("raw"), {}

    def recorded(findings, subject, image, lateral=False):
        phantom = render(findings, subject, image, lateral)
        if not lateral:
            drawn[str(image[1])] = findings, phantom
        return phantom

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom_files, "render", recorded)
        counts = write_phantoms(folder, SEED, **COUNTS)
    return folder, counts, drawn


@pytest.fixture(scope="module")
def tables(written):
    jpg = written[0] / "mimic-cxr-jpg"
    return {
        name: pd.read_csv(jpg / f"mimic-cxr-2.0.0-{name}.csv.gz", dtype=str, keep_default_na=False)
        for name in ("metadata", "split", "chexpert")
    }


@pytest.fixture(scope="module")
def prepared(written):
    folder = written[0]
    return prepare_images(folder / "mimic-cxr-jpg", folder / "mimic-cxr", folder / "ms-cxr", ["PA", "AP"], 0.0)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_bytes_whatever_the_workers(written, tmp_path):
    write_phantoms(tmp_path / "two", SEED, **COUNTS, workers=2)
    expected = digests(written[0])
    assert digests(tmp_path / "two") == expected and len(expected) > 2 * sum(COUNTS.values())
    small = {"train": 1, "val": 0, "p19": 0, "mscxr": 1}
    write_phantoms(tmp_path / "a", 0, **small)
    write_phantoms(tmp_path / "b", 1, **small)
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "b").values())


def test_images_are_the_renderers(written, tables):
    folder, counts, drawn = written
    frontal = tables["metadata"].query("ViewPosition != 'LATERAL'")
    assert len(frontal) == len(drawn) == counts["frontal"]
    assert len(tables["metadata"]) - len(frontal) == counts["lateral"] > 0
    for row in frontal.itertuples():
        phantom = drawn[row.study_id][1]
        person = f"files/p{row.subject_id[:2]}/p{row.subject_id}"
        path = folder / "mimic-cxr-jpg" / person / f"s{row.study_id}" / f"{row.dicom_id}.jpg"
        assert (folder / "mimic-cxr" / person / f"s{row.study_id}.txt").is_file()
        stored = np.asarray(Image.open(path)).astype(int)
        assert stored.shape == phantom.image.shape == (int(row.Rows), int(row.Columns))
        assert np.abs(stored - phantom.image).mean() < 4  # JPEG


def test_boxes_are_the_renderers(written):
    folder, _, drawn = written
    rows = pd.read_csv(folder / "ms-cxr" / "MS_CXR_Local_Alignment_v1.0.0.csv")
    found = 0
    for path, group in rows.groupby("path"):
        assert (folder / "mimic-cxr-jpg" / path).is_file() and path.endswith(f"{group['dicom_id'].iloc[0]}.jpg")
        findings, phantom = drawn[path.split("/")[3].removeprefix("s")]
        expected = [(f.name, *box) for f, boxes in zip(findings, phantom.boxes, strict=True) for box in boxes]
        assert list(group[["category_name", "x", "y", "w", "h"]].itertuples(index=False, name=None)) == expected
        assert set(zip(group["image_height"], group["image_width"], strict=True)) == {phantom.image.shape}
        sides = {finding.name: finding.side for finding in findings}
        for name, text in zip(group["category_name"], group["label_text"], strict=True):
            said = "both" if "both" in text else "bilateral"
            assert {"central": "", "bilateral": said}.get(sides[name], sides[name]) in text
        found += 1
    assert found == COUNTS["mscxr"] and len(rows) > found


def test_labels_are_the_findings(written, tables):
    drawn = written[2]
    chexpert = tables["chexpert"].set_index("study_id")
    assert set(chexpert.index) == set(drawn) and chexpert.index.is_unique
    assert set(chexpert.drop(columns="subject_id").to_numpy().flatten()) == {"1.0", "0.0", "-1.0", ""}
    for study, (findings, phantom) in drawn.items():
        labels = chexpert.loc[study].drop("subject_id")
        visible = {f.name for f, boxes in zip(findings, phantom.boxes, strict=True) if boxes}
        assert set(labels.index[labels == "1.0"]) == (visible or {"No Finding"})


def test_split_and_subjects(tables):
    split = tables["split"]
    assert split["dicom_id"].is_unique and set(split["split"]) == {"train", "validate", "test"}
    studies = split.groupby("subject_id")["study_id"].nunique()
    assert studies.max() == 2 and studies.min() == 1
    folders = split["subject_id"].str[:2]
    assert (split.loc[folders == "19", "split"] == "train").all() and folders.nunique() > 5
    assert split.groupby("study_id")["subject_id"].nunique().max() == 1


def test_preparation_drops_what_it_must_and_no_more(written, tables, prepared):
    folder, counts, _ = written
    images, dropped = prepared
    boxed = pd.read_csv(folder / "ms-cxr" / "MS_CXR_Local_Alignment_v1.0.0.csv")["dicom_id"]
    split = tables["split"]
    subjects = split.loc[split["dicom_id"].isin(boxed), "subject_id"]
    second = split[split["subject_id"].isin(subjects) & (split["split"] == "train")]
    assert len(second) > 0
    assert dropped["read"] == len(tables["metadata"])
    assert dropped["view is not PA or AP"] == counts["lateral"]
    assert dropped["subject has an MS-CXR image"] == len(second)
    without = dropped["no impression in the report"]
    assert 0 < without < 10
    assert dropped["kept"] == sum(COUNTS.values()) - without == len(images)
    assert sum(count for reason, count in dropped.items() if reason not in ("read", "kept")) == (
        counts["lateral"] + len(second) + without
    )
    kept = images["split"].value_counts()
    assert kept["mscxr"] == COUNTS["mscxr"] and kept["p19"] == COUNTS["p19"]
    assert kept["train"] + kept["val"] == COUNTS["train"] + COUNTS["val"] - without
    assert not set(images.query("split == 'train'")["subject_id"]) & set(subjects)


def test_grounding_keeps_every_box(written, prepared):
    folder, _, drawn = written
    grounding, counts = prepare_grounding(folder / "ms-cxr", prepared[0])
    boxes = sum(len(b) for s in prepared[0].query("split == 'mscxr'")["study_id"] for b in drawn[s][1].boxes)
    assert counts["read"] == counts["kept"] == boxes
    assert [reason for reason, n in counts.items() if "kept" not in reason and reason != "read" and n] == []
    assert grounding["boxes"].map(len).max() == 2 and grounding["sample_id"].nunique() == COUNTS["mscxr"]
    assert json.dumps(grounding["boxes"].iloc[0])  # plain numbers


def test_study_numbers_are_unique(tmp_path):
    """With this seed the gap after a patient with a second study is 1."""
    write_phantoms(tmp_path, 3537, train=0, val=0, p19=0, mscxr=2)
    chexpert = pd.read_csv(tmp_path / "mimic-cxr-jpg" / "mimic-cxr-2.0.0-chexpert.csv.gz")
    assert chexpert["study_id"].is_unique and len(chexpert) >= 2
