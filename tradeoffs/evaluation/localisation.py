"""How well a heat map points at a finding: scores of one map against one mask, and of a whole dump.

The scores are those of Dombrowski et al. (AAAI 2024), in two protocols (`tradeoffs.protocols`): published computes what
the original code computes, corrected mends it (docs/differences.md, rows 2 to 10).
"""

import logging
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.data.images import Geometry, decoded_mask, mask_corrected, mask_published, resized_mask
from tradeoffs.data.sets import TEXT_KINDS
from tradeoffs.data.words import is_named, query_words
from tradeoffs.errors import InputError
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


# --- one heat map, one mask ---------------------------------------------------------------------------------------


def score(heat: np.ndarray, mask: np.ndarray, protocol: Protocol, single_box: bool) -> dict[str, float | bool]:
    """All scores of a heat map (h, w) against a ground-truth mask, bool (r, r).

    single_box: whether the mask is one box; only then `distance` (pixels of the r x r image) is defined
    `mixture_converged` tells whether the Gaussian mixture behind the binary map converged.
    An empty binary map has IoU and box IoU 0, hence mIoU and box mIoU of half the background's share, and no distance
    (row 6; the original crashes).

    Raises Excluded if the map is constant or not finite, and in corrected if the mask is empty or full. In published
    such masks are scored: IoU by its definition, AUC-ROC and CNR NaN (row 5).
    """
    if not protocol.empty_masks and not mask.any():
        raise Excluded("finding outside the crop")
    if not protocol.empty_masks and mask.all():
        raise Excluded("finding fills the crop")
    large = resized(heat, mask.shape[0])
    binary, converged = binary_map(heat, mask.shape[0], protocol)
    box = box_map(binary, protocol)
    return {
        "auc_roc": auc_roc(large, mask),
        "top1": top1(large, mask),
        "cnr": cnr(large, mask),
        "iou": iou(binary, mask),
        "miou": miou(binary, mask),
        "box_iou": iou(box, mask),
        "box_miou": miou(box, mask),
        "distance": distance(binary, mask) if single_box else np.nan,
        "mixture_converged": converged,
    }


def resized(heat: np.ndarray, resolution: int) -> np.ndarray:
    """The heat map (h, w) scaled to 0..1 and brought to (resolution, resolution) bilinearly, float32.

    Raises Excluded if the map is constant or not finite.
    """
    # Interpolated in double and kept in single precision, so that values that should tie do tie.
    return _bilinear(_min_max(heat), resolution).astype(np.float32)


def auc_roc(heat: np.ndarray, mask: np.ndarray) -> float:
    """Probability that a pixel inside the mask is hotter than one outside, ties counting half (Mann-Whitney U).

    Both (r, r); NaN for an empty or full mask.
    """
    inside, outside = np.sort(heat[mask]), np.sort(heat[~mask])
    if not inside.size or not outside.size:
        return np.nan
    colder = np.searchsorted(outside, inside, "left")
    not_hotter = np.searchsorted(outside, inside, "right")
    return float((colder + not_hotter).mean() / (2 * outside.size))


def top1(heat: np.ndarray, mask: np.ndarray) -> float:
    """Pointing game: 1 if the hottest pixel (the first in row-major order) is inside the mask, else 0."""
    return float(mask.flat[heat.argmax()])


def cnr(heat: np.ndarray, mask: np.ndarray) -> float:
    """Contrast-to-noise ratio (mean_in - mean_out) / sqrt(var_in + var_out), signed, with unbiased variances.

    NaN with fewer than two pixels on a side, or without any noise.
    """
    inside, outside = heat[mask].astype(np.float64), heat[~mask].astype(np.float64)
    if min(inside.size, outside.size) < 2:
        return np.nan
    noise = np.sqrt(inside.var(ddof=1) + outside.var(ddof=1))
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else np.nan


def binary_map(heat: np.ndarray, resolution: int, protocol: Protocol) -> tuple[np.ndarray, bool]:
    """The hot part of a heat map (h, w), bool (resolution, resolution), and whether the mixture converged.

    Hot is what exceeds the mixture's threshold; a 3 x 3 majority filter removes lone pixels; bilinear resizing and
    rounding follow. corrected fits the mixture to the scaled map; published to the raw attention values, which are so
    small (1e-3) that its `reg_covar` of 1e-6 matters (row 2).
    """
    values = heat.astype(np.float64) if protocol.raw_mixture else _min_max(heat)
    threshold, converged = mixture_threshold(values)
    hot = majority_filter(values > threshold)
    return _bilinear(hot.astype(np.float64), resolution) > 0.5, converged


