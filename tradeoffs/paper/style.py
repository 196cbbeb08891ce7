"""How every figure looks: sizes, fonts, colours, and how it is written so that its bytes do not change."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from tradeoffs.files import atomic_path

COLUMN, PAGE, PAGE_HEIGHT = 3.3, 7.0, 9.4  # inches: width of a column, of a page, and what a page is high
SMALL, NORMAL = 7, 8  # points
INK, FAINT = "#222222", "#666666"
OUTLINE = "#00d5ff"  # ground truth on images: seen on grey pixels and on the colours of HEAT
MAPS, HEAT = "viridis", "plasma"  # even to the eye, and monotonic in grey print; HEAT lies over images

matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # comes with Matplotlib, so that every machine has it
        "font.size": SMALL,
        "axes.titlesize": NORMAL,
        "axes.labelsize": NORMAL,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "figure.titlesize": NORMAL,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "hatch.linewidth": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 4,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "savefig.dpi": 200,
        "pdf.fonttype": 42,  # text stays text
        "figure.facecolor": "white",
    }
)

# Okabe and Ito's colours without their yellow, which is lost on white, then two of Paul Tol's ("muted")
_COLOURS = ("#333333", "#0072b2", "#d55e00", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#882255", "#999933")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*")
_LINES: tuple[str | tuple, ...] = (":", "-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (8, 2)))
_HATCHES = ("", "////", "\\\\\\\\", "....", "xxxx", "----", "||||", "oooo", "++++", "****")


@dataclass(frozen=True)
class Look:
    """What marks a variant in every figure; marker, line and hatch keep it apart in grey print."""

    colour: str
    marker: str
    line: str | tuple
    hatch: str


def looks(variants: Sequence[str]) -> dict[str, Look]:
    """A look for each variant by its place in the config; external methods follow the variants."""
    marks = zip(cycle(_COLOURS), cycle(_MARKERS), cycle(_LINES), cycle(_HATCHES), strict=False)
    return {name: Look(*marking) for name, marking in zip(variants, marks, strict=False)}


PRIOR_LOOK = Look("#999999", "|", "--", "")


def footer(figure: Figure, *sentences: str) -> None:
    """Writes what a reader must know in small print below a figure with constrained layout."""
    text = wrapped(" ".join(filter(None, sentences)), figure.get_figwidth() - 0.1)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color=FAINT, linespacing=1.3)


def wrapped(text: str, width: float, lines: int | None = None, size: float = SMALL, weight: str = "normal") -> str:
    """The text broken at spaces into lines of at most `width` inches, as far as its words are not longer.

    lines: the most lines; what is more ends in an ellipsis
    """
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    result: list[str] = []
    for word in filter(None, re.split(r"[ \n]+", text)):  # not at no-break spaces
        longer = f"{result[-1]} {word}" if result else word
        if result and text_to_path.get_text_width_height_descent(longer, font, ismath=False)[0] > width * 72:
            result.append(word)
        else:
            result[-1:] = [longer]
    if lines and len(result) > lines:
        result[lines - 1 :] = [f"{result[lines - 1].rpartition(' ')[0]} …"]
    return "\n".join(result)


def save(figure: Figure, pdf: str | Path, png: str | Path) -> None:
    """Writes a figure as PDF and PNG without dates and versions, so that the same figure is the same bytes."""
    with atomic_path(pdf) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    with atomic_path(png) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
