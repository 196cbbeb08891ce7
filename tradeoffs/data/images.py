"""Images as tensors, and boxes brought along: shorter side resized to the resolution, then the central square."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from pycocotools import mask as coco_mask

from tradeoffs.errors import InputError
from tradeoffs.files import for_each_file

_MAX_ASPECT = 32  # longer to shorter side

Box = Sequence[float]  # x, y, w, h in pixels, origin top left; pixel i covers [i, i + 1)


@dataclass(frozen=True)
class Geometry:
    """How an image of width x height pixels becomes a square of `resolution` pixels.

    whole: keep what the central square leaves out: the result is the whole resized image
    The rounding is that of torchvision's Resize and CenterCrop, which the original uses.
    """

    width: int
    height: int
    resolution: int
    whole: bool = False

    @property
    def resized(self) -> tuple[int, int]:
        """Width and height after the shorter side became `resolution`."""
        shorter = min(self.width, self.height)
        return self.resolution * self.width // shorter, self.resolution * self.height // shorter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the result."""
        return self.resized if self.whole else (self.resolution, self.resolution)

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top edge of the result in the resized image."""
        (width, height), (kept_width, kept_height) = self.resized, self.size
        return round((width - kept_width) / 2), round((height - kept_height) / 2)

    def box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float] | None:
        """Corners x0, y0, x1, y1 of a box in the result, in its pixels and clipped to it; None if nothing is left."""
        scale_x, scale_y = self.resized[0] / self.width, self.resized[1] / self.height
        left, top = self.offset
        width, height = self.size
        x0, x1 = (min(max(edge * scale_x - left, 0.0), float(width)) for edge in (x, x + w))
        y0, y1 = (min(max(edge * scale_y - top, 0.0), float(height)) for edge in (y, y + h))
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def mask_corrected(boxes: Sequence[Box], geometry: Geometry) -> np.ndarray:
    """Union of the boxes: bool of the geometry's size, true where a pixel's centre is inside a transformed box.

    docs/differences.md, row 4. Empty if every box was cropped away (row 5: such a row is excluded).
    """
    across, down = (np.arange(side) + 0.5 for side in geometry.size)
    mask = np.zeros((down.size, across.size), dtype=bool)
    for box in boxes:
        corners = geometry.box(*box)
        if corners is not None:
            x0, y0, x1, y1 = corners
            mask |= np.outer((y0 <= down) & (down < y1), (x0 <= across) & (across < x1))
    return mask


def mask_published(boxes: Sequence[Box], geometry: Geometry) -> np.ndarray:
    """Union of the boxes as the original makes it: bool of the geometry's size.

    docs/differences.md, row 4: a bool mask in original pixels goes through torchvision's Resize (bilinear, antialiased)
    and back to bool, so every pixel counts whose filter touches a box. Boxes of integer pixels, as MS-CXR's.
    """
    full = np.zeros((geometry.height, geometry.width), dtype=bool)
    for box in boxes:
        x, y, w, h = map(int, box)
        full[y : y + h, x : x + w] = True
    return resized_mask(full, geometry) > 0


def resized_mask(full: np.ndarray, geometry: Geometry) -> np.ndarray:
    """How much of each pixel of the result a mask covers: float32 in 0..1, of the geometry's size, from bool (height,
    width).

    The mask is resized as the image is (bilinear, antialiased).
    """
    pixels = torch.from_numpy(full.astype(np.float32))[None, None]
    width, height = geometry.resized
    resized = torch.nn.functional.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)[0, 0]
    left, top = geometry.offset
    kept_width, kept_height = geometry.size
    return resized[top : top + kept_height, left : left + kept_width].numpy()


def decoded_mask(encoded: str) -> np.ndarray:
    """Bool (height, width) from a grounding table's run-length encoded mask."""
    return coco_mask.decode(json.loads(encoded)).astype(bool)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image file as it is meant to be seen, from its header.

    Raises InputError if the file is missing or no image.
    """
    with _opened(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5  # by 90 degrees
        return (image.height, image.width) if turned else image.size


def load_image(path: str | Path, resolution: int) -> torch.Tensor:
    """The central square of an image file at `resolution`: float32 (3, r, r) in [-1, 1].

    Reads 8-bit grey, colour and CMYK, and 16-bit grey, whose whole range 0..65535 becomes 0..255.
    Raises InputError if the file is missing, truncated, no image, extremely large or narrow, of another pixel type, if
    it holds several pictures, or shows what is behind it.
    """
    with _opened(path) as image:
        rgb = _to_rgb(image)
    pixels = torch.from_numpy(np.array(central_square(rgb, resolution), dtype=np.float32))
    return (pixels / 127.5 - 1.0).permute(2, 0, 1).contiguous()


def check_image_files(paths: Sequence[str], max_missing: float, key: str) -> list[str]:
    """Says of each image file whether it is "missing" or "unreadable"; "" if it is neither.

    Of a JPEG only the header and the end are read, which an interrupted download lacks; what seems to lack it, and
    other formats, are decoded to be sure.
    max_missing: share of the files that may be missing or unreadable; more raise InputError
    key: of their folder in the configuration
    """
    faults = for_each_file(_file_fault, paths, "images")
    bad = [path for path, fault in zip(paths, faults, strict=True) if fault]
    check_missing(bad, len(paths), max_missing, "images", key)
    return faults


def check_missing(bad: Sequence[str], count: int, max_missing: float, kind: str, key: str) -> None:
    """Raises InputError if more than the share `max_missing` of `count` files of a kind are missing or unreadable.

    bad: those files; key: of their folder in the configuration
    """
    if len(bad) > max_missing * count:
        remedy = "complete the download or raise data.max_missing"
        if len(bad) == count:
            remedy = f"set {key} to the folder that holds them"
        raise InputError(f"{bad[0]}: {len(bad)} of {count} {kind} are missing or unreadable, this one first; {remedy}")


def check_some(folder: str | Path, names: Sequence[str], kind: str, key: str) -> None:
    """Raises InputError if, of some listed files of a kind, none is in the folder: then it is another folder's list.

    names: paths below the folder; key: of the folder in the configuration
    """
    some = names[:: max(1, len(names) // 20)]
    if some and not any(Path(folder, name).is_file() for name in some):
        raise InputError(
            f"{folder}: none of {len(some)} listed {kind} is there, such as {some[0]}; set {key} to the folder that "
            "holds them"
        )


def central_square(image: Image.Image, resolution: int) -> Image.Image:
    """The image with its shorter side resized to `resolution`, cropped to the central square."""
    geometry = Geometry(*image.size, resolution)
    left, top = geometry.offset
    resized = image.resize(geometry.resized, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + resolution, top + resolution))


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """The image of a file; whatever fails while it is read becomes an InputError."""
    try:
        with Image.open(path) as image:
            if max(image.size) > _MAX_ASPECT * min(image.size):  # would be resized to an immense one before the crop
                raise ValueError(f"{image.width} x {image.height} pixels are too narrow")
            if getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's JPEG with its small copies
                raise ValueError("it holds several pictures")
            yield image
    except Exception as error:  # of a damaged file Pillow raises almost any exception
        raise InputError(
            f"{path}: cannot be read as an image ({error}); download the file again, or delete it to do without it "
            "(data.max_missing)"
        ) from error


def _file_fault(path: str) -> str:
    try:
        with _opened(path) as image:
            if not (image.format == "JPEG" and _has_jpeg_end(path)):
                _to_rgb(image)
    except InputError as error:
        return "missing" if isinstance(error.__cause__, FileNotFoundError) else "unreadable"
    return ""


def _has_jpeg_end(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 1024))  # some writers pad
        return b"\xff\xd9" in file.read()  # cannot occur within the compressed pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("grey values are not within 16 bits")
        image = Image.fromarray(np.round(values / (65535 / 255)).astype(np.uint8))  # convert("RGB") alone clips at 255
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError("parts of it are transparent")  # whose colours nobody sees
    return image.convert("RGB")
