"""MIMIC-CXR-JPG and the reports of MIMIC-CXR (Johnson et al. 2019, PhysioNet) as one image table."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from tqdm.contrib.concurrent import thread_map

from tradeoffs.data.findings import CHEXPERT_LABELS
from tradeoffs.data.mscxr import read_mscxr
from tradeoffs.data.tables import IMAGE_COLUMNS, SPLITS_WITH_TEXT, read_csv, reject_rows
from tradeoffs.errors import InputError

_IO_THREADS = 16  # the file system is waited for, not the processor
_SPLIT_NAMES = {"train": "train", "validate": "val", "test": "test"}

# Heads of sections are upper case and end with a colon. At the start of a line any words make a head, within a line
# only the usual ones (with up to three words before them, as in REASON FOR EXAMINATION), so that "NG TUBE: ..." stays.
_SECTIONS = (
    r"(?:(?:IMPRESSION|CONCLUSION|FINDING|RECOMMENDATION|NOTIFICATION|INDICATION|COMPARISON|EXAMINATION|COMMENT)"
    r"(?:S|\(S\))?|EXAM|TECHNIQUE|HISTORY|ADDENDUM|WET READ)"
)
_LINK = r"[ \t]*(?:/|&|,|\bAND\b)[ \t]*"
_USUAL_HEAD = re.compile(rf"(?<![A-Za-z])(?:[A-Z]+[ \t]+){{0,3}}{_SECTIONS}(?:{_LINK}{_SECTIONS})*[ \t]*:")
_LINE_HEAD = re.compile(r"^[ \t]*[A-Z][A-Z /&,()'-]{2,}[A-Z)][ \t]*:", re.MULTILINE)
_SIGNATURE = re.compile(r"^[ \t]*(?:electronically )?(?:signed|dictated|approved|reported) by\b", re.MULTILINE | re.I)


def read_metadata(folder: str | Path) -> pd.DataFrame:
    """Reads mimic-cxr-2.*-metadata.csv(.gz): dicom_id, subject_id, study_id, ViewPosition as text.

    Raises InputError for a missing folder, file or column, or an empty id.
    """
    path = _find_table(folder, "metadata")
    columns = ["dicom_id", "subject_id", "study_id", "ViewPosition"]
    table = _read_table(path, columns)
    for column in columns[:3]:
        reject_rows(path, table[column] == "", f"{column} is empty")
    return table


def read_chexpert(folder: str | Path) -> pd.DataFrame:
    """Reads mimic-cxr-2.*-chexpert.csv(.gz): study_id and the 14 labels as float.

    1 positive, 0 negative, -1 uncertain, NaN not mentioned.
    Raises InputError for a missing folder, file or column, another value, or a study in two rows.
    """
    path = _find_table(folder, "chexpert")
    table = _read_table(path, ["study_id", *CHEXPERT_LABELS])
    reject_rows(path, table["study_id"].duplicated(), "study_id occurs in an earlier row too")
    for label in CHEXPERT_LABELS:
        values = pd.to_numeric(table[label], errors="coerce")
        known = values.isin([1.0, 0.0, -1.0]) | (table[label] == "")
        reject_rows(path, ~known, f"{label} is none of 1.0, 0.0, -1.0 and empty")
        table[label] = values.astype(float)
    return table


def read_split(folder: str | Path) -> pd.DataFrame:
    """Reads mimic-cxr-2.*-split.csv(.gz): dicom_id and split (train, val, test).

    Raises InputError for a missing folder, file or column, another split, or an image in two rows.
    """
    path = _find_table(folder, "split")
    table = _read_table(path, ["dicom_id", "split"])
    reject_rows(path, table["dicom_id"].duplicated(), "dicom_id occurs in an earlier row too")
    reject_rows(path, ~table["split"].isin(_SPLIT_NAMES), f"split is none of {', '.join(_SPLIT_NAMES)}")
    table["split"] = table["split"].map(_SPLIT_NAMES)
    return table


def finding_labels(row: Mapping[str, float]) -> str:
    """The positive (1) labels of a study joined by "|" in CheXpert's order; uncertain (-1) ones do not count."""
    return "|".join(label for label in CHEXPERT_LABELS if row[label] == 1)


def cut_impression(report_text: str) -> str | None:
    """The text under a report's head IMPRESSION, CONCLUSION or the like, white space folded; None if there is none.

    It ends at the next head or at a signature. Of several impressions the last that is not empty counts, as with the
    section parser of MIMIC's authors (addenda and wet reads come first).
    """
    heads = list(_USUAL_HEAD.finditer(report_text))
    ends = [*(head.start() for head in heads), len(report_text)][1:]
    for head, end in reversed(list(zip(heads, ends, strict=True))):
        if not re.search("IMPRESSION|CONCLUSION", head[0]):
            continue
        body = report_text[head.end() : end].lstrip()
        # An unusual head right at the start names the view ("PA AND LATERAL CHEST: No acute process.")
        view = _LINE_HEAD.match(body)
        stops = [_LINE_HEAD.search(body, view.end() if view else 0), _SIGNATURE.search(body)]
        text = " ".join(body[: min((stop.start() for stop in stops if stop), default=None)].split())
        if text:
            return text
    return None


