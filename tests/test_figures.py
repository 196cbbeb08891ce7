from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from tradeoffs.attention.heat_maps import TokenHeatMaps, save_heat_maps
from tradeoffs.data.tables import keyed, write_table
from tradeoffs.errors import InputError
from tradeoffs.evaluation.localisation import score_heat_maps
from tradeoffs.paper import figure_parts, figure_rows, figures, pictures
from tradeoffs.paper.style import looks, save, wrapped
from tradeoffs.protocols import CORRECTED

VARIANTS = ["pretrained", "frozen", "learnable", "labels_frozen", "labels_learnable"]
TITLES = {"cxr": "Radiographs", "coco": "Scenes"}
NOTE = "These are phantoms."


@pytest.fixture(autouse=True)
def coarse_pixels(monkeypatch):
    """Fewer pixels to draw; nothing here is looked at."""
    monkeypatch.setitem(matplotlib.rcParams, "savefig.dpi", 40)


PROTOCOL = "corrected"
DEFAULT_TEXTS = {"cxr": "phrase", "coco": "caption"}


def of_default_text(table):
    return table.assign(protocol=PROTOCOL, text=table["dataset"].map(DEFAULT_TEXTS))


def summary(*rows, metric="auc_roc"):
    """Summary from (dataset, variant, group, mean, low, high) rows."""
    table = pd.DataFrame(rows, columns=["dataset", "variant", "group", "mean", "low", "high"])
    return of_default_text(table).assign(pairs="all", metric=metric, n=7)


def scores(models):
    """Rows of localisation.csv and of fidelity.csv from those of `figure_rows.models`."""
    localisation = of_default_text(models).assign(category="Edema", excluded=np.nan).dropna(subset="auc_roc")
    fidelity = models.rename(columns={"fid_general": "value"}).assign(metric="fid_general")
    return localisation, fidelity.dropna(subset="value")


def texts_of(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text().split()) for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def line_of(axes, variant, at_least=1):
    """x and y of the line in a variant's colour; the margin's marks, in axes' coordinates, do not count."""
    colour = looks(VARIANTS)[variant].colour
    lines = [
        line
        for line in axes.lines
        if to_hex(line.get_color()) == colour and line.get_transform() == axes.transData and len(line.get_xdata())
    ]
    assert len(lines) >= at_least
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def spans_of(axes, variant):
    """End points of the straight segments (intervals) in a variant's colour."""
    colour = looks(VARIANTS)[variant].colour
    return [
        segment.tolist()
        for collection in axes.collections
        if hasattr(collection, "get_segments") and to_hex(collection.get_color()[0]) == colour
        for segment in collection.get_segments()
    ]


# --- style --------------------------------------------------------------------------------------------------------


def test_looks_differ_between_nine_variants_and_do_not_depend_on_those_that_follow():
    nine = looks([f"v{i}" for i in range(9)])
    assert len({look.colour for look in nine.values()}) == len({look.marker for look in nine.values()}) == 9
    assert len({look.hatch for look in nine.values()}) == 9
    assert looks(["v0", "v1"]) == {name: nine[name] for name in ("v0", "v1")}


def test_wrapping_keeps_words_whole_and_ends_in_an_ellipsis():
    assert wrapped("one two", 5.0) == "one two"
    assert wrapped("one two three", 0.01) == "one\ntwo\nthree"
    assert wrapped("one two three four", 0.01, lines=2).splitlines()[0] == "one"
    assert wrapped("one two three four", 0.01, lines=2).endswith("…")
    assert wrapped("", 1.0) == ""


# --- tables -------------------------------------------------------------------------------------------------------


