"""The main chart: FID against AUC-ROC, of all variants and, closer, of the two that the paper compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tradeoffs.metrics import FIDELITY, LOCATION_PRIOR, METRICS
from tradeoffs.paper.conclusion import FROZEN, LEARNABLE
from tradeoffs.paper.figure_parts import margin_labels, panels_of, prior_line, say_empty
from tradeoffs.paper.figure_rows import macro_auc, models
from tradeoffs.paper.formatting import readable
from tradeoffs.paper.style import PRIOR_LOOK, Look, footer, looks

ALL_HEIGHT, CLOSE_HEIGHT = 2.3, 1.7  # inches of a panel with its labels


@dataclass(frozen=True)
class Point:
    """A variant on one data set.

    seeds: a row per seed, with fid_general and auc_roc; mean, low, high: macro AUC-ROC over seeds with 95 % interval
    """

    name: str
    look: Look
    seeds: pd.DataFrame
    mean: float
    low: float
    high: float


def tradeoff(
    summaries: pd.DataFrame,
    localisation: pd.DataFrame,
    fidelity: pd.DataFrame,
    variants: Sequence[str],
    titles: Mapping[str, str],
    protocol: str,
    note: str,
) -> Figure:
    """FID against macro AUC-ROC, one panel per data set; the location prior is a line with its band. Below, where there
    are frozen and learnable, these two alone, since others set the axes above. Parameters: see `figures`

    A variant without both scores is not drawn, which the small print says.
    """
    summary, repeats = macro_auc(summaries, protocol), models(localisation, fidelity, protocol)
    points, priors = {}, {}
    for dataset in titles:
        means = summary[summary["dataset"] == dataset].set_index("variant")
        points[dataset] = _points(variants, means, repeats[repeats["dataset"] == dataset])
        priors[dataset] = means.loc[LOCATION_PRIOR] if LOCATION_PRIOR in means.index else None
    shown = {dataset: [point for point in some if not point.seeds.empty] for dataset, some in points.items()}
    pairs = {dataset: [point for point in some if point.name in (FROZEN, LEARNABLE)] for dataset, some in shown.items()}
    closer = any(len(pair) == 2 for pair in pairs.values())

    heights = [ALL_HEIGHT, CLOSE_HEIGHT] if closer else [ALL_HEIGHT]
    figure, panels = panels_of(titles, height=sum(heights) + 0.6, rows=len(heights), heights=heights)
    for axes, (dataset, title) in zip(panels[0], titles.items(), strict=True):
        _draw(axes, shown[dataset], priors[dataset])
        axes.set_title(title)
    for column, pair in zip(panels.T, pairs.values(), strict=True):
        lowest = column[0]
        if len(pair) == 2:
            lowest = column[1]
            _draw_closer(lowest, pair)
        elif closer:
            column[1].set_axis_off()
        lowest.set_xlabel(FIDELITY["fid_general"].heading)
    for row in panels:
        row[0].set_ylabel(METRICS["auc_roc"].heading)
    absent = [f"{readable(p.name)} on {titles[d]}" for d, some in points.items() for p in some if p.seeds.empty]
    footer(
        figure,
        "Large: mean over seeds, vertical bar: 95 % interval of AUC-ROC, horizontal bar: range of FID over seeds. "
        "Small: one seed each. Dashed: location prior with its 95 % interval, which needs no model. AUC-ROC: macro "
        "mean over categories. Arrows: the better direction.",
        "Below: frozen and learnable alone, on their own axes." if closer else "",
        f"Not shown, without FID: {', '.join(absent)}." if absent else "",
        note,
    )
    figure.draw_without_rendering()  # gives the panels their heights, which decide how close labels may stand
    for axes, dataset in zip(panels[0], titles, strict=True):
        labels = [(point.mean, readable(point.name), point.look) for point in shown[dataset]]
        prior = priors[dataset]
        if prior is not None:
            labels.append((prior["mean"], readable(LOCATION_PRIOR), PRIOR_LOOK))
        if labels:
            margin_labels(axes, labels)
        else:
            say_empty(axes)
    return figure


def _points(variants: Sequence[str], means: pd.DataFrame, repeats: pd.DataFrame) -> list[Point]:
    """The variants that exist on one data set. means: its summaries by variant; repeats: its rows of `models`"""
    repeats = repeats.dropna(subset=["auc_roc", "fid_general"])
    return [
        Point(name, look, repeats[repeats["variant"] == name], *means.loc[name, ["mean", "low", "high"]])
        for name, look in looks(variants).items()
        if name in means.index
    ]


def _draw(axes: Axes, points: Sequence[Point], prior: pd.Series | None = None) -> None:
    for point in points:
        fid, colour, marker = point.seeds["fid_general"], point.look.colour, point.look.marker
        axes.scatter(fid, point.seeds["auc_roc"], s=9, color=colour, marker=marker, alpha=0.6, lw=0, zorder=3)
        axes.vlines(fid.mean(), point.low, point.high, color=colour, lw=1, zorder=3)
        axes.hlines(point.mean, fid.min(), fid.max(), color=colour, lw=1, zorder=3)
        axes.plot(fid.mean(), point.mean, color=colour, marker=marker, ms=7, mec="white", mew=0.5, zorder=4)
    if prior is not None:
        prior_line(axes, prior)
    axes.margins(0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _draw_closer(axes: Axes, pair: Sequence[Point]) -> None:
    """The two variants with their names beside them, the higher one's above it and the other's below, so that the names
    of two means that are close to each other do not overlap."""
    _draw(axes, pair)
    axes.margins(0.3, 0.12)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    higher_first = sorted(pair, key=lambda point: point.mean, reverse=True)
    for point, offset in zip(higher_first, [(7, 4), (7, -11)], strict=True):
        place = point.seeds["fid_general"].mean(), point.mean
        axes.annotate(readable(point.name), place, xytext=offset, textcoords="offset points", color=point.look.colour)
