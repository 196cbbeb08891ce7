"""Figures made of images: heat maps over test images, samples beside real images, sheets of the data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from tradeoffs.attention.heat_maps import TokenHeatMaps, load_heat_maps
from tradeoffs.data.images import load_image
from tradeoffs.data.tables import read_samples
from tradeoffs.errors import InputError
from tradeoffs.evaluation.localisation import Sample, one_per_image, samples, words_of_samples
from tradeoffs.evaluation.map_scores import resized
from tradeoffs.evaluation.queries import query_map, token_weights
from tradeoffs.paper.formatting import readable
from tradeoffs.paper.style import FAINT, HEAT, NORMAL, OUTLINE, PAGE, PAGE_HEIGHT, SMALL, wrapped
from tradeoffs.protocols import CORRECTED, PROTOCOLS, Protocol

GAP = 0.05  # inches between cells
LINE = 0.125  # inches a line of small print takes
CAPTION_LINES = 5
MOST_ROWS = 8  # of heat maps
FEWEST_COLUMNS, MOST_COLUMNS = 5, 8  # of the sheet of samples
SHEET_LABEL = 0.85  # inches for the titles of a sheet's rows
HEAT_OPACITY = 0.25, 0.8  # of the lowest and the highest value, so that the image is seen where the map is cold


@dataclass(frozen=True)
class Cell:
    """One image of a grid.

    image: float (r, r, 3) in 0..1; None leaves the place empty but for the caption
    outline: bool (r, r) whose border is drawn; heat: (r, r) in 0..1, laid over the image
    """

    image: np.ndarray | None
    caption: str = ""
    outline: np.ndarray | None = None
    heat: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """A row of a grid: what stands at its left, in bold and below in plain print, and its cells."""

    title: str
    cells: Sequence[Cell]
    text: str = ""


def picture(path: str | Path, resolution: int) -> np.ndarray:
    """The central square of an image file as the model sees it: float (r, r, 3) in 0..1."""
    return load_image(path, resolution).permute(1, 2, 0).numpy() / 2 + 0.5


def by_variant(variants: Sequence[str], files: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each variant with its own files: shard after shard, as many for each, in the order of the variants."""
    shards = len(files) // len(variants)
    for place, variant in enumerate(variants):
        yield variant, files[place * shards : (place + 1) * shards]


# --- heat maps over test images -----------------------------------------------------------------------------------


def categories_shown(rows: Sequence[Sample], most: int) -> list[str]:
    """The `most` categories with the most samples, by name; a choice that does not look at scores."""
    counts = pd.Series([sample.category for sample in rows]).value_counts()
    ranked = sorted(counts.index, key=lambda category: (-counts[category], category))
    return sorted(ranked[:most])


def first_samples(rows: Sequence[Sample], most: int) -> list[Sample]:
    """The first sample of each category shown that has one box and is within the crop, or else the first."""
    chosen = []
    for category in categories_shown(rows, most):
        own = [sample for sample in rows if sample.category == category]
        single = (sample for sample in own if len(sample.boxes) == 1 and sample.mask(CORRECTED).any())
        chosen.append(next(single, own[0]))
    return chosen


def overlay_ids(
    grounding: pd.DataFrame, text: str, protocol: Protocol, resolution: int, most: int = MOST_ROWS
) -> set[str]:
    """Ids of the token heat maps that `overlay_rows` shows."""
    return {sample.id for sample in first_samples(samples(grounding, text, protocol, resolution), most)}


def overlay_rows(
    grounding: pd.DataFrame,
    heat_maps_of: Mapping[str, Mapping[str, TokenHeatMaps]],
    scores: pd.DataFrame,
    text: str,
    protocol: Protocol,
    resolution: int,
    most: int = MOST_ROWS,
) -> list[Row]:
    """One row per category: the image with its ground truth, then each variant's heat map with its scores.

    heat_maps_of: per variant its token heat maps by id, made with the text
    scores: rows of localisation.csv of these variants; where a sample has no score, the reason stands in its place
    """
    listed = samples(grounding, text, protocol, resolution)
    words = words_of_samples(listed, text, protocol)
    paths = grounding.drop_duplicates("sample_id").set_index("sample_id")["path"]
    scores = scores[(scores["protocol"] == protocol.name) & (scores["text"] == text)]
    scores = scores.set_index(["variant", "id", "category"])
    rows = []
    for sample in first_samples(listed, most):
        image, mask = picture(paths[sample.sample_id], resolution), sample.mask(protocol)
        cells = [Cell(image, outline=mask)]
        for variant, maps in heat_maps_of.items():
            score = scores.loc[(variant, sample.id, sample.category)]
            if score["excluded"]:
                cells.append(Cell(image, score["excluded"], mask))
                continue
            weights, _ = token_weights(maps[sample.id], words[sample.id, sample.category], protocol)
            heat = resized(query_map(maps[sample.id], weights), resolution, protocol)
            cells.append(Cell(image, _scores_caption(score), mask, heat))
        rows.append(Row(sample.category, cells, sample.text))
    return rows


