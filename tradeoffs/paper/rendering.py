"""A paper table as CSV (every number), and as Markdown, LaTeX and JSON (what a page holds, and the notes)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tradeoffs.data.tables import write_table
from tradeoffs.files import atomic_path

LATEX_SYMBOLS = {
    **{"±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{symbol: f"\\{symbol}" for symbol in "%_&#${}"},
}


@dataclass(frozen=True)
class Block:
    """A part of a table as people read it: its heading and cells of text; the columns are the titles.

    labels: number of leading columns that say what a row is; the other columns are numbers
    """

    heading: str
    cells: pd.DataFrame
    labels: int


@dataclass(frozen=True)
class PaperTable:
    """rows: all numbers, as in the CSV; blocks: what Markdown and LaTeX show; notes: what a reader must know."""

    title: str
    rows: pd.DataFrame
    blocks: Sequence[Block]
    notes: Sequence[str]


def write(table: PaperTable, csv: str | Path, markdown: str | Path, latex: str | Path) -> None:
    """Writes the table in its three formats."""
    write_table(table.rows, csv)
    for path, render in ((markdown, to_markdown), (latex, to_latex)):
        with atomic_path(path) as temporary:
            temporary.write_text(render(table))


def to_markdown(table: PaperTable) -> str:
    """A heading, each block under its own, then the notes as a list."""
    parts = [f"# {table.title}"]
    for block in table.blocks:
        align = ["left"] * block.labels + ["right"] * (block.cells.shape[1] - block.labels)
        parts += [f"**{block.heading}**", block.cells.to_markdown(index=False, disable_numparse=True, colalign=align)]
    parts.append("\n".join(f"- {note}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def to_json(table: PaperTable) -> dict[str, Any]:
    """Title, blocks and notes, from which the report shows the table."""
    blocks = [
        {"heading": b.heading, "labels": b.labels, "cells": b.cells.to_dict("split", index=False)} for b in table.blocks
    ]
    return {"title": table.title, "blocks": blocks, "notes": list(table.notes)}


def blocks_of(content: Mapping[str, Any]) -> list[Block]:
    """The blocks of a table that `to_json` wrote."""
    return [Block(b["heading"], pd.DataFrame(**b["cells"]), b["labels"]) for b in content["blocks"]]


def to_latex(table: PaperTable) -> str:
    """One longtable (booktabs) a block on landscape pages, between the title and the notes."""
    lines = [
        "% needs the packages booktabs, longtable and pdflscape",
        r"\begin{landscape}",
        r"\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\noindent\textbf{{{_escape(table.title)}}}\par",
    ]
    for block in table.blocks:
        columns = block.cells.shape[1]
        lines += [
            rf"\begin{{longtable}}{{{'l' * block.labels}{'r' * (columns - block.labels)}}}",
            rf"\multicolumn{{{columns}}}{{l}}{{{_escape(block.heading)}}} \\",
            r"\toprule",
            _latex_row(block.cells.columns),
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endfoot",
            *map(_latex_row, block.cells.to_numpy()),
            r"\end{longtable}",
            r"\addtocounter{table}{-1}% the title bears the number",
        ]
    lines += [*(rf"\noindent {_escape(note)}\par" for note in table.notes), r"\end{landscape}"]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_escape, cells)) + r" \\"


def _escape(text: str) -> str:
    return "".join(LATEX_SYMBOLS.get(character, character) for character in text)
