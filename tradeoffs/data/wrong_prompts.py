"""The control "wrong prompt": for each text with heat maps one that names another finding than the image shows."""

import pandas as pd

from tradeoffs.data.text_kinds import TEXT_KINDS
from tradeoffs.data.words import is_named
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import numpy_rng

COLUMNS = ["text_kind", "id", "sample_id", "text", "category"]


def wrong_prompts(grounding: pd.DataFrame, images: pd.DataFrame, text_kind: str, seed: int) -> pd.DataFrame:
    """One row (COLUMNS) per text of the kind "phrase", "impression" or "caption": the text of another subject that
    names `category`, which the image does not show, and none of the categories that it shows.

    id: the text that the row is the control of (phrase_id, or text_id of an impression or caption)
    images: the image table; what an image shows are its Finding Labels and the categories of its grounding rows
    A text for which the table has no such other text has no row.
    """
    column, id_column = TEXT_KINDS[text_kind].text, TEXT_KINDS[text_kind].id
    labels = images.set_index("sample_id")["Finding Labels"]
    shown = {
        name: categories | set(labels[name].split("|"))
        for name, categories in grounding.groupby("sample_id")["category"].agg(set).items()
    }
    words = dict(zip(grounding["category"], grounding.get("words", pd.Series("", grounding.index)), strict=True))
    donors = [
        (row.subject_id, getattr(row, column), row.category)
        for row in grounding.drop_duplicates([column, "category"]).itertuples()
        if is_named(getattr(row, column), row.category, CORRECTED, words[row.category])
    ]
    categories = sorted(set(grounding["category"]).union(*shown.values()) - {""})
    named = {text: {c for c in categories if is_named(text, c, CORRECTED, words.get(c, ""))} for _, text, _ in donors}
    rows = []
    for row in grounding[grounding[column] != ""].drop_duplicates(id_column).itertuples():
        here = shown[row.sample_id]
        order = numpy_rng(seed, "wrong prompt", getattr(row, id_column)).permutation(len(donors))
        for subject, text, category in (donors[place] for place in order):
            if subject != row.subject_id and category not in here and not named[text] & here:
                rows.append((text_kind, getattr(row, id_column), row.sample_id, text, category))
                break
    return pd.DataFrame(rows, columns=COLUMNS)
