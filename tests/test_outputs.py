"""docs/outputs.md against the files of a run: every CSV and array file, and the columns of each."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from project import PROJECT

from tradeoffs.metrics import FAITHFULNESS, FIDELITY, METRICS

pytestmark = pytest.mark.xdist_group("workflow")

PAGE = (PROJECT / "docs/outputs.md").read_text()
TABLES = ["table1", "table2", "table3", "table7", "table1_coco_categories"]
SCORES = {"<localisation score>": METRICS, "<fidelity score>": FIDELITY, "<faithfulness score>": FAITHFULNESS}


def section(heading: str) -> str:
    return re.split(r"\n###? ", PAGE.split(f"# {heading}\n")[1])[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table rows under a heading."""
    lines = re.findall(r"^\| (.+) \|$", section(heading), re.M)
    return [re.split(r" \| ", line) for line in lines]


def named(cell: str) -> list[str]:
    """The names in backticks, with each score in place of `<localisation score>` or `<fidelity score>`."""
    names = []
    for name in re.findall("`([^`]+)`", cell):
        place = next((place for place in SCORES if place in name), "")
        names += [name.replace(place, score) for score in SCORES[place]] if place else [name]
    return names


def described(heading: str) -> list[str]:
    return [name for row in rows(heading) for name in named(row[0])]


FILES = re.findall(r"^### (`.+`)$", PAGE, re.M)


def found(folder: Path, heading: str) -> list[Path]:
    """The files of a run that a heading such as `<run>/data/<data set>/images.csv` stands for.

    A file of each seed and checkpoint is also one of the location prior, which has neither.
    """
    patterns = {heading.strip("`"), heading.strip("`").replace("seed<seed>/<checkpoint>/", "")}
    return [path for some in patterns for path in (folder / "results").glob(re.sub("<[^>]+>", "*", some))]


def header(path: Path) -> set[str]:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {re.sub("^heat_.+", "heat_<kind>", name) for name in arrays}
    return set(pd.read_csv(path, nrows=0))


def test_the_scores_are_those_of_the_code():
    text = section("Scores")
    assert re.findall(r"^\| (`.+?`) \| (?:higher|lower|) ?\|", text, re.M)
    assert {name for cell in re.findall(r"^\| (`[^|]+)", text, re.M) for name in named(cell)} == {
        *METRICS,
        *FIDELITY,
        *FAITHFULNESS,
    }


@pytest.mark.parametrize("heading", FILES)
def test_the_columns_of_a_file_are_those_of_the_page(finished, heading):
    files = found(finished, heading)
    assert files
    features = "real_features" in heading  # of scenes there are none with the X-ray network, of the smoke run no ViT's
    for path in files:
        optional = {"vit", *(["domain"] if "coco" in path.parts else [])} if features else set()
        assert header(path) == set(described(heading)) - optional, path


@pytest.mark.parametrize("table", TABLES)
def test_the_columns_of_a_table_are_those_of_the_page(finished, table):
    of_all = rows("Tables 1, 2, 3, 7 and Table 1 by class")
    expected = {name for row in of_all if row[1] == "all" or table in named(row[1]) for name in named(row[0])}
    assert header(finished / "results" / f"{table}.csv") == expected


def test_every_csv_and_array_file_of_a_run_is_described(finished):
    results = finished / "results"
    written = {path for suffix in ("csv", "npz") for path in results.rglob(f"*.{suffix}") if "raw" not in path.parts}
    known = {path for heading in FILES for path in found(finished, heading)}
    known |= {results / f"{table}.csv" for table in TABLES}
    counts = {path for path in written if path.name.endswith("_counts.csv")}
    assert {path.name for path in counts} == set(
        re.findall(r"\w+_counts\.csv", section("`<run>/data/<data set>/images_counts.csv`")) + ["images_counts.csv"]
    )
    assert written == known | counts | set(of_pairs(results))


def of_pairs(results: Path) -> list[Path]:
    return list(results.glob("smoke/evaluation/*/differences/*.csv"))


def test_the_differences_of_a_pair_have_the_columns_of_the_table(finished):
    columns = set(described("`differences.csv`")) - {"data"} | {"dataset"}
    pairs = of_pairs(finished / "results")
    assert pairs and all(header(path) == columns for path in pairs)
