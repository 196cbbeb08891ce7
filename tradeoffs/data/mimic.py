"""MIMIC-CXR-JPG and the reports of MIMIC-CXR (Johnson et al. 2019, PhysioNet) as one image table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from tradeoffs.data.findings import CHEXPERT_LABELS
from tradeoffs.data.images import check_image_files, check_missing
from tradeoffs.data.limits import BEYOND, beyond_limits
from tradeoffs.data.mscxr import read_mscxr
from tradeoffs.data.raw_files import MIMIC_TABLES, newest
from tradeoffs.data.reports import DIFFERENCES, Impression, cut_impression
from tradeoffs.data.tables import IMAGE_COLUMNS, SPLITS_WITH_TEXT, read_csv, reject_labels, reject_rows
from tradeoffs.errors import InputError
from tradeoffs.files import for_each_file

_SPLIT_NAMES = {"train": "train", "validate": "val", "test": "test"}
_PREPARED_SPLITS = {"0": "test", "1": "train", "2": "val", "3": "p19", "4": "mscxr"}


def read_metadata(folder: str | Path) -> pd.DataFrame:
    """Reads mimic-cxr-2.*-metadata.csv(.gz): dicom_id, subject_id, study_id, ViewPosition as text.

    Raises InputError for a missing folder, file or column, or an id that is empty or of another form.
    """
    path = _find_table(folder, "metadata")
    columns = ["dicom_id", "subject_id", "study_id", "ViewPosition"]
    table = _read_table(path, columns)
    _check_ids(path, table)
    return table


def read_chexpert(folder: str | Path) -> pd.DataFrame:
    """Reads mimic-cxr-2.*-chexpert.csv(.gz): study_id and the 14 labels as float.

    1 positive, 0 negative, -1 uncertain, NaN not mentioned.
    Raises InputError for a missing folder, file or column, another value, or a study in two rows.
    """
    path = _find_table(folder, "chexpert")
    table = _read_table(path, ["study_id", *CHEXPERT_LABELS])
    reject_rows(path, ~table["study_id"].str.fullmatch(r"\d+"), "study_id does not consist of digits")
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


def check_ids(folder: str | Path, metadata: pd.DataFrame, split: pd.DataFrame, chexpert: pd.DataFrame) -> None:
    """Raises InputError if the split or the labels of MIMIC-CXR's tables are of no image that their metadata lists."""
    for name, column, table in (("split", "dicom_id", split), ("chexpert", "study_id", chexpert)):
        if not metadata[column].isin(table[column]).any():
            listed = _find_table(folder, "metadata")
            remedy = "download both from PhysioNet (MIMIC-CXR-JPG) again"
            raise InputError(f"{_find_table(folder, name)}: has no {column} of {listed}; {remedy}")


def finding_labels(row: Mapping[str, float]) -> str:
    """The positive (1) labels of a study joined by "|" in CheXpert's order; uncertain (-1) ones do not count."""
    return "|".join(label for label in CHEXPERT_LABELS if row[label] == 1)


