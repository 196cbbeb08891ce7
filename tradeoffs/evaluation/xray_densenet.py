"""The chest X-ray DenseNet121 of torchxrayvision (Cohen et al., 2022), trained on seven data sets: the original's.

The package is optional: without `evaluation.extractors.xrv_densenet121_all` nothing here is imported.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_WEIGHTS

KEY = "evaluation.extractors.xrv_densenet121_all"
INPUT_SIZE = 224
NAMES = {"Effusion": "Pleural Effusion"}  # where torchxrayvision's name of a finding is not CheXpert's


class XRayDenseNet(nn.Module):
    """Features and logits of torchxrayvision's densenet121-res224-all; the counterpart of FindingsClassifier.

    Logits, not the package's calibrated scores: those need thresholds that AUC-ROC does not.
    """

    num_features = 1024

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.labels = [NAMES.get(name, name) for name in network.targets]

    def features(self, images: Tensor) -> Tensor:
        """(n, 1024) from uint8 images (n, 3, H, W)."""
        return F.adaptive_avg_pool2d(self.network.features(scale(images)).relu(), 1).flatten(1)

    def logits(self, features: Tensor) -> Tensor:
        """(n, labels) from features (n, 1024)."""
        return self.network.classifier(features)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, labels) from uint8 images (n, 3, H, W)."""
        return self.logits(self.features(images))


def scale(images: Tensor) -> Tensor:
    """The network's input, grey (n, 1, 224, 224) in [-1024, 1024], from uint8 images (n, 3, H, W)."""
    grey = images.float().mean(dim=1, keepdim=True)
    resized = F.interpolate(grey, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
    return (resized / 127.5 - 1) * 1024


def load_xray_densenet(weights: str | Path) -> XRayDenseNet:
    """The network with the weights of a file, in evaluation mode.

    weights: the package's own file (a pickled network, of which nothing but its layers is let in) or a state dict
    Raises InputError if the package is not installed, or if the file is broken or not exactly this network's.
    """
    try:
        from torchxrayvision import models
    except ImportError as error:
        raise InputError(
            f"{KEY}: needs the package torchxrayvision ({error}); install it beside this torch, or remove the key to "
            "use the findings classifier"
        ) from error
    layers = [nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Linear]
    own = [models.DenseNet, models._DenseBlock, models._DenseLayer, models._Transition]
    try:
        with torch.serialization.safe_globals([*layers, *own]):
            stored = torch.load(weights, map_location="cpu", weights_only=True)
        network = models.DenseNet()
        network.load_state_dict(stored.state_dict() if isinstance(stored, nn.Module) else stored)
    except UNREADABLE_WEIGHTS as error:
        raise InputError(
            f"{KEY}: {weights} does not hold the weights of densenet121-res224-all ({_first_line(error)}); download "
            "the file again, or, if you trust it, store its state dict: "
            "torch.save(torch.load(file, weights_only=False).state_dict(), other_file)"
        ) from error
    return XRayDenseNet(network).eval()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
