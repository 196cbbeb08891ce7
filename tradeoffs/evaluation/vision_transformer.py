"""Features of a self-supervised vision transformer in transformers' layout: DINOv2, or RAD-DINO for radiographs.

Stein et al. (2023) find that distances in these features agree better with people than Inception's.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Dinov2Model

from tradeoffs.errors import InputError
from tradeoffs.model.declared import read_json
from tradeoffs.model.weights import load_strictly

KEY = "evaluation.extractors.dinov2"
PREPROCESSOR = "preprocessor_config.json"
FILTERS = {2: "bilinear", 3: "bicubic"}  # by Pillow's number


class VisionTransformer(nn.Module):
    """The normalised class token of a Dinov2Model; scales its input as the folder's preprocessor_config.json says.

    Raises InputError if the folder is not such a model's, whole, or asks for a scaling that is unknown here.
    """

    def __init__(self, folder: str | Path):
        super().__init__()
        folder = Path(folder)
        kind = read_json(folder / "config.json").get("model_type")
        if kind != "dinov2":
            raise InputError(f"{KEY}: {folder} holds a model of the kind {kind!r}; give the folder of a dinov2")
        self.network = load_strictly(Dinov2Model, folder)
        self.num_features = self.network.config.hidden_size
        declared = read_json(folder / PREPROCESSOR)
        self.size, self.crop, self.filter = _geometry(folder / PREPROCESSOR, declared)
        for name, plain in (("image_mean", 0.0), ("image_std", 1.0)):
            values = declared[name] if declared.get("do_normalize", True) else [plain] * 3
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def scale(self, images: Tensor) -> Tensor:
        """The network's input (n, 3, crop, crop) from square uint8 images (n, 3, H, H)."""
        resized = F.interpolate(images.float(), size=(self.size, self.size), mode=self.filter, antialias=True)
        first = (self.size - self.crop) // 2
        cropped = resized[..., first : first + self.crop, first : first + self.crop]
        return (cropped.clamp(0, 255) / 255 - self.image_mean) / self.image_std

    def forward(self, images: Tensor) -> Tensor:
        """(n, num_features) from square uint8 images (n, 3, H, H)."""
        return self.network(self.scale(images)).pooler_output


def _geometry(file: Path, declared: dict[str, Any]) -> tuple[int, int, str]:
    """Side after resizing, side of the central crop, and the filter that a preprocessor's file declares."""
    try:
        size, crop = (_side(declared[key]) for key in ("size", "crop_size"))
        size, crop = (size, crop) if declared.get("do_center_crop", True) else (size, size)
        filtered = FILTERS[declared["resample"]]
        obeyed = declared.get("do_resize", True) and declared.get("rescale_factor", 1 / 255) == 1 / 255
        if not obeyed or crop > size or not {"image_mean", "image_std"} <= declared.keys():
            raise ValueError("it resizes not, rescales otherwise, crops more than there is, or has no image_mean")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file}: asks for a scaling of images that is unknown ({error}); give size, crop_size, resample (2 or 3), "
            "image_mean and image_std as DINOv2's file does"
        ) from error
    return size, crop, filtered


def _side(size: int | dict[str, int]) -> int:
    """The side of a square from such as 224, {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    if isinstance(size, int):
        return size
    (side,) = set(size.values())
    return side
