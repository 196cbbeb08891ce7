"""Grounding tables and heat maps of 4 x 4 pixels, for scores that are worked out by hand."""

import numpy as np
import pandas as pd

from tradeoffs.attention.heat_maps import TokenHeatMaps

LEFT_HALF = [[0, 0, 2, 4]]  # x, y, w, h


def grounding(*rows: dict) -> pd.DataFrame:
    """A grounding table of 4 x 4 images; phrase ids count per image from 0."""
    defaults = {"subject_id": "p", "category": "Edema", "phrase": "edema", "boxes": LEFT_HALF, "text": "Edema."}
    defaults |= {"sample_id": "a", "image_width": 4, "image_height": 4, "mask": ""}
    table = pd.DataFrame([defaults | row for row in rows])
    table["part"] = table.get("part", pd.Series("test", table.index)).fillna("test")
    table["text_id"] = table.get("text_id", table["sample_id"])
    table["phrase_id"] = table["sample_id"] + "-" + table.groupby("sample_id").cumcount().astype(str)
    return table


def maps_of(name: str, text: str, **token_maps: list[float]) -> dict[str, TokenHeatMaps]:
    """One text's maps; a token's map is given by the value of each of its four columns."""
    spans = [(text.index(token), text.index(token) + len(token)) for token in token_maps]
    heat = np.array([np.tile(columns, (4, 1)) for columns in token_maps.values()], np.float32)
    return {name: TokenHeatMaps(name, text, list(token_maps), np.array(spans), heat, len(text))}


def boolean(*rows: str) -> np.ndarray:
    """A mask from rows of text, # for what is inside."""
    return np.array([[character == "#" for character in row] for row in rows])
