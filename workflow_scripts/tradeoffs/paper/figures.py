"""Figures from images and tables."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from tradeoffs.data.images import Geometry, central_square

BOX_COLOUR = "#f0a000"


@dataclass(frozen=True)
class Picture:
    """An image file with its caption and the boxes [x, y, w, h] (in the file's own pixels) to draw on it."""

    path: str
    caption: str
    boxes: Sequence[Sequence[float]] = ()


def sheet(rows: dict[str, Sequence[Picture]], resolution: int) -> Figure:
    """A grid of images as the model sees them (central squares at `resolution`), one named row per key."""
    columns = max(map(len, rows.values()))
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(2.1 * columns, 2.5 * len(rows)), layout="constrained", squeeze=False
    )
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(name, fontsize=10)
        for axis in row:
            axis.set(xticks=[], yticks=[], frame_on=False)
        for axis, picture in zip(row, pictures, strict=False):
            with Image.open(picture.path) as image:
                geometry = Geometry(*image.size, resolution)
                axis.imshow(central_square(image.convert("RGB"), resolution), interpolation="nearest")
            for x0, y0, x1, y1 in filter(None, (geometry.box(*box) for box in picture.boxes)):
                axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=BOX_COLOUR, lw=1.2))
            axis.set_title("\n".join(textwrap.wrap(picture.caption, 34)[:3]), fontsize=7)
    return figure
