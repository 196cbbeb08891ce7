"""The paper's charts from score tables, those of several models under one another.

Throughout, `summaries`, `localisation`, `fidelity`, `differences`, `profiles`, `losses` and `validation` (losses) are
rows of the files of these names (docs/outputs.md); `variants` are all names of the config, whose order decides on
colours and markers; `titles` maps the data sets that a chart shows to the titles of its panels; `protocol` chooses the
rows; `note` ends the small print.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator

from tradeoffs.evaluation.statistics import MACRO, MICRO
from tradeoffs.metrics import FIDELITY, LOCATION_PRIOR, METRICS
from tradeoffs.paper.figure_parts import (
    BAND,
    legend_above,
    line_handles,
    panels_of,
    prior_handle,
    prior_line,
    say_empty,
)
from tradeoffs.paper.figure_rows import layer_names, macro_auc, main_rows, models
from tradeoffs.paper.formatting import p_clause, readable
from tradeoffs.paper.style import (
    FAINT,
    INK,
    MAPS,
    PAGE,
    PAGE_HEIGHT,
    PRIOR_LOOK,
    Look,
    footer,
    looks,
)
from tradeoffs.paper.tradeoff import tradeoff as tradeoff

CHANCE = 0.5  # AUC-ROC of a map that knows nothing
PAIRED_SCORES = ("auc_roc", "specificity", "top1", "cnr", "iou", "miou")


# --- over training steps ------------------------------------------------------------------------------------------


def training_curves(
    localisation: pd.DataFrame,
    fidelity: pd.DataFrame,
    location_prior: pd.DataFrame,
    variants: Sequence[str],
    titles: Mapping[str, str],
    protocol: str,
    note: str,
) -> Figure:
    """Macro AUC-ROC and FID over training steps: lines through the means over seeds, a point for each seed.

    Rows of step 0 are the pretrained model, where every line begins.
    location_prior: the rows of its summaries
    """
    repeats, prior = models(localisation, fidelity, protocol), macro_auc(location_prior, protocol)
    look = looks(variants)
    figure, panels = panels_of(titles, height=4.0, rows=2)
    rows = {"auc_roc": METRICS["auc_roc"].heading, "fid_general": FIDELITY["fid_general"].heading}
    for (metric, label), line in zip(rows.items(), panels, strict=True):
        line[0].set_ylabel(label)
        for axes, dataset in zip(line, titles, strict=True):
            own = repeats[repeats["dataset"] == dataset].dropna(subset=metric)
            start = own[own["step"] == 0]
            for variant in variants:
                later = own[(own["variant"] == variant) & (own["step"] > 0)]
                if later.empty:
                    continue
                points = pd.concat([start, later])
                means = points.groupby("step")[metric].mean()
                mark = look[variant]
                axes.plot(means.index, means, color=mark.colour, ls=mark.line, marker=mark.marker, ms=4, zorder=3)
                axes.scatter(later["step"], later[metric], s=7, color=mark.colour, marker=mark.marker, alpha=0.5, lw=0)
            axes.scatter(start["step"], start[metric], s=28, color=INK, marker="o", zorder=4)
            if metric == "auc_roc" and dataset in set(prior["dataset"]):
                prior_line(axes, prior.set_index("dataset").loc[dataset])
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.margins(0.05, 0.12)
            if own.empty:
                say_empty(axes)
    for axes, title in zip(panels[0], titles.values(), strict=True):
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set_xlabel("fine-tuning step")
    trained = [v for v in variants if ((repeats["variant"] == v) & (repeats["step"] > 0)).any()]
    handles = line_handles(trained, look) + [prior_handle()] * (not prior.empty)
    if (repeats["step"] == 0).any():
        handles.insert(0, Line2D([], [], color=INK, marker="o", ms=5, ls="", label="pretrained (step 0)"))
    legend_above(figure, handles)
    footer(
        figure,
        "Lines: means over seeds; small points: one seed each. AUC-ROC: macro mean over categories; grey band: 95 % "
        "interval of the location prior. Arrows: the better direction.",
        note,
    )
    return figure


# --- per finding --------------------------------------------------------------------------------------------------


def findings(
    summaries: pd.DataFrame, variants: Sequence[str], titles: Mapping[str, str], protocol: str, note: str
) -> Figure:
    """Bars of AUC-ROC (from chance) and of specificity (from 0) per category and variant, the macro mean below.

    The location prior is a line across the bars of its category. summaries, titles: of one data set
    """
    summary = main_rows(summaries, protocol)
    summary = summary[summary["group"] != MICRO]
    shown = [variant for variant in variants if variant in set(summary["variant"])]
    auc = summary[summary["metric"] == "auc_roc"]
    categories = sorted(set(auc["group"]) - {MACRO})
    counts = auc[auc["variant"].isin(shown)].groupby("group")["n"].max()
    groups = [*categories, MACRO]
    places = np.append(np.arange(len(categories)), len(categories) + 0.4)
    pitch = min(0.14 + 0.085 * len(shown), (PAGE_HEIGHT - 1.2) / (len(groups) + 1))
    figure = Figure(figsize=(PAGE, 1.2 + pitch * (places[-1] + 1)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    thickness = 0.8 / len(shown)
    panel_titles = (("auc_roc", "AUC-ROC (bars from chance)", CHANCE), ("specificity", "specificity (bars from 0)", 0))
    look = looks(variants)
    for axes, (metric, label, base) in zip(panels, panel_titles, strict=True):
        rows = summary[summary["metric"] == metric].set_index(["variant", "group"])
        for k, variant in enumerate(shown):
            values = rows[["mean", "low", "high"]].reindex([(variant, group) for group in groups])
            mean, low, high = values.to_numpy().T
            heights = places - 0.4 + (k + 0.5) * thickness
            axes.barh(
                heights,
                mean - base,
                thickness,
                left=base,
                color=look[variant].colour,
                hatch=look[variant].hatch,
                ec="white",
                lw=0.3,
            )
            edge = withStroke(linewidth=1.7, foreground="white")  # to be seen on dark bars
            axes.hlines(heights, low, high, color=INK, lw=0.7, path_effects=[edge])
        for place, group in zip(places, groups, strict=True):
            if (LOCATION_PRIOR, group) in rows.index:
                prior = rows.loc[(LOCATION_PRIOR, group)]
                band = Rectangle((prior["low"], place - 0.46), prior["high"] - prior["low"], 0.92)
                band.set(color=PRIOR_LOOK.colour, alpha=BAND, lw=0, zorder=0)
                axes.add_patch(band)
                axes.plot([prior["mean"]] * 2, [place - 0.46, place + 0.46], color=FAINT, lw=1.2, zorder=4)
        axes.axvline(base, color=INK, lw=0.6)
        axes.axhline(len(categories) - 0.3, color=FAINT, lw=0.5, ls=":")
        axes.set_xlabel(label)
        axes.autoscale_view()
    names = [f"{group} ({counts[group]:.0f})" if group in counts else group for group in groups]
    panels[0].set_yticks(places, names)
    panels[0].set_ylim(places[-1] + 0.6, -0.6)
    panels[0].tick_params(axis="y", length=0)
    panels[1].tick_params(axis="y", length=0)
    handles = [Patch(fc=look[v].colour, hatch=look[v].hatch, ec="white", lw=0.3, label=readable(v)) for v in shown]
    handles += [prior_handle("-")] * (LOCATION_PRIOR in set(summary["variant"]))
    legend_above(figure, handles, *titles.values())
    footer(
        figure,
        "Thin lines and grey bands: 95 % intervals. In brackets: samples of one seed. Macro: mean over all categories. "
        "Where there is no bar, no sample has the score.",
        note,
    )
    return figure


# --- by layer and time step ---------------------------------------------------------------------------------------


def attention_profile(profiles: pd.DataFrame, variants: Sequence[str], titles: Mapping[str, str], note: str) -> Figure:
    """AUC-ROC by layer and diffusion time, a heat map per variant, and below its means over the one and the other.

    profiles, titles: of one data set; seeds are averaged
    """
    names = layer_names(profiles)
    shown = [variant for variant in variants if variant in set(profiles["variant"])]
    tables = {
        variant: profiles[profiles["variant"] == variant]
        .pivot_table("auc_roc", "layer", "step", aggfunc="mean")
        .reindex(list(names))
        for variant in shown
    }
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    height = 0.3 + 0.145 * len(names)  # inches of a panel with a line for each layer
    figure = Figure(figsize=(PAGE, 1.5 + rows * (height + 0.3) + max(height, 1.6)), layout="constrained")
    above, below = figure.subfigures(2, height_ratios=[rows * (height + 0.3), max(height, 1.6) + 0.6])
    low, high = profiles["auc_roc"].min(), profiles["auc_roc"].max()
    panels = above.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat
    for axes, (variant, table) in zip(panels, tables.items(), strict=False):
        steps = table.columns.to_numpy()
        half = (steps[1] - steps[0]) / 2 if len(steps) > 1 else 0.5
        edges = (steps[0] - half, steps[-1] + half, len(names) - 0.5, -0.5)
        image = axes.imshow(table, extent=edges, aspect="auto", cmap=MAPS, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(readable(variant))
        axes.set_yticks(range(len(names)), names.values())
        axes.tick_params(length=2)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    for axes in above.axes[len(shown) :]:
        axes.set_axis_off()
    above.colorbar(image, ax=above.axes, label="AUC-ROC", fraction=0.03, pad=0.01)
    by_layer, by_time = below.subplots(1, 2)
    look = looks(variants)
    for variant, table in tables.items():
        mark = look[variant]
        drawn = {"color": mark.colour, "ls": mark.line, "marker": mark.marker, "ms": 3}
        by_layer.plot(table.mean(axis=1), range(len(names)), **drawn)
        by_time.plot(table.columns, table.mean(axis=0), **drawn)
    by_layer.set_yticks(range(len(names)), names.values())
    by_layer.set(ylim=(len(names) - 0.5, -0.5), xlabel="AUC-ROC, mean over time")
    by_time.set(xlabel="diffusion time t (noisier →)", ylabel="AUC-ROC, mean over layers")
    for axis in (by_layer.xaxis, by_time.xaxis, by_time.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    legend_above(figure, line_handles(shown, look), *titles.values())
    footer(
        figure,
        "Above: across, diffusion time t; down, the cross-attention layers in the order of the U-Net with the size of "
        "their maps. Each layer alone at one time step, mean over samples and seeds; chance is 0.5.",
        note,
    )
    return figure


# --- losses -------------------------------------------------------------------------------------------------------


def loss_curves(
    losses: pd.DataFrame, validation: pd.DataFrame, variants: Sequence[str], titles: Mapping[str, str], note: str
) -> Figure:
    """Training loss of each fine-tuning, the logged values faint, their running mean over 10 % of the training; below,
    where there is one, the validation loss of its weights and of their moving average."""
    look = looks(variants)
    trained = [variant for variant in variants if variant in set(losses["variant"])]
    rows = 1 if validation.empty else 2
    figure, panels = panels_of(titles, height=0.8 + 1.8 * rows, rows=rows)
    for axes, (dataset, title) in zip(panels[0], titles.items(), strict=True):
        own = losses[losses["dataset"] == dataset].sort_values("step")
        for place, variant in enumerate(trained):
            for _, run in own[own["variant"] == variant].groupby("seed"):
                mark = look[variant]
                means = run["loss"].rolling(max(1, round(len(run) / 10)), min_periods=1, center=True).mean()
                axes.plot(run["step"], run["loss"], color=mark.colour, lw=0.4, alpha=0.25)
                # curves of one seed nearly coincide, so the first ones are drawn wider
                width = 1 + 2 * (1 - place / len(trained))
                axes.plot(run["step"], means, color=mark.colour, ls=mark.line, lw=width, zorder=3)
        axes.set(title=title, xlabel="fine-tuning step")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if own.empty:
            say_empty(axes)
        elif len(own) > 20:  # a few outliers must not squeeze the curves
            low, high = own["loss"].quantile([0.002, 0.998])
            axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    panels[0][0].set_ylabel("training loss")
    if rows == 2:
        for axes, dataset in zip(panels[1], titles, strict=True):
            _validation_panel(axes, validation[validation["dataset"] == dataset], look)
        panels[1][0].set_ylabel("validation loss")
    legend_above(figure, line_handles(trained, look, markers=False))
    explanation = (
        "Faint: as logged; lines: running means over 10 % of the training, one line per seed. Runs of one seed see the "
        "same images, noise and times, so their curves nearly coincide; the first are drawn wider."
    )
    below = (
        ""
        if rows == 1
        else (
            "Below: the loss on a few images that no model learns from, with the same noise and times at every point; "
            "open markers: of the moving average of the weights."
        )
    )
    footer(figure, explanation, below, note)
    return figure


def _validation_panel(axes: Axes, own: pd.DataFrame, look: Mapping[str, Look]) -> None:
    """The validation losses of one data set's fine-tunings over their steps."""
    for (variant, _, weights), run in own.groupby(["variant", "seed", "weights"], sort=False):
        mark = look[variant]
        fill = "none" if weights == "ema" else mark.colour
        axes.plot(
            run["step"], run["validation_loss"], color=mark.colour, ls=mark.line, marker=mark.marker, mfc=fill, ms=3
        )
    axes.set(xlabel="fine-tuning step")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if own.empty:
        say_empty(axes)


