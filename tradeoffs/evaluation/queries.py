"""From the words of a query to the tokens of a text, and from those to one heat map."""

from collections.abc import Sequence

import numpy as np

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.data.words import places_of
from tradeoffs.protocols import Protocol

MATCHED = "matched"
ALL_TOKENS = "all tokens"
IMAGE_MAP = "image map"  # of an external method: one map of the image, whatever the finding


class Excluded(Exception):
    """A sample that cannot be scored; the message is the reason that the score table records."""


def token_weights(maps: TokenHeatMaps, words: Sequence[str], protocol: Protocol) -> tuple[np.ndarray, str]:
    """Weights (k,) of the tokens, summing to 1, and how they were found: "matched" or "all tokens".

    corrected: the tokens that overlap a whole-word occurrence of any query word, each once, with equal weight.
    published: one hit per query word and space-separated word that contains it; the mean over the hits of the mean
    over each hit's tokens, so that a word hit twice counts twice (docs/differences.md, row 9).
    In both, a text without any query word is queried by all its tokens. Where findings' names were put into the text,
    a hit is each whole name with a query word (original: the span that it inserted), and other words do not count.

    Raises Excluded if the text has no tokens, or the query lies beyond the text encoder's context. In published a
    single hit beyond it is enough, because its mean over no token is NaN (row 7); corrected uses the hits within.
    """
    if not maps.tokens:
        raise Excluded("no text")
    hits = [_tokens_in(maps, *place) for place in _places(maps, words, protocol)]
    if not hits:
        return np.full(len(maps.tokens), 1 / len(maps.tokens)), ALL_TOKENS
    inside = [hit for hit in hits if hit.any()]
    if not inside or (protocol.whole_query_inside and len(inside) < len(hits)):
        raise Excluded("query beyond the text encoder's context")
    if not protocol.words_by_substring:
        inside = [np.any(inside, axis=0)]
    return np.mean([hit / hit.sum() for hit in inside], axis=0), MATCHED


def query_map(maps: TokenHeatMaps, weights: np.ndarray) -> np.ndarray:
    """Heat map (h, w) of a query: the weighted mean of the token maps."""
    return np.tensordot(weights, maps.heat, axes=1)


def _places(maps: TokenHeatMaps, words: Sequence[str], protocol: Protocol) -> list[tuple[int, int]]:
    if not len(maps.names):
        return places_of(maps.text, words, protocol)
    return [(start, end) for start, end in maps.names if places_of(maps.text[start:end], words, protocol)]


def _tokens_in(maps: TokenHeatMaps, start: int, end: int) -> np.ndarray:
    return (maps.spans[:, 0] < end) & (maps.spans[:, 1] > start)