def test_models_have_macro_means_without_excluded_samples_beside_their_fid():
    samples = pd.DataFrame(
        [("Edema", 0.9, None), ("Edema", 0.5, None), ("Pneumonia", 0.3, None), ("Pneumonia", 0.9, "box cropped away")],
        columns=["category", "auc_roc", "excluded"],
    ).assign(dataset="cxr", variant="frozen", seed=0, step=6)
    fidelity = pd.DataFrame({"metric": ["fid_general", "ms_ssim"], "value": [30.0, 0.2]})
    fidelity = pd.concat([fidelity.assign(dataset="cxr", variant=v, seed=0, step=6) for v in ("frozen", "learnable")])
    models = figure_rows.models(of_default_text(samples), fidelity, PROTOCOL).set_index("variant")
    assert models["auc_roc"].tolist() == pytest.approx([((0.9 + 0.5) / 2 + 0.3) / 2, np.nan], nan_ok=True)
    assert models["fid_general"].tolist() == [30, 30]


def test_main_rows_are_those_of_the_default_text_and_protocol():
    table = pd.DataFrame(
        [
            ("cxr", "phrase", "corrected", "all", 1),
            ("cxr", "impression", "corrected", "all", 2),
            ("cxr", "phrase", "published", "all", 3),
            ("cxr", "phrase", "corrected", "named", 4),
            ("coco", "caption", "corrected", "all", 5),
        ],
        columns=["dataset", "text", "protocol", "pairs", "row"],
    )
    assert figure_rows.main_rows(table, "corrected")["row"].tolist() == [1, 5]


# --- FID against AUC-ROC ------------------------------------------------------------------------------------------

MACRO = summary(
    ("cxr", "frozen", "macro", 0.80, 0.75, 0.83),
    ("cxr", "learnable", "macro", 0.70, 0.65, 0.78),
    ("cxr", "labels_frozen", "macro", 0.60, np.nan, np.nan),
    ("cxr", "location_prior", "macro", 0.60, 0.55, 0.66),
    ("coco", "frozen", "macro", 0.90, 0.85, 0.95),
)
REPEATS = pd.DataFrame(
    [
        ("cxr", "frozen", 0, 0.79, 30.0),
        ("cxr", "frozen", 1, 0.81, 40.0),
        ("cxr", "learnable", 0, 0.70, 20.0),
        ("cxr", "labels_frozen", 0, 0.60, np.nan),
        ("coco", "frozen", 0, 0.90, 50.0),
    ],
    columns=["dataset", "variant", "seed", "auc_roc", "fid_general"],
).assign(step=100)


def tradeoff(summaries=MACRO, models=REPEATS) -> Figure:
    return figures.tradeoff(summaries, *scores(models), VARIANTS, TITLES, PROTOCOL, NOTE)


def test_tradeoff_draws_means_seeds_intervals_and_the_location_prior():
    figure = tradeoff()
    cxr, coco, *_ = figure.axes
    assert line_of(cxr, "frozen") == [([35.0], [0.80])]
    assert sorted(spans_of(cxr, "frozen")) == [[[30.0, 0.80], [40.0, 0.80]], [[35.0, 0.75], [35.0, 0.83]]]
    assert spans_of(cxr, "learnable") == [[[20.0, 0.65], [20.0, 0.78]], [[20.0, 0.70], [20.0, 0.70]]]
    points = [c.get_offsets().tolist() for c in cxr.collections if hasattr(c, "get_sizes") and len(c.get_sizes())]
    assert points == [[[30.0, 0.79], [40.0, 0.81]], [[20.0, 0.70]]]
    assert [0.60, 0.60] in [list(line.get_ydata()) for line in cxr.lines]
    (band,) = cxr.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.55, 0.66))
    assert line_of(coco, "frozen") == [([50.0], [0.90])]


def test_tradeoff_names_each_variant_beside_its_panel_and_says_who_is_absent():
    figure = tradeoff()
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["location prior", "learnable", "frozen"]  # from below
    assert "Not shown, without FID: labels frozen on Radiographs." in texts_of(figure)
    assert NOTE in texts_of(figure)


