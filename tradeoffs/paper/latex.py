"""A paper table as LaTeX: one longtable (booktabs) a block on landscape pages, each with caption and label."""

import re
from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from tradeoffs.paper.blocks import Block, PaperTable

SYMBOLS = {
    **{"±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$"},
    **{"\u00a0": "~", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{symbol: f"\\{symbol}" for symbol in "%_&#${}"},
}
ROOM = 540  # points across: \textheight of the class article on letter paper is 550, of others more
GAP = 6  # points between columns, twice \tabcolsep
SIZES = {"scriptsize": 8.0, "tiny": 6.8}  # points of Computer Modern's design size 10 as wide as cmr7 and cmr5


def to_latex(table: PaperTable, name: str) -> str:
    """The blocks between what they need and the notes. name: label of the first, \\label{tab:<name>}, of block k
    \\label{tab:<name>:<k>}

    Titles number the paper's tables; a document numbers its own, so the caption does without.
    """
    title = re.sub(r"^Table \d+[^.]*\. ", "", table.title)
    lines = [
        "% needs the packages booktabs, longtable and pdflscape",
        rf"% {_escape(table.title)}",
        r"\begin{landscape}",
        r"\setlength{\tabcolsep}{3pt}\setlength{\LTcapwidth}{\linewidth}",
    ]
    for number, block in enumerate(table.blocks, 1):
        label = f"tab:{name}" if number == 1 else f"tab:{name}:{number}"
        lines += _longtable(block, f"{title} {block.heading}.", label)
    lines += [rf"\noindent{{\scriptsize {_escape(note)}\par}}" for note in table.notes]
    return "\n".join([*lines, r"\end{landscape}"]) + "\n"


def _longtable(block: Block, caption: str, label: str) -> list[str]:
    columns = block.cells.shape[1]
    size, rows = _fitting(block)
    return [
        rf"{{\{size}",
        rf"\begin{{longtable}}{{{'l' * block.labels}{'r' * (columns - block.labels)}}}",
        rf"\caption{{{_escape(caption)}}}\label{{{label}}} \\",
        r"\toprule",
        _row(rows[0], block.labels),
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        _row(rows[0], block.labels),
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *(_row(row, block.labels) for row in rows[1:]),
        r"\end{longtable}}",
    ]


def _fitting(block: Block) -> tuple[str, list[list[str]]]:
    """The largest print in which the block fits on the page, and its head and rows with line breaks in cells.

    An interval, then a deviation, goes below its mean only where it would not fit beside it.
    """
    head = [column.replace(" ↓", "\u00a0↓").replace(" ↑", "\u00a0↑").replace(" ", "\n") for column in block.cells]
    flat = block.cells.astype(str).to_numpy().tolist()
    stacked = [[cell.replace(" [", "\n[") for cell in row] for row in flat]
    narrowest = [[cell.replace(" ±", "\n±") for cell in row] for row in stacked]
    for size in SIZES:
        for rows in (flat, stacked, narrowest):
            if _width([head, *rows], size) <= ROOM:
                return size, [head, *rows]
    return "tiny", [head, *narrowest]


def _width(rows: Sequence[Sequence[str]], size: str) -> float:
    """Points across of a table with these cells."""
    columns = zip(*rows, strict=True)
    return sum(max(_across(line, size) for cell in column for line in cell.split("\n")) + GAP for column in columns)


@cache
def _across(text: str, size: str) -> float:
    font = FontProperties(family="cmr10", size=SIZES[size])
    ascii_text = text.translate(str.maketrans("±↓↑–−\u00a0", "+nn-+ "))  # characters of about the same width
    return text_to_path.get_text_width_height_descent(ascii_text, font, ismath=False)[0]


def _row(cells: Iterable[str], labels: int) -> str:
    return " & ".join(_cell(cell, "l" if place < labels else "r") for place, cell in enumerate(cells)) + r" \\"


def _cell(text: str, side: str) -> str:
    lines = [_escape(line) for line in text.split("\n")]
    if len(lines) == 1:
        return lines[0]
    # in braces, since a bracket after a line's end would be taken for a length
    return rf"\shortstack[{side}]{{" + r"\\".join(f"{{{line}}}" for line in lines) + "}"


def _escape(text: str) -> str:
    return "".join(SYMBOLS.get(character, character) for character in text)