def prepare_images(
    mimic_cxr_jpg: str | Path,
    mimic_cxr_reports: str | Path | None,
    ms_cxr: str | Path,
    views: Sequence[str],
    max_missing: float,
    prepared: str | Path | None = None,
    limits: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Makes the image table of MIMIC-CXR: the listed images (see list_images) that have their files and texts.

    max_missing: share of the images, and of the reports, that may be missing or unreadable

    Removed are images of train, val and test without an impression. Returns the table, sorted by subject, study and
    image, and counts of images by reason; those of "impression: ..." are kept, with a text that differs from that of
    MIMIC's own parser (tradeoffs/data/reports.py).
    Raises InputError as list_images does, or if too many files are missing, or nothing is left.
    """
    jpg = Path(mimic_cxr_jpg)
    table, counts = list_images(mimic_cxr_jpg, mimic_cxr_reports, ms_cxr, views, prepared, limits)

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal table
        counts[reason] = int(bad.sum())
        table = table[~bad]

    if not prepared:
        impressions = _read_impressions(table["report"], max_missing)
        table = table.assign(
            text=[None if found is None else found.text for found in impressions],
            difference=["" if found is None else found.difference for found in impressions],
        )
    needs_text = table["split"].isin(SPLITS_WITH_TEXT)
    drop(needs_text & table["text"].isna(), "report file missing")
    table = table.assign(text=table["text"].fillna("").astype(str))
    drop(needs_text[table.index] & (table["text"] == ""), "no impression in the report")
    table = table.assign(path=f"{jpg}/" + table["path"])
    faults = pd.Series(
        check_image_files(table["path"].tolist(), max_missing, "data.mimic_cxr_jpg"), index=table.index, dtype=str
    )
    drop(faults == "missing", "image file missing")
    drop(faults[table.index] == "unreadable", "image file unreadable")
    if not prepared:
        counts |= {f"impression: {name} (kept)": int((table["difference"] == name).sum()) for name in DIFFERENCES}
    counts["kept"] = len(table)
    if table.empty:
        raise InputError(f"{prepared or jpg}: no image is left of {counts}; check the folders and the views")
    return table[IMAGE_COLUMNS].reset_index(drop=True), counts


def list_images(
    mimic_cxr_jpg: str | Path,
    mimic_cxr_reports: str | Path | None,
    ms_cxr: str | Path,
    views: Sequence[str],
    prepared: str | Path | None = None,
    limits: Mapping[str, int] | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The images that MIMIC-CXR's CSV files list, by split; neither they nor the reports are opened.

    mimic_cxr_jpg: the folder with files/p10/... and, unless there is a prepared table, the CSV files
    mimic_cxr_reports: the folder with files/p10/... of reports, not read if there is a prepared table
    ms_cxr: MS-CXR's CSV or folder, whose images become the split mscxr (whatever their view)
    views: the view positions that are kept, such as PA and AP
    prepared: the original's table (see read_prepared) in place of MIMIC's CSV files and reports
    limits: a pilot's images of a split, at most (see `beyond_limits`)

    The folder p19 becomes the split p19, other images keep their split. Removed are images outside mscxr whose subject
    has an MS-CXR image (docs/differences.md, row 21).
    Returns the columns of read_prepared (with `report`, its path, in place of the text if that is not prepared),
    sorted by subject, study and image, and counts of images by reason.
    Raises InputError if the files are not as their owners ship them.
    """
    jpg = Path(mimic_cxr_jpg)
    if prepared:
        table = read_prepared(prepared)
    else:
        assert mimic_cxr_reports is not None, "reports are needed where there is no prepared table"
        table = _read_raw(jpg, Path(mimic_cxr_reports))
    mscxr_images = read_mscxr(ms_cxr)["dicom_id"]
    counts = {"read": len(table)}

    def drop(bad: pd.Series, reason: str) -> None:
        nonlocal table
        counts[reason] = int(bad.sum())
        table = table[~bad]

    drop(table["sample_id"].duplicated(), "dicom_id listed twice")
    in_mscxr = table["sample_id"].isin(mscxr_images)
    split = table["split"].mask(table["subject_id"].str.startswith("19"), "p19").mask(in_mscxr, "mscxr")
    table = table.assign(split=split)
    listed = set(split)
    subjects = table.loc[in_mscxr, "subject_id"]
    drop((table["split"] != "mscxr") & ~table["ViewPosition"].isin(views), f"view is not {' or '.join(views)}")
    drop(table["split"] == "", "not in the split file")
    drop((table["split"] == "mscxr") & ~table["sample_id"].isin(mscxr_images), "split mscxr, but not in MS-CXR")
    drop((table["split"] != "mscxr") & table["subject_id"].isin(subjects), "subject has an MS-CXR image")
    drop(in_an_earlier_split(table), "subject has an image of another split")
    if limits:
        drop(beyond_limits(table, limits), BEYOND)
    without_labels = table.pop("without_labels") if "without_labels" in table else pd.Series(dtype=bool)
    if without_labels.any():
        counts["study not in the table of labels (kept)"] = int(without_labels.sum())
    lost = listed.intersection(["train", "p19"]) - set(table["split"])
    if lost:
        raise InputError(
            f"{prepared or jpg}: no image of the split {min(lost)} is left of {counts}; check the tables and the views"
        )

    return table.sort_values(["subject_id", "study_id", "sample_id"], ignore_index=True), counts


def read_prepared(path: str | Path) -> pd.DataFrame:
    """Reads the original's table of MIMIC-CXR, mimic_metadata_preprocessed.csv, one row per image.

    Returns sample_id, subject_id, study_id, ViewPosition, split, text, Finding Labels and path, which is the image's
    below the folder of MIMIC-CXR-JPG. In the file, ids of subjects and studies may look like 10000032.0, split is 0
    (test), 1 (train), 2 (val), 3 (p19) or 4 (mscxr), path ends with .dcm, and Finding Labels are joined by "|".
    Raises InputError for a missing file or column, an id of another form, an unknown split or finding, or a path that
    is no image below the folder.
    """
    columns = ["dicom_id", "subject_id", "study_id", "ViewPosition", "split", "impression", "path", "Finding Labels"]
    table = read_csv(path, columns, "give the original's mimic_metadata_preprocessed.csv")[columns]
    for column in ("subject_id", "study_id", "split"):
        table[column] = table[column].str.removesuffix(".0")
    _check_ids(path, table)
    reject_rows(path, ~table["split"].isin(_PREPARED_SPLITS), f"split is none of {', '.join(_PREPARED_SPLITS)}")
    image = table["path"].str.fullmatch(r"files(/\w[\w.-]*)+\.(dcm|jpg)")
    reject_rows(path, ~image, "path is not that of an image below the folder, files/p10/.../<dicom_id>.dcm")
    cells = table["Finding Labels"].str.replace(r"\s*\|\s*", "|", regex=True).str.strip()
    reject_labels(path, cells, CHEXPERT_LABELS)
    labels = [set(cell.split("|")) for cell in cells]
    return table.rename(columns={"dicom_id": "sample_id"}).assign(
        split=table["split"].map(_PREPARED_SPLITS),
        text=table["impression"].str.split().str.join(" "),
        path=table["path"].str.replace(r"\.dcm$", ".jpg", regex=True),
        **{"Finding Labels": ["|".join(name for name in CHEXPERT_LABELS if name in names) for names in labels]},
    )


def _read_raw(jpg: Path, reports: Path) -> pd.DataFrame:
    """MIMIC's CSV files joined: the columns of read_prepared with the path of the report in place of its text."""
    table, splits, labels = read_metadata(jpg), read_split(jpg), read_chexpert(jpg)
    check_ids(jpg, table, splits, labels)
    table = table.rename(columns={"dicom_id": "sample_id"})
    split = dict(splits.itertuples(index=False))
    if not (reports / "files").is_dir():
        raise InputError(f"{reports}: has no folder files with reports; give the folder of MIMIC-CXR that holds it")
    found = dict(zip(labels["study_id"], map(finding_labels, labels.to_dict("records")), strict=True))
    study = "files/p" + table["subject_id"].str[:2] + "/p" + table["subject_id"] + "/s" + table["study_id"]
    return table.assign(
        split=pd.Series([split.get(name, "") for name in table["sample_id"]], dtype=str),
        report=f"{reports}/" + study + ".txt",
        path=study + "/" + table["sample_id"] + ".jpg",
        without_labels=~table["study_id"].isin(labels["study_id"]),
        **{"Finding Labels": [found.get(study, "") for study in table["study_id"]]},
    )


def in_an_earlier_split(table: pd.DataFrame) -> pd.Series:
    """Whether another image of the subject has a split that comes before: those tested on before those trained on."""
    rank = table["split"].map({name: rank for rank, name in enumerate(("mscxr", "p19", "test", "val", "train"))})
    return rank > rank.groupby(table["subject_id"]).transform("min")


def _find_table(folder: str | Path, name: str) -> Path:
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: there is no such folder; give the folder of MIMIC-CXR-JPG")
    found = newest(folder, MIMIC_TABLES[name])
    if not found:
        raise InputError(f"{folder}: holds no {MIMIC_TABLES[name]}.gz; download MIMIC-CXR-JPG's CSV files into it")
    return found


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    return read_csv(path, columns, "download it from PhysioNet (MIMIC-CXR-JPG) again")[columns]


def _check_ids(path: str | Path, table: pd.DataFrame) -> None:
    """Raises InputError unless the ids can name the files of images and reports."""
    for column, pattern, form in (
        ("dicom_id", r"[\w-][\w.-]*", "letters, digits, - and _"),
        ("subject_id", r"\d{8}", "8 digits"),
        ("study_id", r"\d+", "digits"),
    ):
        reject_rows(path, table[column] == "", f"{column} is empty")
        reject_rows(path, ~table[column].str.fullmatch(pattern), f"{column} does not consist of {form}")


def _read_impressions(paths: pd.Series, max_missing: float) -> list[Impression | None]:
    """The impression of each report file, an empty one if it has none; None if there is no such file."""
    unique = paths.unique().tolist()
    found = dict(zip(unique, for_each_file(_read_impression, unique, "reports"), strict=True))
    missing = [path for path in unique if found[path] is None]
    check_missing(missing, len(unique), max_missing, "reports", "data.mimic_cxr_reports")
    return [found[path] for path in paths]


def _read_impression(path: str) -> Impression | None:
    try:
        report = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None
    return cut_impression(report, Path(path).stem.removeprefix("s")) or Impression("")