def test_tradeoff_shows_frozen_and_learnable_closer_where_there_are_both():
    figure = tradeoff()
    _, _, cxr, coco = figure.axes
    assert [text.get_text() for text in cxr.texts] == ["frozen", "learnable"] and cxr.axison and not coco.axison
    above, below = (text.xyann[1] for text in cxr.texts)  # points from the mean: names of close means do not overlap
    assert above > 0 > below
    assert line_of(cxr, "frozen") == [([35.0], [0.80])] and line_of(cxr, "learnable") == [([20.0], [0.70])]
    # intervals from 0.65 to 0.83, and no location prior at 0.60 or labels frozen, which set the axes above
    low, high = cxr.get_ylim()
    assert 0.60 < low < 0.65 and 0.83 < high < 0.90
    alone = tradeoff(MACRO[MACRO["variant"] != "learnable"], REPEATS[REPEATS["variant"] != "learnable"])
    assert len(alone.axes) == 2


def test_margin_labels_keep_their_distance_within_the_panel():
    assert figure_parts._spread([0.1, 0.12, 0.5], 0.1) == pytest.approx([0.1, 0.2, 0.5])
    assert figure_parts._spread([0.9, 0.98, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])


# --- training curves ----------------------------------------------------------------------------------------------


def test_curves_start_at_the_pretrained_model_and_pass_through_the_means_of_seeds():
    repeats = pd.DataFrame(
        [
            ("cxr", "pretrained", 0, 0, 0.6, 300.0),
            ("cxr", "frozen", 0, 100, 0.7, 90.0),
            ("cxr", "frozen", 1, 100, 0.8, 110.0),
            ("cxr", "frozen", 0, 200, 0.9, np.nan),
            ("coco", "pretrained", 0, 0, 0.5, 200.0),
        ],
        columns=["dataset", "variant", "seed", "step", "auc_roc", "fid_general"],
    )
    prior = MACRO[MACRO["variant"] == "location_prior"]
    figure = figures.training_curves(*scores(repeats), prior, VARIANTS, TITLES, PROTOCOL, NOTE)
    auc, _, fid, _ = figure.axes
    ((steps, values),) = line_of(auc, "frozen")
    assert (steps, values) == ([0, 100, 200], pytest.approx([0.6, (0.7 + 0.8) / 2, 0.9]))
    ((steps, values),) = line_of(fid, "frozen")
    assert (steps, values) == ([0, 100], pytest.approx([300.0, (90 + 110) / 2]))
    assert [0.60, 0.60] in [list(line.get_ydata()) for line in auc.lines]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "pretrained (step 0)",
        "frozen",
        "location prior",
    ]


def test_a_panel_without_values_says_so():
    assert "no values" not in texts_of(tradeoff())
    only = MACRO[MACRO["dataset"] == "cxr"]
    figure = tradeoff(only, REPEATS[REPEATS["dataset"] == "cxr"])
    assert [text.get_text() for text in figure.axes[1].texts] == ["no values"]
    no_fid = scores(REPEATS.assign(fid_general=np.nan))
    curves = figures.training_curves(*no_fid, only[only["group"] == "micro"], VARIANTS, TITLES, PROTOCOL, NOTE)
    assert [[text.get_text() for text in axes.texts] for axes in curves.axes] == [[], [], ["no values"], ["no values"]]


# --- findings -----------------------------------------------------------------------------------------------------


def test_bars_start_at_chance_and_end_at_the_mean():
    auc = summary(
        ("cxr", "frozen", "Edema", 0.8, 0.7, 0.85),
        ("cxr", "frozen", "macro", 0.6, 0.5, 0.7),
        ("cxr", "frozen", "micro", 0.99, 0.98, 1.0),
        ("cxr", "learnable", "Edema", 0.4, 0.3, 0.45),
        ("cxr", "learnable", "macro", 0.55, 0.5, 0.6),
        ("cxr", "location_prior", "Edema", 0.65, 0.6, 0.7),
    )
    specificity = summary(("cxr", "frozen", "Edema", -0.1, -0.2, 0.0), metric="specificity")
    figure = figures.findings(pd.concat([auc, specificity]), VARIANTS, {"cxr": "Radiographs"}, PROTOCOL, NOTE)
    left, right = figure.axes
    frozen, learnable = left.containers
    assert [(bar.get_x(), bar.get_width()) for bar in frozen] == [(0.5, pytest.approx(0.3)), (0.5, pytest.approx(0.1))]
    assert [bar.get_width() for bar in learnable] == pytest.approx([-0.1, 0.05])
    intervals = [c.get_segments() for c in left.collections]
    assert [segment[:, 0].tolist() for segment in intervals[0]] == [[0.7, 0.85], [0.5, 0.7]]
    assert frozen[0].get_y() + frozen[0].get_height() / 2 == pytest.approx(intervals[0][0][0, 1])
    assert [label.get_text() for label in left.get_yticklabels()] == ["Edema (7)", "macro (7)"]
    assert [0.65, 0.65] in [list(line.get_xdata()) for line in left.lines]
    width = right.containers[0][0].get_width()
    assert width == pytest.approx(-0.1)


