"""Open-i, Indiana University's radiographs and reports (Demner-Fushman et al. 2016), as pairs of image and text."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from tradeoffs.data.findings import CHEXPERT_LABELS, OPEN_I_LABELS
from tradeoffs.data.raw_files import OPEN_I_METADATA, OPEN_I_REPORTS, newest
from tradeoffs.data.tables import read_csv, reject_rows
from tradeoffs.errors import InputError
from tradeoffs.files import for_each_file
from tradeoffs.randomness import numpy_rng

SHARES = {"train": 0.75, "val": 0.05, "p19": 0.20}  # of the patients; the collection has no splits of its own


def read_report(path: str) -> dict:
    """One report, ecgen-radiology/<n>.xml: subject_id (CXR1), text, Finding Labels and images (ids).

    text: the section IMPRESSION with white space folded, "" if it is empty; XXXX, which stands for what was removed,
    stays. Finding Labels: CheXpert's names of the terms (MeSH, major) that the report is indexed with, joined by "|".
    Raises InputError if the file is no such report.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: cannot be read as XML ({error}); unpack NLMCXR_reports.tgz again") from error
    subject = root.find("uId")
    sections = {part.get("Label"): part.text or "" for part in root.iter("AbstractText")}
    if subject is None or not subject.get("id") or "IMPRESSION" not in sections:
        raise InputError(f"{path}: has no uId or no section IMPRESSION; unpack NLMCXR_reports.tgz again")
    terms = {(term.text or "").split("/")[0].strip().lower() for term in root.findall("MeSH/major")}
    found = {OPEN_I_LABELS[term] for term in terms if term in OPEN_I_LABELS}
    return {
        "subject_id": subject.get("id"),
        "text": " ".join(sections["IMPRESSION"].split()),
        "Finding Labels": "|".join(label for label in CHEXPERT_LABELS if label in found),
        "images": [image.get("id", "") for image in root.iter("parentImage")],
    }


def read_views(folder: str | Path) -> dict[str, str]:
    """The view position ("" where it is not known) by image, as the DICOM metadata table names images.

    Raises InputError for a missing file or column, or an image in two rows.
    """
    path = newest(folder, OPEN_I_METADATA)
    if not path:
        raise InputError(f"{folder}: holds no {OPEN_I_METADATA}.gz; docs/data.md says where it is to be had")
    table = read_csv(path, ["imageid", "View Position"], "take it from torchxrayvision's wheel again (docs/data.md)")
    reject_rows(path, table["imageid"].duplicated(), "imageid occurs in an earlier row too")
    return dict(zip(table["imageid"], table["View Position"], strict=True))


def list_images(folder: str | Path, views: Sequence[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The images of the reports that have a text and one of the views; the image files are not opened.

    folder: with ecgen-radiology/*.xml, nlmcxr_dicom_metadata.csv and png/<image>.png
    views: the view positions that are kept, such as PA and AP

    A report is a patient's only one. Patients are drawn into train, val and p19 (SHARES), each by its id alone, so that
    the others do not matter.
    Returns sample_id, subject_id, study_id, path (below the folder), split, text and Finding Labels, sorted by
    sample_id, and counts of images by reason; the count that begins with "reports" is of those.
    Raises InputError if there is no report, or as read_report and read_views do.
    """
    known = read_views(folder)
    paths = sorted(str(path) for path in Path(folder, OPEN_I_REPORTS).glob("*.xml"))
    if not paths:
        raise InputError(f"{folder}: holds no {OPEN_I_REPORTS}/*.xml; unpack NLMCXR_reports.tgz into it")
    reports = pd.DataFrame(for_each_file(read_report, paths, "reports"))
    without_image = int((reports["images"].map(len) == 0).sum())
    table = reports.explode("images").dropna(subset=["images"]).rename(columns={"images": "sample_id"})
    counts = {"read": len(table), "reports without an image": without_image}

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal table
        counts[reason] = int(bad.sum())
        table = table[~bad]

    # CXR1_1_IM-0001-3001 in the report is CXR1_IM-0001-3001 there
    names = table["sample_id"].map(lambda name: re.sub(r"^(CXR\d+)_\d+_", r"\1_", name))
    table = table.assign(view=names.map(known), study_id=table["subject_id"])
    drop(table["sample_id"].duplicated(), "image listed twice")
    drop(table["view"].isna(), "not in the metadata table")
    drop(table["view"] == "", "view not known")
    drop(~table["view"].isin(views), f"view is not {' or '.join(views)}")
    drop(table["text"] == "", "no impression in the report")
    table = table.assign(
        path="png/" + table["sample_id"] + ".png", split=[split_of(subject) for subject in table["subject_id"]]
    )
    columns = ["sample_id", "subject_id", "study_id", "path", "split", "text", "Finding Labels"]
    return table.sort_values("sample_id", ignore_index=True)[columns], counts


def split_of(subject: str) -> str:
    """The split that a patient is drawn into."""
    drawn = numpy_rng("split of open-i", subject).random()
    for split, share in SHARES.items():
        drawn -= share
        if drawn < 0:
            return split
    return "train"
