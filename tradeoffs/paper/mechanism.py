"""Why the trade-off happens: one table, one figure and one paragraph on frozen against learnable text encoders."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tradeoffs.evaluation.mechanism import DRIFT, MEASURES, OVERLAP, PROBE
from tradeoffs.evaluation.statistics import mean_interval
from tradeoffs.paper.blocks import Block, PaperTable
from tradeoffs.paper.formatting import estimate, readable, signed
from tradeoffs.paper.style import PAGE, footer, looks

KEYS = ["id", "subject_id", "category"]
PANELS = (DRIFT, PROBE, "mass_words", "mass_other", "mass_start", "mass_end", "mass_padding", OVERLAP)


def mechanism_rows(
    measures: pd.DataFrame, pairs: Sequence[Mapping[str, str]], draws: int, datasets: Mapping[str, str]
) -> pd.DataFrame:
    """One row a data set, pair of variants, step and measure: the means of both, and their paired difference frozen
    minus learnable with its 95 % interval over subjects. A text's value is its mean over the seeds.

    measures: rows of the models' mechanism.csv
    """
    rows = []
    for pair in pairs:
        own = measures[measures["dataset"] == pair["dataset"]]
        steps = sorted(set(own.loc[own["variant"] == pair["learnable"], "step"]))
        for step in steps:
            frozen, learnable = (_means(own[own["step"] == step], pair[name]) for name in ("frozen", "learnable"))
            for measure in MEASURES:
                rows.append(_row(datasets, pair, step, measure, frozen, learnable, draws))
    return pd.DataFrame(rows)


def _means(rows: pd.DataFrame, variant: str) -> pd.DataFrame:
    return rows[rows["variant"] == variant].groupby(KEYS, sort=False)[list(MEASURES)].mean()


def _row(
    datasets: Mapping[str, str],
    pair: Mapping[str, str],
    step: int,
    measure: str,
    frozen: pd.DataFrame,
    learnable: pd.DataFrame,
    draws: int,
) -> dict:
    values = pd.DataFrame({"frozen": frozen[measure], "learnable": learnable[measure]}).dropna()
    subjects = values.index.get_level_values("subject_id").to_numpy()
    row = {"data": datasets[pair["dataset"]], "frozen": pair["frozen"], "learnable": pair["learnable"], "step": step}
    row |= {"measure": measure, "n": len(values), "subjects": len(set(subjects))}
    of = {name: values[name].to_numpy() for name in ("frozen", "learnable")}
    for name, column in {**of, "difference": of["frozen"] - of["learnable"]}.items():
        mean, low, high = mean_interval(column, subjects, draws)
        label = "difference" if name == "difference" else f"mean_{name}"
        row |= {label: mean, f"{label}_low": low, f"{label}_high": high}
    return row


def mechanism_table(title: str, rows: pd.DataFrame) -> PaperTable:
    """The table of `mechanism_rows`; its first note is the paragraph."""
    blocks = [
        Block(f"{data}: {readable(frozen)} and {readable(learnable)}", _cells(part), 2)
        for (data, frozen, learnable), part in rows.groupby(["data", "frozen", "learnable"], sort=False)
    ]
    return PaperTable(title, rows, blocks, [paragraph(rows), *NOTES])


NOTES = (
    "Drift: distance of the embeddings of the finding's words from those of the base, relative to their length. Probe: "
    "share of texts whose category a logistic regression names from the mean of the text's embeddings, learnt from "
    "other texts (five parts; a text is in one part only). Attention: share on each kind of token, over all pixels, "
    "layers and time steps. Overlap: of the normalised maps of two findings on one image, 1 for equal maps.",
    "Mean [95 % interval], percentile bootstrap over patients (COCO: images); differences are frozen minus learnable, "
    "paired.",
    "These are descriptions of the same models; they show what goes along with the trade-off, not what causes it.",
)


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    def column(label: str) -> list[str]:
        parts = rows[[label, f"{label}_low", f"{label}_high"]].to_numpy(float)
        return [estimate(mean, np.nan, low, high, 3) for mean, low, high in parts]

    cells = {
        "Step": rows["step"].astype(str),
        "Measure": rows["measure"].map(MEASURES),
        "Frozen": column("mean_frozen"),
        "Learnable": column("mean_learnable"),
        "Frozen − learnable": column("difference"),
        "n": rows["n"].astype(str),
    }
    return pd.DataFrame(cells)


def paragraph(rows: pd.DataFrame) -> str:
    """What the numbers of the last step say of each pair: only differences whose interval excludes 0 are named."""
    sentences = []
    for (data, frozen, learnable), part in rows.groupby(["data", "frozen", "learnable"], sort=False):
        last = part[part["step"] == part["step"].max()].set_index("measure")
        clear = last[(last["difference_low"] > 0) | (last["difference_high"] < 0)]
        named = ", ".join(
            f"{MEASURES[measure]} {'higher' if row['difference'] < 0 else 'lower'} by "
            f"{signed(abs(row['difference'])).lstrip('+')} [{signed(-row['difference_high'])}, "
            f"{signed(-row['difference_low'])}]"
            for measure, row in clear.iterrows()
        )
        unclear = [
            MEASURES[measure] for measure in last.index.difference(clear.index, sort=False) if last.at[measure, "n"]
        ]
        start = (
            f"{data}, after {last['step'].iloc[0]} steps: with {readable(learnable)} in place of {readable(frozen)}, "
        )
        end = f" No clear difference: {', '.join(unclear)}." if unclear else ""
        sentences.append(start + (f"{named}." if named else "no measure differs clearly.") + end)
    return " ".join(sentences)


def mechanism_figure(rows: pd.DataFrame, variants: Sequence[str], note: str) -> Figure:
    """A panel a measure: its mean over the steps of fine-tuning, a line a variant of each pair, with intervals."""
    data = list(dict.fromkeys(rows["data"]))
    figure = Figure(figsize=(PAGE, 1.5 * len(PANELS) / 2 * len(data)), layout="constrained")
    panels = figure.subplots(len(data) * 2, len(PANELS) // 2, squeeze=False)
    look = looks(variants)
    for place, name in enumerate(data):
        own = rows[rows["data"] == name]
        for axes, measure in zip(panels[2 * place : 2 * place + 2].ravel(), PANELS, strict=True):
            axes.set_title(f"{name}\n{MEASURES[measure]}" if len(data) > 1 else MEASURES[measure], fontsize=6)
            apart = 0.02 * max(1, np.ptp(own["step"]))  # so that neither interval hides the other
            for kind, shift in {"frozen": -apart, "learnable": apart}.items():
                for variant, line in own[own["measure"] == measure].groupby(kind, sort=False):
                    mark, label = look[variant], f"mean_{kind}"
                    low, high = line[label] - line[f"{label}_low"], line[f"{label}_high"] - line[label]
                    axes.errorbar(
                        line["step"] + shift, line[label], np.stack([low, high]), color=mark.colour, ls=mark.line,
                        marker=mark.marker, ms=3, lw=1, label=readable(variant),
                    )  # fmt: skip
            axes.margins(0.1, 0.15)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    for axes in panels[-1]:
        axes.set_xlabel("steps")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    footer(figure, "Means with 95 % intervals over the steps of fine-tuning.", *NOTES[:1], note)
    return figure
