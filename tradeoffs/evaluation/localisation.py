"""How well a model's heat maps point at findings: the scores (`map_scores`) of all samples of a grounding table."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.data.images import Geometry, decoded_mask, mask_corrected, mask_published, resized_mask
from tradeoffs.data.text_kinds import TEXT_KINDS
from tradeoffs.data.words import is_named, query_words
from tradeoffs.errors import InputError
from tradeoffs.evaluation.map_scores import MIXTURE, Threshold, auc_roc, on_mask, score
from tradeoffs.evaluation.queries import ALL_TOKENS, IMAGE_MAP, Excluded, query_map, token_weights
from tradeoffs.metrics import METRICS
from tradeoffs.protocols import PROTOCOLS, Protocol

COLUMNS = (
    *("protocol", "text", "id", "sample_id", "subject_id", "category", "query", "named"),
    *METRICS,
    "mixture_converged",
    "excluded",
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One row of a score table: a finding (or class) of an image, the text that speaks of it and where it is.

    id: names the text (phrase_id of the phrase, or text_id of the impression or caption)
    boxes: the ground truth, [x, y, w, h] in pixels of the original image
    encoded_mask: the ground truth as a run-length encoded mask; "" where it is the union of the boxes
    words: those that ask for the category, joined by "|"; "" for its default ones
    """

    id: str
    sample_id: str
    subject_id: str
    category: str
    text: str
    boxes: list[list[float]]
    encoded_mask: str
    geometry: Geometry
    words: str = ""

    def mask(self, protocol: Protocol) -> np.ndarray:
        """Ground truth, bool (resolution, resolution), or (height, width) in the frame of the whole image: corrected
        counts pixels that are covered by half (row 4)."""
        if self.encoded_mask:
            coverage = resized_mask(decoded_mask(self.encoded_mask), self.geometry)
            return coverage > 0 if protocol.touched_pixels else coverage >= 0.5
        return (mask_published if protocol.touched_pixels else mask_corrected)(self.boxes, self.geometry)


@dataclass(frozen=True)
class SampleMap:
    """heat: map (h, w) of a sample's query; query: how its tokens were found ("" for a map without words);
    bare: map (h, w) of the whole text, None for a map without words; wrong_prompt: map (h, w) of a text on the same
    image whose text names another finding, queried by that finding's words, or None."""

    heat: np.ndarray
    query: str = ""
    bare: np.ndarray | None = None
    wrong_prompt: np.ndarray | None = None


def samples(
    grounding: pd.DataFrame, text: str, protocol: Protocol, resolution: int, frame: str = "crop"
) -> list[Sample]:
    """The samples of a grounding table, in its order.

    frame: crop, the central square that the model sees, or image, the whole image

    "phrase" in corrected: one per phrase with its own boxes. Otherwise one per finding of an image (or class of a
    caption) with all its boxes there; in published "phrase" with the text of the first phrase only (row 8). A caption
    is asked only for the classes that it names (row 10 tells what the protocols take for a name).
    """
    kind = TEXT_KINDS[text]
    if text == "phrase":
        keys = ["sample_id", "category"] if protocol.all_boxes_first_phrase else ["phrase_id"]
    else:
        keys = [kind.id, "category"]
    result = []
    for _, rows in grounding.groupby(keys, sort=False):
        first = rows.iloc[0]
        words = first.get("words", "")
        if text == "caption" and not is_named(first["text"], first["category"], protocol, words):
            continue
        result.append(
            Sample(
                id=first[kind.id],
                sample_id=first["sample_id"],
                subject_id=first["subject_id"],
                category=first["category"],
                text=first[kind.text],
                boxes=[box for boxes in rows["boxes"] for box in boxes],
                encoded_mask=first["mask"],
                geometry=Geometry(
                    int(first["image_width"]), int(first["image_height"]), resolution, whole=frame == "image"
                ),
                words=words,
            )
        )
    return result


