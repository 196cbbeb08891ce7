"""Reading the workflow's result files: several CSVs under one another, each with labels that say whose it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

Labels = Sequence[Mapping[str, Any]]
DIFFERENCES = (
    *("frozen", "learnable", "protocol", "text", "group", "metric"),
    *("difference", "low", "high", "p", "n", "subjects"),
)


def read_results(paths: Sequence[str | Path], labels: Labels) -> pd.DataFrame:
    """The rows of several result files; each file's labels (dataset, variant, seed, step, ...) become columns."""
    tables = [pd.read_csv(path).assign(**label) for path, label in zip(paths, labels, strict=True)]
    return pd.concat(tables, ignore_index=True)


def read_differences(paths: Sequence[str | Path], labels: Labels) -> pd.DataFrame:
    """The rows of several differences.csv; none where the config has no pair of variants."""
    return read_results(paths, labels) if paths else pd.DataFrame(columns=["dataset", *DIFFERENCES])


def read_counts(paths: Sequence[str | Path]) -> dict[str, dict[str, int]]:
    """The counts of dropped and kept rows (CSV) by data set and file, such as "cxr/images_counts"."""
    return {
        f"{Path(path).parent.name}/{Path(path).stem}": pd.read_csv(path).set_index("reason")["count"].to_dict()
        for path in paths
    }
