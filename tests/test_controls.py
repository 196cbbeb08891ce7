"""Bare map, wrong word, specificity, wrong prompt and the location prior; every expectation worked out by hand.

Maps and images are 4 x 4 and constant along columns, so that a column stands for four equal pixels.
"""

import numpy as np
import pandas as pd
import pytest
from small_maps import LEFT_HALF, grounding, maps_of

from tradeoffs.evaluation.controls import area_average, location_prior, location_prior_aucs
from tradeoffs.evaluation.localisation import COLUMNS, control_auc, samples, score_heat_maps
from tradeoffs.evaluation.statistics import NOT_COMMON, on_common_samples, summarise
from tradeoffs.metrics import METRICS
from tradeoffs.protocols import CORRECTED, PROTOCOLS, PUBLISHED

LAST_COLUMN = [[3, 0, 1, 4]]


def columns(first: int, count: int = 1) -> list[list[int]]:
    return [[first, 0, count, 4]]


EDEMA, PNEUMONIA = [4, 1, 3, 2], [0, 1, 2, 3]
# Edema's map on the left half: {4, 1} against {3, 2}: 4>3, 4>2, 1<3, 1<2 -> 1/2
# Pneumonia's map on the left half: {0, 1} against {2, 3} -> 0
# Pneumonia's map on the last column: {3} against {0, 1, 2} -> 1
# Edema's map on the last column: {2} against {4, 1, 3}: only 2>1 -> 1/3


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_specificity_of_phrases_by_hand(protocol):
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "phrase": "pneumonia"},
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema", "sample_id": "alone"},
    )
    maps = maps_of("a-0", "edema", edema=EDEMA) | maps_of("a-1", "pneumonia", pneumonia=PNEUMONIA)
    maps |= maps_of("alone-0", "edema", edema=EDEMA)
    scores = score_heat_maps(table, maps, "phrase", protocol, 4)
    np.testing.assert_allclose(scores["auc_roc"], [1 / 2, 1, 1 / 2])
    np.testing.assert_allclose(scores["wrong_word_auc"], [0, 1 / 3, np.nan])
    np.testing.assert_allclose(scores["specificity"], [1 / 2 - 0, 1 - 1 / 3, np.nan])


def test_wrong_word_means_over_phrases_within_findings_and_then_over_findings():
    table = grounding(
        {"category": "Edema", "boxes": LAST_COLUMN, "phrase": "edema"},
        {"category": "Pneumonia", "boxes": LEFT_HALF, "phrase": "pneumonia"},
        {"category": "Pneumonia", "boxes": LEFT_HALF, "phrase": "more pneumonia"},
        {"category": "Atelectasis", "boxes": LEFT_HALF, "phrase": "atelectasis"},
        {"category": "Consolidation", "boxes": LEFT_HALF, "phrase": "consolidation"},  # has no map
    )
    maps = maps_of("a-0", "edema", edema=[0, 0, 0, 1])
    maps |= maps_of("a-1", "pneumonia", pneumonia=[0, 1, 2, 3])  # on the last column: 1
    maps |= maps_of("a-2", "more pneumonia", pneumonia=[0, 1, 3, 2])  # 2/3
    maps |= maps_of("a-3", "atelectasis", atelectasis=[3, 2, 1, 0])  # 0
    corrected = score_heat_maps(table, maps, "phrase", CORRECTED, 4)
    assert corrected["wrong_word_auc"][0] == pytest.approx(((1 + 2 / 3) / 2 + 0) / 2)
    published = score_heat_maps(table, maps, "phrase", PUBLISHED, 4)  # only the first phrase of a finding
    assert published["wrong_word_auc"][0] == pytest.approx((1 + 0) / 2)