# --- frozen minus learnable ---------------------------------------------------------------------------------------


def paired_differences(
    differences: pd.DataFrame, variants: Sequence[str], titles: Mapping[str, str], protocol: str, note: str
) -> Figure:
    """Differences frozen minus learnable of macro means with 95 % intervals and p values, one panel per data set.

    A pair has the colour and marker of its frozen variant.
    """
    look = looks(variants)
    table = main_rows(differences, protocol)
    table = table[(table["group"] == MACRO) & table["metric"].isin(PAIRED_SCORES)].dropna(subset="difference")
    pairs = list(dict.fromkeys(zip(table["frozen"], table["learnable"], strict=True)))
    metrics = [metric for metric in PAIRED_SCORES if metric in set(table["metric"])]
    figure, panels = panels_of(titles, height=1.1 + len(metrics) * (0.1 + 0.14 * len(pairs)), sharey=True)
    for axes, (dataset, title) in zip(panels[0], titles.items(), strict=True):
        own = table[table["dataset"] == dataset].set_index(["frozen", "learnable", "metric"])
        here = [pair for pair in pairs if pair in set(own.index.droplevel("metric"))]
        for k, pair in enumerate(here):
            rows = own.loc[pair].reindex(metrics)
            heights = np.arange(len(metrics)) + (k - (len(here) - 1) / 2) * 0.8 / len(pairs)
            mark = look[pair[0]]
            axes.hlines(heights, rows["low"], rows["high"], color=mark.colour, lw=1.2)
            axes.plot(rows["difference"], heights, color=mark.colour, marker=mark.marker, ms=4.5, ls="")
            for height, p in zip(heights, rows["p"], strict=True):
                if np.isfinite(p):
                    axes.text(1.02, height, p_clause(p), va="center", transform=axes.get_yaxis_transform())
        axes.axvline(0, color=INK, lw=0.6)
        for edge in np.arange(len(metrics) - 1) + 0.5:
            axes.axhline(edge, color=FAINT, lw=0.4, ls=":")
        axes.set(title=title, xlabel="frozen − learnable (right: frozen is better)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if own.empty:
            say_empty(axes)
        axes.tick_params(axis="y", length=0)
    panels[0][0].set_yticks(range(len(metrics)), [METRICS[metric].name for metric in metrics])
    panels[0][0].set_ylim(len(metrics) - 0.5, -0.5)
    handles = [
        Line2D(
            [],
            [],
            color=look[frozen].colour,
            marker=look[frozen].marker,
            label=f"{readable(frozen)} − {readable(other)}",
        )
        for frozen, other in pairs
    ]
    legend_above(figure, handles)
    footer(
        figure,
        "Macro means over categories; bars: 95 % intervals; p: two-sided sign-flip permutation test over subjects.",
        note,
    )
    return figure
