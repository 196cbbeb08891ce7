"""Scores of one heat map against values worked out by hand or by scikit-learn."""

import doctest
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from small_maps import boolean

from tradeoffs.evaluation import map_scores
from tradeoffs.evaluation.queries import Excluded
from tradeoffs.protocols import CORRECTED, PROTOCOLS, PUBLISHED


def test_every_score_shows_itself_on_an_example():
    shown = {case.name.rpartition(".")[2] for case in doctest.DocTestFinder().find(map_scores) if case.examples}
    assert shown == {"auc_roc", "top1", "cnr", "iou", "miou", "threshold_iou", "distance", "in_frame"}
    assert doctest.testmod(map_scores).failed == 0


RNG = np.random.default_rng(0)
LEFT = np.array([[True, True, False, False]] * 4)


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