@pytest.mark.parametrize("categories", [1, 80])
def test_findings_fit_on_a_page(categories):
    rows = [("coco", variant, f"class {i}", 0.7, 0.6, 0.8) for i in range(categories) for variant in VARIANTS]
    figure = figures.findings(summary(*rows), VARIANTS, {"coco": "Scenes"}, PROTOCOL, NOTE)
    assert figure.get_figheight() <= 9.5
    assert len(figure.axes[0].containers[0]) == categories + 1


# --- profile ------------------------------------------------------------------------------------------------------

LAYERS = {
    "up_blocks.2.attentions.10.transformer_blocks.0.attn2.processor": 16,
    "up_blocks.2.attentions.2.transformer_blocks.0.attn2.processor": 16,
    "mid_block.attentions.0.transformer_blocks.0.attn2.processor": 4,
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor": 16,
}


def test_layers_are_named_in_the_order_of_the_unet():
    table = pd.DataFrame({"layer": LAYERS.keys(), "resolution": LAYERS.values()})
    names = figure_rows.layer_names(table)
    assert list(names.values()) == ["down 16×16", "mid 4×4", "up 16×16 #1", "up 16×16 #2"]
    assert list(names)[2:] == list(LAYERS)[1::-1]  # the second attention before the tenth


@pytest.mark.parametrize("variants", [["frozen"], VARIANTS])
def test_profile_shows_means_over_seeds_and_their_margins(variants):
    rows = [
        (variant, seed, layer, size, time, 0.5 + 0.1 * i + 0.01 * (time == 101) + 0.002 * seed)
        for variant in variants
        for seed in (0, 1)
        for i, (layer, size) in enumerate(LAYERS.items())
        for time in (1, 101)
    ]
    profile = pd.DataFrame(rows, columns=["variant", "seed", "layer", "resolution", "step", "auc_roc"])
    figure = figures.attention_profile(profile, VARIANTS, {"cxr": "Radiographs"}, NOTE)
    image = next(axes.images[0] for axes in figure.findobj(lambda a: hasattr(a, "images")) if axes.images)
    # down is the last of LAYERS: 0.5 + 0.3 + half of seed 1's 0.002
    np.testing.assert_allclose(image.get_array()[0], [0.801, 0.811])
    by_layer, by_time = figure.subfigs[1].axes
    assert by_layer.lines[0].get_xdata() == pytest.approx([0.806, 0.706, 0.606, 0.506])
    assert by_time.lines[0].get_ydata() == pytest.approx([0.65 + 0.001, 0.66 + 0.001])
    assert len(by_time.lines) == len(variants)


# --- losses, differences ------------------------------------------------------------------------------------------


def test_losses_are_smoothed_over_a_tenth_of_the_run():
    values = np.arange(30.0) ** 2
    table = pd.DataFrame({"step": np.arange(30) + 1, "loss": values, "dataset": "cxr", "variant": "frozen", "seed": 0})
    none = pd.DataFrame(columns=["dataset", "variant", "seed", "step", "weights", "validation_loss"])
    figure = figures.loss_curves(table, none, VARIANTS, {"cxr": "Radiographs"}, NOTE)
    assert len(figure.axes) == 1
    (_, raw), (_, smooth) = line_of(figure.axes[0], "frozen", 2)
    assert raw == values.tolist()
    assert smooth[10] == pytest.approx((9**2 + 10**2 + 11**2) / 3)  # 30 / 10 = 3 values


