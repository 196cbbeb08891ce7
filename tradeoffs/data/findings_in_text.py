"""Texts that carry the names of an image's findings, and where the names stand in them.

The original's further ways of conditioning: names put before the impression or between its first words (its option
`rali`), or the names alone, one token each (`multi_label_finetuning`, see tradeoffs.model.finding_tokens).
"""

import re
from collections.abc import Sequence

import numpy as np

from tradeoffs.data.findings import NO_FINDING

FIRST, RANDOM, TOKENS = "findings_first", "findings_random", "finding_tokens"
LAST_PLACE = 5  # of the original: before one of the first words, counted from 0, both ends included
Place = tuple[int, int]  # start and end character


def text_with_findings(kind: str, text: str, findings: Sequence[str], rng: np.random.Generator) -> str:
    """The text of an image with its findings' names, in random order (original: `FrozenOpenCLIPEmbedder.forward`).

    kind: "findings_first": the names before the text; "findings_random": before one of its first words, drawn evenly
      from 0 to `LAST_PLACE`; "finding_tokens": the names only, joined by "|"
    Without a finding the name is "No Finding".
    """
    names = [findings[place] for place in rng.permutation(len(findings))] or [NO_FINDING]
    if kind == TOKENS:
        return "|".join(names)
    words = text.split()
    place = 0 if kind == FIRST else int(rng.integers(LAST_PLACE + 1))
    return " ".join([*words[:place], *names, *words[place:]])


def places_of_findings(kind: str, text: str, findings: Sequence[str]) -> dict[str, Place]:
    """Where the names that `text_with_findings` put into a text stand, by finding.

    findings: those that it was given; all of them stand there, one after the other, once
    Words of the report that mean the same are not asked for, as in the original.
    """
    between = re.escape("|" if kind == TOKENS else " ")
    name = "|".join(re.escape(finding) for finding in sorted(findings, key=len, reverse=True))
    for start in re.finditer(rf"(?<!\S)(?=({name})(?:{between}(?:{name})){{{len(findings) - 1}}}(?!\S))", text):
        places = {match.group(): match.span() for match in _names(name, between, text, start.start(), len(findings))}
        if len(places) == len(findings):
            return places
    raise ValueError(f"{text!r} does not carry {', '.join(findings)}")


def _names(name: str, between: str, text: str, start: int, count: int) -> list[re.Match]:
    """The `count` names that stand one after the other from a character on."""
    matches = []
    for _ in range(count):
        match = re.compile(name).match(text, start)
        assert match is not None
        matches.append(match)
        start = match.end() + 1
    return matches
