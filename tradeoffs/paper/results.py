"""Reading the workflow's result files: several CSVs under one another; their own columns say whose each row is."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

DIFFERENCES = (
    *("frozen", "learnable", "protocol", "text", "group", "metric"),
    *("difference", "low", "high", "p", "n", "subjects"),
)


def read_results(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of several result files of one kind; ids of samples are text."""
    ids = {"id": str, "sample_id": str, "subject_id": str}
    return pd.concat([pd.read_csv(path, dtype=ids) for path in paths], ignore_index=True)


def read_differences(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of several differences.csv; none where the config has no pair of variants."""
    return read_results(paths) if paths else pd.DataFrame(columns=["dataset", *DIFFERENCES])


def read_counts(paths: Sequence[str | Path]) -> dict[str, dict[str, int]]:
    """The counts of dropped and kept rows (CSV) by data set and file, such as "cxr/images_counts"."""
    return {
        f"{Path(path).parent.name}/{Path(path).stem}": pd.read_csv(path).set_index("reason")["count"].to_dict()
        for path in paths
    }