def _scores_caption(score: pd.Series) -> str:
    caption = f"AUC {score['auc_roc']:.2f}"
    if np.isnan(score["specificity"]):
        return caption
    return f"{caption}, spec.\u00a0{score['specificity']:+.2f}".replace("-", "−")


def overlays(
    grounding: pd.DataFrame,
    heat_maps: Sequence[str],
    scores: pd.DataFrame,
    variants: Sequence[str],
    text: str,
    protocol: str,
    resolution: int,
    note: str,
) -> Figure:
    """Heat maps over test images: categories down, the image and one heat map per variant across.

    heat_maps: files of heat maps, see `by_variant`; scores: rows of their localisation.csv
    """
    ids = overlay_ids(grounding, text, PROTOCOLS[protocol], resolution)
    heat_maps_of = {variant: load_heat_maps(files, text, ids) for variant, files in by_variant(variants, heat_maps)}
    explanation = (
        f"Each row: the first {text} of its category in the test set's order that has a single box, or else the first "
        "of all, chosen without looking at scores. Outline: ground truth. Colour: the heat map of the category's "
        "words, from its lowest (dark) to its highest value (bright), with its AUC-ROC. Spec.: its specificity, where "
        "the image has another category: AUC-ROC minus that of the other's words on the same outline; at 0 the words "
        "do not tell the two apart."
    )
    rows = overlay_rows(grounding, heat_maps_of, scores.fillna({"excluded": ""}), text, PROTOCOLS[protocol], resolution)
    header = ["image", *map(readable, variants)]
    return image_grid(rows, header, label_width=1.45, largest=0.9, notes=[explanation, note])


# --- samples beside real images -----------------------------------------------------------------------------------


def sample_rows(real: pd.DataFrame, generated: Mapping[str, pd.DataFrame], resolution: int, columns: int) -> list[Row]:
    """Real images, then each variant's samples of the same prompts, the first repeat of each.

    real: columns path, text; a prompt's real image is the first one with its text. Prompts that are no real image's
    text leave that place empty.
    generated: per variant, columns prompt_id, repeat, text, path

    Raises InputError if a variant has no sample of one of the first variant's prompts.
    """
    first = {name: table[table["repeat"] == 0].set_index("prompt_id") for name, table in generated.items()}
    prompts = next(iter(first.values()))["text"].iloc[:columns]
    paths = real.drop_duplicates("text").set_index("text")["path"]
    rows = [
        Row(
            "real",
            [Cell(picture(paths[text], resolution), text) if text in paths else Cell(None, text) for text in prompts],
        )
    ]
    for name, table in first.items():
        missing = prompts.index.difference(table.index)
        if len(missing):
            raise InputError(f"samples of {name}: there is none of prompt {missing[0]!r}; draw the samples again")
        own = table.loc[prompts.index]
        # a model of labels or sentences was conditioned on another form of the prompt
        captions = own["text"].where(own["text"] != prompts, "")
        cells = [Cell(picture(path, resolution), text) for path, text in zip(own["path"], captions, strict=True)]
        rows.append(Row(readable(name), cells))
    return rows


def sample_grid(
    images: pd.DataFrame, samples: Sequence[str], variants: Sequence[str], split: str, resolution: int, note: str
) -> Figure:
    """Samples of each variant below real images with the same texts, one column per prompt.

    images: rows of images.csv, of which those of `split` are shown; samples: lists of samples, see `by_variant`
    """
    generated = {variant: read_samples(files) for variant, files in by_variant(variants, samples)}
    explanation = (
        "Each column: one of the first prompts of the list. Above, the real image that it was written for, if there is "
        "one; below, one sample per model. Where a model was conditioned on another text, that stands above its sample."
    )
    columns = columns_that_fill(len(variants) + 1, SHEET_LABEL, caption_lines=1)
    rows = sample_rows(images[images["split"] == split], generated, resolution, columns)
    return image_grid(rows, [], label_width=SHEET_LABEL, largest=PAGE, notes=[explanation, note])


# --- sheets of the data -------------------------------------------------------------------------------------------


def data_rows(grounding: pd.DataFrame, text: str, resolution: int, columns: int, most: int) -> list[Row]:
    """The first test images of each category with their ground truth and the text that speaks of it."""
    listed = one_per_image(samples(grounding, text, CORRECTED, resolution), text)
    paths = grounding.drop_duplicates("sample_id").set_index("sample_id")["path"]
    return [
        Row(
            category,
            [
                Cell(picture(paths[sample.sample_id], resolution), sample.text, sample.mask(CORRECTED))
                for sample in [sample for sample in listed if sample.category == category][:columns]
            ],
        )
        for category in categories_shown(listed, most)
    ]


