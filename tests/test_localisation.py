"""Scores of a heat map against values worked out by hand or by scikit-learn, and the rows of a score table."""

import doctest
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import jaccard_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from small_maps import grounding, maps_of

from tradeoffs.errors import InputError
from tradeoffs.evaluation import localisation as loc
from tradeoffs.evaluation import map_scores
from tradeoffs.evaluation.queries import Excluded
from tradeoffs.protocols import CORRECTED, PROTOCOLS, PUBLISHED


def test_every_score_shows_itself_on_an_example():
    shown = {case.name.rpartition(".")[2] for case in doctest.DocTestFinder().find(map_scores) if case.examples}
    assert shown == {"auc_roc", "top1", "cnr", "iou", "miou", "threshold_iou", "distance", "in_frame"}
    assert doctest.testmod(map_scores).failed == 0


RNG = np.random.default_rng(0)
LEFT = np.array([[True, True, False, False]] * 4)


def boolean(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


# --- AUC-ROC, top-1, CNR ---


def test_auc_by_hand():
    heat = np.array([[4.0, 1.0], [3.0, 2.0]])
    mask = np.array([[True, True], [False, False]])
    # pairs (inside, outside): 4>3, 4>2, 1<3, 1<2 -> 2 of 4
    assert map_scores.auc_roc(heat, mask) == pytest.approx(2 / 4)


def test_auc_counts_ties_half():
    heat = np.array([[2.0, 1.0], [2.0, 1.0]])
    mask = np.array([[True, False], [False, False]])
    # 2 against 2 (tie), 1 and 1 (won) -> (0.5 + 1 + 1) / 3
    assert map_scores.auc_roc(heat, mask) == pytest.approx(2.5 / 3)


@pytest.mark.parametrize("levels", [3, 10**6])
def test_auc_agrees_with_sklearn(levels):
    heat = RNG.integers(0, levels, (32, 32)).astype(np.float32)
    mask = RNG.random((32, 32)) < 0.2
    assert map_scores.auc_roc(heat, mask) == pytest.approx(roc_auc_score(mask.ravel(), heat.ravel()), abs=1e-12)


def test_auc_is_undefined_without_both_sides():
    heat = np.array([[1.0, 2.0]])
    assert np.isnan(map_scores.auc_roc(heat, np.array([[False, False]])))
    assert np.isnan(map_scores.auc_roc(heat, np.array([[True, True]])))


def test_top1_takes_the_first_maximum():
    heat = np.array([[0.0, 5.0], [5.0, 1.0]])
    assert map_scores.top1(heat, np.array([[False, True], [False, False]])) == 1.0
    assert map_scores.top1(heat, np.array([[False, False], [True, False]])) == 0.0


def test_cnr_by_hand_and_signed():
    heat = np.array([[3.0, 5.0], [0.0, 2.0]])
    mask = np.array([[True, True], [False, False]])
    # means 4 and 1, unbiased variances 2 and 2
    assert map_scores.cnr(heat, mask) == pytest.approx((4 - 1) / np.sqrt(2 + 2))
    assert map_scores.cnr(heat, ~mask) == pytest.approx(-1.5)


def test_cnr_is_undefined_without_variance(recwarn):
    assert np.isnan(map_scores.cnr(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[True, True, False, False]])))
    assert np.isnan(map_scores.cnr(np.array([[1.0, 0.0, 0.5]]), np.array([[True, False, False]])))
    assert np.isnan(map_scores.cnr(np.array([[1.0, 0.0, 0.5]]), np.array([[False, False, False]])))
    assert not recwarn.list


def test_absolute_cnr_forgives_a_map_that_points_away():
    heat = np.array([[0.0, 1.0, 0.5, 0.75]] * 4)  # means 1/2 and 5/8
    scores = map_scores.score(heat, LEFT, CORRECTED, single_box=True)
    assert scores["cnr"] < 0 and scores["abs_cnr"] == -scores["cnr"]


