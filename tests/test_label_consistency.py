"""Label consistency in the original's ways, by hand; ours is in test_classifier.py."""

import numpy as np
import pytest

from tradeoffs.evaluation.label_consistency import disease_scores, label_consistency, top1_scores

LABELS = ["Edema", "Pneumonia", "No Finding", "Fracture"]  # Fracture is none of the nine
SHOWN = ["Edema", "Edema|Pneumonia", "Pneumonia", "No Finding", "No Finding", "", "Cardiomegaly"]
LOGITS = np.array(
    [
        [3.0, 0, 0, 9],  # the nine's highest is Edema, although Fracture's is higher
        [1.0, 2, 0, 0],
        [9.0, 1, 0, 0],
        [2.0, 0, 5, 0],
        [0.0, 1.5, 5, 0],
        [9.0, 9, 9, 9],
        [9.0, 9, 9, 9],
    ]
)


def test_a_disease_is_compared_with_images_of_no_finding_only():
    scores = disease_scores(SHOWN, LOGITS, LABELS)
    # Edema 3, 1 against 2, 0: three of four pairs; the 9 of the Pneumonia image is not asked.
    # Pneumonia 2, 1 against 0, 1.5: three of four
    assert scores == {
        "disease_auc": (pytest.approx(0.75), 2),
        "disease_auc_Edema": (pytest.approx(0.75), 2),
        "disease_auc_Pneumonia": (pytest.approx(0.75), 2),
    }


def test_against_all_others_it_is_another_number():
    scores = label_consistency(SHOWN, LOGITS, LABELS)
    # Edema 3, 1 against 9, 2, 0, 9 (the unlabelled image is left out): 2 + 1 of 8 pairs
    assert scores["label_auc_Edema"] == (pytest.approx(3 / 8), 2)
    assert {"label_auc", "disease_auc", "label_top1"} <= set(scores)


def test_top1_is_the_share_of_a_findings_images():
    scores = top1_scores(SHOWN, LOGITS, LABELS)
    # Edema: the first, not the second (Pneumonia is higher). Pneumonia: the second, not the third.
    assert scores == {
        "label_top1": (pytest.approx(0.5), 2),
        "label_top1_Edema": (pytest.approx(0.5), 2),
        "label_top1_Pneumonia": (pytest.approx(0.5), 2),
    }


def test_without_images_of_no_finding_there_is_no_score():
    (name, (value, n)), *others = disease_scores(["Edema", "Pneumonia"], LOGITS[:2], LABELS).items()
    assert name == "disease_auc" and np.isnan(value) and n == 0 and not others