def data_sheet(grounding: pd.DataFrame, text: str, most: int, resolution: int, note: str) -> Figure:
    """Test images of the `most` most frequent categories with their texts and outlines, one row per category."""
    explanation = f"The first test images of each category, each with its {text}. Outline: ground truth."
    rows = data_rows(grounding, text, resolution, columns=3, most=most)
    return image_grid(rows, [], label_width=SHEET_LABEL, largest=PAGE, notes=[explanation, note], beside=0.95)


# --- the grid -----------------------------------------------------------------------------------------------------


def columns_that_fill(rows: int, label_width: float, caption_lines: int) -> int:
    """How many images side by side fill a page's width where so many rows of them fill its height."""
    height = (PAGE_HEIGHT - 0.6) / rows - 2 * GAP - caption_lines * LINE
    columns = math.ceil((PAGE - label_width) / (height + GAP))
    return min(max(columns, FEWEST_COLUMNS), MOST_COLUMNS)


def image_grid(
    rows: Sequence[Row],
    header: Sequence[str],
    label_width: float,
    largest: float,
    notes: Sequence[str],
    beside: float = 0,
) -> Figure:
    """A page-wide grid of square images that fits on a page, with captions above the cells or, `beside` inches wide,
    at their right.

    header: a name above each column, or none; label_width: inches for the rows' titles
    largest: inches of a cell and its caption across at most; notes: sentences for the small print below
    """
    columns = max(len(row.cells) for row in rows)
    pitch = min(largest + GAP, (PAGE - label_width) / columns)
    width = label_width + columns * pitch
    footnote = wrapped(" ".join(filter(None, notes)), width - 0.1)
    names = [wrapped(name, pitch - GAP, size=NORMAL, weight="bold") for name in header]
    captions = [[wrapped(cell.caption, beside or pitch - GAP, CAPTION_LINES) for cell in row.cells] for row in rows]
    head = LINE * 1.15 * max(map(_lines, names), default=0)
    above = [2 * GAP + (0 if beside else LINE * max(map(_lines, row))) for row in captions]
    around = head + sum(above) + LINE * _lines(footnote) + 0.12
    size = min(pitch - GAP - beside, (PAGE_HEIGHT - around) / len(rows))
    height = around + len(rows) * size

    figure = Figure(figsize=(width, height))
    top = height - head
    for column, name in enumerate(names):
        x = label_width + (column + 0.5) * pitch
        figure.text(x / width, top / height, name, ha="center", va="bottom", size=NORMAL, weight="bold")
    for row, texts, caption_height in zip(rows, captions, above, strict=True):
        top -= caption_height
        _write_label(figure, row, label_width, top)
        top -= size
        for column, (cell, caption) in enumerate(zip(row.cells, texts, strict=True)):
            x = label_width + column * pitch + (0 if beside else (pitch - size) / 2)
            axes = figure.add_axes((x / width, top / height, size / width, size / height))
            draw_cell(axes, cell, "" if beside else caption)
            if beside:
                figure.text((x + size + GAP) / width, (top + size) / height, caption, va="top")
    figure.text(0.05 / width, 0.05 / height, footnote, va="bottom", color=FAINT)
    return figure


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _write_label(figure: Figure, row: Row, width: float, top: float) -> None:
    """Writes a row's title and text into its left `width` inches, from `top` inches above the figure's bottom."""
    title = wrapped(row.title, width - 0.1, weight="bold")
    text = wrapped(row.text, width - 0.1, lines=6)
    x, height = 0.05 / figure.get_figwidth(), figure.get_figheight()
    figure.text(x, top / height, title, va="top", weight="bold")
    figure.text(x, (top - LINE * (_lines(title) + 0.3)) / height, text, va="top")


def draw_cell(axes: Axes, cell: Cell, caption: str) -> None:
    """Draws one cell; `caption` is its text in lines."""
    axes.set(xticks=[], yticks=[], frame_on=False)
    axes.set_title(caption, size=SMALL, pad=2)
    if cell.image is None:
        return
    if cell.heat is None:
        axes.imshow(cell.image, interpolation="nearest")
    else:
        low, high = HEAT_OPACITY
        axes.imshow(cell.image.mean(axis=2), vmin=0, vmax=1, cmap="gray", interpolation="nearest")
        opacity = low + (high - low) * cell.heat
        axes.imshow(cell.heat, vmin=0, vmax=1, cmap=HEAT, alpha=opacity, interpolation="nearest")
    if cell.outline is not None and cell.outline.any():
        # a border of zeros, so that the outline of what touches the image's edge is closed there
        padded, places = np.pad(cell.outline.astype(float), 1), np.arange(-1, len(cell.outline) + 1)
        lines = axes.contour(places, places, padded, levels=[0.5], colors=[OUTLINE], linewidths=1.0)
        lines.set_path_effects([Stroke(linewidth=2.0, foreground="black"), Normal()])
    axes.set(xlim=(-0.5, cell.image.shape[1] - 0.5), ylim=(cell.image.shape[0] - 0.5, -0.5))