def test_validation_losses_stand_below_with_open_markers_for_the_average():
    key = {"dataset": "cxr", "variant": "frozen", "seed": 0}
    losses = pd.DataFrame({"step": [1, 2], "loss": [1.0, 0.9], **key})
    points = [(0, "raw", 0.5), (0, "ema", 0.5), (2, "raw", 0.4), (2, "ema", 0.45)]
    validation = pd.DataFrame(points, columns=["step", "weights", "validation_loss"]).assign(**key)
    figure = figures.loss_curves(losses, validation, VARIANTS, TITLES, NOTE)
    _, _, cxr, coco = figure.axes
    assert [line.get_ydata().tolist() for line in cxr.lines] == [[0.5, 0.4], [0.5, 0.45]]
    assert [line.get_markerfacecolor() == "none" for line in cxr.lines] == [False, True]
    assert cxr.get_ylabel() == "validation loss" and [text.get_text() for text in coco.texts] == ["no values"]


def test_differences_are_drawn_with_their_intervals_and_p_values():
    rows = [
        ("cxr", "frozen", "learnable", "auc_roc", 0.1, 0.05, 0.2, 0.0004),
        ("cxr", "frozen", "learnable", "top1", -0.2, -0.3, 0.1, 0.25),
        ("cxr", "labels_frozen", "labels_learnable", "auc_roc", 0.0, -0.1, 0.1, np.nan),
        ("coco", "frozen", "learnable", "auc_roc", 0.3, 0.2, 0.4, 0.04),
        ("coco", "frozen", "learnable", "distance", 9.0, 8.0, 10.0, 0.04),
    ]
    columns = ["dataset", "frozen", "learnable", "metric", "difference", "low", "high", "p"]
    table = of_default_text(pd.DataFrame(rows, columns=columns)).assign(group="macro")
    figure = figures.paired_differences(table, VARIANTS, TITLES, PROTOCOL, NOTE)
    cxr, coco = figure.axes
    ((points, _),) = line_of(cxr, "frozen")
    assert points == [0.1, -0.2]
    assert [[x for x, _ in span] for span in spans_of(cxr, "frozen")] == [[0.05, 0.2], [-0.3, 0.1]]
    assert [text.get_text() for text in cxr.texts] == ["p < 0.001", "p = 0.250"]
    assert [text.get_text() for text in coco.texts] == ["p = 0.040"]
    assert [label.get_text() for label in cxr.get_yticklabels()] == ["AUC-ROC", "top-1"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "frozen − learnable",
        "labels frozen − labels learnable",
    ]


# --- pictures -----------------------------------------------------------------------------------------------------

SIZE = 16


def grounding_table(folder: Path) -> pd.DataFrame:
    """Three images of 16 px: two of Edema (the first with two boxes), one of Pneumonia."""
    rows = []
    for k, (category, boxes) in enumerate(
        [
            ("Edema", [[0, 0, 4, 4], [8, 8, 4, 4]]),
            ("Edema", [[2, 2, 6, 6]]),
            ("Pneumonia", [[8, 0, 8, 8]]),
        ]
    ):
        path = folder / f"{k}.png"
        Image.new("L", (SIZE, SIZE), 40 * k + 40).save(path)
        rows.append((f"s{k}-1", f"s{k}", f"p{k}", str(path), category, f"some {category}", boxes, SIZE, SIZE, "", ""))
    columns = ["phrase_id", "sample_id", "subject_id", "path", "category", "phrase", "boxes"]
    return pd.DataFrame(rows, columns=[*columns, "image_width", "image_height", "text", "mask"])


def maps_of(id: str, category: str) -> TokenHeatMaps:
    """Two tokens: "some" is hot at the left, the finding at the right half of a 4 x 4 map."""
    left = np.zeros((4, 4), dtype=np.float32)
    left[:, :2] = 1
    spans = np.array([[0, 4], [5, 5 + len(category)]])
    return TokenHeatMaps(id, f"some {category}", ["some", category], spans, np.stack([left, 1 - left]), 5)


def maps_of_samples() -> dict[str, TokenHeatMaps]:
    return {maps.id: maps for maps in (maps_of("s1-1", "Edema"), maps_of("s2-1", "Pneumonia"))}