def test_iou_over_thresholds_by_hand():
    # above .1 and .2 are three of the columns, above .3, .4 and .5 the mask's two
    heat = np.array([[0.9, 0.6, 0.25, 0.05]] * 4)
    assert map_scores.threshold_iou(heat, LEFT) == pytest.approx((2 / 3 * 2 + 3) / 5)
    # the whole score takes the map scaled to 0..1: 2 * heat - 1 is scaled back to what it was
    raw = np.array([[0.0, 0.0, 0.0, 1.0]] * 4)
    assert map_scores.score(3 * raw + 7, ~LEFT, CORRECTED, single_box=True)["threshold_iou"] == pytest.approx(0.5)


# --- resizing and the binary map ---


def test_resized_is_min_max_scaled_and_bilinear():
    # 5..7 becomes 0..1; twice the size puts pixel centres at -1/4, 1/4, 3/4, 5/4 between the two columns
    expected = np.tile([0, 0.25, 0.75, 1], (4, 1))
    np.testing.assert_allclose(map_scores.resized(np.array([[5.0, 7.0], [5.0, 7.0]]), 4, CORRECTED), expected)


def test_resizing_keeps_ties_but_in_published():
    heat = np.zeros((8, 8))
    heat[:, 3:] = 0.1
    heat[0, 0] = 0.3
    plateau = map_scores.resized(heat, 64, CORRECTED)[:, 32:]  # all between pixels of 0.1, a third after scaling
    assert plateau.dtype == np.float32
    assert len(np.unique(plateau)) == 1
    broken = map_scores.resized(heat, 64, PUBLISHED)[:, 32:]
    assert broken.dtype == np.float32 and len(np.unique(broken)) > 1
    np.testing.assert_allclose(broken, 1 / 3, rtol=1e-6)


def test_published_auc_of_a_blocky_map_is_the_originals():
    heat = np.repeat(np.repeat(RNG.integers(0, 4, (8, 8)) * 0.1 + 0.1, 8, 0), 8, 1).astype(np.float32)
    mask = np.zeros((512, 512), bool)
    mask[100:300, 50:260] = True
    # as the original does it, on a float32 tensor
    tensor = torch.from_numpy(heat)
    scaled = (tensor - tensor.min()) / (tensor.max() - tensor.min())
    large = torch.nn.functional.interpolate(scaled[None, None], (512, 512), mode="bilinear")[0, 0]
    published, corrected = (
        map_scores.score(heat, mask, protocol, single_box=True)["auc_roc"] for protocol in (PUBLISHED, CORRECTED)
    )
    assert published == pytest.approx(roc_auc_score(mask.ravel(), large.ravel()), abs=1e-12)
    assert 1e-7 < abs(published - corrected) < 1e-3


def test_majority_filter_by_hand():
    mask = boolean(
        "##..#",
        "##...",
        ".#...",
        ".....",
    )
    expected = boolean(
        "##..#",  # the border stays as it is, lone pixels too
        "##...",  # (1,1): 5 of 9 -> on; (1,2): 3 of 9; (1,3): 1 of 9
        ".....",  # (2,1): 3 of 9 -> off; the rest has less
        ".....",
    )
    np.testing.assert_array_equal(map_scores.majority_filter(mask), expected)


def test_majority_filter_fills_with_five_and_clears_with_four():
    four, five = boolean("##.", "##.", "..."), boolean("###", "#.#", "...")
    assert not map_scores.majority_filter(four)[1, 1]
    assert map_scores.majority_filter(five)[1, 1]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_binary_map_of_a_block_loses_its_corners(protocol):
    heat = np.zeros((7, 7))
    heat[2:5, 2:5] = 1.0
    expected = boolean(".......", ".......", "...#...", "..###..", "...#...", ".......", ".......")
    binary, converged = map_scores.binary_map(heat, 7, protocol)
    np.testing.assert_array_equal(binary, expected)
    assert converged


def test_binary_map_threshold_is_the_midpoint_of_the_means():
    heat = np.zeros((20, 20))
    heat[14:] = 1.0
    heat[3:6, 3:6], heat[3:6, 12:15] = 0.4, 0.6
    # Whichever component takes the two blocks, the means stay within 0..0.04 and 0.93..1: midpoint 0.46..0.52.
    binary, _ = map_scores.binary_map(heat, 20, CORRECTED)
    assert not binary[4, 4] and binary[4, 13] and binary[16, 10] and not binary[10, 10]