def one_per_image(rows: Sequence[Sample], text: str) -> list[Sample]:
    """The samples, of those of several captions of an image that ask for the same class only the first."""
    if not TEXT_KINDS[text].per_image:
        return list(rows)
    first: dict[tuple[str, str], Sample] = {}
    for row in rows:
        first.setdefault((row.sample_id, row.category), row)
    return list(first.values())


def score_heat_maps(
    grounding: pd.DataFrame,
    maps: dict[str, TokenHeatMaps],
    text: str,
    protocol: Protocol,
    resolution: int,
    wrong_prompts: Mapping[str, tuple[TokenHeatMaps, str]] = MappingProxyType({}),
    frame: str = "crop",
    threshold: Threshold = MIXTURE,
) -> pd.DataFrame:
    """Scores (one row per sample, columns `COLUMNS`) of token heat maps that were made with the text "phrase",
    "impression" or "caption" of each image. Samples that cannot be scored have a reason in `excluded` and NaN scores.

    wrong_prompts: by the sample's id, maps on the same image of a text that names another category, and
        that category
    frame: see `samples`; threshold: what is hot in a map
    """
    rows = samples(grounding, text, protocol, resolution, frame)
    words = words_of_samples(rows, text, protocol)
    given = {row.category: row.words for row in rows}

    def map_of(sample: Sample) -> SampleMap:
        if not sample.text.strip():
            raise Excluded("no text")
        if sample.id not in maps:
            raise Excluded("no heat map")
        of_text = maps[sample.id]
        weights, query = token_weights(of_text, words[sample.id, sample.category], protocol)
        return SampleMap(query_map(of_text, weights), query, of_text.heat.mean(axis=0), wrong_prompt_map(sample))

    def wrong_prompt_map(sample: Sample) -> np.ndarray | None:
        if sample.id not in wrong_prompts:
            return None
        of_text, category = wrong_prompts[sample.id]
        try:
            weights, query = token_weights(of_text, query_words(category, protocol, given.get(category, "")), protocol)
        except Excluded:
            return None
        return query_map(of_text, weights) if query != ALL_TOKENS else None

    return score_samples(rows, map_of, text, protocol, threshold)


def words_of_samples(rows: list[Sample], text: str, protocol: Protocol) -> dict[tuple[str, str], tuple[str, ...]]:
    """The words that each sample (id, category) is queried by.

    In published a caption's class is queried by the words of its earlier classes too (row 10).
    """
    words: dict[tuple[str, str], tuple[str, ...]] = {}
    so_far: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for row in rows:
        own = query_words(row.category, protocol, row.words)
        so_far[row.id] += own
        words[row.id, row.category] = so_far[row.id] if text == "caption" and protocol.earlier_classes else own
    return words


def score_samples(
    rows: list[Sample],
    map_of: Callable[[Sample], SampleMap],
    text: str,
    protocol: Protocol,
    threshold: Threshold = MIXTURE,
) -> pd.DataFrame:
    """Scores (one row per sample, columns `COLUMNS`) of the maps that `map_of` gives, which may raise Excluded.

    named: whether the text contains the finding's name literally (the original's `--filter_bad_impressions`)
    bare_auc, wrong_prompt_auc: AUC-ROC, on the sample's mask, of the mean over all tokens of the text, and of a map
    with another finding's text
    wrong_word_auc, specificity: see `wrong_word_auc`; specificity = auc_roc - wrong_word_auc
    """
    together = defaultdict(list)  # samples of one text that speaks of all of them, or of one image's phrases
    for row in rows:
        together[_whole(row, text)].append(row)
    table = []
    for sample in rows:
        record: dict[str, Any] = {"protocol": protocol.name, "text": text, "query": "", "excluded": ""}
        record |= {name: getattr(sample, name) for name in ("id", "sample_id", "subject_id", "category")}
        record["named"] = sample.category.lower() in sample.text.lower()
        try:
            own = map_of(sample)
            record["query"] = own.query
            mask = sample.mask(protocol)
            record |= score(own.heat, mask, protocol, single_box=len(sample.boxes) == 1, threshold=threshold)
            record["bare_auc"] = control_auc(own.bare, mask, protocol)
            record["wrong_prompt_auc"] = control_auc(own.wrong_prompt, mask, protocol)
            others = [other for other in together[_whole(sample, text)] if other.category != sample.category]
            record["wrong_word_auc"] = wrong_word_auc(mask, own, others, map_of, text, protocol)
            record["specificity"] = record["auc_roc"] - record["wrong_word_auc"]
        except Excluded as reason:
            record["excluded"] = str(reason)
        table.append(record)
    return pd.DataFrame(table, columns=list(COLUMNS)).astype(dict.fromkeys(METRICS, float))