def scores_of(table, variant, maps):
    """Rows of localisation.csv."""
    return keyed(score_heat_maps(table, maps, "phrase", CORRECTED, SIZE), variant=variant)


def test_overlays_show_the_first_sample_with_one_box_and_the_map_of_its_words(tmp_path):
    table = grounding_table(tmp_path)
    assert pictures.overlay_ids(table, "phrase", CORRECTED, SIZE) == {"s1-1", "s2-1"}
    maps = {"frozen": maps_of_samples(), "learnable": {}}
    scores = pd.concat([scores_of(table, variant, own) for variant, own in maps.items()])
    scores.loc[(scores["variant"] == "frozen") & (scores["id"] == "s1-1"), "specificity"] = -0.123
    edema, pneumonia = pictures.overlay_rows(table, maps, scores, "phrase", CORRECTED, SIZE)
    image, frozen, learnable = pneumonia.cells
    assert (edema.title, pneumonia.title, pneumonia.text) == ("Edema", "Pneumonia", "some Pneumonia")
    assert edema.cells[0].image[0, 0] == pytest.approx(80 / 255)  # the second image: the first has two boxes
    assert image.heat is None and image.outline[:8, 8:].all() and image.outline.sum() == 64
    assert frozen.heat[8, 0] == 0 and frozen.heat[8, 15] == 1
    # of the 192 pixels outside, the 128 of the left half are colder than any inside; the 64 of the lower right quarter
    # are a copy of the inside, where half of all comparisons are won: (128 + 64 / 2) / 192 = 0.833
    assert frozen.caption == "AUC 0.83"  # without another finding in the image there is no specificity
    assert edema.cells[1].caption.endswith(", spec.\u00a0−0.12")
    assert learnable.heat is None and learnable.caption == "no heat map"


@pytest.mark.parametrize("rows", [2, 5, 8])
def test_a_sheet_fills_the_width_of_its_page(rows):
    columns = pictures.columns_that_fill(rows, 0.85, caption_lines=2)
    row = pictures.Row("Edema", [pictures.Cell(np.zeros((4, 4, 3)), "two lines of caption")] * columns)
    figure = pictures.image_grid([row] * rows, [], label_width=0.85, largest=7.0, notes=["note"])
    width, height = figure.get_size_inches()
    cells = [axes.get_position().width * width for axes in figure.axes]
    assert width == pytest.approx(7, abs=0.01) and height <= 9.41
    assert sum(cells[:columns]) >= 0.85 * (width - 0.85)


def test_files_stand_variant_after_variant():
    files = ["a0", "a1", "b0", "b1"]
    assert dict(pictures.by_variant(["frozen", "learnable"], files)) == {"frozen": files[:2], "learnable": files[2:]}


def test_categories_shown_are_the_most_frequent_in_alphabetical_order(tmp_path):
    table = grounding_table(tmp_path)
    rows = pictures.data_rows(table, "phrase", SIZE, columns=1, most=1)
    assert [(row.title, len(row.cells)) for row in rows] == [("Edema", 1)]
    assert [row.title for row in pictures.data_rows(table, "phrase", SIZE, columns=4, most=8)] == ["Edema", "Pneumonia"]


