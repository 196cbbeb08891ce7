import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import FindingsClassifier, save_classifier
from tradeoffs.evaluation.features import build_extractor, extract


class FirstPixel(torch.nn.Module):
    """Features that can be read off an image: the three channels of its first pixel."""

    def forward(self, images):
        return images[:, :, 0, 0].float()


@pytest.fixture(scope="module")
def lite0():
    return build_extractor("efficientnet_lite0")


@pytest.mark.parametrize(("grey", "expected"), [(127, 0.0), (255, 1.0), (0, -127 / 128)])
def test_efficientnet_scales_its_own_input(lite0, grey, expected):
    scaled = lite0.scale(torch.full((1, 3, 50, 70), grey, dtype=torch.uint8))
    assert scaled.shape == (1, 3, 224, 224)
    assert torch.allclose(scaled, torch.full_like(scaled, expected), atol=1e-5)


def test_efficientnet_scaling_does_not_overshoot(lite0):
    edge = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    edge[..., 32:] = 255  # bicubic interpolation of a step rings
    scaled = lite0.scale(edge)
    assert scaled.max() == 1.0 and scaled.min() == -127 / 128


def test_efficientnet_features_of_mid_grey_are_those_of_zeros(lite0):
    with torch.inference_mode():
        features = lite0(torch.full((1, 3, 32, 32), 127, dtype=torch.uint8))
        expected = lite0.network.extract_features(torch.zeros(1, 3, 224, 224)).mean(dim=(2, 3))
    assert features.shape == (1, lite0.num_features) == (1, 1280)
    assert torch.allclose(features, expected, atol=1e-4)


@pytest.mark.parametrize(("photo", "imagenet_class"), [("china.jpg", 698), ("flower.jpg", 985)])  # palace, daisy
def test_efficientnet_knows_what_it_sees(lite0, photo, imagenet_class):
    image = torch.from_numpy(load_sample_image(photo)[:, 100:527].copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        assert lite0.network._fc(lite0(image)).argmax() == imagenet_class


def test_loading_efficientnet_prints_nothing(capsys):
    build_extractor("efficientnet_lite0")
    assert capsys.readouterr().out == ""


def test_findings_features_are_what_the_classifier_sees_last(tmp_path):
    classifier = FindingsClassifier(["Edema", "No Finding"]).eval()
    save_classifier(tmp_path / "classifier", classifier, {})
    extractor = build_extractor("findings_classifier", tmp_path / "classifier")
    images = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = extractor(images)
        assert features.shape == (3, extractor.num_features) == (3, 128)
        assert torch.allclose(features @ classifier.head.weight.T + classifier.head.bias, classifier(images), atol=1e-6)
        logits = extractor.logits(extract(extractor, images, batch_size=2))
        np.testing.assert_allclose(logits, classifier(images), atol=1e-6)


def test_extractors_are_in_evaluation_mode(lite0):
    assert not any(module.training for module in lite0.modules())


def test_extract_keeps_the_order_and_the_last_short_batch():
    images = torch.zeros(5, 3, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor([10, 20, 30, 40, 50])
    features = extract(FirstPixel(), images, batch_size=2)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, [[10, 0, 0], [20, 0, 0], [30, 0, 0], [40, 0, 0], [50, 0, 0]])


# --- Inception, for which a small network of the same interface stands ----------------------------------------------


class ScriptedInception(torch.nn.Module):
    """As StyleGAN's file: scales uint8 images itself; 1008 logits, or 2048 features on request."""

    def __init__(self, num_features: int = 2048):
        super().__init__()
        self.num_features = num_features

    def forward(
        self, img, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> torch.Tensor:
        grey = (img.float() - 128).mean(dim=[1, 2, 3]) / 128
        return grey[:, None].repeat(1, self.num_features if return_features else 1008)


@pytest.fixture
def script(tmp_path):
    """Writes a network as a TorchScript file and returns its path."""

    def write(network):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.* is deprecated")
            torch.jit.script(network).save(tmp_path / "inception.pt")
        return tmp_path / "inception.pt"

    return write


@pytest.mark.filterwarnings("error")
def test_inception_gets_bytes_and_gives_its_features(script):
    extractor = build_extractor("inception", script(ScriptedInception()))
    images = torch.tensor([0, 128, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 70, 50)
    features = extract(extractor, images, batch_size=2)
    assert features.shape == (3, extractor.num_features) == (3, 2048)
    np.testing.assert_allclose(features[:, 7], [-1, 0, 127 / 128], atol=1e-6)


def test_other_files_than_inceptions_are_named(script, tmp_path):
    (tmp_path / "text.pt").write_text("no network")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    broken = r"evaluation\.extractors\.inception: .*{} is not the TorchScript file of Inception \(.*{}.*\);"
    for name, reason in (("text.pt", "ZIP"), ("weights.pt", "constants"), ("absent.pt", "exist")):
        with pytest.raises(InputError, match=broken.format(name, reason)):
            build_extractor("inception", tmp_path / name)
    with pytest.raises(InputError, match=broken.format("inception.pt", "argument")):
        build_extractor("inception", script(FirstPixel()))
    with pytest.raises(InputError, match=broken.format("inception.pt", r"shape \(1, 64\)")):
        build_extractor("inception", script(ScriptedInception(64)))
