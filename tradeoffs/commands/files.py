"""What the commands write to their output folder: pictures of heat maps, and the maps themselves."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from tradeoffs.attention.heat_maps import TokenHeatMaps, save_heat_maps
from tradeoffs.commands.box_scores import Box, box_mask
from tradeoffs.commands.generate import GeneratedImage
from tradeoffs.commands.heat_map import ImageHeatMap, map_of_words
from tradeoffs.evaluation.map_scores import resized
from tradeoffs.evaluation.queries import Excluded
from tradeoffs.files import atomic_path
from tradeoffs.paper.pictures import Cell, Row, image_grid
from tradeoffs.paper.style import HEAT
from tradeoffs.protocols import CORRECTED

COLUMNS = 6
NOTE = (
    "Colour: where the U-Net's cross-attention is on the token, from the map's lowest value (dark) to its highest "
    "(bright), so that colours of two maps do not compare."
)


def write_heat_map(found: ImageHeatMap, folder: Path, box: Box | None = None) -> list[Path]:
    """Writes overlay.png, token_maps.npz and a PNG a token; returns the paths."""
    outline = None if box is None else box_mask(found, box)
    resolution = len(found.pixels)
    asked = ", ".join(found.words) or "all tokens"
    cells = [Cell(found.pixels, "image", outline), Cell(found.pixels, asked, outline, scaled(found.heat, resolution))]
    cells += [
        Cell(found.pixels, readable_token(token), outline, scaled(heat, resolution))
        for token, heat in zip(found.maps.tokens, found.maps.heat, strict=True)
    ]
    rows = [Row("", cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    note = f"{NOTE} Outline: the box." if box else NOTE
    overlay = write_grid(rows, [f"Text: {found.maps.text}.", note], folder / "overlay.png")
    return [overlay, write_maps([found.maps], "text", folder), *write_tokens(found.maps, folder / "tokens", resolution)]


def write_generated(drawn: Sequence[GeneratedImage], words: Sequence[str], folder: Path) -> list[Path]:
    """Writes overlay.png (a row an image), each image, token_maps.npz and a PNG a token and image; returns the paths.

    words: words of the text whose map stands beside each image in overlay.png, apart from the single tokens'
    """
    paths, rows = [], []
    for number, one in enumerate(drawn):
        pixels = np.asarray(one.image, dtype=np.float32) / 255
        shown = [(", ".join(words), map_of_words(one.maps, words))] if words else []
        shown += [(readable_token(token), heat) for token, heat in zip(one.maps.tokens, one.maps.heat, strict=True)]
        cells = [Cell(pixels, f"image {number}")]
        cells += [Cell(pixels, name, heat=scaled(heat, len(pixels))) for name, heat in shown]
        rows += [Row("", cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
        path = folder / f"{number}.png"
        with atomic_path(path) as temporary:
            one.image.save(temporary)
        paths += [path, *write_tokens(one.maps, folder / f"tokens_{number}", len(pixels))]
    text = f"Text: {drawn[0].maps.text}. Heat maps: the mean over all sampling steps."
    overlay = write_grid(rows, [text, NOTE], folder / "overlay.png")
    return [overlay, write_maps([one.maps for one in drawn], "text", folder), *paths]


def write_grid(rows: Sequence[Row], notes: Sequence[str], path: Path) -> Path:
    """Writes rows of cells as a picture."""
    figure = image_grid(rows, [], label_width=0.05, largest=1.1, notes=notes)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return path


def write_maps(maps: Sequence[TokenHeatMaps], text: str, folder: Path) -> Path:
    """Writes token heat maps in the format of a run's (see docs/outputs.md)."""
    save_heat_maps(folder / "token_maps.npz", {text: list(maps)})
    return folder / "token_maps.npz"


def write_tokens(maps: TokenHeatMaps, folder: Path, resolution: int) -> list[Path]:
    """Writes each token's map alone, in colour, with its place in the text and its name in the file's."""
    paths = []
    for place, (token, heat) in enumerate(zip(maps.tokens, maps.heat, strict=True)):
        paths.append(folder / f"{place:02d}_{re.sub(r'[^A-Za-z0-9]+', '', readable_token(token)) or 'token'}.png")
        colours = matplotlib.colormaps[HEAT](scaled(heat, resolution), bytes=True)[..., :3]
        with atomic_path(paths[-1]) as temporary:
            Image.fromarray(colours).save(temporary)
    return paths


def scaled(heat: np.ndarray, resolution: int) -> np.ndarray:
    """The map (h, w) from its lowest value, 0, to its highest, 1, at (resolution, resolution); 0 for a constant map."""
    try:
        return resized(heat, resolution, CORRECTED)
    except Excluded:
        return np.zeros((resolution, resolution), np.float32)


def readable_token(token: str) -> str:
    """A token without the marks of its tokenizer for the ends of words."""
    return token.removesuffix("</w>").lstrip("Ġ▁").removeprefix("##")
