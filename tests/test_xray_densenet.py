"""The X-ray DenseNet of torchxrayvision, for which a small network with the package's interface stands."""

import os
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from tradeoffs.data.tables import write_table
from tradeoffs.errors import InputError
from tradeoffs.evaluation.features import build_extractor
from tradeoffs.evaluation.xray_densenet import XRayDenseNet, load_xray_densenet, scale

TARGETS = ["Atelectasis", "Infiltration", "Effusion", "Pneumonia", "Lung Opacity"]
WHERE = "evaluation.extractors.xrv_densenet121_all"


class _DenseLayer(nn.Sequential):
    pass


class _DenseBlock(nn.Sequential):
    pass


class _Transition(nn.Sequential):
    pass


class DenseNet(nn.Module):
    """features and classifier as in the package, two stages instead of 121 layers."""

    targets = TARGETS

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(1, 4, 7, stride=4, bias=False))
        self.features.add_module("pool0", nn.MaxPool2d(2))
        block = _DenseBlock()
        block.add_module("denselayer1", _DenseLayer(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 1024, 1)))
        self.features.add_module("denseblock1", block)
        self.features.add_module("transition1", _Transition(nn.AvgPool2d(2)))
        self.classifier = nn.Linear(1024, len(TARGETS))
        self.register_buffer("op_threshs", None)


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """torchxrayvision.models, as far as it is used."""
    package, models = ModuleType("torchxrayvision"), ModuleType("torchxrayvision.models")
    package.models = models
    for part in (DenseNet, _DenseBlock, _DenseLayer, _Transition):
        monkeypatch.setattr(part, "__module__", models.__name__)
        setattr(models, part.__name__, part)
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setitem(sys.modules, models.__name__, models)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return DenseNet().eval()


@pytest.fixture
def weights(network, tmp_path):
    """The package's own kind of file: the whole network, pickled."""
    torch.save(network, tmp_path / "xrv.pt")
    return tmp_path / "xrv.pt"


@pytest.mark.parametrize(("grey", "expected"), [(0, -1024), (255, 1024), (51, -1024 * 0.6)])
def test_input_is_grey_in_the_packages_range_and_size(grey, expected):
    scaled = scale(torch.full((2, 3, 300, 300), grey, dtype=torch.uint8))
    assert scaled.shape == (2, 1, 224, 224)
    assert torch.allclose(scaled, torch.full_like(scaled, expected), atol=1e-3)


def test_grey_is_the_mean_of_the_channels():
    image = torch.tensor([0, 51, 102], dtype=torch.uint8)[:, None, None].expand(1, 3, 64, 64)
    assert torch.allclose(scale(image), torch.full((1, 1, 224, 224), -1024 * 0.6), atol=1e-3)


@pytest.mark.parametrize("kind", ["network", "state dict"])
def test_features_and_logits_are_those_of_the_packages_network(network, weights, kind):
    if kind == "state dict":
        torch.save(network.state_dict(), weights)
    classifier = load_xray_densenet(weights)
    assert classifier.labels == ["Atelectasis", "Infiltration", "Pleural Effusion", "Pneumonia", "Lung Opacity"]
    images = torch.randint(0, 256, (3, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = network.features(scale(images)).clamp(min=0).mean(dim=(2, 3))  # as the package's features2
        extractor = build_extractor("xrv_densenet121_all", weights)
        assert extractor.num_features == 1024 and not any(module.training for module in extractor.modules())
        assert torch.allclose(extractor(images), features, atol=1e-4)
        assert torch.allclose(classifier(images), network.classifier(features), atol=1e-4)


def test_a_missing_package_is_explained(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    with pytest.raises(InputError, match=f"{WHERE}: needs the package torchxrayvision .*; install it"):
        load_xray_densenet(weights)


class Intruder:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_files_that_are_not_this_networks_are_named_and_run_no_code(network, tmp_path):
    intruder = Intruder()
    intruder.folder = str(tmp_path / "intruded")
    contents = {"code.pt": intruder, "tensor.pt": torch.zeros(2), "short.pt": nn.Linear(2, 2)}
    contents["other.pt"] = {name: tensor for name, tensor in network.state_dict().items() if "conv0" not in name}
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pt").write_text("no network")
    (tmp_path / "empty.pt").touch()
    for name in [*contents, "text.pt", "empty.pt", "absent.pt"]:
        with pytest.raises(InputError, match=f"{WHERE}: .*{name} does not hold the weights of densenet121-res224-all"):
            load_xray_densenet(tmp_path / name)
    assert not (tmp_path / "intruded").exists()


def test_fidelity_and_label_consistency_with_the_x_ray_network(weights, tmp_path, run_script, monkeypatch):
    """From images to scores through both scripts; labels that the network does not know are left out."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
    labels = ["Pleural Effusion", "Pneumonia|Fracture", "No Finding"]
    real = pd.DataFrame({"sample_id": list("abc"), "subject_id": list("abc"), "study_id": "", "path": paths[:3]})
    write_table(real.assign(split="p19", text="x", **{"Finding Labels": labels}), tmp_path / "images.csv")
    fake = pd.DataFrame({"image_id": list("abc"), "prompt_id": list("abc"), "repeat": 0, "text": "x"})
    write_table(fake.assign(**{"Finding Labels": labels}, path=[p.name for p in paths[3:]]), tmp_path / "samples.csv")

    extractors = {"domain": "xrv_densenet121_all"}
    common = {"resolution": 64, "batch_size": 2, "seed": 0, "extractors": extractors}
    run_script(
        "real_features",
        input={"images": tmp_path / "images.csv", "prompts": [], "general": [], "domain": weights},
        params={**common, "split": "p19", "n": 3},
        output={"features": tmp_path / "real.npz"},
    )
    # the distance itself takes seconds with so many features
    monkeypatch.setattr("tradeoffs.evaluation.fidelity.frechet_distance", lambda real, fake: real.size + fake.size)
    seen = []
    see = XRayDenseNet.features
    monkeypatch.setattr(XRayDenseNet, "features", lambda self, images: [seen.append(len(images)), see(self, images)][1])
    run_script(
        "score_fidelity",
        input={"samples": [tmp_path / "samples.csv"], "real": tmp_path / "real.npz", "general": [], "domain": weights},
        params={**common, "step": 6, "kid": {"kid_subset_size": 2, "kid_subsets": 1}},
        wildcards={"dataset": "cxr", "variant": "frozen", "seed": "0"},
        output={"scores": tmp_path / "fidelity.csv"},
    )
    scores = pd.read_csv(tmp_path / "fidelity.csv")
    assert set(scores[["dataset", "variant", "seed", "step"]].itertuples(index=False, name=None)) == {
        ("cxr", "frozen", 0, 6)
    }
    scores = scores.set_index("metric")
    assert scores["value"]["fid_domain"] == 6 * 1024 and scores["n"]["fid_domain"] == 3
    findings = {"label_auc_Pleural Effusion", "label_auc_Pneumonia"}
    assert {name for name in scores.index if name.startswith("label_auc_")} == findings
    assert scores["n"]["label_auc"] == 2 and sum(seen) == 3  # one pass of the network for both
    assert scores["value"]["label_auc"] == pytest.approx(scores["value"][sorted(findings)].mean(), abs=1e-5)
