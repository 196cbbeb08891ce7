"""Parts that the charts share: panels, lines of the location prior, labels in the margin, legends."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tradeoffs.metrics import LOCATION_PRIOR
from tradeoffs.paper.formatting import readable
from tradeoffs.paper.style import (
    COLUMN,
    FAINT,
    NORMAL,
    PAGE,
    PRIOR_LOOK,
    SMALL,
    Look,
)

BAND = 0.25  # opacity of an interval's band


def margin_labels(axes: Axes, labels: Sequence[tuple[float, str, Look]]) -> None:
    """Names at the right of a panel, at the height of their values as far as they do not touch each other."""
    height = axes.get_position().height * axes.figure.get_figheight() * 72
    bottom, top = axes.get_ylim()
    ordered = sorted((value, name, look) for value, name, look in labels if np.isfinite(value))
    places = _spread([(value - bottom) / (top - bottom) for value, _, _ in ordered], 1.5 * SMALL / height)
    for (value, name, look), place in zip(ordered, places, strict=True):
        start = (value - bottom) / (top - bottom)
        axes.plot([1.0, 1.04], [start, place], color=FAINT, lw=0.5, transform=axes.transAxes, clip_on=False)
        axes.plot(
            [1.075], [place], color=look.colour, marker=look.marker, ms=5, transform=axes.transAxes, clip_on=False
        )
        axes.text(1.115, place, name, va="center", transform=axes.transAxes)


def _spread(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places moved up so that neighbours are `gap` apart, then down where they would pass 1."""
    result = list(places)
    for i in range(1, len(result)):
        result[i] = max(result[i], result[i - 1] + gap)
    ceiling = 1.0
    for i in reversed(range(len(result))):
        result[i] = min(result[i], ceiling)
        ceiling = result[i] - gap
    return result


def panels_of(
    titles: Mapping[str, str],
    height: float,
    rows: int = 1,
    sharey: bool = False,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, np.ndarray]:
    """A figure with a column of panels for each data set, as wide as a page, or as a column for a single one.

    height: of the figure, inches; heights: of the rows, in proportion to each other
    """
    figure = Figure(figsize=(COLUMN if len(titles) == 1 else PAGE, height), layout="constrained")
    return figure, figure.subplots(rows, len(titles), squeeze=False, sharey=sharey, height_ratios=heights)


def say_empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no values", ha="center", va="center", color=FAINT, transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def prior_line(axes: Axes, prior: pd.Series) -> None:
    axes.axhspan(prior["low"], prior["high"], color=PRIOR_LOOK.colour, alpha=BAND, lw=0, zorder=0)
    axes.axhline(prior["mean"], color=PRIOR_LOOK.colour, ls=PRIOR_LOOK.line, lw=1.2, zorder=1)


def prior_handle(line: str | tuple = PRIOR_LOOK.line) -> Line2D:
    return Line2D([], [], color=PRIOR_LOOK.colour, ls=line, label=readable(LOCATION_PRIOR))


def line_handles(variants: Sequence[str], look: Mapping[str, Look], markers: bool = True) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=look[v].colour,
            ls=look[v].line,
            marker=look[v].marker if markers else "",
            label=readable(v),
        )
        for v in variants
    ]


def legend_above(figure: Figure, handles: Sequence[Any], title: str | None = None) -> None:
    """One legend for all panels, above them and read row by row, in as many columns as the figure's width holds."""
    widths = [SMALL * (0.56 * len(handle.get_label()) + 5.5) for handle in handles]  # points: text, handle and gaps
    room = figure.get_figwidth() * 72
    columns = len(handles) if sum(widths) < room else max(1, int(room / max(widths)))
    by_columns = [handle for first in range(columns) for handle in handles[first::columns]]  # as Matplotlib fills them
    figure.legend(
        handles=by_columns,
        loc="outside upper center",
        ncols=columns,
        handlelength=2.6,
        title=title,
        title_fontsize=NORMAL,
    )
