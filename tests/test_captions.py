"""MS-COCO's captions: each is a text, and a class of an image is the mean over those that name it, by hand."""

import numpy as np
import pandas as pd
import pytest
from small_maps import grounding, maps_of

from tradeoffs.evaluation.controls import location_prior
from tradeoffs.evaluation.effects import measures, scoring_effects
from tradeoffs.evaluation.localisation import score_heat_maps
from tradeoffs.evaluation.statistics import over_captions, paired_differences, summarise
from tradeoffs.metrics import METRICS
from tradeoffs.protocols import CORRECTED, PUBLISHED

CAT, DOG = (
    {"category": name, "phrase": name, "boxes": [box]} for name, box in (("cat", [0, 0, 1, 4]), ("dog", [3, 0, 1, 4]))
)


def caption(image, number, text):
    return {"sample_id": image, "subject_id": image, "text_id": f"{image}-caption{number}", "text": text}


@pytest.fixture
def table():
    """Image a has two captions, of which one names both classes; image b has one."""
    both, one = caption("a", 1, "a cat and a dog"), caption("a", 2, "a cat")
    return grounding(CAT | both, DOG | both, CAT | one, CAT | caption("b", 1, "a cat"))


@pytest.fixture
def maps():
    """The cat's box is the first of four columns, the dog's the last."""
    return (
        maps_of("a-caption1", "a cat and a dog", cat=[3, 2, 1, 0], dog=[0, 1, 2, 3])
        | maps_of("a-caption2", "a cat", cat=[0, 1, 2, 3])
        | maps_of("b-caption1", "a cat", cat=[1, 1, 0, 0])
    )


@pytest.mark.parametrize("protocol", [CORRECTED, PUBLISHED], ids=["corrected", "published"])
def test_each_caption_is_a_text_and_its_wrong_words_are_its_own(table, maps, protocol):
    scores = score_heat_maps(table, maps, "caption", protocol, 4)
    assert scores["id"].tolist() == ["a-caption1", "a-caption1", "a-caption2", "b-caption1"]
    assert scores["sample_id"].tolist() == ["a", "a", "a", "b"]
    # in published the dog of a's first caption is asked by the cat's words too (row 10): its map is flat
    found = scores["auc_roc"].tolist()
    assert [found[i] for i in (0, 2, 3)] == pytest.approx([1, 0, (1 / 2 + 2) / 3])
    if protocol is CORRECTED:
        assert found[1] == 1
        # the other word of the same caption: the dog's map on the cat's box
        assert scores["wrong_word_auc"].tolist() == pytest.approx([0, 0, np.nan, np.nan], nan_ok=True)


def test_a_class_of_an_image_is_the_mean_over_its_captions(table, maps):
    scores = score_heat_maps(table, maps, "caption", CORRECTED, 4)
    united = over_captions(scores).set_index(["sample_id", "category"])
    assert united["auc_roc"].to_dict() == pytest.approx({("a", "cat"): 0.5, ("a", "dog"): 1, ("b", "cat"): 2.5 / 3})
    assert united["texts"].to_dict() == {("a", "cat"): 2, ("a", "dog"): 1, ("b", "cat"): 1}
    summary = summarise([scores], draws=2).set_index(["group", "metric"]).xs("auc_roc", level="metric")
    cats = (0.5 + 2.5 / 3) / 2
    assert summary["mean"].to_dict() == pytest.approx(
        {"macro": (cats + 1) / 2, "micro": (0.5 + 1 + 2.5 / 3) / 3, "cat": cats, "dog": 1}
    )
    assert summary["n"].to_dict() == {"macro": 3, "micro": 3, "cat": 2, "dog": 1}
    assert summary["texts"].to_dict() == {"macro": 4, "micro": 4, "cat": 3, "dog": 1}
    assert measures(scores)["auc_roc"] == pytest.approx((cats + 1) / 2) and measures(scores)["samples"] == 3


def test_captions_that_were_not_scored_leave_those_that_were(table, maps):
    del maps["a-caption2"], maps["b-caption1"]
    united = over_captions(score_heat_maps(table, maps, "caption", CORRECTED, 4)).set_index(["sample_id", "category"])
    assert united["excluded"].to_dict() == {("a", "cat"): "", ("a", "dog"): "", ("b", "cat"): "no heat map"}
    assert united["texts"].to_dict() == {("a", "cat"): 1, ("a", "dog"): 1, ("b", "cat"): 0}
    assert united.loc[("a", "cat"), "auc_roc"] == 1


def test_differences_are_of_images_and_classes(table, maps):
    scores = score_heat_maps(table, maps, "caption", CORRECTED, 4)
    lower = scores.assign(auc_roc=scores["auc_roc"] - 0.25)
    found = paired_differences([scores], [lower], draws=2, permutations=4).set_index(["group", "metric"])
    assert found.loc[("micro", "auc_roc"), "difference"] == pytest.approx(0.25)
    assert found.loc[("micro", "auc_roc"), "n"] == 3


def test_other_texts_are_left_as_they_are():
    scores = pd.DataFrame({"text": "phrase", "sample_id": "a", "excluded": ["", "no text"]}).assign(
        **dict.fromkeys(METRICS, 1.0)
    )
    pd.testing.assert_frame_equal(over_captions(scores), scores.assign(texts=[1, 0]))


def test_the_location_prior_counts_a_class_once_an_image(table):
    wide = grounding(CAT | {"boxes": [[0, 0, 2, 4]]} | caption("c", 1, "a cat"))
    scores = location_prior(pd.concat([table, wide], ignore_index=True), "caption", CORRECTED, 4, map_size=4)
    of_b = scores[scores["sample_id"] == "b"].iloc[0]
    # a's box (once, though two captions name it) and c's: columns 1, 1/2, 0, 0, on b's box, the first column
    assert of_b["auc_roc"] == 1
    of_c = scores[scores["sample_id"] == "c"].iloc[0]
    # a's and b's: columns 1, 0, 0, 0 on c's two columns: (1 + 1/2) / 2
    assert of_c["auc_roc"] == pytest.approx(0.75)


def test_effects_of_one_caption_and_of_the_test_part(table, maps):
    effects = pd.DataFrame(scoring_effects(table, {"caption": maps}, 4)).set_index(["row", "score"])
    first = (1 + 2.5 / 3) / 2
    assert effects.loc[(31, "auc_roc"), ["here", "original"]].tolist() == pytest.approx(
        [(first + 1) / 2, ((0.5 + 2.5 / 3) / 2 + 1) / 2]
    )
    phrases = grounding({"phrase": "edema"}, {"phrase": "edema", "part": "val"})
    maps = maps_of("a-0", "edema", edema=[1, 0, 0, 0]) | maps_of("a-1", "edema", edema=[0, 0, 1, 0])
    effects = pd.DataFrame(scoring_effects(phrases, {"phrase": maps}, 4)).set_index(["row", "score"])
    assert effects.loc[(30, "samples"), ["here", "original"]].tolist() == [1, 2]
    assert effects.loc[(30, "auc_roc"), ["here", "original"]].tolist() == pytest.approx([0.75, (0.75 + 0.25) / 2])
