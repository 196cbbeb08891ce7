"""The report: one HTML file with the conclusion, every table and figure, and how they were made."""

import ast
import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from tradeoffs.errors import InputError
from tradeoffs.jobs.devices import gpus_asked
from tradeoffs.paper.blocks import Block, blocks_of
from tradeoffs.paper.conclusion import Conclusion, headline
from tradeoffs.paper.formatting import count

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Table:
    """One table of the report; csv, columns: links to its numbers and to what they mean, relative to the report."""

    name: str
    title: str
    caption: str
    blocks: Sequence[Block]
    notes: Sequence[str]
    csv: str
    columns: str


@dataclass(frozen=True)
class Figure:
    """One figure of the report; source: data URI."""

    name: str
    title: str
    caption: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Making:
    """How the results were made: content of a table's sidecar, and what was left out and why."""

    sidecar: Mapping[str, Any]
    times: Block
    counts: Sequence[Block]
    exclusions: Block


def render(
    demo: bool, conclusions: Sequence[Conclusion], tables: Sequence[Table], figures: Sequence[Figure], making: Making
) -> str:
    """The report as HTML that needs nothing beside it: images embedded, no script, no network.

    figures: the first one, which is the main one, stands at the top
    demo: whether the data are phantoms; else the page says that it was made from credentialed data
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    return environment.get_template(TEMPLATE).render(
        demo=demo,
        headline=headline(conclusions),
        conclusions=conclusions,
        tables=tables,
        figures=figures,
        making=making,
        config=yaml.safe_dump(dict(making.sidecar["config"]), sort_keys=True, allow_unicode=True),
    )


def read_captions(paths: Iterable[str | Path]) -> dict[str, tuple[str, str]]:
    """Captions by the name of what they describe: (first line, which serves as the title, and the rest)."""
    captions = {}
    for path in map(Path, paths):
        title, _, text = path.read_text().strip().partition("\n")
        captions[path.stem] = (title.rstrip("."), " ".join(text.split()))
    return captions


def read_table(path: str | Path, captions: Mapping[str, tuple[str, str]], report: str | Path) -> Table:
    """A table from the JSON beside it; its CSV has the same name, and the dictionary of its columns that with _columns.

    report: the file that will link to the CSV
    """
    path = Path(path)
    content = json.loads(path.read_text())["table"]
    caption = captions.get(path.stem, ("", ""))[1]
    csv = Path(os.path.relpath(path.with_suffix(".csv"), Path(report).parent))
    columns = csv.with_stem(f"{csv.stem}_columns")
    blocks = blocks_of(content)
    return Table(path.stem, content["title"], caption, blocks, content["notes"], csv.as_posix(), columns.as_posix())


def read_figure(path: str | Path, captions: Mapping[str, tuple[str, str]], titles: Mapping[str, str]) -> Figure:
    """A PNG figure with its caption; one of a single data set is named <figure>_<data set>.

    titles: data set -> its title
    Raises InputError if there is no caption of the figure's name.
    """
    path = Path(path)
    name, _, dataset = path.stem.rpartition("_")
    name, of_dataset = (name, f": {titles[dataset]}") if dataset in titles else (path.stem, "")
    if name not in captions:
        raise InputError(f"{path}: has no caption; write report/{name}.rst")
    title, caption = captions[name]
    with Image.open(path) as image:
        width, height = image.size
    source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    return Figure(path.stem, title + of_dataset, caption, source, width, height)


def counts_block(path: str | Path, titles: Mapping[str, str]) -> Block:
    """What a `.../data/<data set>/<name>_counts.csv` or `.../model/<data set>/<variant>/.../<name>_counts.csv` says was
    read, dropped and kept. Reasons that never occurred are left out.

    titles: of the data sets and the further sets of boxes
    """
    counts = pd.read_csv(path)
    counts = counts[counts["reason"].isin(["read", "kept"]) | (counts["count"] != 0)]
    parts = str(path).removesuffix("_counts.csv").split("/")
    dataset = max(i for i, part in enumerate(parts) if part in titles and parts[i - 1] in ("data", "model"))
    heading = f"{titles[parts[dataset]]}: {', '.join(parts[dataset + 1 :]).replace('_', ' ')}"
    return Block(heading, counts.astype(str).set_axis(["Reason", "Count"], axis=1), labels=1)


def exclusions_block(scores: pd.DataFrame, titles: Mapping[str, str]) -> Block:
    """Samples without a score, by reason: how many, of how many, and for how many variants and seeds.

    scores: columns of localisation.csv
    """
    scores = scores.assign(model=scores.groupby(["variant", "seed"], dropna=False).ngroup())
    rows = []
    for (dataset, protocol, text), part in scores.groupby(["dataset", "protocol", "text"], sort=False):
        samples = part.groupby("model").size()
        for reason, excluded in part[part["excluded"].fillna("") != ""].groupby("excluded"):
            by_model = excluded.groupby("model").size()
            models = f"{len(by_model)} of {len(samples)}"
            rows.append([titles[dataset], protocol, text, reason, _range(by_model), _range(samples), models])
    columns = ["Data", "Protocol", "Text", "Reason", "Samples excluded", "of", "Variants and seeds"]
    return Block("Samples excluded from localisation", pd.DataFrame(rows, columns=columns), labels=4)


def times_block(folder: str | Path) -> Block:
    """Sums over the jobs of each rule, from the benchmark files below `folder`, longest first.

    GPU time is wall time by the GPUs that a job asked for, where one did.
    """
    jobs = pd.DataFrame(
        map(_job, sorted(Path(folder).rglob("*.tsv"))), columns=["step", "wall", "cpu", "gpu", "memory"]
    )
    sums = {"jobs": ("wall", "size")} | {time: (time, "sum") for time in ("wall", "cpu", "gpu")}
    sums["memory"] = ("memory", "max")
    steps = jobs.groupby("step").agg(**sums).sort_values("wall", ascending=False, kind="stable").reset_index()
    total = jobs.assign(step="all steps").groupby("step").agg(**sums).reset_index()
    table = pd.concat([steps, total], ignore_index=True)
    cells = {
        "Step": table["step"],
        "Jobs": table["jobs"].map(count),
        "Wall time (h:mm:ss)": table["wall"].map(_duration),
        "CPU time (h:mm:ss)": table["cpu"].map(_duration),
        "GPU time (h:mm:ss)": table["gpu"].map(_duration),
        "Largest memory (MB)": table["memory"].map(count),
    }
    if not jobs["gpu"].any():
        del cells["GPU time (h:mm:ss)"]
    return Block("Times", pd.DataFrame(cells), labels=1)


def _job(path: Path) -> dict[str, Any]:
    """A job's rule, seconds (on a GPU: of each one) and MB; Snakemake writes NA for a job too short to be measured."""
    table = pd.read_csv(path, sep="\t")
    numbers = table[["s", "cpu_time", "max_rss"]].apply(pd.to_numeric, errors="coerce")
    extended = "rule_name" in table  # as profiles/default asks for
    gpus = table["resources"].map(lambda text: gpus_asked(ast.literal_eval(text))) if extended else 0
    return {
        "step": table["rule_name"].iloc[0].replace("_", " ") if extended else "rule not recorded",
        "wall": numbers["s"].sum(),
        "cpu": numbers["cpu_time"].sum(),
        "gpu": (numbers["s"] * gpus).sum(),
        "memory": numbers["max_rss"].max(),
    }


def _unbroken(cell: str) -> str:
    """A cell that breaks only before its deviation and its interval."""
    return cell.replace(" ", "\u00a0").replace("\u00a0[", " [").replace("\u00a0±", " ±")


def _range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
