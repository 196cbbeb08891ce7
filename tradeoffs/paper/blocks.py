"""A paper table before it is written: its numbers, and the blocks of text that a page shows of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


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


def to_json(table: PaperTable) -> dict[str, Any]:
    """Title, blocks and notes, from which the report shows the table."""
    blocks = [
        {"heading": b.heading, "labels": b.labels, "cells": b.cells.to_dict("split", index=False)} for b in table.blocks
    ]
    return {"title": table.title, "blocks": blocks, "notes": list(table.notes)}


def blocks_of(content: Mapping[str, Any]) -> list[Block]:
    """The blocks of a table that `to_json` wrote."""
    return [Block(b["heading"], pd.DataFrame(**b["cells"]), b["labels"]) for b in content["blocks"]]
