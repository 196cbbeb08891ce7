"""Texts that carry the names of an image's findings, and where the names stand in them.

The original's further ways of conditioning: names put before the impression or between its first words (its option
`rali`), or the names alone, one token each (`multi_label_finetuning`, see tradeoffs.model.finding_tokens).
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tradeoffs.data.findings import FIRST, KINDS, MSCXR_FINDINGS, NO_FINDING, TOKENS
from tradeoffs.data.words import places_of, query_words
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import numpy_rng

FINDINGS = (NO_FINDING, *MSCXR_FINDINGS)  # the original's nine, in its order; other labels are left unsaid
LAST_PLACE = 5  # of the original: before one of the first words, counted from 0, both ends included
Place = tuple[int, int]  # start and end character


def findings_of(labels: str) -> list[str]:
    """Of an image's Finding Labels, joined by "|", those of FINDINGS; "No Finding" for an image without labels."""
    return [label for label in labels.split("|") if label in FINDINGS] if labels else [NO_FINDING]


def text_with_findings(kind: str, text: str, findings: Sequence[str], rng: np.random.Generator) -> str:
    """The text of an image with its findings' names, in random order (original: `FrozenOpenCLIPEmbedder.forward`).

    kind: "findings_first": the names before the text; "findings_random": before one of its first words, drawn evenly
      from 0 to `LAST_PLACE`; "finding_tokens": the names only, joined by "|"
    Without a finding the text stays as it is, and the names only are "|", which says that all are absent.
    """
    names = [findings[place] for place in rng.permutation(len(findings))]
    if kind == TOKENS:
        return "|".join(names) or "|"
    words = text.split()
    place = 0 if kind == FIRST else int(rng.integers(LAST_PLACE + 1))
    return " ".join([*words[:place], *names, *words[place:]])


def places_of_findings(kind: str, text: str, findings: Sequence[str]) -> dict[str, Place]:
    """Where the names that `text_with_findings` put into a text stand, by finding.

    findings: those that it was given; all of them stand there, one after the other, once
    Raises ValueError if they do not.
    Words of the report that mean the same are not asked for, as in the original.
    """
    if not findings:
        return {}
    between = re.escape("|" if kind == TOKENS else " ")
    name = "|".join(re.escape(finding) for finding in sorted(findings, key=len, reverse=True))
    for start in re.finditer(rf"(?<!\S)(?=({name})(?:{between}(?:{name})){{{len(findings) - 1}}}(?!\S))", text):
        places = {match.group(): match.span() for match in _names(name, between, text, start.start(), len(findings))}
        if len(places) == len(findings):
            return places
    raise ValueError(f"{text!r} does not carry {', '.join(findings)}")


def places_to_attend(kind: str, text: str, labels: str) -> list[Place]:
    """Where a training text speaks of an image's findings: their names that were put into it, or their query words.

    labels: the image's Finding Labels, joined by "|". "No Finding" is nothing to attend to (original: the same).
    """
    if kind in KINDS:
        places = places_of_findings(kind, text, findings_of(labels))
        return [place for finding, place in places.items() if finding != NO_FINDING]
    findings = [label for label in labels.split("|") if label in MSCXR_FINDINGS]
    return [place for finding in findings for place in places_of(text, query_words(finding, CORRECTED), CORRECTED)]


def with_names(kind: str, rows: pd.DataFrame, id_column: str, text_column: str) -> pd.DataFrame:
    """The texts of heat maps for a variant: one row per id of a table, with columns id, sample_id, text, names.

    kind: of the variant's texts. Of those in KINDS the categories of an id's rows are put into its text, in an order
      and at a place that depend on the id only, and `names` has their places; of others `names` is empty.
    """
    texts = []
    for name, of_id in rows.groupby(id_column, sort=False):
        text, places = of_id[text_column].iloc[0], {}
        if kind in KINDS:
            findings = list(of_id["category"].unique())
            text = text_with_findings(kind, text, findings, numpy_rng("findings in a text", str(name)))
            places = places_of_findings(kind, text, findings)
        texts.append((name, of_id["sample_id"].iloc[0], text, list(places.values())))
    return pd.DataFrame(texts, columns=["id", "sample_id", "text", "names"])


def _names(name: str, between: str, text: str, start: int, count: int) -> list[re.Match]:
    """The `count` names that stand one after the other from a character on."""
    matches = []
    for _ in range(count):
        match = re.compile(name).match(text, start)
        assert match is not None
        matches.append(match)
        start = match.end() + 1
    return matches
