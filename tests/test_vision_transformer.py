"""Features of a Dinov2Model's folder with random weights: scaled as the folder says, refused where it cannot be."""

import json

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from tradeoffs.errors import InputError
from tradeoffs.evaluation.features import build_extractor, extract

DECLARED = {
    "size": {"shortest_edge": 28},
    "crop_size": {"height": 14, "width": 14},
    "resample": 3,
    "image_mean": [0.5, 0.25, 0.0],
    "image_std": [0.5, 0.5, 1.0],
    "do_center_crop": True,
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_ratio": 1}
    return Dinov2Model(Dinov2Config(image_size=28, patch_size=14, **sizes)).eval()


@pytest.fixture
def folder(network, tmp_path):
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(DECLARED))
    return tmp_path


def test_images_are_scaled_as_the_folder_says(folder, network):
    extractor = build_extractor("dinov2", folder)
    images = torch.zeros(2, 3, 56, 56, dtype=torch.uint8)
    images[1, :, 14:42, 14:42] = 255  # the part that remains: the central 14 of 28 px
    scaled = extractor.scale(images)
    assert scaled.shape == (2, 3, 14, 14)
    assert scaled[0].mean(dim=(1, 2)).tolist() == pytest.approx([-1, -0.5, 0])  # (0 - mean) / std
    assert scaled[1, :, 7, 7].tolist() == pytest.approx([1, 1.5, 1])
    features = extract(extractor, images, batch_size=1)
    with torch.inference_mode():
        np.testing.assert_allclose(features, network(scaled).pooler_output, atol=1e-5)
    assert features.shape == (2, extractor.num_features) == (2, 8)


def test_what_the_folder_does_not_ask_for_is_not_done(folder):
    (folder / "preprocessor_config.json").write_text(
        json.dumps(DECLARED | {"do_center_crop": False, "do_normalize": False})
    )
    white = torch.full((1, 3, 56, 56), 255, dtype=torch.uint8)
    scaled = build_extractor("dinov2", folder).scale(white)
    assert scaled.shape == (1, 3, 28, 28) and torch.allclose(scaled, torch.ones(()))


@pytest.mark.parametrize(
    "change",
    [
        {"resample": 1},
        {"size": {"height": 28, "width": 14}},
        {"rescale_factor": 1.0},
        {"do_resize": False},
        {"crop_size": 56},
        {"image_mean": None},
        {"size": None},
    ],
)
def test_another_scaling_is_refused(folder, change):
    declared = {key: value for key, value in (DECLARED | change).items() if value is not None}
    (folder / "preprocessor_config.json").write_text(json.dumps(declared))
    with pytest.raises(InputError, match="preprocessor_config.json: asks for a scaling of images that is unknown"):
        build_extractor("dinov2", folder)


def test_another_model_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match="evaluation.extractors.dinov2: .* of the kind 'vit'; give the folder of a"):
        build_extractor("dinov2", folder)


def test_a_folder_without_its_preprocessor_is_refused(folder):
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="preprocessor_config.json: there is no such file"):
        build_extractor("dinov2", folder)
