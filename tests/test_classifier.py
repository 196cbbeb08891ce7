import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import (
    CARD_FILE,
    LABELS,
    WEIGHTS_FILE,
    FindingsClassifier,
    label_matrix,
    label_scores,
    load_classifier,
    prepare,
    save_classifier,
    train_classifier,
)

TRAINING = {"epochs": 6, "batch_size": 16, "learning_rate": 3e-3}


def toy_images(n, seed):
    """Noise with a bright half: "left" or "right" by where it is, and independently "bright" by how bright it is."""
    rng = np.random.default_rng(seed)
    right, bright = rng.random((2, n)) < 0.5
    images = rng.integers(0, 60, size=(n, 3, 32, 32), dtype=np.uint8)
    for image, is_right, is_bright in zip(images, right, bright, strict=True):
        half = slice(16, 32) if is_right else slice(0, 16)
        image[:, :, half] += 190 if is_bright else 90
    return torch.from_numpy(images), np.stack([right, bright], axis=1)


def train_toy(seed, epochs=1):
    images, targets = toy_images(32, 0)
    return train_classifier(images, targets, ["right", "bright"], **{**TRAINING, "epochs": epochs}, seed=seed)


def test_labels_are_the_findings_with_boxes_and_no_finding():
    assert list(LABELS) == [*MSCXR_FINDINGS, "No Finding"]


def test_label_matrix_compares_whole_labels():
    matrix = label_matrix(["Edema|Pleural Effusion", "Pleural Other", "No Finding", ""], ["Edema", "Pleural Effusion"])
    np.testing.assert_array_equal(matrix, [[True, True], [False, False], [False, False], [False, False]])


def test_label_scores_by_hand():
    texts = ["Edema|Fracture", "Edema", "Pneumonia", "No Finding"]
    logits = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.3], [0.3, 0.7, 0.1], [0.1, 0.9, 0.2]])
    scores = label_scores("auc", texts, logits, ["Edema", "Pneumonia", "No Finding"])
    # Edema: of the 2 x 2 pairs of a positive (.9, .2) and a negative (.3, .1), three are in order
    # Pneumonia: the positive (.7) against .1, .8, .9: one of three. No Finding: .2 against .0, .3, .1: two of three
    assert scores == {
        "auc": (pytest.approx((3 / 4 + 1 / 3) / 2), 2),
        "auc_Edema": (pytest.approx(3 / 4), 2),
        "auc_Pneumonia": (pytest.approx(1 / 3), 1),
        "auc_No Finding": (pytest.approx(2 / 3), 1),
    }


def test_label_scores_leave_out_what_cannot_be_scored():
    texts = ["Edema", "", "Edema|Pneumonia"]  # Edema has no negative, Pneumothorax no positive
    logits = np.array([[0.0, 0.1, 0.0], [0.0, 0.9, 0.0], [0.0, 0.5, 0.0]])  # the unlabelled image would spoil Pneumonia
    scores = label_scores("auc", texts, logits, ["Edema", "Pneumonia", "Pneumothorax"])
    assert scores == {"auc": (1.0, 1), "auc_Pneumonia": (1.0, 1)}


@pytest.mark.parametrize("texts", [["", ""], ["Edema", "Edema"]])
def test_label_scores_of_nothing_are_missing(texts):
    (value, n), *others = label_scores("auc", texts, np.zeros((2, 2)), ["Edema", "Pneumonia"]).values()
    assert np.isnan(value) and n == 0 and not others


def test_prepare_is_the_mean_of_the_channels_in_minus_one_to_one():
    image = torch.tensor([0, 0, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 48, 48)
    grey = prepare(image)
    assert grey.shape == (1, 1, 48, 48)
    assert torch.allclose(grey, torch.full_like(grey, 85 / 127.5 - 1))


def test_prepare_averages_large_images_down():
    stripes = torch.zeros(1, 3, 256, 256, dtype=torch.uint8)
    stripes[..., ::2] = 200  # without antialiasing, single columns of 0 or 200 would remain
    grey = prepare(stripes)
    assert grey.shape == (1, 1, 64, 64)
    assert torch.allclose(grey[..., 4:-4], torch.tensor(100 / 127.5 - 1), atol=0.02)


def test_training_learns_sides_and_brightness():
    images, targets = toy_images(96, 0)
    model = train_classifier(images, targets, ["right", "bright"], **TRAINING, seed=0)
    assert not model.training
    unseen, truth = toy_images(100, 1)
    with torch.inference_mode():
        predicted = model(unseen).numpy() > 0
    assert (predicted == truth).mean(axis=0).min() > 0.95


def test_training_depends_on_its_seed_only():
    first = train_toy(seed=0).state_dict()
    torch.manual_seed(99)
    again, other = train_toy(seed=0).state_dict(), train_toy(seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_saved_classifier_is_the_same(tmp_path):
    model = train_toy(seed=0)
    save_classifier(tmp_path / "classifier", model, {"resolution": 128, "val_auc": 0.5})
    loaded = load_classifier(tmp_path / "classifier")
    images, _ = toy_images(4, 2)
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))
    assert loaded.labels == ["right", "bright"] and not loaded.training
    card = json.loads((tmp_path / "classifier" / CARD_FILE).read_text())
    assert card == {"labels": ["right", "bright"], "resolution": 128, "val_auc": 0.5}


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.pop("body.0.weight"),
        lambda weights: weights.update({"body.0.weight": torch.zeros(16, 3, 3, 3)}),
        lambda weights: weights.update({"body.0.weight_of_another": torch.zeros(1)}),
    ],
    ids=["missing", "shape", "unexpected"],
)
def test_weights_of_another_network_are_an_error(tmp_path, change):
    save_classifier(tmp_path, FindingsClassifier(["Edema"]), {})
    weights = load_file(tmp_path / WEIGHTS_FILE)
    change(weights)
    save_file(weights, tmp_path / WEIGHTS_FILE)
    with pytest.raises(InputError, match=rf"{WEIGHTS_FILE}: 1 weights .*\(first: body.0.weight"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{}", '{"labels": 3}'], ids=["absent", "empty", "no labels", "no list"])
def test_broken_card_is_an_error(tmp_path, content):
    save_classifier(tmp_path, FindingsClassifier(["Edema"]), {})
    (tmp_path / CARD_FILE).unlink()
    if content is not None:
        (tmp_path / CARD_FILE).write_text(content)
    with pytest.raises(InputError, match=CARD_FILE):
        load_classifier(tmp_path)


@pytest.mark.parametrize("content", [None, b"not safetensors"], ids=["absent", "broken"])
def test_broken_weights_are_an_error(tmp_path, content):
    save_classifier(tmp_path, FindingsClassifier(["Edema"]), {})
    (tmp_path / WEIGHTS_FILE).unlink()
    if content is not None:
        (tmp_path / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(InputError, match=WEIGHTS_FILE):
        load_classifier(tmp_path)
