"""Bare map, wrong word and specificity, and the location prior; every expectation worked out by hand.

Maps and images are 4 x 4 and constant along columns, so that a column stands for four equal pixels.
"""

import numpy as np
import pandas as pd
import pytest

from tradeoffs.evaluation.controls import area_average, location_prior
from tradeoffs.evaluation.localisation import COLUMNS, PROTOCOLS, score_dump
from tradeoffs.heatmaps import TokenHeatMaps

LEFT_HALF, LAST_COLUMN = [[0, 0, 2, 4]], [[3, 0, 1, 4]]


def columns(first: int, count: int = 1) -> list[list[int]]:
    return [[first, 0, count, 4]]


def grounding(*rows: dict) -> pd.DataFrame:
    defaults = {"sample_id": "a", "subject_id": "p", "phrase": "", "text": "", "image_width": 4, "image_height": 4}
    table = pd.DataFrame([defaults | row for row in rows])
    table["phrase_id"] = table["sample_id"] + "-" + table.groupby("sample_id").cumcount().astype(str)
    return table


def dump(name: str, text: str, **token_maps) -> dict[str, TokenHeatMaps]:
    spans = [(text.index(token), text.index(token) + len(token)) for token in token_maps]
    heat = np.array([np.tile(values, (4, 1)) for values in token_maps.values()], np.float32)
    return {name: TokenHeatMaps(name, text, list(token_maps), np.array(spans), heat, len(text))}


EDEMA, PNEUMONIA = [4, 1, 3, 2], [0, 1, 2, 3]
# Edema's map on the left half: {4, 1} against {3, 2}: 4>3, 4>2, 1<3, 1<2 -> 1/2
# Pneumonia's map on the left half: {0, 1} against {2, 3} -> 0
# Pneumonia's map on the last column: {3} against {0, 1, 2} -> 1
# Edema's map on the last column: {2} against {4, 1, 3}: only 2>1 -> 1/3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_specificity_of_phrases_by_hand(protocol):
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "phrase": "pneumonia"},
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema", "sample_id": "alone"},
    )
    maps = dump("a-0", "edema", edema=EDEMA) | dump("a-1", "pneumonia", pneumonia=PNEUMONIA)
    maps |= dump("alone-0", "edema", edema=EDEMA)
    scores = score_dump(table, maps, "phrase", protocol, 4)
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
    maps = dump("a-0", "edema", edema=[0, 0, 0, 1])
    maps |= dump("a-1", "pneumonia", pneumonia=[0, 1, 2, 3])  # on the last column: 1
    maps |= dump("a-2", "more pneumonia", pneumonia=[0, 1, 3, 2])  # 2/3
    maps |= dump("a-3", "atelectasis", atelectasis=[3, 2, 1, 0])  # 0
    corrected = score_dump(table, maps, "phrase", "corrected", 4)
    assert corrected["wrong_word_auc"][0] == pytest.approx(((1 + 2 / 3) / 2 + 0) / 2)
    published = score_dump(table, maps, "phrase", "published", 4)  # only the first phrase of a finding
    assert published["wrong_word_auc"][0] == pytest.approx((1 + 0) / 2)


def test_a_second_phrase_of_the_same_finding_is_no_wrong_word():
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Edema", "boxes": LAST_COLUMN, "phrase": "more edema"},
    )
    maps = dump("a-0", "edema", edema=EDEMA) | dump("a-1", "more edema", edema=PNEUMONIA)
    assert score_dump(table, maps, "phrase", "corrected", 4)["wrong_word_auc"].isna().all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_phrase_that_does_not_name_its_finding_counts_with_all_its_tokens(protocol):
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "edema"},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "phrase": "infection"},
    )
    maps = dump("a-0", "edema", edema=EDEMA) | dump("a-1", "infection", infection=PNEUMONIA)
    scores = score_dump(table, maps, "phrase", protocol, 4)
    assert list(scores["query"]) == ["matched", "all tokens"]
    np.testing.assert_allclose(scores["wrong_word_auc"], [0, 1 / 3])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_specificity_of_an_impression_uses_matched_queries_only(protocol):
    text = "Edema, pneumonia"
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "text": text},
        {"category": "Pneumonia", "boxes": LAST_COLUMN, "text": text},
        {"category": "Lung Opacity", "boxes": LEFT_HALF, "text": text},
    )
    maps = dump("a", text, Edema=EDEMA, pneumonia=PNEUMONIA)
    scores = score_dump(table, maps, "impression", protocol, 4)
    # Lung Opacity falls back to all tokens: it is no wrong word for the others and has none of its own.
    np.testing.assert_allclose(scores["wrong_word_auc"], [0, 1 / 3, np.nan])
    np.testing.assert_allclose(scores["specificity"], [1 / 2, 2 / 3, np.nan])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bare_map_is_the_mean_over_all_tokens(protocol):
    table = grounding({"category": "Edema", "boxes": LEFT_HALF, "phrase": "no edema"})
    maps = dump("a-0", "no edema", no=[0, 0, 0, 5], edema=[3, 1, 0, 0])
    scores = score_dump(table, maps, "phrase", protocol, 4)
    assert scores["auc_roc"][0] == 1
    # sum 3 1 0 5: {3, 1} against {0, 5}: 3>0, 3<5, 1>0, 1<5
    assert scores["bare_auc"][0] == pytest.approx(2 / 4)


