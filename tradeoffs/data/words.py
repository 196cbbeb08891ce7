"""The words that ask for a finding or a class, and where they stand in a text, in both protocols."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from tradeoffs.data.coco_categories import query_words as coco_words
from tradeoffs.data.findings import QUERY_WORDS
from tradeoffs.protocols import Protocol

Place = tuple[int, int]  # start and end character


_OF_FINDINGS = {finding.lower(): words for finding, words in QUERY_WORDS.items()}


def query_words(category: str, protocol: Protocol, given: str = "") -> tuple[str, ...]:
    """The words that ask for a category: those given (joined by "|"), else its default ones.

    These are a finding's of MS-CXR (the original's, however the name is written), or for another finding or a COCO
    class its name and, in corrected, its plural (row 10). A name such as Nodule/Mass stands for each of its parts.
    """
    if given:
        return tuple(given.split("|"))
    if category.lower() in _OF_FINDINGS:
        return _OF_FINDINGS[category.lower()]
    names = category.split("/")
    return tuple(names) if protocol.words_by_substring else tuple(word for name in names for word in coco_words(name))


def with_words(grounding: pd.DataFrame, given: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The grounding table with a column `words`: those given for the row's category, joined by "|", or ""."""
    words = {category: "|".join(words) for category, words in given.items()}
    return grounding.assign(words=[words.get(category, "") for category in grounding["category"]])


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


def is_named(text: str, category: str, protocol: Protocol, given: str = "") -> bool:
    """Whether a text has one of the category's query words (given: see `query_words`)."""
    return bool(places_of(text, query_words(category, protocol, given), protocol))
