"""The tables of the raw data by the names that their owners give them, for the rules too: nothing is opened here."""

from pathlib import Path

MIMIC_TABLES = {name: f"mimic-cxr-2.*-{name}.csv" for name in ("metadata", "chexpert", "split")}
MS_CXR_TABLE = "MS_CXR_Local_Alignment_v*.csv"
OPEN_I_METADATA, OPEN_I_REPORTS = "nlmcxr_dicom_metadata.csv", "ecgen-radiology"
CHESTXRAY14_ENTRIES = "Data_Entry_2017*.csv"
BOX_TABLES = {  # of sets of boxes (box_layouts), seen from their folders; of each there is one or, by split, several
    "vindr_cxr": ["annotations/annotations_*.csv"],
    "chestx_det": ["ChestX_Det_*.json"],
    "chexlocalize": ["gt_segmentations_*.json"],
    "padchest_gr": ["grounded_reports_*.json", "master_table.csv"],
    "chestxray14": ["BBox_List_2017.csv"],
}


def coco_annotations(kind: str, part: str) -> str:
    """MS-COCO's file of captions or instances of train2017 or val2017, seen from its folder."""
    return f"annotations/{kind}_{part}.json"


def newest(folder: str | Path, pattern: str) -> Path | None:
    """What matches a pattern in a folder, a CSV also if it is compressed (.csv.gz); None if nothing does.

    Of several versions the newest, of one version a compressed copy before a plain one.
    """
    patterns = [pattern, f"{pattern}.gz"] if pattern.endswith(".csv") else [pattern]
    return max((path for one in patterns for path in Path(folder).glob(one)), default=None)