def mixture_threshold(values: np.ndarray) -> tuple[float, bool]:
    """Midpoint of the means of a two-component Gaussian mixture of the values, and whether its fit converged.

    Seeded in both protocols: the original is not (row 2), so its own runs differ in which optimum they find.
    """
    mixture = GaussianMixture(n_components=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values.reshape(-1, 1))
    return float(mixture.means_.mean()), bool(mixture.converged_)


def majority_filter(mask: np.ndarray) -> np.ndarray:
    """Each inner pixel of a bool (h, w) becomes what at least 5 of the 9 around it are; the borders stay."""
    filtered = mask.copy()
    filtered[1:-1, 1:-1] = np.lib.stride_tricks.sliding_window_view(mask, (3, 3)).sum(axis=(2, 3)) >= 5
    return filtered


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """First and last column and row (x1, x2, y1, y2) of the True pixels, both ends included; None if there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return (int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])) if columns.size else None


def box_map(mask: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The filled bounding box of a bool (h, w); empty for an empty mask.

    published loses the box's last row and column (row 3).
    """
    filled = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is not None:
        x1, x2, y1, y2 = box
        last = 0 if protocol.short_boxes else 1
        filled[y1 : y2 + last, x1 : x2 + last] = True
    return filled


def iou(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two bool arrays; 0 if both are empty."""
    union = np.count_nonzero(prediction | mask)
    return np.count_nonzero(prediction & mask) / union if union else 0.0


def miou(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Mean of the IoU of the foregrounds and of the backgrounds (fg/bg mIoU)."""
    return (iou(prediction, mask) + iou(~prediction, ~mask)) / 2


def distance(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Distance in pixels between the centres of the two bounding boxes; NaN if one array is empty."""
    predicted, true = bounding_box(prediction), bounding_box(mask)
    if predicted is None or true is None:
        return np.nan
    across = (predicted[0] + predicted[1] - true[0] - true[1]) / 2
    down = (predicted[2] + predicted[3] - true[2] - true[3]) / 2
    return float(np.hypot(across, down))


def _min_max(heat: np.ndarray) -> np.ndarray:
    if not np.isfinite(heat).all():
        raise Excluded("heat map not finite")
    low, high = float(heat.min()), float(heat.max())
    if low == high:
        raise Excluded("constant heat map")
    return (heat.astype(np.float64) - low) / (high - low)


def _bilinear(values: np.ndarray, resolution: int) -> np.ndarray:
    size = (resolution, resolution)
    return torch.nn.functional.interpolate(torch.from_numpy(values)[None, None], size, mode="bilinear")[0, 0].numpy()


# --- all samples of a grounding table -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One row of a score table: a finding (or class) of an image, the text that speaks of it and where it is.

    id: names the text's dump (phrase_id of the phrase, or sample_id of the image for its impression or caption)
    boxes: the ground truth, [x, y, w, h] in pixels of the original image
    encoded_mask: the ground truth as a run-length encoded mask; "" where it is the union of the boxes
    """

    id: str
    sample_id: str
    subject_id: str
    category: str
    text: str
    boxes: list[list[float]]
    encoded_mask: str
    geometry: Geometry

    def mask(self, protocol: Protocol) -> np.ndarray:
        """Ground truth, bool (resolution, resolution): corrected counts pixels that are covered by half (row 4)."""
        if self.encoded_mask:
            coverage = resized_mask(decoded_mask(self.encoded_mask), self.geometry)
            return coverage > 0 if protocol.touched_pixels else coverage >= 0.5
        return (mask_published if protocol.touched_pixels else mask_corrected)(self.boxes, self.geometry)


@dataclass(frozen=True)
class SampleMap:
    """heat: map (h, w) of a sample's query; query: how its tokens were found ("" for a map without words);
    bare: map (h, w) of the whole text, None for a map without words; wrong_prompt: map (h, w) of a dump on the same
    image whose text names another finding, queried by that finding's words, or None."""

    heat: np.ndarray
    query: str = ""
    bare: np.ndarray | None = None
    wrong_prompt: np.ndarray | None = None


def samples(grounding: pd.DataFrame, text: str, protocol: Protocol, resolution: int) -> list[Sample]:
    """The samples of a grounding table, in its order.

    "phrase" in corrected: one per phrase with its own boxes. Otherwise one per finding (or class) of an image with all
    its boxes there; in published "phrase" with the text of the first phrase only (row 8). A caption is asked only for
    the classes that it names (row 10 tells what the protocols take for a name).
    """
    kind = TEXT_KINDS[text]
    per_phrase = text == "phrase" and not protocol.all_boxes_first_phrase
    result = []
    for _, rows in grounding.groupby("phrase_id" if per_phrase else ["sample_id", "category"], sort=False):
        first = rows.iloc[0]
        if text == "caption" and not is_named(first["text"], first["category"], protocol):
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
                geometry=Geometry(int(first["image_width"]), int(first["image_height"]), resolution),
            )
        )
    return result