def test_a_second_phrase_of_the_same_finding_is_no_wrong_word():
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Edema", "boxes": LAST_COLUMN, "phrase": "more edema"},
    )
    maps = maps_of("a-0", "edema", edema=EDEMA) | maps_of("a-1", "more edema", edema=PNEUMONIA)
    assert score_heat_maps(table, maps, "phrase", CORRECTED, 4)["wrong_word_auc"].isna().all()


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_phrase_that_does_not_name_its_finding_counts_with_all_its_tokens(protocol):
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "phrase": "infection"},
    )
    maps = maps_of("a-0", "edema", edema=EDEMA) | maps_of("a-1", "infection", infection=PNEUMONIA)
    scores = score_heat_maps(table, maps, "phrase", protocol, 4)
    assert list(scores["query"]) == ["matched", "all tokens"]
    np.testing.assert_allclose(scores["wrong_word_auc"], [0, 1 / 3])


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_specificity_of_an_impression_uses_matched_queries_only(protocol):
    text = "Edema, pneumonia"
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "text": text},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "text": text},
        {"category": "Lung Opacity", "boxes": LEFT_HALF, "text": text},
    )
    maps = maps_of("a", text, Edema=EDEMA, pneumonia=PNEUMONIA)
    scores = score_heat_maps(table, maps, "impression", protocol, 4)
    # Lung Opacity falls back to all tokens: it is no wrong word for the others and has none of its own.
    np.testing.assert_allclose(scores["wrong_word_auc"], [0, 1 / 3, np.nan])
    np.testing.assert_allclose(scores["specificity"], [1 / 2, 2 / 3, np.nan])


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_bare_map_is_the_mean_over_all_tokens(protocol):
    table = grounding({"category": "Edema", "boxes": LEFT_HALF, "phrase": "no edema"})
    maps = maps_of("a-0", "no edema", no=[0, 0, 0, 5], edema=[3, 1, 0, 0])
    scores = score_heat_maps(table, maps, "phrase", protocol, 4)
    assert scores["auc_roc"][0] == 1
    # sum 3 1 0 5: {3, 1} against {0, 5}: 3>0, 3<5, 1>0, 1<5
    assert scores["bare_auc"][0] == pytest.approx(2 / 4)


def test_constant_bare_or_wrong_map_is_left_out():
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "no edema"},
        {"category": "Pneumonia", "boxes": LEFT_HALF, "phrase": "pneumonia"},
    )
    maps = maps_of("a-0", "no edema", no=[0, 1, 1, 1], edema=[1, 0, 0, 0]) | maps_of(
        "a-1", "pneumonia", pneumonia=[1] * 4
    )
    scores = score_heat_maps(table, maps, "phrase", CORRECTED, 4)
    assert list(scores["excluded"]) == ["", "constant heat map"]
    assert np.isnan(scores["bare_auc"][0]) and np.isnan(scores["wrong_word_auc"][0])


