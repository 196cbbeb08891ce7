"""What single rows of docs/differences.md do, by hand, and the page that shows it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_maps import grounding, maps_of

from tradeoffs.evaluation.effects import (
    COLUMNS,
    ScaledTwice,
    measures,
    mixed_sets,
    scoring_effects,
    training_effects,
)
from tradeoffs.evaluation.features import EfficientNetLite0
from tradeoffs.paper.effects import ROWS, cell, differences_page, read_effects
from tradeoffs.randomness import numpy_rng

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def effects() -> pd.DataFrame:
    """Effects on one image with two phrases of Edema, left and right, whose maps point to their own sides."""
    phrases = grounding({"phrase": "left edema"}, {"phrase": "right edemas", "boxes": [[3, 0, 1, 4]]})
    maps = maps_of("a-0", "left edema", left=[0, 0, 0, 1], edema=[2, 1, 0, 0])
    maps |= maps_of("a-1", "right edemas", right=[0, 0, 0, 1], edema=[1, 0, 0, 0], s=[0, 0, 0, 1])
    table = pd.DataFrame(scoring_effects(phrases, {"phrase": maps}, 4))
    return table.set_index(["row", "score"])[["here", "original"]]


def test_one_row_changes_only_what_it_is_about(effects):
    # a-0 points to its box; in a-1 no whole word is "edema", so all tokens are the query: columns 1 0 0 2 of 3
    assert effects.loc[(8, "samples")].tolist() == [2, 1]
    assert effects.loc[(8, "auc_roc"), "here"] == 1
    # the first phrase on both boxes: columns 2 1 and 0 against column 0: (1 + 1 + 1/2) / 3
    assert effects.loc[(8, "auc_roc"), "original"] == pytest.approx(2.5 / 3)
    # "edemas" contains "edema", so both its tokens are the query: columns 1 and 1 tie: 1 against 1 0 0
    assert effects.loc[(9, "auc_roc")].tolist() == pytest.approx([1, (1 + 2.5 / 3) / 2])
    assert effects.loc[(5, "excluded")].tolist() == [0, 0]
    assert effects.loc[(7, "excluded")].tolist() == [0, 0]
    assert effects.loc[(6, "empty_predictions"), "original"] == 0
    assert np.isnan(effects.loc[(6, "empty_predictions"), "here"])
    assert effects.loc[(4, "mask_pixels")].tolist() == [6, 6]  # boxes on whole pixels do not grow


def test_short_boxes_change_the_box_iou_alone(effects):
    here, original = effects.loc[(3, "box_iou")]
    assert here > original


def test_measures_are_macro_means_of_what_is_scored():
    scores = pd.DataFrame(
        [("Edema", 0.5, ""), ("Edema", 0.7, ""), ("Pneumonia", 1.0, ""), ("Pneumonia", np.nan, "no text")],
        columns=["category", "auc_roc", "excluded"],
    ).assign(iou=0.25, box_iou=0.5)
    found = measures(scores)
    assert found == pytest.approx({"auc_roc": 0.8, "iou": 0.25, "box_iou": 0.5, "samples": 3, "excluded": 1})


def test_mixed_sets_hold_images_of_different_prompts():
    sets = mixed_sets("abcdef", 20, 4, numpy_rng("x"))
    assert len(sets) == 20 and all(len(set(some)) == 4 for some in sets)
    assert sets == mixed_sets("abcdef", 20, 4, numpy_rng("x"))


def test_scaled_twice_takes_the_range_from_minus_one_to_one_for_zero_to_one():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    scale = EfficientNetLite0.scale
    torch.testing.assert_close(ScaledTwice.scale(ScaledTwice.__new__(ScaledTwice), images), 2 * scale(None, images) - 1)


def rows(*records) -> pd.DataFrame:
    return pd.DataFrame(records, columns=list(COLUMNS))


def test_a_cell_names_where_what_and_both_numbers():
    by_variant = rows(
        (2, "cxr", "phrase", "frozen", "iou", 0.25, 0.5, 9),
        (2, "cxr", "phrase", "learnable", "iou", 0.125, 0.5, 9),
        (2, "coco", "caption", "frozen", "iou", 0.25, 0.3, 9),
    )
    assert cell(by_variant) == (
        "radiographs, phrase: IoU 0.250 → 0.500 (frozen), 0.125 → 0.500 (learnable); scenes, caption: IoU 0.250 → 0.300"
    )
    alike = rows((5, "cxr", "phrase", "frozen", "excluded", 1, 0, 9), (5, "cxr", "phrase", "x", "excluded", 1, 0, 9))
    assert cell(alike) == "radiographs, phrase: excluded 1 → 0"


def test_a_cell_shows_counts_and_ranges():
    count = rows((21, "cxr", "", "", "training_images", np.nan, 12, 2400))
    assert cell(count) == "radiographs: training images removed 12 of 2400"
    none = rows((6, "coco", "caption", "frozen", "empty_predictions", np.nan, 0, 43))
    assert cell(none) == "scenes, caption: empty predictions 0 of 43 (the demo shows no effect)"
    noise = rows(*((1, "cxr", "phrase", "frozen", "auc_roc", 0.8, value, 9) for value in (0.79, 0.81, 0.8)))
    assert cell(noise) == "radiographs, phrase: AUC-ROC 0.800 → 0.790 to 0.810"


@pytest.mark.parametrize("sampled_otherwise", [True, False])
def test_the_script_gathers_effects_and_models_trained_for_a_row(tmp_path, run_script, sampled_otherwise):
    rows((2, "cxr", "phrase", "frozen", "iou", 0.25, 0.5, 2)).to_csv(tmp_path / "scoring.csv", index=False)
    rows((16, "cxr", "", "frozen", "ms_ssim", 0.25, 0.5, 2)).to_csv(tmp_path / "fidelity.csv", index=False)
    for name, values in {"here": (0.8, 0.6), "row20": (0.9, 0.7)}.items():
        scores = pd.DataFrame({"category": ["Edema", "Pneumonia"], "auc_roc": values, "excluded": ""})
        scores = scores.assign(variant="frozen", protocol="corrected", text="phrase", iou=0.5, box_iou=0.5)
        other = scores.assign(protocol="published", auc_roc=0.0)
        pd.concat([scores, other]).to_csv(tmp_path / f"{name}.csv", index=False)
    sampled = pd.DataFrame({"variant": "labels_frozen", "metric": ["fid_general", "label_auc"], "n": [9, 8]})
    for name, values in {"impressions": (3, 0.5), "labels": (2, 0.75), "no_finding": (4, 0.25)}.items():
        sampled.assign(value=values).to_csv(tmp_path / f"{name}.csv", index=False)
    images = {"sample_id": ["a", "b"], "split": ["train", "p19"], "text": "No Finding", "Finding Labels": ""}
    pd.DataFrame(images).assign(subject_id="1", study_id="2", path="x.jpg").to_csv(tmp_path / "images.csv", index=False)
    (tmp_path / "counts.csv").write_text("reason,count\nsubject has an MS-CXR image,3\n")
    run_script(
        "effects",
        input={
            **{kind: [tmp_path / f"{kind}.csv"] for kind in ("scoring", "fidelity", "here")},
            **{"repeats": [tmp_path / "row20.csv"], "images": tmp_path / "images.csv"},
            "images_counts": tmp_path / "counts.csv",
            "sampled": [
                tmp_path / f"{name}.csv" for name in ("impressions", "labels", "no_finding") if sampled_otherwise
            ],
        },
        output={"csv": tmp_path / "effects.csv", "page": tmp_path / "page.md"},
        params={"rows": [20]},
    )
    found = read_effects(tmp_path / "effects.csv").set_index("row")
    assert found.index.tolist() == [2, 12, 16, 20, 21] + sampled_otherwise * [26, 26, 27, 27]
    assert found.loc[20, ["here", "original", "n"]].tolist() == pytest.approx([0.7, 0.8, 2])
    if sampled_otherwise:
        assert found.loc[26, ["here", "original", "n"]].values.tolist() == [[2, 3, 9], [0.75, 0.5, 8]]
        assert found.loc[27, ["here", "original"]].values.tolist() == [[3, 4], [0.5, 0.25]]
    assert found.loc[[12, 21], "original"].tolist() == [1, 3] and found.loc[[12, 21], "n"].tolist() == [1, 4]
    assert "AUC-ROC 0.700 → 0.800" in (tmp_path / "page.md").read_text()


def test_the_page_of_differences_shows_the_measured_effects():
    """If this fails after an edit of the template, write the page anew:

    python -c "from tradeoffs.paper.effects import *;
    print(differences_page(read_effects('docs/effects.csv')), end='')" > docs/differences.md
    """
    assert (DOCS / "differences.md").read_text() == differences_page(read_effects(DOCS / "effects.csv"))


def test_every_row_has_an_effect_a_test_or_says_why_not():
    page = (DOCS / "differences.md").read_text()
    cells = {int(row[0]): row[3] for row in re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", page, re.M)}
    assert list(cells) == list(range(1, ROWS + 1))
    measured = set(read_effects(DOCS / "effects.csv")["row"])
    assert all(row in measured or text.startswith(("no number", "not measured")) for row, text in cells.items())


def test_what_training_otherwise_did_is_compared_with_the_runs_own_model():
    def scores(auc, variant="learnable"):
        rows = pd.DataFrame(
            {"variant": variant, "protocol": "corrected", "text": ["phrase", "phrase", "impression"], "auc_roc": auc}
        )
        return rows.assign(category="Edema", iou=0.5, box_iou=0.5, excluded="")

    images = pd.DataFrame({"split": ["train", "train", "test"], "text": ["No Finding", "Edema.", "No Finding"]})
    records = training_effects(scores([0.5, 0.7, 0]), [(13, scores([0.8, 1.0, 0]))], images, removed=3, text="phrase")
    assert records[0] == {
        **{"row": 13, "text": "phrase", "variant": "learnable", "score": "auc_roc"},
        **{"here": pytest.approx(0.6), "original": pytest.approx(0.9), "n": 2},
    }
    assert [(r["row"], r["score"], r["original"], r["n"]) for r in records[1:]] == [
        (12, "training_texts", 1, 2),
        (21, "training_images", 3, 5),
    ]
