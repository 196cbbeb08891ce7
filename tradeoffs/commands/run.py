"""The commands heatmap and generate: from the words of the command line to files and what is printed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tradeoffs.commands.box_scores import box_mask, box_scores, exchange
from tradeoffs.commands.files import write_generated, write_heat_map
from tradeoffs.commands.generate import generate
from tradeoffs.commands.heat_map import check_words, heat_map
from tradeoffs.commands.models import ready
from tradeoffs.data.tables import write_table
from tradeoffs.errors import InputError
from tradeoffs.metrics import SCORES
from tradeoffs.paper.formatting import MISSING, fixed

NO_OTHER_WORD = (
    "The text has no other word within the context, so no row shows what another word would score; name one with "
    "--exchange."
)
NO_PRIOR = "Without --grounding there is no row of the location prior: a score counts only above it."


def run_heat_map(arguments: argparse.Namespace) -> str:
    """Writes the heat maps of a text on an image to a folder, with a box their scores too; returns what to print."""
    settings = {key: getattr(arguments, key) for key in ("seed", "steps", "keep", "resolution", "precision")}
    of_box = [f"--{key}" for key in ("grounding", "category", "exchange") if getattr(arguments, key)]
    if of_box and arguments.box is None:
        raise InputError(f"{of_box[0]}: is of scores against a box; give --box too")
    if arguments.exchange and not arguments.words:
        raise InputError("--exchange: its word stands in the place of words; give --words too")
    model = ready(arguments.model)
    found = heat_map(model, arguments.image, arguments.text, arguments.words, **settings)
    folder = Path(arguments.out)
    if arguments.box is None:
        return listing(write_heat_map(found, folder))
    box_mask(found, arguments.box)
    exchanged = None
    if arguments.exchange:
        text = exchange(arguments.text, arguments.words, arguments.exchange)
        exchanged = heat_map(model, arguments.image, text, [arguments.exchange], **settings)
    scores = box_scores(found, arguments.box, exchanged, arguments.grounding, arguments.category)
    paths = write_heat_map(found, folder, arguments.box)
    write_table(scores, folder / "scores.csv")
    notes = [] if arguments.grounding else [NO_PRIOR]
    if not scores["kind"].str.startswith("another word").any():
        notes.append(NO_OTHER_WORD)
    return "\n".join([listing([*paths, folder / "scores.csv"]), "", table_of(scores), *notes])


def run_generate(arguments: argparse.Namespace) -> str:
    """Draws images of a text into a folder, with the heat maps of its tokens; returns what to print."""
    check_words(arguments.text, arguments.words)
    keys = ("seed", "guidance", "steps", "scheduler", "resolution", "precision")
    settings = {key: getattr(arguments, key) for key in keys}
    drawn = generate(arguments.model, arguments.text, arguments.n, **settings)
    return listing(write_generated(drawn, arguments.words, Path(arguments.out)))


def listing(paths: Sequence[Path]) -> str:
    """The written files, those of single tokens by their folders."""
    shown = dict.fromkeys(path.parent / "*.png" if path.parent.name.startswith("tokens") else path for path in paths)
    return "\n".join(f"wrote {path}" for path in shown)


def table_of(scores: pd.DataFrame) -> str:
    """The scores as people read them; the reason in place of the scores of a map that has none."""
    cells = scores[["kind", "of"]].rename(columns={"kind": "heat map", "of": "of the"})
    for name, metric in SCORES.items():
        digits = 1 if name == "distance" else metric.decimals
        cells[metric.heading] = [MISSING if pd.isna(value) else fixed(value, digits) for value in scores[name]]
    if (scores["excluded"] != "").any():
        cells["not scored"] = scores["excluded"]
    return cells.to_markdown(index=False, disable_numparse=True)