# --- wrong prompt ---


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_wrong_prompt_is_asked_for_its_own_finding(protocol):
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Edema", "boxes": LAST_COLUMN, "phrase": "edema", "sample_id": "b"},
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema", "sample_id": "c"},
    )
    right = {}
    for name in ("a-0", "b-0", "c-0"):
        right |= maps_of(name, "edema", edema=EDEMA)
    text = "left pneumonia, not edema"
    wrong = maps_of("a-0", text, left=[9, 9, 0, 0], pneumonia=[2, 0, 1, 3], edema=[9, 9, 0, 0])
    wrong |= maps_of("b-0", "pleural effusion", pleural=[0, 1, 0, 2], effusion=[3, 1, 0, 0])
    prompts = {"a-0": (wrong["a-0"], "Pneumonia"), "b-0": (wrong["b-0"], "Pleural Effusion")}
    scores = score_heat_maps(table, right, "phrase", protocol, 4, prompts)
    # a: {2, 0} against {1, 3}: 2>1, 2<3, 0<1, 0<3. In published the word is "pneumonia,", of the same token.
    # b: the sum of both maps is 3 2 0 2: column 3 ties with column 1, beats column 2, loses to column 0
    np.testing.assert_allclose(scores["wrong_prompt_auc"], [1 / 4, 1.5 / 3, np.nan])
    assert list(scores["excluded"]) == [""] * 3
    without = score_heat_maps(table, right, "phrase", protocol, 4)
    assert without["wrong_prompt_auc"].isna().all()
    pd.testing.assert_frame_equal(
        scores.drop(columns="wrong_prompt_auc"), without.drop(columns="wrong_prompt_auc"), check_exact=True
    )


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_all_findings_of_an_impression_share_its_wrong_prompt(protocol):
    text = "Edema, pneumonia"
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "text": text},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "text": text},
    )
    wrong = maps_of("a", "atelectasis", atelectasis=[0, 3, 1, 2])["a"]
    maps = maps_of("a", text, Edema=EDEMA, pneumonia=PNEUMONIA)
    scores = score_heat_maps(table, maps, "impression", protocol, 4, {"a": (wrong, "Atelectasis")})
    # {0, 3} against {1, 2}: 3 beats both; {2} against {0, 3, 1}: beats two
    np.testing.assert_allclose(scores["wrong_prompt_auc"], [2 / 4, 2 / 3])


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_wrong_prompt_without_a_map_is_left_out_and_excludes_nothing(protocol):
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema", "sample_id": "b"},
    )
    maps = maps_of("a-0", "edema", edema=EDEMA) | maps_of("b-0", "edema", edema=EDEMA)
    beyond = maps_of("a-0", "heart and pneumonia", heart=EDEMA)["a-0"]  # "pneumonia" did not fit into the context
    constant = maps_of("b-0", "pneumonia", pneumonia=[1] * 4)["b-0"]
    prompts = {"a-0": (beyond, "Pneumonia"), "b-0": (constant, "Pneumonia")}
    scores = score_heat_maps(table, maps, "phrase", protocol, 4, prompts)
    assert scores["wrong_prompt_auc"].isna().all()
    assert list(scores["excluded"]) == ["", ""]
    np.testing.assert_allclose(scores["auc_roc"], [1 / 2, 1 / 2])


@pytest.mark.parametrize(("protocol", "expected"), [(CORRECTED, 2 / 4), (PUBLISHED, np.nan)])
def test_a_wrong_prompt_whose_class_the_protocol_does_not_match_has_no_value(protocol, expected):
    table = grounding({"category": "cat", "boxes": LEFT_HALF, "text": "a cat"})
    wrong = maps_of("a", "two hot dogs", two=[9, 9, 0, 0], hot=[1, 2, 0, 4], dogs=[1, 2, 0, 4])["a"]
    (scores,) = score_heat_maps(
        table, maps_of("a", "a cat", cat=EDEMA), "caption", protocol, 4, {"a": (wrong, "hot dog")}
    ).to_dict("records")
    # {1, 2} against {0, 4}: both beat 0. In published no single word contains "hot dog", and all tokens are no query.
    assert scores["wrong_prompt_auc"] == pytest.approx(expected, nan_ok=True)
    assert (scores["excluded"], scores["auc_roc"]) == ("", 1 / 2)


def test_a_control_without_a_usable_map_or_mask_has_no_score():
    heat, mask = np.array([[4.0, 1.0], [3.0, 2.0]]), np.array([[True, True], [False, False]])
    assert control_auc(heat, mask, CORRECTED) == pytest.approx(2 / 4)  # 4>3, 4>2, 1<3, 1<2
    assert np.isnan(control_auc(None, mask, CORRECTED))
    assert np.isnan(control_auc(np.full((2, 2), 0.5), mask, CORRECTED))
    assert np.isnan(control_auc(np.array([[4.0, np.nan], [3.0, 2.0]]), mask, CORRECTED))
    assert np.isnan(control_auc(heat, np.zeros((2, 2), bool), CORRECTED))


# --- location prior ---