def test_binary_map_is_resized_and_rounded():
    heat = np.zeros((8, 8))
    heat[:, 4:] = 1.0
    # Factor 2 puts column 7 at 0.25 and column 8 at 0.75 between the halves.
    np.testing.assert_array_equal(map_scores.binary_map(heat, 16, CORRECTED)[0], np.tile(np.arange(16) >= 8, (16, 1)))


def test_binary_map_rounds_one_half_down():
    heat = np.tile([0.0, 0.0, 1.0, 1.0], (4, 1))
    # Five columns over four: the third one's centre is at 2.5 * 4/5 - 0.5 = 1.5, half-way between off and on.
    np.testing.assert_array_equal(map_scores.binary_map(heat, 5, CORRECTED)[0], np.tile(np.arange(5) >= 3, (5, 1)))


def expectation_maximisation(values: np.ndarray) -> float:
    """Midpoint of the means of a 1-D two-component mixture, written out.

    It starts from the best split into two clusters (k-means), adds 1e-6 to the variances and stops at a gain below
    1e-3, as scikit-learn's documentation says of its defaults.
    """
    ordered = np.sort(values)
    spreads = [ordered[:k].var() * k + ordered[k:].var() * (len(ordered) - k) for k in range(1, len(ordered))]
    cut = ordered[np.argmin(spreads)]
    share = np.stack([values <= cut, values > cut]).astype(float)
    gain, before = np.inf, -np.inf
    while True:
        size = share.sum(axis=1, keepdims=True)
        mean = (share @ values)[:, None] / size
        if gain < 1e-3:
            return float(mean.mean())
        variance = (share * (values - mean) ** 2).sum(axis=1, keepdims=True) / size + 1e-6
        density = np.exp(-((values - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        joint = density * size / len(values)
        share = joint / joint.sum(axis=0)
        likelihood = np.log(joint.sum(axis=0)).mean()
        gain, before = abs(likelihood - before), likelihood


Y, X = np.mgrid[:24, :24] / 24
RAW = 1e-3 * np.exp(-((X - 0.4) ** 2 + (Y - 0.5) ** 2) / 0.02) + 1e-3 + 2e-4 * X  # a hot spot, in attention's range


@pytest.mark.parametrize("values", [RAW, (RAW - RAW.min()) / (RAW.max() - RAW.min())], ids=["raw", "scaled"])
def test_mixture_threshold_agrees_with_expectation_maximisation(values):
    threshold, converged = map_scores.mixture_threshold(values)
    assert converged
    # relative to the range, on which a wrong threshold would be off by some percent
    assert abs(threshold - expectation_maximisation(values.ravel())) < 1e-4 * np.ptp(values)


def test_published_fits_the_raw_map_and_corrected_the_scaled_one():
    scaled = (RAW - RAW.min()) / (RAW.max() - RAW.min())
    for protocol, values in {PUBLISHED: RAW, CORRECTED: scaled}.items():
        hot = values > expectation_maximisation(values.ravel())
        inner = [[hot[i - 1 : i + 2, j - 1 : j + 2].sum() >= 5 for j in range(1, 23)] for i in range(1, 23)]
        hot[1:-1, 1:-1] = inner
        np.testing.assert_array_equal(map_scores.binary_map(RAW, 24, protocol)[0], hot)
    assert map_scores.binary_map(RAW, 24, PUBLISHED)[0].sum() != map_scores.binary_map(RAW, 24, CORRECTED)[0].sum()


def test_mixture_is_seeded():
    # Three equal clusters: which two of them share a component depends on where k-means starts.
    values = np.concatenate([np.linspace(centre - 0.05, centre + 0.05, 21) for centre in (0.05, 0.5, 0.95)])
    assert len({map_scores.mixture_threshold(values)[0] for _ in range(12)}) == 1


def test_mixture_that_does_not_converge_is_flagged_without_a_warning(monkeypatch, recwarn):
    monkeypatch.setattr(map_scores, "GaussianMixture", partial(GaussianMixture, max_iter=1, tol=0.0))
    assert map_scores.mixture_threshold(RNG.random(64))[1] is False
    assert not recwarn.list


# --- boxes, IoU, distance ---


def test_box_map_loses_its_last_row_and_column_only_in_published():
    mask = boolean("....", ".#..", "..##", "....")
    np.testing.assert_array_equal(map_scores.box_map(mask, CORRECTED), boolean("....", ".###", ".###", "...."))
    np.testing.assert_array_equal(map_scores.box_map(mask, PUBLISHED), boolean("....", ".##.", "....", "...."))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_box_map_of_nothing_is_empty(protocol):
    assert not map_scores.box_map(np.zeros((3, 3), bool), protocol).any()


def test_iou_and_miou_by_hand():
    prediction, mask = boolean("##", ".."), boolean("#.", "#.")
    assert map_scores.iou(prediction, mask) == pytest.approx(1 / 3)
    assert map_scores.miou(prediction, mask) == pytest.approx((1 / 3 + 1 / 3) / 2)
    nothing = boolean("..", "..")
    assert map_scores.iou(nothing, mask) == 0
    assert map_scores.miou(nothing, mask) == pytest.approx((0 + 2 / 4) / 2)
    assert map_scores.iou(nothing, nothing) == 0


def test_iou_and_miou_agree_with_sklearn():
    prediction, mask = RNG.random((2, 32, 32)) < [[[0.4]], [[0.2]]]
    foreground = jaccard_score(mask.ravel(), prediction.ravel())
    background = jaccard_score(~mask.ravel(), ~prediction.ravel())
    assert map_scores.iou(prediction, mask) == pytest.approx(foreground)
    assert map_scores.miou(prediction, mask) == pytest.approx((foreground + background) / 2)


def test_distance_is_between_the_centres_of_the_bounding_boxes():
    prediction, mask = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    prediction[0:3, 0:3] = True  # centre (1, 1)
    mask[4:7, 4:5] = True  # centre (4, 5)
    assert map_scores.distance(prediction, mask) == pytest.approx(np.hypot(3, 4))
    assert np.isnan(map_scores.distance(np.zeros((10, 10), bool), mask))
    assert np.isnan(map_scores.distance(prediction, np.zeros((10, 10), bool)))


# --- all scores of a map ---


def test_score_of_a_perfect_map():
    scores = map_scores.score(LEFT.astype(float), LEFT, CORRECTED, single_box=True)
    assert [scores[name] for name in ("auc_roc", "top1", "iou", "miou", "box_iou", "box_miou")] == [1] * 6
    assert scores["distance"] == 0
    assert np.isnan(scores["cnr"])  # no noise on either side


def test_distance_is_only_scored_for_one_box():
    assert np.isnan(map_scores.score(LEFT.astype(float), LEFT, CORRECTED, single_box=False)["distance"])


def test_published_box_iou_of_a_perfect_map_is_smaller():
    scores = map_scores.score(LEFT.astype(float), LEFT, PUBLISHED, single_box=True)
    # the box [0:3, 0:1] holds 3 of the mask's 8 pixels; of the background's 8 pixels the union is 13
    assert scores["box_iou"] == pytest.approx(3 / 8)
    assert scores["box_miou"] == pytest.approx((3 / 8 + 8 / 13) / 2)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_empty_prediction_is_scored_zero(protocol):
    heat = np.full((8, 8), 0.1)
    heat[3, 3] = 1.0  # a lone hot pixel, which the majority filter removes
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:6] = True  # 12 of 64
    scores = map_scores.score(heat, mask, protocol, single_box=True)
    assert scores["iou"] == scores["box_iou"] == 0
    assert scores["miou"] == scores["box_miou"] == pytest.approx((0 + 52 / 64) / 2)
    assert np.isnan(scores["distance"])
    assert scores["top1"] == 1


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_constant_and_nan_maps_are_excluded(protocol):
    with pytest.raises(Excluded, match="constant heat map"):
        map_scores.score(np.full((4, 4), 0.3), LEFT, protocol, single_box=True)
    with pytest.raises(Excluded, match="not finite"):
        map_scores.score(np.where(LEFT, np.nan, 1.0), LEFT, protocol, single_box=True)


def test_empty_or_full_mask_is_excluded_in_corrected():
    heat = RNG.random((4, 4))
    with pytest.raises(Excluded, match="finding outside the crop"):
        map_scores.score(heat, np.zeros((4, 4), bool), CORRECTED, single_box=True)
    with pytest.raises(Excluded, match="finding fills the crop"):
        map_scores.score(heat, np.ones((4, 4), bool), CORRECTED, single_box=True)


def test_full_mask_is_scored_in_published():
    scores = map_scores.score(LEFT.astype(float), np.ones((4, 4), bool), PUBLISHED, single_box=True)
    assert scores["iou"] == pytest.approx(8 / 16)
    assert scores["top1"] == 1
    assert np.isnan([scores["auc_roc"], scores["cnr"]]).all()


def test_empty_mask_is_scored_in_published():
    scores = map_scores.score(LEFT.astype(float), np.zeros((4, 4), bool), PUBLISHED, single_box=True)
    assert scores["iou"] == scores["box_iou"] == scores["top1"] == 0
    assert scores["miou"] == pytest.approx((0 + 8 / 16) / 2)
    assert np.isnan([scores["auc_roc"], scores["cnr"], scores["distance"]]).all()


# --- the frame of the whole image ---

WIDE = {"image_width": 8, "phrase": "edema", "boxes": [[0, 0, 4, 4]]}  # the model sees columns 2 to 5 of 8
HOT_LEFT = maps_of("a-0", "edema", edema=[1, 1, 0, 0])


def test_what_the_crop_left_out_counts_as_not_covered():
    in_crop, in_image = (
        loc.score_heat_maps(grounding(WIDE), HOT_LEFT, "phrase", CORRECTED, 4, frame=frame).iloc[0]
        for frame in ("crop", "image")
    )
    assert in_crop[["auc_roc", "iou", "threshold_iou"]].tolist() == [1, 1, 1]
    # of the mask's 16 pixels 8 are hot, the others tie with all 16 outside
    assert in_image[["auc_roc", "top1", "iou", "threshold_iou"]].tolist() == pytest.approx([0.75, 1, 0.5, 0.5])


def test_a_finding_outside_the_crop_is_scored_in_the_image():
    table = grounding(WIDE | {"boxes": [[0, 0, 2, 4]]})
    assert loc.score_heat_maps(table, HOT_LEFT, "phrase", CORRECTED, 4)["excluded"].tolist() == [
        "finding outside the crop"
    ]
    scores = loc.score_heat_maps(table, HOT_LEFT, "phrase", CORRECTED, 4, frame="image").iloc[0]
    # 8 cold pixels inside against 8 hot and 16 cold outside
    assert scores["auc_roc"] == pytest.approx(16 / 2 / 24) and scores["iou"] == scores["top1"] == 0


def test_masks_have_the_frame_of_the_whole_image(run_lengths):
    mask = np.zeros((4, 8), bool)
    mask[:, :3] = True
    boxes, outlined = (
        loc.samples(grounding(WIDE | more), "phrase", protocol, 4, "image")[0].mask(protocol)
        for more, protocol in (({"boxes": [[0, 0, 3, 4]]}, CORRECTED), ({"mask": run_lengths(mask)}, PUBLISHED))
    )
    np.testing.assert_array_equal(boxes, mask)
    np.testing.assert_array_equal(outlined, mask)


# --- rows of the score table ---

TWO_PHRASES = grounding(
    {"phrase": "left edema", "boxes": [[0, 0, 1, 4]]},
    {"phrase": "right edema", "boxes": [[2, 0, 1, 4], [3, 0, 1, 4]]},
)


def test_corrected_scores_each_phrase_on_its_own_boxes():
    maps = maps_of("a-0", "left edema", left=[0, 0, 0, 1], edema=[1, 0, 0, 0])
    maps |= maps_of("a-1", "right edema", right=[1, 0, 0, 0], edema=[0, 0, 1, 2])
    scores = loc.score_heat_maps(TWO_PHRASES, maps, "phrase", CORRECTED, 4)
    assert list(scores["id"]) == ["a-0", "a-1"]
    assert list(scores["auc_roc"]) == [1, 1]
    assert scores["distance"].isna().tolist() == [False, True]  # the second phrase has two boxes


def test_published_scores_the_first_phrase_on_all_boxes_of_the_finding():
    maps = maps_of("a-0", "left edema", left=[0, 0, 0, 1], edema=[1, 0, 0, 0])
    scores = loc.score_heat_maps(TWO_PHRASES, maps, "phrase", PUBLISHED, 4)
    assert list(scores["id"]) == ["a-0"]
    # mask: columns 0, 2, 3; map 1 0 0 0: column 0 beats column 1, columns 2 and 3 tie with it -> (1 + .5 + .5) / 3
    assert scores["auc_roc"][0] == pytest.approx(2 / 3)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_impression_is_scored_per_finding_from_the_images_one_text(protocol):
    text = "Edema and pneumonia."
    table = grounding(
        {"text": text, "boxes": [[0, 0, 1, 4]]},
        {"text": text, "boxes": [[1, 0, 1, 4]]},
        {"text": text, "category": "Pneumonia", "boxes": [[3, 0, 1, 4]]},
        {"text": text, "category": "Lung Opacity", "boxes": [[3, 0, 1, 4]]},
    )
    maps = maps_of("a", text, Edema=[3, 1, 2, 0], pneumonia=[3, 1, 0, 2])
    scores = loc.score_heat_maps(table, maps, "impression", protocol, 4)
    assert list(scores["id"]) == ["a"] * 3
    assert list(scores["category"]) == ["Edema", "Pneumonia", "Lung Opacity"]
    assert list(scores["query"]) == ["matched", "matched", "all tokens"]
    assert list(scores["named"]) == [True, True, False]
    # Edema: columns 0 and 1 in {3, 1}, outside {2, 0}: 3>2, 3>0, 1<2, 1>0
    # Pneumonia: column 3 is 2, outside {3, 1, 0}: 2<3, 2>1, 2>0
    # Lung Opacity: mean of both maps is 3 1 1 1: column 3 loses to 3 and ties twice
    np.testing.assert_allclose(scores["auc_roc"], [3 / 4, 2 / 3, (0.5 + 0.5) / 3])


def test_named_needs_the_categorys_name_literally():
    table = grounding(
        {"category": "Pleural Effusion", "phrase": "small PLEURAL effusion"},
        {"category": "Pleural Effusion", "phrase": "pleural fluid, an effusion"},
    )
    assert list(loc.score_heat_maps(table, {}, "phrase", CORRECTED, 4)["named"]) == [True, False]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_samples_without_a_map_stay_in_the_table_with_a_reason(protocol):
    table = grounding(
        {"sample_id": "a", "text": "  "},
        {"sample_id": "b", "text": "edema"},
        {"sample_id": "c", "text": "heart and edema"},
        {"sample_id": "d", "text": "edema"},
        {"sample_id": "e", "text": "edema"},
    )
    maps = maps_of("c", "heart and edema", heart=[0, 0, 0, 1]) | maps_of("d", "edema", edema=[1, 1, 1, 1])
    maps |= maps_of("e", "edema", edema=[1, 1, 0, 0])
    scores = loc.score_heat_maps(table, maps, "impression", protocol, 4)
    assert list(scores["excluded"]) == [
        "no text",
        "no heat map",
        "query beyond the text encoder's context",
        "constant heat map",
        "",
    ]
    assert scores["auc_roc"].isna().tolist() == [True] * 4 + [False]
    assert tuple(scores.columns) == loc.COLUMNS


def test_finding_cropped_away_is_excluded_in_corrected_and_scored_zero_in_published():
    # 4 x 8 image, centre-cropped to rows 2..5; the box lies in row 0
    table = grounding({"image_height": 8, "boxes": [[0, 0, 4, 1]]})
    maps = maps_of("a-0", "edema", edema=[1, 1, 0, 0])
    assert loc.score_heat_maps(table, maps, "phrase", CORRECTED, 4)["excluded"][0] == "finding outside the crop"
    published = loc.score_heat_maps(table, maps, "phrase", PUBLISHED, 4).iloc[0]
    assert published["excluded"] == ""
    assert published["iou"] == 0 and np.isnan(published["auc_roc"])


def test_published_masks_are_larger():
    # 8 x 8 image at half size: the box from 1 to 5 becomes 0.5 to 2.5, which touches 3 pixels a side
    table = grounding({"image_width": 8, "image_height": 8, "boxes": [[1, 1, 4, 4]]})
    (published,) = loc.samples(table, "phrase", PUBLISHED, 4)
    (corrected,) = loc.samples(table, "phrase", CORRECTED, 4)
    assert published.mask(PUBLISHED).sum() == 9
    assert corrected.mask(CORRECTED).sum() < 9


# --- masks instead of boxes ---


def masked(run_lengths, mask: np.ndarray, protocol: str, resolution: int) -> np.ndarray:
    """The ground truth of a sample with a mask (height, width), whose boxes are elsewhere."""
    height, width = mask.shape
    row = {"category": "dog", "text": "a dog", "boxes": [[0, 0, 1, 1]], "mask": run_lengths(mask)}
    table = grounding(row | {"image_width": width, "image_height": height})
    (sample,) = loc.samples(table, "caption", protocol, resolution)
    return sample.mask(protocol)


@pytest.mark.parametrize(
    ("columns", "corrected", "published"),
    [
        # Halving weights four columns by 1, 3, 3, 1 eighths, at the border the three that are left by 3, 3, 1 sevenths.
        (2, "#...", "##.."),  # columns 0, 1: covers 6/7, 1/8 and nothing
        (3, "##..", "##.."),  # columns 0 to 2: covers all, (1 + 3) / 8 and nothing: a half is enough
        (4, "##..", "###."),  # columns 0 to 3: covers all, 7/8, 1/8
    ],
)
def test_mask_pixels_count_when_covered_by_half_or_in_published_when_touched(
    run_lengths, columns, corrected, published
):
    mask = np.tile(np.arange(8) < columns, (8, 1))
    np.testing.assert_array_equal(masked(run_lengths, mask, CORRECTED, 4), boolean(*[corrected] * 4))
    np.testing.assert_array_equal(masked(run_lengths, mask, PUBLISHED, 4), boolean(*[published] * 4))


def test_masks_are_cropped_like_the_image(run_lengths):
    mask = np.zeros((8, 16), bool)  # becomes 4 x 8, of which columns 2 to 5 stay
    mask[:4, 8:12] = True
    # rows: all, 7/8, 1/8, 0; columns 3 to 6: 1/8, 7/8, 7/8, 1/8, which come to 1, 2, 3 and outside
    np.testing.assert_array_equal(masked(run_lengths, mask, CORRECTED, 4), boolean("..##", "..##", "....", "...."))
    np.testing.assert_array_equal(masked(run_lengths, mask, PUBLISHED, 4), boolean(".###", ".###", ".###", "...."))


def test_mask_cropped_away_is_excluded_in_corrected(run_lengths):
    mask = np.zeros((4, 12), bool)
    mask[:, 0] = True
    row = {"category": "dog", "text": "dog", "mask": run_lengths(mask), "image_width": 12}
    maps = maps_of("a", "dog", dog=[1, 1, 0, 0])
    scores = loc.score_heat_maps(grounding(row), maps, "caption", CORRECTED, 4)
    assert list(scores["excluded"]) == ["finding outside the crop"]


def test_a_sample_is_scored_on_its_mask_and_not_on_its_box(run_lengths):
    mask = boolean("##..", "....", "....", "....")
    row = {"category": "dog", "text": "a dog", "boxes": [[0, 0, 2, 4]], "mask": run_lengths(mask)}
    maps = maps_of("a", "a dog", a=[9, 0, 0, 0], dog=[3, 2, 1, 0])
    (scores,) = loc.score_heat_maps(grounding(row), maps, "caption", CORRECTED, 4).to_dict("records")
    # 3 and 2 inside; outside three of 3, three of 2, four of 1, four of 0
    assert scores["auc_roc"] == pytest.approx(((3 / 2 + 11) + (3 / 2 + 8)) / (2 * 14))
    assert (scores["id"], scores["text"], scores["query"]) == ("a", "caption", "matched")


# --- captions ---

TABLE_FOR_FOUR = "People eat carrots at a dining table"


@pytest.mark.parametrize(
    ("protocol", "asked"),
    [(CORRECTED, ["person", "carrot", "dining table"]), (PUBLISHED, ["car", "carrot"])],
)
def test_a_caption_is_asked_for_the_classes_that_the_protocol_takes_as_named(protocol, asked):
    classes = ["person", "car", "carrot", "chair", "dining table"]
    table = grounding(*[{"category": name, "phrase": name, "text": TABLE_FOR_FOUR} for name in classes])
    scores = loc.score_heat_maps(table, {}, "caption", protocol, 4)
    assert list(scores["category"]) == asked
    assert list(scores["id"]) == ["a"] * len(asked)


def test_published_asks_for_the_words_of_earlier_classes_too():
    text = "a cat and a dog"
    table = grounding(
        {"category": "cat", "text": text, "boxes": [[0, 0, 1, 4]]},
        {"category": "horse", "text": text},  # not named: adds no word
        {"category": "dog", "text": text, "boxes": [[3, 0, 1, 4]]},
        {"category": "dog", "text": "dog", "boxes": [[3, 0, 1, 4]], "sample_id": "b"},
    )
    maps = maps_of("a", text, cat=[2, 0, 0, 0], dog=[0, 1, 0, 2]) | maps_of("b", "dog", dog=[0, 1, 0, 2])
    corrected = loc.score_heat_maps(table, maps, "caption", CORRECTED, 4)
    published = loc.score_heat_maps(table, maps, "caption", PUBLISHED, 4)
    for scores in (corrected, published):
        assert list(scores[["id", "category"]].itertuples(index=False, name=None)) == [
            *[("a", "cat"), ("a", "dog"), ("b", "dog")]
        ]
    np.testing.assert_allclose(corrected["auc_roc"], [1, 1, 1])
    # a's dog: the mean of both maps is 1 1/2 0 1, its column ties with the first and beats two; b begins anew
    np.testing.assert_allclose(published["auc_roc"], [1, (0.5 + 1 + 1) / 3, 1])


def test_wrong_word_of_a_caption_is_its_other_class():
    text = "a cat and a dog"
    table = grounding(
        {"category": "cat", "text": text, "boxes": [[0, 0, 1, 4]]},
        {"category": "dog", "text": text, "boxes": [[3, 0, 1, 4]]},
    )
    scores = loc.score_heat_maps(table, maps_of("a", text, cat=[3, 0, 1, 2], dog=[0, 1, 0, 2]), "caption", CORRECTED, 4)
    # the dog's map on column 0: 0 against {1, 0, 2}: one tie; the cat's on column 3: 2 against {3, 0, 1}: beats two
    np.testing.assert_allclose(scores["wrong_word_auc"], [0.5 / 3, 2 / 3])
    np.testing.assert_allclose(scores["specificity"], [1 - 0.5 / 3, 1 - 2 / 3])


def test_unknown_text_is_an_error():
    with pytest.raises(KeyError, match="phrases"):
        loc.score_heat_maps(TWO_PHRASES, {}, "phrases", CORRECTED, 4)


def test_check_excluded_counts_each_protocol_and_fails_past_the_share():
    table = pd.DataFrame(
        {
            "protocol": ["corrected"] * 4 + ["published"] * 4,
            "excluded": ["no text", "", "", "no heat map"] + ["", "", "", "no text"],
        }
    )
    loc.check_excluded(table, 0.5, "grounding.csv")
    with pytest.raises(InputError, match=r"grounding.csv: 2 of 4 .*corrected.*no heat map: 1, no text: 1"):
        loc.check_excluded(table, 0.4, "grounding.csv")
    with pytest.raises(InputError, match=r"1 of 4 samples excluded in the published"):
        loc.check_excluded(table.iloc[4:], 0.2, "grounding.csv")