def sample_tables(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    table = grounding_table(folder)
    real = pd.DataFrame({"path": table["path"], "text": ["other", "first prompt", "first prompt"]})
    base = pd.DataFrame(
        [("a", 0, "first prompt", 0), ("a", 1, "first prompt", 1), ("b", 0, "second prompt", 2)],
        columns=["prompt_id", "repeat", "text", "image"],
    )
    base["path"] = table["path"].reindex(base["image"]).tolist()
    labels = base.iloc[::-1].assign(text=["Edema", "Pneumonia", "Pneumonia"])
    return real, {"pretrained": base, "labels_frozen": labels}


def test_samples_stand_below_the_real_image_of_their_prompt(tmp_path):
    real, pretrained, labels = pictures.sample_rows(*sample_tables(tmp_path), SIZE, columns=6)

    def grey(cell):
        return round(float(cell.image[0, 0, 0]) * 255)

    assert [cell.caption for cell in real.cells] == ["first prompt", "second prompt"]
    assert grey(real.cells[0]) == 80 and real.cells[1].image is None
    assert [grey(cell) for cell in pretrained.cells] == [grey(cell) for cell in labels.cells] == [40, 120]
    assert [cell.caption for cell in pretrained.cells] == ["", ""]
    assert [cell.caption for cell in labels.cells] == ["Pneumonia", "Edema"]


def test_a_missing_sample_is_an_error(tmp_path):
    real, generated = sample_tables(tmp_path)
    generated["labels_frozen"] = generated["labels_frozen"].query("prompt_id == 'a'")
    with pytest.raises(InputError, match="samples of labels_frozen: there is none of prompt 'b'"):
        pictures.sample_rows(real, generated, SIZE, columns=6)


def test_outlines_follow_the_edge_of_the_mask_also_at_the_border():
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[4:8, :6] = True
    axes = Figure().subplots()
    pictures.draw_cell(axes, pictures.Cell(np.zeros((SIZE, SIZE, 3)), outline=mask), "")
    points = axes.collections[0].get_paths()[0].vertices
    assert points.min(axis=0).tolist() == [-0.5, 3.5]
    assert points.max(axis=0).tolist() == [5.5, 7.5]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 5), (20, 3)])
def test_grids_fit_on_a_page_with_square_cells_that_do_not_overlap(rows, columns):
    cells = [pictures.Cell(np.zeros((2, 2, 3)), "a caption of several words") for _ in range(columns)]
    grid = [pictures.Row(f"row {i}", cells) for i in range(rows)]
    figure = pictures.image_grid(grid, ["header"] * columns, label_width=1.0, largest=1.2, notes=[NOTE])
    width, height = figure.get_size_inches()
    assert width <= 7.001 and height <= 9.401
    boxes = [axes.get_position() for axes in figure.axes]
    for box in boxes:
        assert box.width * width == pytest.approx(box.height * height) and box.height > 0
        assert box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1
    assert sum(a.overlaps(b) for a in boxes for b in boxes) == len(boxes)  # each with itself only


# --- files and scripts --------------------------------------------------------------------------------------------


@pytest.fixture
def draw(tmp_path, run_script):
    """Runs a script of figures; returns its outputs' bytes by suffix."""

    def run(script: str, name: str, inputs: dict, arguments: dict) -> dict[str, bytes]:
        files = {suffix: tmp_path / f"figure.{suffix}" for suffix in ("pdf", "png")}
        params = {script: name, "arguments": arguments | {"note": NOTE}}
        run_script(script, input=inputs, params=params, output=files)
        return {suffix: file.read_bytes() for suffix, file in files.items()}

    return run


CHARTS = {
    "tradeoff": ("summaries", "localisation", "fidelity"),
    "training_curves": ("localisation", "fidelity", "location_prior"),
    "findings": ("summaries",),
    "paired_differences": ("differences",),
    "attention_profile": ("profiles",),
    "loss_curves": ("losses", "validation"),
}