def test_constant_bare_or_wrong_map_is_left_out():
    table = grounding(
        {"category": "Edema", "boxes": LEFT_HALF, "phrase": "no edema"},
        {"category": "Pneumonia", "boxes": LEFT_HALF, "phrase": "pneumonia"},
    )
    maps = dump("a-0", "no edema", no=[0, 1, 1, 1], edema=[1, 0, 0, 0]) | dump("a-1", "pneumonia", pneumonia=[1] * 4)
    scores = score_dump(table, maps, "phrase", "corrected", 4)
    assert list(scores["excluded"]) == ["", "constant heat map"]
    assert np.isnan(scores["bare_auc"][0]) and np.isnan(scores["wrong_word_auc"][0])


# --- location prior ---

THREE_SUBJECTS = grounding(
    {"sample_id": "a", "subject_id": "1", "category": "Edema", "boxes": columns(0), "phrase": "edema"},
    {"sample_id": "b", "subject_id": "2", "category": "Edema", "boxes": columns(0, 2), "phrase": "edema"},
    {"sample_id": "c", "subject_id": "3", "category": "Edema", "boxes": columns(3), "phrase": "edema"},
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_location_prior_leaves_the_sample_out(protocol):
    scores = location_prior(THREE_SUBJECTS, "phrase", protocol, 4, map_size=4)
    # a: mean of b and c is .5 .5 0 .5; column 0 ties, wins, ties
    # b: mean of a and c is .5 0 0 .5; {.5, 0} against {0, .5}: .5>0, .5=.5, 0=0, 0<.5
    # c: mean of a and b is 1 .5 0 0; column 3 loses, loses, ties
    np.testing.assert_allclose(scores["auc_roc"], [2 / 3, 2 / 4, 0.5 / 3])
    assert list(scores["top1"]) == [1, 1, 0]
    assert list(scores["query"]) == [""] * 3
    assert scores["bare_auc"].isna().all() and scores["wrong_word_auc"].isna().all()
    assert tuple(scores.columns) == COLUMNS


def test_location_prior_leaves_out_all_images_of_the_subject():
    second_image = {"sample_id": "a2", "subject_id": "1", "category": "Edema", "boxes": columns(0), "phrase": "edema"}
    table = grounding(*THREE_SUBJECTS.to_dict("records"), second_image)
    scores = location_prior(table, "phrase", "corrected", 4, map_size=4)
    # a and a2: as above, without each other; b: mean of a, a2, c is 2/3 0 0 1/3: {2/3, 0} against {0, 1/3}
    # c: mean of a, a2, b is 1 1/3 0 0
    np.testing.assert_allclose(scores["auc_roc"], [2 / 3, 2.5 / 4, 0.5 / 3, 2 / 3])


def test_location_prior_specificity_uses_the_other_findings_prior():
    other = [
        {"sample_id": "a", "subject_id": "1", "category": "Pneumonia", "boxes": columns(2, 2), "phrase": "pneumonia"},
        {"sample_id": "b", "subject_id": "2", "category": "Pneumonia", "boxes": columns(3), "phrase": "pneumonia"},
    ]
    table = grounding(*THREE_SUBJECTS.to_dict("records"), *other)
    scores = location_prior(table, "phrase", "corrected", 4, map_size=4).set_index("id")
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
    scores = location_prior(table, "impression", "corrected", 4, map_size=4)
    assert list(scores["id"]) == ["a", "b"]
    # a: {0, 1} against {0, 0}; b: the prior is 1 1 0 0, column 1 ties with column 0 and beats two
    np.testing.assert_allclose(scores["auc_roc"], [(0.5 + 0.5 + 1 + 1) / 4, (0.5 + 1 + 1) / 3])


def test_location_prior_needs_another_subject():
    alone = grounding({"category": "Edema", "boxes": columns(0), "phrase": "edema"})
    scores = location_prior(alone, "phrase", "corrected", 4, map_size=4)
    assert list(scores["excluded"]) == ["no other subject with this finding"]


def test_area_average_is_the_share_of_each_cell():
    mask = np.zeros((4, 4), bool)
    mask[0, :3] = True
    np.testing.assert_allclose(area_average(mask, 2), [[2 / 4, 1 / 4], [0, 0]])
