"""The tables of the raw data by the names that their owners give them, for the rules too: nothing is opened here."""

from pathlib import Path

MIMIC_TABLES = {name: f"mimic-cxr-2.*-{name}.csv" for name in ("metadata", "chexpert", "split")}
MS_CXR_TABLE = "MS_CXR_Local_Alignment_v*.csv"


def coco_annotations(kind: str, part: str) -> str:
    """MS-COCO's file of captions or instances of train2017 or val2017, seen from its folder."""
    return f"annotations/{kind}_{part}.json"


def newest(folder: str | Path, pattern: str) -> Path | None:
    """What matches a pattern in a folder, a CSV also if it is compressed (.csv.gz); None if nothing does.

    Of several versions the newest, of one version a compressed copy before a plain one.
    """
    patterns = [pattern, f"{pattern}.gz"] if pattern.endswith(".csv") else [pattern]
    return max((path for one in patterns for path in Path(folder).glob(one)), default=None)
