"""Why the trade-off happens: what fine-tuning does to token embeddings, and what that does to cross-attention.

Measures of one model, each a row a text on an image, so that they pair between models and have intervals over subjects.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.attention.sums import GroupedSums
from tradeoffs.data.words import query_words
from tradeoffs.evaluation.localisation import Sample
from tradeoffs.evaluation.queries import MATCHED, Excluded, query_map, token_weights
from tradeoffs.protocols import CORRECTED

DRIFT, PROBE, OVERLAP = "drift", "probe", "overlap"
MASSES = ("mass_words", "mass_other", "mass_start", "mass_end", "mass_padding")
MEASURES = {
    DRIFT: "drift of the words' embeddings",
    PROBE: "linear probe, held-out texts",
    "mass_words": "attention on the finding's words",
    "mass_other": "attention on other words",
    "mass_start": "attention on the start token",
    "mass_end": "attention on the end token",
    "mass_padding": "attention on padding",
    OVERLAP: "overlap of two findings' maps",
}


def measured(
    rows: Sequence[Sample],
    sums: Mapping[str, GroupedSums],
    maps: Mapping[str, TokenHeatMaps],
    embeddings: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray] | None,
    context: int,
) -> pd.DataFrame:
    """One row a sample: id, sample_id, subject_id, category and MEASURES, NaN where one is not defined.

    rows: samples whose words are looked for in their text; those without a hit are left out
    sums, maps: by the samples' ids, grouped sums and the paper's token heat maps
    embeddings, before: by text, what the text encoder makes of its own tokens, (k, d), now and before fine-tuning; None
        where there was another text encoder
    context: number of tokens of the context
    """
    table, own_maps, of_image = [], [], defaultdict(list)
    for sample in rows:
        try:
            weights, query = token_weights(
                maps[sample.id], query_words(sample.category, CORRECTED, sample.words), CORRECTED
            )
        except (Excluded, KeyError):
            continue  # counted in localisation.csv with its reason
        if query != MATCHED:
            continue
        record = {name: getattr(sample, name) for name in ("id", "sample_id", "subject_id", "category")}
        record["text"] = sample.text
        record[DRIFT] = drift(embeddings[sample.text], before[sample.text], weights) if before else np.nan
        record |= attention_mass(sums[sample.id], weights > 0, context)
        own_maps.append(query_map(maps[sample.id], weights))
        of_image[sample.sample_id].append((sample.category, own_maps[-1]))
        table.append(record)
    measures = pd.DataFrame(table, columns=["id", "sample_id", "subject_id", "category", "text", DRIFT, *MASSES])
    measures[PROBE] = probe([embeddings[text].mean(0) for text in measures["text"]], measures)
    overlaps = []
    for own, record in zip(own_maps, table, strict=True):
        others = [heat for category, heat in of_image[record["sample_id"]] if category != record["category"]]
        overlaps.append(np.mean([overlap(own, other) for other in others]) if others else np.nan)
    measures[OVERLAP] = overlaps
    return measures.drop(columns="text")


def drift(now: np.ndarray, before: np.ndarray, weights: np.ndarray) -> float:
    """How far tokens' embeddings (k, d) have moved, relative to their length: the mean over tokens by weights (k,)."""
    return float(weights @ (np.linalg.norm(now - before, axis=1) / np.linalg.norm(before, axis=1)))


def attention_mass(sums: GroupedSums, asked: np.ndarray, context: int) -> dict[str, float]:
    """The share of cross-attention on each kind of token, a mean over pixels, layers and time steps; they sum to 1.

    asked: bool (k,), which tokens are the finding's words
    """
    layers = sum(sums.layers.values()) * sums.steps.sum()
    rows = sum(maps.mean((2, 3)).sum(0) for maps in sums.sums.values()) / layers
    own, (start, end, padding) = rows[:-3], rows[-3:]
    values = (own[asked].sum(), own[~asked].sum(), start, end, padding * max(context - len(own) - 2, 0))
    return {name: float(value) for name, value in zip(MASSES, values, strict=True)}


def probe(features: Sequence[np.ndarray], rows: pd.DataFrame, folds: int = 5) -> np.ndarray:
    """Whether a linear probe names each row's category from its text's embedding, learnt from other texts: 0 or 1.

    Logistic regression in `folds` parts, with a text in one part only; NaN where there are too few texts or categories.
    """
    labels, texts = rows["category"].to_numpy(), rows["text"].to_numpy()
    if len(set(texts)) < folds or len(set(labels)) < 2:
        return np.full(len(rows), np.nan)
    values, right = np.stack(features), np.full(len(rows), np.nan)
    for train, test in GroupKFold(folds).split(values, labels, texts):
        if len(set(labels[train])) > 1:
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values[train], labels[train])
            right[test] = model.predict(values[test]) == labels[test]
    return right


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of two maps (h, w), each scaled to sum 1: the sum of the smaller values, 1 for the same map."""
    return float(np.minimum(one / one.sum(), other / other.sum()).sum())
