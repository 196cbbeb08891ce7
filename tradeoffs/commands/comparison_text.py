"""A comparison of two runs as Markdown, and as files."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tradeoffs.commands.compare import Comparison
from tradeoffs.data.tables import write_table
from tradeoffs.evaluation.statistics import MACRO
from tradeoffs.files import atomic_path
from tradeoffs.metrics import FIDELITY, METRICS
from tradeoffs.paper.formatting import MISSING, fixed, markdown_table, p_value, readable, signed

SHOWN = ("auc_roc", "top1", "cnr", "iou", "specificity", "wrong_word_auc", "wrong_prompt_auc", "bare_auc")
NOTES = (
    "Localisation: macro means. B - A and its 95 % interval are of the samples that both runs have in every seed "
    "(paired; percentile bootstrap over patients, COCO: images), p is of a sign-flip permutation test, not corrected "
    "for the number of comparisons. A and B are what each run reports of all its samples.",
    "A score counts only above the row of the location prior.",
    "Fidelity belongs to a set of images, so its differences have no interval; those of real images are their ceiling.",
)


def write_comparison(found: Comparison, folder: Path, page: str) -> list[Path]:
    """Writes the page as compare.md and each table whole as CSV; returns the paths."""
    tables = {"localisation": found.localisation, "fidelity": found.fidelity, "sources": found.sources}
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv")
    with atomic_path(folder / "compare.md") as temporary:
        temporary.write_text(page)
    return [folder / "compare.md", *(folder / f"{name}.csv" for name in tables)]


def to_markdown(found: Comparison, a: str, b: str, protocol: str) -> str:
    """The page: what differs in the sources, then the scores; protocol: whose localisation scores it shows."""
    return "\n\n".join([f"# {b} (B) against {a} (A)", *_sources(found), *_scores(found, protocol), _list(NOTES)]) + "\n"


def _sources(found: Comparison) -> Iterator[str]:
    yield "## What differs in configuration, code and inputs"
    if found.sources.empty:
        yield "Nothing: the records of the jobs agree."
    else:
        yield markdown_table(found.sources)
    alone = {name: ", ".join(names) for name, names in found.unpaired.items() if names}
    if alone:
        yield _list(f"Only in {name.upper()}: {names}" for name, names in alone.items())


def _scores(found: Comparison, protocol: str) -> Iterator[str]:
    rows = found.localisation
    rows = rows[(rows["protocol"] == protocol) & (rows["group"] == MACRO) & rows["metric"].isin(SHOWN)]
    for (dataset, text), block in rows.groupby(["dataset", "text"], sort=False):
        yield f"## Localisation on {dataset}, {text}, {protocol} protocol"
        yield markdown_table(_localisation_cells(block[block[["a", "b"]].notna().any(axis=1)]))
    for dataset, block in found.fidelity.groupby("dataset", sort=False):
        yield f"## Fidelity on {dataset}"
        yield markdown_table(_fidelity_cells(block))


def _localisation_cells(rows: pd.DataFrame) -> pd.DataFrame:
    cells = {
        "Variant": rows["variant"].map(readable),
        "Score": [METRICS[metric].heading for metric in rows["metric"]],
        "A": [_number(value, 3) for value in rows["a"]],
        "B": [_number(value, 3) for value in rows["b"]],
        "B - A [95 %]": [_difference(*values) for values in rows[["difference", "low", "high"]].to_numpy()],
        "p": [p_value(value) for value in rows["p"]],
        "n paired": rows["n"].astype(str),
        "only in A, in B": [f"{a}, {b}" for a, b in rows[["only_a", "only_b"]].to_numpy()],
    }
    return pd.DataFrame(cells)


def _fidelity_cells(rows: pd.DataFrame) -> pd.DataFrame:
    digits = [FIDELITY[metric].decimals for metric in rows["metric"]]
    cells = {
        "Variant": rows["variant"].map(readable),
        "Score": [FIDELITY[metric].heading for metric in rows["metric"]],
        "A": [_number(*values) for values in zip(rows["a"], digits, strict=True)],
        "B": [_number(*values) for values in zip(rows["b"], digits, strict=True)],
        "B - A": [_difference(value) for value in rows["difference"]],
        "seeds of A, B": [f"{a}, {b}" for a, b in rows[["seeds_a", "seeds_b"]].to_numpy()],
    }
    return pd.DataFrame(cells)


def _number(value: float, digits: int) -> str:
    return MISSING if pd.isna(value) else fixed(value, digits)


def _difference(value: float, low: float = float("nan"), high: float = float("nan")) -> str:
    if pd.isna(value):
        return MISSING
    return signed(value) if pd.isna(low) else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def _list(lines) -> str:
    return "\n".join(f"- {line}" for line in lines)