THREE_SUBJECTS = grounding(
    {"sample_id": "a", "subject_id": "1", "category": "Edema", "boxes": columns(0), "phrase": "edema"},
    {"sample_id": "b", "subject_id": "2", "category": "Edema", "boxes": columns(0, 2), "phrase": "edema"},
    {"sample_id": "c", "subject_id": "3", "category": "Edema", "boxes": columns(3), "phrase": "edema"},
)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_location_prior_leaves_the_sample_out(protocol):
    scores = location_prior(THREE_SUBJECTS, "phrase", protocol, 4, map_size=4)
    # a: mean of b and c is .5 .5 0 .5; column 0 ties, wins, ties
    # b: mean of a and c is .5 0 0 .5; {.5, 0} against {0, .5}: .5>0, .5=.5, 0=0, 0<.5
    # c: mean of a and b is 1 .5 0 0; column 3 loses, loses, ties
    np.testing.assert_allclose(scores["auc_roc"], [2 / 3, 2 / 4, 0.5 / 3])
    assert list(scores["top1"]) == [1, 1, 0]
    assert list(scores["query"]) == [""] * 3
    assert scores[["bare_auc", "wrong_word_auc", "wrong_prompt_auc"]].isna().all(axis=None)
    assert tuple(scores.columns) == COLUMNS


def test_location_prior_leaves_out_all_images_of_the_subject():
    second_image = {"sample_id": "a2", "subject_id": "1", "category": "Edema", "boxes": columns(0), "phrase": "edema"}
    table = grounding(*THREE_SUBJECTS.to_dict("records"), second_image)
    scores = location_prior(table, "phrase", CORRECTED, 4, map_size=4)
    # a and a2: as above, without each other; b: mean of a, a2, c is 2/3 0 0 1/3: {2/3, 0} against {0, 1/3}
    # c: mean of a, a2, b is 1 1/3 0 0
    np.testing.assert_allclose(scores["auc_roc"], [2 / 3, 2.5 / 4, 0.5 / 3, 2 / 3])


def test_location_prior_specificity_uses_the_other_findings_prior():
    other = [
        {"sample_id": "a", "subject_id": "1", "category": "Pneumonia", "boxes": columns(2, 2), "phrase": "pneumonia"},
        {"sample_id": "b", "subject_id": "2", "category": "Pneumonia", "boxes": columns(3), "phrase": "pneumonia"},
    ]
    table = grounding(*THREE_SUBJECTS.to_dict("records"), *other)
    scores = location_prior(table, "phrase", CORRECTED, 4, map_size=4).set_index("id")
    # on a's edema (column 0, own prior 2/3): pneumonia without subject 1 is 0 0 0 1; ties with two columns, loses one
    assert scores.loc["a-0", "wrong_word_auc"] == pytest.approx((0.5 + 0.5) / 3)
    assert scores.loc["a-0", "specificity"] == pytest.approx(2 / 3 - 1 / 3)
    # on a's pneumonia (columns 2, 3): edema without subject 1 is .5 .5 0 .5: {0, .5} against {.5, .5}
    assert scores.loc["a-1", "wrong_word_auc"] == pytest.approx((0 + 0 + 0.5 + 0.5) / 4)
    assert np.isnan(scores.loc["c-0", "wrong_word_auc"])


def test_location_prior_of_an_impression_joins_the_boxes_of_a_finding():
    table = grounding(
        {"sample_id": "a", "subject_id": "1", "category": "Edema", "boxes": columns(0), "text": "t"},
        {"sample_id": "a", "subject_id": "1", "category": "Edema", "boxes": columns(1), "text": "t"},
        {"sample_id": "b", "subject_id": "2", "category": "Edema", "boxes": columns(1), "text": "t"},
    )
    scores = location_prior(table, "impression", CORRECTED, 4, map_size=4)
    assert list(scores["id"]) == ["a", "b"]
    # a: {0, 1} against {0, 0}; b: the prior is 1 1 0 0, column 1 ties with column 0 and beats two
    np.testing.assert_allclose(scores["auc_roc"], [(0.5 + 0.5 + 1 + 1) / 4, (0.5 + 1 + 1) / 3])


