"""Images as tensors, and boxes brought along: shorter side resized to the resolution, then the central square."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from pycocotools import mask as coco_mask

from tradeoffs.errors import InputError

Box = Sequence[float]  # x, y, w, h in pixels, origin top left; pixel i covers [i, i + 1)


@dataclass(frozen=True)
class Geometry:
    """How an image of width x height pixels becomes a square of `resolution` pixels.

    The rounding is that of torchvision's Resize and CenterCrop, which the original uses.
    """

    width: int
    height: int
    resolution: int

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height after the shorter side became `resolution`."""
        shorter = min(self.width, self.height)
        return self.resolution * self.width // shorter, self.resolution * self.height // shorter

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top edge of the central square in the resized image."""
        width, height = self.resized
        return round((width - self.resolution) / 2), round((height - self.resolution) / 2)

    def box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float] | None:
        """Corners x0, y0, x1, y1 of a box in the square, in its pixels and clipped to it; None if nothing is left."""
        scale_x, scale_y = self.resized[0] / self.width, self.resized[1] / self.height
        left, top = self.offset
        x0, x1 = (min(max(edge * scale_x - left, 0.0), float(self.resolution)) for edge in (x, x + w))
        y0, y1 = (min(max(edge * scale_y - top, 0.0), float(self.resolution)) for edge in (y, y + h))
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def mask_corrected(boxes: Sequence[Box], geometry: Geometry) -> np.ndarray:
    """Union of the boxes in the square: bool (r, r), true where a pixel's centre is inside a transformed box.

    docs/differences.md, row 4. Empty if every box was cropped away (row 5: such a row is excluded).
    """
    centres = np.arange(geometry.resolution) + 0.5
    mask = np.zeros((geometry.resolution, geometry.resolution), dtype=bool)
    for box in boxes:
        corners = geometry.box(*box)
        if corners is not None:
            x0, y0, x1, y1 = corners
            mask |= np.outer((y0 <= centres) & (centres < y1), (x0 <= centres) & (centres < x1))
    return mask


def mask_published(boxes: Sequence[Box], geometry: Geometry) -> np.ndarray:
    """Union of the boxes in the square as the original makes it: bool (r, r).

    docs/differences.md, row 4: a bool mask in original pixels goes through torchvision's Resize (bilinear, antialiased)
    and back to bool, so every pixel counts whose filter touches a box. Boxes of integer pixels, as MS-CXR's.
    """
    full = np.zeros((geometry.height, geometry.width), dtype=bool)
    for box in boxes:
        x, y, w, h = map(int, box)
        full[y : y + h, x : x + w] = True
    return resized_mask(full, geometry) > 0


def resized_mask(full: np.ndarray, geometry: Geometry) -> np.ndarray:
    """How much of each pixel of the square a mask covers: float32 (r, r) in 0..1 from bool (height, width).

    The mask is resized as the image is (bilinear, antialiased).
    """
    pixels = torch.from_numpy(full.astype(np.float32))[None, None]
    width, height = geometry.resized
    resized = torch.nn.functional.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)[0, 0]
    left, top = geometry.offset
    return resized[top : top + geometry.resolution, left : left + geometry.resolution].numpy()


def decoded_mask(encoded: str) -> np.ndarray:
    """Bool (height, width) from a grounding table's run-length encoded mask."""
    return coco_mask.decode(json.loads(encoded)).astype(bool)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image file as it is meant to be seen, from its header.

    Raises InputError if the file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return image.size
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def load_image(path: str | Path, resolution: int) -> torch.Tensor:
    """The central square of an image file at `resolution`: float32 (3, r, r) in [-1, 1].

    Reads 8-bit grey, colour and CMYK, and 16-bit grey, whose whole range 0..65535 becomes 0..255.
    Raises InputError if the file is missing, truncated, no image, or of another pixel type.
    """
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _to_rgb(image)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    pixels = torch.from_numpy(np.array(central_square(rgb, resolution), dtype=np.float32))
    return (pixels / 127.5 - 1.0).permute(2, 0, 1).contiguous()


def central_square(image: Image.Image, resolution: int) -> Image.Image:
    """The image with its shorter side resized to `resolution`, cropped to the central square."""
    geometry = Geometry(*image.size, resolution)
    left, top = geometry.offset
    resized = image.resize(geometry.resized, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + resolution, top + resolution))


# Pillow raises SyntaxError for some broken files
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def _unreadable(path: str | Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read as an image ({error}); download the file again or remove its row")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("grey values are not within 16 bits")
        image = Image.fromarray(np.round(values / (65535 / 255)).astype(np.uint8))  # convert("RGB") alone clips at 255
    return image.convert("RGB")