def score_dump(
    grounding: pd.DataFrame,
    maps: dict[str, TokenHeatMaps],
    text: str,
    protocol: Protocol,
    resolution: int,
    wrong_prompts: Mapping[str, tuple[TokenHeatMaps, str]] = MappingProxyType({}),
) -> pd.DataFrame:
    """Scores (one row a sample, columns `COLUMNS`) of token heat maps that were made with the text "phrase",
    "impression" or "caption" of each image. Samples that cannot be scored have a reason in `excluded` and NaN scores.

    wrong_prompts: by the sample's id, a dump on the same image whose text names another category, and that category
    """
    rows = samples(grounding, text, protocol, resolution)
    words = words_of_samples(rows, text, protocol)

    def map_of(sample: Sample) -> SampleMap:
        if not sample.text.strip():
            raise Excluded("no text")
        if sample.id not in maps:
            raise Excluded("no heat map")
        dump = maps[sample.id]
        weights, query = token_weights(dump, words[sample.id, sample.category], protocol)
        return SampleMap(query_map(dump, weights), query, dump.heat.mean(axis=0), wrong_prompt_map(sample))

    def wrong_prompt_map(sample: Sample) -> np.ndarray | None:
        if sample.id not in wrong_prompts:
            return None
        dump, category = wrong_prompts[sample.id]
        try:
            weights, query = token_weights(dump, query_words(category, protocol), protocol)
        except Excluded:
            return None
        return query_map(dump, weights) if query != ALL_TOKENS else None

    return score_samples(rows, map_of, text, protocol)


def words_of_samples(rows: list[Sample], text: str, protocol: Protocol) -> dict[tuple[str, str], tuple[str, ...]]:
    """The words that each sample (id, category) is queried by.

    In published a caption's class is queried by the words of its earlier classes too (row 10).
    """
    words: dict[tuple[str, str], tuple[str, ...]] = {}
    so_far: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for row in rows:
        own = query_words(row.category, protocol)
        so_far[row.id] += own
        words[row.id, row.category] = so_far[row.id] if text == "caption" and protocol.earlier_classes else own
    return words


def score_samples(
    rows: list[Sample], map_of: Callable[[Sample], SampleMap], text: str, protocol: Protocol
) -> pd.DataFrame:
    """Scores (one row a sample, columns `COLUMNS`) of the maps that `map_of` gives, which may raise Excluded.

    named: whether the text contains the finding's name literally (the original's `--filter_bad_impressions`)
    bare_auc, wrong_prompt_auc: AUC-ROC, on the sample's mask, of the mean over all tokens of the text, and of a dump
    with another finding's text
    wrong_word_auc, specificity: see `wrong_word_auc`; specificity = auc_roc - wrong_word_auc
    """
    images = defaultdict(list)
    for row in rows:
        images[row.sample_id].append(row)
    table = []
    for sample in rows:
        record: dict[str, Any] = {"protocol": protocol.name, "text": text, "query": "", "excluded": ""}
        record |= {name: getattr(sample, name) for name in ("id", "sample_id", "subject_id", "category")}
        record["named"] = sample.category.lower() in sample.text.lower()
        try:
            own = map_of(sample)
            record["query"] = own.query
            mask = sample.mask(protocol)
            record |= score(own.heat, mask, protocol, single_box=len(sample.boxes) == 1)
            record["bare_auc"] = control_auc(own.bare, mask)
            record["wrong_prompt_auc"] = control_auc(own.wrong_prompt, mask)
            others = [other for other in images[sample.sample_id] if other.category != sample.category]
            record["wrong_word_auc"] = wrong_word_auc(mask, own, others, map_of, text)
            record["specificity"] = record["auc_roc"] - record["wrong_word_auc"]
        except Excluded as reason:
            record["excluded"] = str(reason)
        table.append(record)
    return pd.DataFrame(table, columns=list(COLUMNS)).astype(dict.fromkeys(METRICS, float))


def control_auc(heat: np.ndarray | None, mask: np.ndarray) -> float:
    """AUC-ROC of a control's map (h, w) on the sample's mask (r, r); NaN without a map or if it is constant."""
    if heat is None:
        return np.nan
    try:
        return auc_roc(resized(heat, mask.shape[0]), mask)
    except Excluded:
        return np.nan


def wrong_word_auc(
    mask: np.ndarray, own: SampleMap, others: list[Sample], map_of: Callable[[Sample], SampleMap], text: str
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
            heat = resized(theirs.heat, mask.shape[0])
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