def test_location_prior_of_captions_is_the_mean_of_masks(run_lengths):
    first_column, block = np.zeros((2, 4, 4), bool)
    first_column[:, 0] = block[:2, :2] = True
    dog = {"category": "dog", "text": "a dog", "boxes": LEFT_HALF}  # the boxes do not count
    table = grounding(
        dog | {"sample_id": "a", "subject_id": "a", "mask": run_lengths(first_column)},
        dog | {"sample_id": "b", "subject_id": "b", "mask": run_lengths(block)},
    )
    scores = location_prior(table, "caption", CORRECTED, 4, map_size=4)
    # a: of the block, two pixels are among the column's four and two among the twelve others: 2 x 10 pairs are won,
    #    2 x 2 of the block's and 2 x 10 of the other pixels tie. b: of the column, two and two likewise
    np.testing.assert_allclose(scores["auc_roc"], [(20 + 4 / 2 + 20 / 2) / 48] * 2)
    assert list(scores["id"]) == ["a", "b"]


def test_location_prior_needs_another_subject():
    alone = grounding({"category": "Edema", "boxes": columns(0), "phrase": "edema"})
    scores = location_prior(alone, "phrase", CORRECTED, 4, map_size=4)
    assert list(scores["excluded"]) == ["no other subject with this finding"]


@pytest.mark.parametrize("table, text", [(THREE_SUBJECTS, "phrase"), (THREE_SUBJECTS.iloc[:1], "phrase")])
def test_the_auc_of_the_location_prior_alone_is_that_of_its_scores(table, text):
    rows = samples(table, text, CORRECTED, 4)
    scores = location_prior(table, text, CORRECTED, 4, map_size=4)
    scores = scores[scores["auc_roc"].notna()].set_index(["id", "category"])["auc_roc"]
    assert location_prior_aucs(rows, rows, text, map_size=4) == scores.to_dict()
    assert location_prior_aucs(rows, rows[:1], text, map_size=4) == scores[:1].to_dict()


def score_table(auc, specificity, excluded=("", "", "")):
    """Scores of three samples of three subjects."""
    table = pd.DataFrame({"id": ["a", "b", "c"], "subject_id": [1, 2, 3], "category": "Edema", "excluded": excluded})
    table = table.assign(protocol="corrected", text="impression", named=True, **dict.fromkeys(METRICS, np.nan))
    return table.assign(auc_roc=auc, specificity=specificity)


def test_the_location_prior_is_compared_on_the_samples_that_the_models_have():
    prior = score_table([0.6, 0.7, 0.9], [0.1, 0.2, 0.3])
    frozen = score_table([0.8, 0.8, np.nan], [0.4, 0.4, np.nan], ["", "", "no text"])
    learnable = score_table([0.8, 0.8, 0.8], [np.nan, 0.4, 0.4])  # of sample a no other finding's word
    common = on_common_samples(prior, [frozen, learnable])
    assert common["auc_roc"].tolist() == pytest.approx([0.6, 0.7, np.nan], nan_ok=True)
    assert common["specificity"].tolist() == pytest.approx([np.nan, 0.2, np.nan], nan_ok=True)
    assert common["excluded"].tolist() == ["", "", NOT_COMMON]
    rows = summarise([common], draws=2).query("pairs == 'all' and group == 'macro'").set_index("metric")
    assert rows.loc["auc_roc", ["mean", "n", "excluded"]].tolist() == pytest.approx([0.65, 2, 1])
    assert rows.loc["specificity", ["mean", "n"]].tolist() == pytest.approx([0.2, 1])


def test_area_average_is_the_share_of_each_cell():
    mask = np.zeros((4, 4), bool)
    mask[0, :3] = True
    np.testing.assert_allclose(area_average(mask, 2), [[2 / 4, 1 / 4], [0, 0]])
