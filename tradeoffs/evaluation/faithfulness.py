"""Whether a model uses a finding's word where the finding is: what happens to the predicted image without the word.

Attention says where a word is looked up; taking the word away says where it matters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tradeoffs.data.words import places_of, query_words
from tradeoffs.evaluation.localisation import Sample
from tradeoffs.evaluation.map_scores import auc_roc, bilinear
from tradeoffs.metrics import FAITHFULNESS
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import numpy_rng

COLUMNS = ("id", "sample_id", "subject_id", "category", *FAITHFULNESS)


@dataclass(frozen=True)
class Intervention:
    """A sample with texts in place of its own: without the finding's words, without another word ("" if there is no
    other), and without any; mask: ground truth, bool (r, r)."""

    sample: Sample
    without_word: str
    without_other: str
    mask: np.ndarray

    @property
    def texts(self) -> list[str]:
        """The texts in this order."""
        return [self.without_word, self.without_other, ""]


def interventions(rows: Sequence[Sample], most: int) -> list[Intervention]:
    """Of `most` samples drawn at random, the same for every model, those whose text has the finding's words and whose
    finding is inside the crop without filling it."""
    chosen = []
    for place in numpy_rng("profile").permutation(len(rows))[:most]:
        sample = rows[place]
        mask = sample.mask(CORRECTED)
        spans = places_of(sample.text, query_words(sample.category, CORRECTED, sample.words), CORRECTED)
        if spans and mask.any() and not mask.all():
            chosen.append(Intervention(sample, without(sample.text, spans), without_other(sample, spans), mask))
    return chosen


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text without the characters of some spans, and without the white space that this leaves twice.

    >>> without("Small left effusion.", [(11, 19)])
    'Small left.'
    """
    kept = "".join(letter for i, letter in enumerate(text) if not any(start <= i < end for start, end in spans))
    return re.sub(r"\s+([.,;:]|$)", r"\1", re.sub(r"\s+", " ", kept)).strip()


def without_other(sample: Sample, spans: Sequence[tuple[int, int]]) -> str:
    """The sample's text without as many other words, drawn at random by its id, as it has words of the finding; "" if
    it has not so many."""
    words = [match.span() for match in re.finditer(r"\w+", sample.text)]
    others = [span for span in words if not any(start < span[1] and span[0] < end for start, end in spans)]
    if len(others) < len(spans):
        return ""
    drawn = numpy_rng("other words", sample.id).choice(len(others), len(spans), replace=False)
    return without(sample.text, [others[i] for i in drawn])


def faithfulness(
    chosen: Sequence[Intervention], changes: Sequence[np.ndarray], prior: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """Scores (one row a sample, columns COLUMNS) of the changes (3, h, w) that the texts of each intervention make.

    change_ratio: mean change inside the mask over the mean outside; change_auc: AUC-ROC of the change on the mask
    other_word_ratio, other_word_auc: of other words' change, the wrong-word control; NaN without other words
    text_ratio, text_auc: of the whole text's change, as the bare map; prior_auc: the location prior's AUC-ROC, which
    `prior` holds by id and category
    word_share: the word's mean change as a share of the whole text's
    A change of nothing at all has no ratio and no AUC-ROC.
    """
    table = []
    for one, (word, other, text) in zip(chosen, changes, strict=True):
        sample = one.sample
        record = {name: getattr(sample, name) for name in ("id", "sample_id", "subject_id", "category")}
        record["change_ratio"], record["change_auc"] = on_mask(word, one.mask)
        record["other_word_ratio"], record["other_word_auc"] = (
            on_mask(other, one.mask) if one.without_other else (np.nan, np.nan)
        )
        record["text_ratio"], record["text_auc"] = on_mask(text, one.mask)
        record["word_share"] = float(word.mean() / text.mean()) if text.any() else np.nan
        table.append(record | {"prior_auc": prior.get((sample.id, sample.category), np.nan)})
    return pd.DataFrame(table, columns=list(COLUMNS))


def on_mask(change: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Ratio of the mean change (h, w) inside a mask (r, r) to that outside, and AUC-ROC; NaN where nothing changes."""
    if not change.any():
        return np.nan, np.nan
    large = bilinear(change.astype(np.float64), len(mask))
    outside = large[~mask].mean()
    return float(large[mask].mean() / outside) if outside > 0 else np.nan, auc_roc(large.astype(np.float32), mask)