def _whole(sample: Sample, text: str) -> str:
    return sample.id if TEXT_KINDS[text].per_image else sample.sample_id


def control_auc(heat: np.ndarray | None, mask: np.ndarray, protocol: Protocol) -> float:
    """AUC-ROC of a control's map (h, w) on the sample's mask (r, r); NaN without a map or if it is constant."""
    if heat is None:
        return np.nan
    try:
        return auc_roc(on_mask(heat, mask, protocol), mask)
    except Excluded:
        return np.nan


def wrong_word_auc(
    mask: np.ndarray,
    own: SampleMap,
    others: list[Sample],
    map_of: Callable[[Sample], SampleMap],
    text: str,
    protocol: Protocol,
) -> float:
    """AUC-ROC of the image's other findings' maps on this sample's mask (r, r).

    Mean over each other finding's samples, then over the findings. Where a map is the same for every finding, there is
    no wrong word: an external method's map of the image, and the fallback to all tokens of an impression (or caption),
    which is one text for all. NaN if there is no other finding with a map of its own.
    """
    aucs = defaultdict(list)
    for other in others:
        try:
            theirs = map_of(other)
            heat = on_mask(theirs.heat, mask, protocol)
        except Excluded:
            continue
        of_all_findings = {IMAGE_MAP, ALL_TOKENS} if TEXT_KINDS[text].per_image else {IMAGE_MAP}
        if of_all_findings & {own.query, theirs.query}:
            continue
        aucs[other.category].append(auc_roc(heat, mask))
    means = [np.mean(values) for values in aucs.values()]
    return float(np.mean(means)) if means else np.nan


def score_texts(
    texts: Sequence[str],
    protocols: Sequence[str],
    scored: Callable[[str, Protocol], pd.DataFrame],
    max_excluded: float,
    source: str,
) -> pd.DataFrame:
    """The score tables of each text in each protocol, under one another: of a model's heat maps, of the location prior
    or of an external method.

    scored: gives the table of one text in one protocol; max_excluded, source: see `check_excluded`
    """
    tables = []
    for text in texts:
        for protocol in protocols:
            tables.append(scored(text, PROTOCOLS[protocol]))
            check_excluded(tables[-1], max_excluded, source)
    return pd.concat(tables)


def check_excluded(table: pd.DataFrame, max_excluded: float, source: str) -> None:
    """Logs how many samples of each protocol were excluded and why.

    Raises InputError if their share exceeds `max_excluded` in one of the protocols. source: the file to name.
    """
    for protocol, rows in table.groupby("protocol", sort=False):
        reasons = rows.loc[rows["excluded"] != "", "excluded"].value_counts().sort_index()
        listing = ", ".join(f"{reason}: {count}" for reason, count in reasons.items())
        summary = f"{reasons.sum()} of {len(rows)} samples excluded in the {protocol} protocol ({listing or 'none'})"
        logger.info("%s: %s", source, summary)
        if reasons.sum() > max_excluded * len(rows):
            raise InputError(
                f"{source}: {summary}; correct the table or raise evaluation.max_excluded, which is {max_excluded}"
            )