def prepare_images(
    mimic_cxr_jpg: str | Path, mimic_reports: str | Path, ms_cxr: str | Path, views: Sequence[str], max_missing: float
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Makes the image table of MIMIC-CXR.

    mimic_cxr_jpg, mimic_reports: the folders with files/p10/...
    ms_cxr: MS-CXR's CSV or folder, whose images become the split mscxr (whatever their view)
    views: the view positions that are kept, such as PA and AP
    max_missing: share of the images, and of the reports, that may be missing

    The folder p19 becomes the split p19, other images keep their split. Removed are images outside mscxr whose subject
    has an MS-CXR image (docs/differences.md, row 21), and images of train, val and test without an impression.
    Returns the table, sorted by subject, study and image, and counts of images by reason.
    Raises InputError if the files are not as their owners ship them, too many are missing, or nothing is left.
    """
    jpg, reports = Path(mimic_cxr_jpg), Path(mimic_reports)
    table = read_metadata(jpg).rename(columns={"dicom_id": "sample_id"})
    labels = read_chexpert(jpg)
    mimic_split = dict(read_split(jpg)[["dicom_id", "split"]].itertuples(index=False))
    mscxr_images = read_mscxr(ms_cxr)["dicom_id"]
    if not (reports / "files").is_dir():
        raise InputError(f"{reports}: has no folder files with reports; give the folder of MIMIC-CXR that holds it")
    counts = {"read": len(table)}

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal table
        counts[reason] = int(bad.sum())
        table = table[~bad]

    drop(table["sample_id"].duplicated(), "dicom_id listed twice")
    in_mscxr = table["sample_id"].isin(mscxr_images)
    split = pd.Series([mimic_split.get(name, "") for name in table["sample_id"]], index=table.index, dtype=str)
    split = split.mask(table["subject_id"].str.startswith("19"), "p19").mask(in_mscxr, "mscxr")
    table = table.assign(split=split)
    subjects = table.loc[in_mscxr, "subject_id"]
    drop((table["split"] != "mscxr") & ~table["ViewPosition"].isin(views), f"view is not {' or '.join(views)}")
    drop(table["split"] == "", "not in the split file")
    drop((table["split"] != "mscxr") & table["subject_id"].isin(subjects), "subject has an MS-CXR image")

    table = table.sort_values(["subject_id", "study_id", "sample_id"], ignore_index=True)
    subject_folder = "files/p" + table["subject_id"].str[:2] + "/p" + table["subject_id"]
    study_path = subject_folder + "/s" + table["study_id"]
    texts = _for_each(_read_impression, f"{reports}/" + study_path + ".txt", "reports", max_missing)
    needs_text = table["split"].isin(SPLITS_WITH_TEXT)
    table = table.assign(
        text=texts.fillna("").astype(str), path=f"{jpg}/" + study_path + "/" + table["sample_id"] + ".jpg"
    )
    drop(needs_text & texts.isna(), "report file missing")
    drop(needs_text[table.index] & (table["text"] == ""), "no impression in the report")
    exists = _for_each(lambda path: Path(path).is_file() or None, table["path"], "images", max_missing)
    drop(exists.isna(), "image file missing")
    counts["kept"] = len(table)
    if table.empty:
        raise InputError(f"{jpg}: no image is left of {counts}; check the folders and the views")

    found = {row["study_id"]: finding_labels(row) for row in labels.to_dict("records")}
    table = table.assign(**{"Finding Labels": [found.get(study, "") for study in table["study_id"]]})
    return table[IMAGE_COLUMNS].reset_index(drop=True), counts


def _find_table(folder: str | Path, name: str) -> Path:
    """The newest version; a compressed copy before a plain one of the same version."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the folder of MIMIC-CXR-JPG")
    found = sorted([*folder.glob(f"mimic-cxr-2.*-{name}.csv"), *folder.glob(f"mimic-cxr-2.*-{name}.csv.gz")])
    if not found:
        raise InputError(f"{folder}: holds no mimic-cxr-2.*-{name}.csv.gz; download MIMIC-CXR-JPG's CSV files into it")
    return found[-1]


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    return read_csv(path, columns, "download it from PhysioNet (MIMIC-CXR-JPG) again")[columns]


def _read_impression(path: str) -> str | None:
    """The impression of a report file, "" if it has none, None if there is no such file."""
    try:
        return cut_impression(Path(path).read_text(encoding="utf-8", errors="replace")) or ""
    except FileNotFoundError:
        return None


def _for_each(function: Callable[[str], object], paths: pd.Series, what: str, max_missing: float) -> pd.Series:
    """Calls `function` once per different path, in threads with a progress bar; None means that the file is missing."""
    unique = paths.unique().tolist()
    results = dict(zip(unique, thread_map(function, unique, max_workers=_IO_THREADS, desc=what), strict=True))
    missing = [path for path in unique if results[path] is None]
    if len(missing) > max_missing * len(unique):
        raise InputError(
            f"{missing[0]}: {len(missing)} of {len(unique)} {what} are missing, this one first; complete the download "
            "or raise max_missing"
        )
    return pd.Series([results[path] for path in paths], index=paths.index, dtype=object)
