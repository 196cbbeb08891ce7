"""How well the heat map of words on one image points into a box, beside its controls."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tradeoffs.commands.heat_map import ImageHeatMap, map_of_words
from tradeoffs.data.coco_categories import COCO_NAMES
from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.data.images import Geometry, image_size, mask_corrected
from tradeoffs.data.tables import read_grounding
from tradeoffs.data.words import places_of, query_words
from tradeoffs.errors import InputError
from tradeoffs.evaluation.controls import prior_map, small_masks
from tradeoffs.evaluation.localisation import samples
from tradeoffs.evaluation.map_scores import score
from tradeoffs.evaluation.queries import Excluded
from tradeoffs.metrics import SCORES
from tradeoffs.protocols import CORRECTED

KINDS = WORDS, ANOTHER_WORD, ALL_TOKENS, EXCHANGED, PRIOR = (
    *("words", "another word of the text", "all tokens", "another word in their place", "location prior"),
)
COLUMNS = ["kind", "of", *SCORES, "excluded"]

Box = tuple[float, float, float, float]


def box_scores(
    found: ImageHeatMap,
    box: Box,
    exchanged: ImageHeatMap | None = None,
    grounding: str | Path | None = None,
    category: str | None = None,
) -> pd.DataFrame:
    """Scores (columns COLUMNS) of a heat map against a box in the corrected protocol; the first row is the map's, the
    others are its controls: the map of each other word of the text, of all tokens, of another word in the place of the
    words (`exchanged`, see `exchange`), and the location prior of the same image.

    box: x, y, w, h in pixels of the image file, origin top left
    grounding: a grounding table for the prior, the mean box of `category` in its other subjects; None: no prior
    category: a finding of MS-CXR or a class of COCO; None: the one that the words ask for
    A map that cannot be scored has the reason in `excluded`.

    Raises InputError for a box outside of the image or of its central square, and for a prior that cannot be made.
    """
    mask = box_mask(found, box)
    maps = [(WORDS, ", ".join(found.words) or "all tokens", found.heat)]
    maps += [(ANOTHER_WORD, word, map_of_words(found.maps, [word])) for word in other_words(found)]
    if found.words:
        maps.append((ALL_TOKENS, found.maps.text, found.maps.heat.mean(axis=0)))
    if exchanged is not None:
        maps.append((EXCHANGED, ", ".join(exchanged.words), exchanged.heat))
    if grounding is not None:
        category = category or category_of(found.words)
        maps.append((PRIOR, category, _prior(found, grounding, category)))
    return pd.DataFrame([_row(kind, of, heat, mask) for kind, of, heat in maps], columns=COLUMNS)


def box_mask(found: ImageHeatMap, box: Box) -> np.ndarray:
    """The box in the square that the model sees, bool (r, r); raises InputError if it is not within."""
    width, height = image_size(found.path)
    x, y, w, h = box
    if min(x, y) < 0 or min(w, h) <= 0 or x + w > width or y + h > height:
        raise InputError(f"box: {box} is not x, y, w, h within {found.path}, which has {width} x {height} pixels")
    mask = mask_corrected([box], Geometry(width, height, len(found.pixels)))
    if not mask.any() or mask.all():
        what = "fills" if mask.any() else "is outside of"
        raise InputError(f"box: {box} {what} the central square of {found.path}, which the model sees; give another")
    return mask


def other_words(found: ImageHeatMap) -> list[str]:
    """The words of the text that are not asked for and are within the context, each once; none if no word is."""
    asked = places_of(found.maps.text, found.words, CORRECTED)
    words: dict[str, str] = {}
    for match in re.finditer(r"\w+", found.maps.text) if found.words else ():
        start, end = match.span()
        if end <= found.maps.truncated_at and not any(start < other and first < end for first, other in asked):
            words.setdefault(match.group().lower(), match.group())
    return list(words.values())


def exchange(text: str, words: Sequence[str], other: str) -> str:
    """The text with `other` in the place of each occurrence of the words."""
    for start, end in sorted(places_of(text, words, CORRECTED), reverse=True):
        text = text[:start] + other + text[end:]
    return text


def category_of(words: Sequence[str]) -> str:
    """The finding or class that has one of the words as its query word; raises InputError if there is none."""
    asked = {word.lower() for word in words}
    for category in (*MSCXR_FINDINGS, *COCO_NAMES):
        if asked & set(query_words(category, CORRECTED)):
            return category
    raise InputError(
        f"category: the words {', '.join(words) or '(none)'} ask for no finding of MS-CXR or class of COCO; name the "
        "one whose location prior is meant"
    )


def _prior(found: ImageHeatMap, grounding: str | Path, category: str) -> np.ndarray:
    table = read_grounding(grounding)
    here = set(table.loc[table["path"].map(lambda path: Path(path).stem) == found.maps.id, "subject_id"])
    rows = samples(table[table["category"] == category], "phrase", CORRECTED, len(found.pixels))
    try:
        return prior_map(small_masks(rows, len(found.heat))[category], here)
    except Excluded as reason:
        raise InputError(f"{grounding}: {category}: {reason}; give another table or category") from reason


def _row(kind: str, of: str, heat: np.ndarray, mask: np.ndarray) -> dict:
    row = {"kind": kind, "of": of, "excluded": ""}
    try:
        return row | score(heat, mask, CORRECTED, single_box=True)
    except Excluded as reason:
        return row | {"excluded": str(reason)}
