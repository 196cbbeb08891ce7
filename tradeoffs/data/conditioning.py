"""The texts that condition fine-tuning and sampling: impressions, captions, finding labels, sentences per finding.

Every text is made of parts, each with one or more wordings: an impression or an image's captions are one part, labels
and sentences are one part a finding. At each use a wording of each part is drawn, as the original does it
(`MimicCXRDataset.__getitem__`): of labels all in random order, of sentences that of one finding.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tradeoffs.data.findings import CHEXPERT_LABELS, KINDS, NO_FINDING, TOKENS
from tradeoffs.data.findings_in_text import findings_of, text_with_findings
from tradeoffs.data.tables import read_csv, reject_rows
from tradeoffs.errors import InputError
from tradeoffs.randomness import numpy_rng

Sentences = Mapping[str, list[str]]  # by finding
Texts = Callable[[int, np.random.Generator], str]  # the text of a row at one use

logger = logging.getLogger(__name__)

_CAPTION_COLUMNS = ["sample_id", "text"]


def conditioning(
    kind: str, table: pd.DataFrame, captions: pd.DataFrame | None = None, sentences: Sentences | None = None
) -> tuple[pd.DataFrame, Texts, dict[str, int]]:
    """What the images of a table are fine-tuned on (columns sample_id, text, Finding Labels joined by "|").

    kind: "impression": the image's text, always the same; with `captions` (see read_captions) one of the image's
      captions. "finding_labels": its labels in random order, such as "Edema Pleural Effusion", or the empty text.
      "sentences": a sentence (see read_sentences) of one of its labels, drawn at random among those that have
      sentences; without such a label one of "No Finding". Labels without sentences are logged.
      "findings_first", "findings_random", "finding_tokens": see `text_with_findings`, with the image's `findings_of`.
    Returns the rows that have a text of this kind, numbered from 0; the texts, where texts(row, rng) is that of
    rows.iloc[row] at one use and takes all randomness from rng; and counts of rows by reason.
    Raises InputError if no row has a text of this kind.
    """
    if kind in KINDS:
        return _with_findings(kind, table)
    parts, counts = _parts(kind, table, captions, sentences)
    if kind == "sentences" and sentences and NO_FINDING in sentences:
        parts = [present or [sentences[NO_FINDING]] for present in parts]
    kept = np.array([bool(present) or kind == "finding_labels" for present in parts], dtype=bool)
    rows = table[kept].reset_index(drop=True)
    counts = {"read": len(table)} | counts | {"kept": len(rows)}
    if not any(parts):
        raise InputError(f'the image table has no image with a text of the kind "{kind}" ({counts}); check its columns')
    chosen = [present for present, is_kept in zip(parts, kept, strict=True) if is_kept]
    return rows, lambda row, rng: _compose(kind, chosen[row], rng), counts


def prompt_texts(kind: str, prompts: pd.DataFrame, sentences: Sentences | None, seed: int) -> list[str]:
    """The texts of a kind from which samples of a prompt list are drawn.

    kind: as in `conditioning`, but each prompt needs labels of its own; an impression is the prompt's own text
    prompts: columns prompt_id, text, Finding Labels
    A prompt's text depends on (seed, prompt_id) only. Raises InputError for a prompt without a text of this kind.
    """
    if kind in KINDS:
        rows = zip(prompts["prompt_id"], prompts["text"], prompts["Finding Labels"], strict=True)
        return [
            text_with_findings(kind, text, findings_of(labels), numpy_rng(seed, "prompt text", prompt_id))
            for prompt_id, text, labels in rows
        ]
    parts, _ = _parts(kind, prompts, None, sentences)
    for prompt_id, labels, present in zip(prompts["prompt_id"], prompts["Finding Labels"], parts, strict=True):
        if not present:
            needed = {
                "impression": "give it a text",
                "finding_labels": "give it Finding Labels",
                "sentences": f"give it one of the Finding Labels that have sentences ({', '.join(sentences or ())})",
            }
            raise InputError(
                f"prompt {prompt_id!r} with Finding Labels {labels!r} has no text of the kind {kind!r}; {needed[kind]} "
                "in your prompt list (data.prompts)"
            )
    return [
        _compose(kind, present, numpy_rng(seed, "prompt text", prompt_id))
        for prompt_id, present in zip(prompts["prompt_id"], parts, strict=True)
    ]


def _with_findings(kind: str, table: pd.DataFrame) -> tuple[pd.DataFrame, Texts, dict[str, int]]:
    """What `conditioning` returns for the kinds of tradeoffs.data.findings_in_text."""
    rows = table if kind == TOKENS else table[table["text"].str.strip() != ""]
    rows = rows.reset_index(drop=True)
    if rows.empty:
        raise InputError(f'the image table has no image with a text for the kind "{kind}"; check its column text')
    findings = [findings_of(labels) for labels in rows["Finding Labels"]]
    counts = {"read": len(table), "no text": len(table) - len(rows), "kept": len(rows)}
    return rows, lambda row, rng: text_with_findings(kind, rows["text"][row], findings[row], rng), counts


def read_sentences(path: str | Path) -> dict[str, list[str]]:
    """Reads sentences per finding: a CSV with one column per finding (CheXpert's labels), one sentence per cell.

    Columns may differ in length; empty cells are ignored.
    Raises InputError for a missing file, no column named after a finding, a column of another name, a column that
    occurs twice or one without a sentence.
    """
    remedy = f"give a CSV with a column of sentences per finding ({', '.join(CHEXPERT_LABELS)})"
    table = read_csv(path, [], remedy)
    names = table.columns.str.replace(r"\.\d+$", "", regex=True)  # pandas calls a second column Edema "Edema.1"
    if not set(names) & set(CHEXPERT_LABELS):
        raise InputError(f"{path}: has no column named after a finding; {remedy}")
    for name in names[~names.isin(CHEXPERT_LABELS)]:
        raise InputError(f"{path}: the column {name!r} is named after no finding; remove it or {remedy}")
    for name in names[names.duplicated()]:
        raise InputError(f"{path}: has several columns {name!r}; write its sentences into one column")
    sentences = {name: [" ".join(cell.split()) for cell in table[name] if cell.strip()] for name in names}
    for name, column in sentences.items():
        if not column:
            raise InputError(f"{path}: the column {name!r} has no sentence; write at least one or remove the column")
    return sentences


def read_captions(path: str | Path) -> pd.DataFrame:
    """Reads the captions of the training images: columns sample_id, text; one row per caption.

    Raises InputError for a missing column, or an empty id or text.
    """
    table = read_csv(path, _CAPTION_COLUMNS, "delete the file to have it made again")[_CAPTION_COLUMNS]
    for column in _CAPTION_COLUMNS:
        reject_rows(path, table[column].str.strip() == "", f"{column} is empty")
    return table


def _parts(
    kind: str, table: pd.DataFrame, captions: pd.DataFrame | None, sentences: Sentences | None
) -> tuple[list[list[list[str]]], dict[str, int]]:
    """The parts of each row's text, each part by its wordings, and why rows have none: reasons and their counts."""
    parts: list[list[list[str]]]
    if kind == "impression":
        if captions is None:
            parts = [[[text]] if text.strip() else [] for text in table["text"]]
            return parts, {"no text": parts.count([])}
        of_image = captions.groupby("sample_id")["text"].agg(list).to_dict()
        parts = [[of_image[name]] if name in of_image else [] for name in table["sample_id"]]
        return parts, {"no caption": parts.count([])}
    labels = [[label for label in cell.split("|") if label] for cell in table["Finding Labels"]]
    if kind == "finding_labels":
        return [[[label] for label in row] for row in labels], {
            "no Finding Labels (kept, empty text)": labels.count([])
        }
    assert sentences is not None, "texts of the kind sentences need a table of them"
    parts = [[sentences[label] for label in row if label in sentences] for row in labels]
    unsaid = Counter(label for row in labels for label in row if label not in sentences)
    if unsaid:
        listing = ", ".join(f"{label} (rows: {count})" for label, count in sorted(unsaid.items()))
        logger.info("Finding Labels that have no sentences and are left unsaid: %s", listing)
    fate = f"kept, a sentence of {NO_FINDING}" if NO_FINDING in sentences else f"no sentence of {NO_FINDING}"
    return parts, {f"no Finding Labels with sentences ({fate})": parts.count([])}


def _compose(kind: str, parts: list[list[str]], rng: np.random.Generator) -> str:
    """One text: the parts in random order (of sentences only the first), of each a random wording."""
    shuffled = [parts[i] for i in rng.permutation(len(parts))]
    said = shuffled[:1] if kind == "sentences" else shuffled
    return " ".join(wordings[rng.integers(len(wordings))] for wordings in said)