def score_files(folder: Path) -> dict[str, list[str]]:
    """Files of scores of one data set, one seed and two variants, as the rules write them."""
    keys = [{"dataset": "cxr", "variant": v, "seed": 0, "step": s} for v, s in (("pretrained", 0), ("frozen", 100))]
    files = {}

    def written(name: str, *tables: pd.DataFrame) -> None:
        files[name] = [str(folder / f"{name}{i}.csv") for i in range(len(tables))]
        for table, path in zip(tables, files[name], strict=True):
            table.to_csv(path, index=False)

    samples = pd.DataFrame({"category": ["Edema", "Pneumonia"], "auc_roc": [0.7, 0.8], "excluded": ["", ""]})
    written("localisation", *(of_default_text(samples.assign(**key)) for key in keys))
    fid = pd.DataFrame({"metric": ["fid_general", "n_real"], "value": [30.0, 9.0], "n": [9, 9]})
    written("fidelity", *(fid.assign(**key) for key in keys))
    cxr = MACRO[MACRO["dataset"] == "cxr"]
    prior = cxr[cxr["variant"] == "location_prior"]
    written("summaries", cxr[cxr["variant"] == "frozen"], prior)
    written("location_prior", prior)
    losses = pd.DataFrame({"step": [1, 2], "loss": [1.0, 0.5], "learning_rate": 1e-3})
    written("losses", keyed(losses, dataset="cxr", variant="frozen", seed=0))
    validation = pd.DataFrame({"step": [0, 2], "weights": "raw", "validation_loss": [1.0, 0.5], "images": 4})
    written("validation", keyed(validation, dataset="cxr", variant="frozen", seed=0))
    difference = {"metric": ["auc_roc"], "difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.1, "group": "macro"}
    pair = {"dataset": "cxr", "frozen": "frozen", "learnable": "learnable"}
    written("differences", of_default_text(pd.DataFrame(difference).assign(**pair)))
    profile = pd.DataFrame({"layer": LAYERS.keys(), "resolution": LAYERS.values(), "auc_roc": 0.6})
    written("profiles", profile.assign(dataset="cxr", variant="frozen", seed=0, step=1, n=5))
    return files


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_the_same_bytes_twice_from_one_seed(tmp_path, draw, name):
    files = score_files(tmp_path)
    inputs = {source: files[source] for source in CHARTS[name]}
    arguments = {"variants": VARIANTS, "titles": {"cxr": "X"}}
    arguments |= {} if name in ("attention_profile", "loss_curves") else {"protocol": PROTOCOL}
    first = draw("chart", name, inputs, arguments)
    assert first["pdf"].startswith(b"%PDF") and first["png"].startswith(b"\x89PNG")
    assert draw("chart", name, inputs, arguments) == first
    assert b"CreationDate" not in first["pdf"]


PICTURES = {
    "overlays": (
        ("grounding", "heat_maps", "scores"),
        {"variants": ["frozen"], "text": "phrase", "protocol": PROTOCOL},
    ),
    "data_sheet": (("grounding",), {"text": "phrase", "most": 8}),
    "sample_grid": (("images", "samples"), {"variants": ["frozen"], "split": "test"}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_the_same_bytes_twice(tmp_path, draw, name):
    write_table(grounding_table(tmp_path), tmp_path / "grounding.csv")
    save_heat_maps(tmp_path / "maps.npz", {"phrase": list(maps_of_samples().values())})
    scores_of(grounding_table(tmp_path), "frozen", maps_of_samples()).to_csv(tmp_path / "localisation.csv", index=False)
    images = pd.DataFrame({"sample_id": ["s0", "s1"], "subject_id": "p", "study_id": "", "split": ["test", "train"]})
    images = images.assign(path=str(tmp_path / "1.png"), text="first prompt")
    images.assign(**{"Finding Labels": ""}).to_csv(tmp_path / "images.csv", index=False)
    samples = pd.DataFrame({"image_id": ["00000-0"], "prompt_id": "00000", "repeat": 0, "text": "first prompt"})
    samples.assign(**{"Finding Labels": ""}, path="0.png").to_csv(tmp_path / "samples.csv", index=False)
    files = {
        "grounding": str(tmp_path / "grounding.csv"),
        "heat_maps": [str(tmp_path / "maps.npz")],
        "scores": [str(tmp_path / "localisation.csv")],
        "images": str(tmp_path / "images.csv"),
        "samples": [str(tmp_path / "samples.csv")],
    }
    sources, arguments = PICTURES[name]
    inputs, arguments = {source: files[source] for source in sources}, arguments | {"resolution": SIZE}
    first = draw("picture", name, inputs, arguments)
    assert draw("picture", name, inputs, arguments) == first
    assert "Software" not in Image.open(tmp_path / "figure.png").info


def test_figures_keep_their_text_as_text(tmp_path):
    figure = tradeoff()
    save(figure, tmp_path / "a.pdf", tmp_path / "a.png")
    assert b"/TrueType" in (tmp_path / "a.pdf").read_bytes() or b"/CIDFontType2" in (tmp_path / "a.pdf").read_bytes()
