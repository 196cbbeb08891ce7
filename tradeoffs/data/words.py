"""The words that ask for a finding or a class, and where they stand in a text, in both protocols."""

import re
from collections.abc import Sequence

from tradeoffs.data.coco_categories import query_words as coco_words
from tradeoffs.data.findings import QUERY_WORDS
from tradeoffs.protocols import Protocol

Place = tuple[int, int]  # start and end character


def query_words(category: str, protocol: Protocol) -> tuple[str, ...]:
    """Words of a finding (the original's), or of a COCO class: its name and, in corrected, its plural (row 10)."""
    if category in QUERY_WORDS:
        return QUERY_WORDS[category]
    return (category,) if protocol.words_by_substring else coco_words(category)


def places_of(text: str, words: Sequence[str], protocol: Protocol) -> list[Place]:
    """Where the words stand in a text, word by word (docs/differences.md, rows 9 and 10).

    corrected: whole words. published: every space-separated word that contains the query word, so that "car" is found
    in "carrot" and a name of two words never.
    """
    if not protocol.words_by_substring:
        return [match.span() for word in words for match in re.finditer(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)]
    return [
        match.span()
        for word in words
        for match in re.finditer("[^ ]+", text)  # the original splits at spaces, not at line ends
        if word.lower() in match.group().lower()
    ]


def is_named(text: str, category: str, protocol: Protocol) -> bool:
    """Whether a text has one of the category's query words."""
    return bool(places_of(text, query_words(category, protocol), protocol))
