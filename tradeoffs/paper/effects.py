"""docs/differences.md: its template, filled with what each row does on the demo (docs/effects.csv)."""

from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tradeoffs.data.sets import DATA_SETS
from tradeoffs.metrics import FIDELITY, METRICS, Metric

TEMPLATE = "differences.md.j2"
ROWS = 31
SCORES = METRICS | FIDELITY
SCORES |= {
    "top1_effusion": Metric("label top-1 of Pleural Effusion"),
    "mask_pixels": Metric("pixels of the ground truth", decimals=0),
    "excluded": Metric("excluded", decimals=0),
    "samples": Metric("samples", decimals=0),
    "empty_predictions": Metric("empty predictions", decimals=0),
    "training_texts": Metric("training texts that are “No Finding”", decimals=0),
    "training_images": Metric("training images removed", decimals=0),
}


def read_effects(path: str | Path) -> pd.DataFrame:
    """The table of effects; an empty text or variant is "".

    Columns: `tradeoffs.evaluation.effects.COLUMNS`, and in docs/effects.csv the commit at which a row was measured
    """
    return pd.read_csv(path, keep_default_na=False, na_values={"here": ""})


def differences_page(effects: pd.DataFrame) -> str:
    """docs/differences.md; a row without an effect was not measured, which the page says."""
    cells = dict.fromkeys(range(1, ROWS + 1), "not measured yet")
    cells |= {row: cell(rows) for row, rows in effects.groupby("row")}
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)
    commits = " and ".join(effects["commit"].str[:7].unique())
    return environment.get_template(TEMPLATE).render(effect=cells, commits=commits)


def cell(rows: pd.DataFrame) -> str:
    """One row's effect as people read it: each score here → with this row as in the original, by variant.

    A score that only the original has (NaN here) is a count out of n. Several values of one score are a range.
    If nothing changes, the cell says so.
    """
    parts = []
    for (dataset, text), of_text in rows.groupby(["dataset", "text"], sort=False):
        scores = [_score(score, of_score) for score, of_score in of_text.groupby("score", sort=False)]
        parts.append(f"{DATA_SETS[dataset].images}{f', {text}' if text else ''}: {', '.join(scores)}")
    unchanged = (rows["original"] == rows["here"].fillna(0)).all()
    return "; ".join(parts) + (" (the demo shows no effect)" if unchanged else "")


def _score(score: str, rows: pd.DataFrame) -> str:
    name = SCORES[score].name
    by_variant = {
        variant: _change(of_variant, SCORES[score].decimals)
        for variant, of_variant in rows.groupby("variant", sort=False)
    }
    if len(set(by_variant.values())) == 1:
        return f"{name} {next(iter(by_variant.values()))}"
    return f"{name} {', '.join(f'{change} ({variant})' for variant, change in by_variant.items())}"


def _change(rows: pd.DataFrame, digits: int) -> str:
    first, last = rows["original"].min(), rows["original"].max()
    original = f"{first:.{digits}f}" + (f" to {last:.{digits}f}" if len(rows) > 1 else "")
    here = rows["here"].iloc[0]
    return f"{original} of {rows['n'].iloc[0]}" if pd.isna(here) else f"{here:.{digits}f} → {original}"
