"""Rows of a score table: which map is scored on which mask, in both protocols and frames."""

import numpy as np
import pandas as pd
import pytest
from small_maps import boolean, grounding, maps_of

from tradeoffs.errors import InputError
from tradeoffs.evaluation import localisation as loc
from tradeoffs.protocols import CORRECTED, PROTOCOLS, PUBLISHED

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
