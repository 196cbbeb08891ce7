"""What one row of docs/differences.md does on its own: numbers as here, and with this one row as in the original."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.data.findings import NO_FINDING
from tradeoffs.data.image_files import ImageFiles
from tradeoffs.evaluation.classifier import FindingsClassifier
from tradeoffs.evaluation.features import EfficientNetLite0, extract
from tradeoffs.evaluation.fidelity import diversity, frechet_distance
from tradeoffs.evaluation.label_consistency import top1_scores
from tradeoffs.evaluation.localisation import samples, score_heat_maps, words_of_samples
from tradeoffs.evaluation.map_scores import binary_map
from tradeoffs.evaluation.queries import Excluded, query_map, token_weights
from tradeoffs.evaluation.statistics import over_captions
from tradeoffs.protocols import CORRECTED, Protocol
from tradeoffs.randomness import numpy_rng

COLUMNS = ("row", "dataset", "text", "variant", "score", "here", "original", "n")


@dataclass(frozen=True)
class Comparison:
    """A row that scoring decides: its switches, the texts on which it can matter, and the scores it touches."""

    switches: tuple[str, ...]
    texts: tuple[str, ...]
    scores: tuple[str, ...]


COMPARISONS = {
    2: Comparison(("raw_mixture",), ("phrase", "caption"), ("iou",)),
    3: Comparison(("short_boxes",), ("phrase", "caption"), ("box_iou",)),
    4: Comparison(("touched_pixels",), ("phrase", "caption"), ("auc_roc", "iou")),
    5: Comparison(("empty_masks",), ("phrase", "caption"), ("excluded", "iou")),
    7: Comparison(("whole_query_inside",), ("phrase", "impression", "caption"), ("excluded",)),
    8: Comparison(("all_boxes_first_phrase",), ("phrase",), ("samples", "auc_roc")),
    9: Comparison(("words_by_substring",), ("phrase", "impression"), ("auc_roc",)),
    10: Comparison(("words_by_substring", "earlier_classes"), ("caption",), ("samples", "auc_roc")),
    24: Comparison(("single_precision",), ("phrase", "caption"), ("auc_roc",)),
}


def scoring_effects(
    grounding: pd.DataFrame, heat_maps: Mapping[str, dict[str, TokenHeatMaps]], resolution: int
) -> list[dict]:
    """Effects of rows 2 to 11, 24, 30 and 31 on one model's heat maps, by text: records of row, text, score, here,
    original and n.

    here, original: macro means over findings or classes (row 11: macro and micro mean), or numbers of samples
    n: samples that are scored here
    """
    records = []
    test = grounding[grounding["part"] == "test"]
    for text, maps in heat_maps.items():
        scores = over_captions(score_heat_maps(test, maps, text, CORRECTED, resolution))
        here = measures(scores)

        def add(row: int, score: str, before: float, after: float, text=text, n=here["samples"]) -> None:
            records.append({"row": row, "text": text, "score": score, "here": before, "original": after, "n": n})

        for row, comparison in COMPARISONS.items():
            if text in comparison.texts:
                protocol = Protocol(f"row {row}", **dict.fromkeys(comparison.switches, True))
                original = measures(score_heat_maps(test, maps, text, protocol, resolution))
                for score in comparison.scores:
                    add(row, score, here[score], original[score])
        if text in COMPARISONS[4].texts:
            touched = Protocol("row 4", touched_pixels=True)
            add(4, "mask_pixels", *(mean_mask(test, text, p, resolution) for p in (CORRECTED, touched)))
            add(6, "empty_predictions", np.nan, empty_predictions(test, maps, text, resolution))
            add(11, "auc_roc", here["auc_roc"], scores["auc_roc"].mean())
        if text == "phrase":
            everything = measures(score_heat_maps(grounding, maps, text, CORRECTED, resolution))
            for score in ("samples", "auc_roc"):
                add(30, score, here[score], everything[score])
        if text == "caption":
            first = measures(
                score_heat_maps(test[test["text_id"].str.endswith("-caption1")], maps, text, CORRECTED, resolution)
            )
            for score in ("samples", "auc_roc"):
                add(31, score, first[score], here[score])
    return records


def measures(scores: pd.DataFrame) -> dict[str, float]:
    """Macro means of a score table's scores, and how many samples are scored and excluded."""
    scores = over_captions(scores)
    kept = scores[scores["excluded"].isin(["", np.nan])]
    means = kept.groupby("category")[["auc_roc", "iou", "box_iou"]].mean().mean()
    return {**means, "samples": len(kept), "excluded": len(scores) - len(kept)}


def mean_mask(grounding: pd.DataFrame, text: str, protocol: Protocol, resolution: int) -> float:
    """Pixels of the ground truth, mean over samples."""
    return float(np.mean([row.mask(protocol).sum() for row in samples(grounding, text, protocol, resolution)]))


def empty_predictions(grounding: pd.DataFrame, maps: dict[str, TokenHeatMaps], text: str, resolution: int) -> int:
    """How many samples have a binary map without a hot pixel, where the original crashes (row 6)."""
    rows = samples(grounding, text, CORRECTED, resolution)
    words = words_of_samples(rows, text, CORRECTED)
    empty = 0
    for sample in rows:
        try:
            weights, _ = token_weights(maps[sample.id], words[sample.id, sample.category], CORRECTED)
            hot, _ = binary_map(query_map(maps[sample.id], weights), resolution, CORRECTED)
            empty += not hot.any()
        except Excluded:  # has no binary map
            continue
    return empty


def mixed_sets(images: Sequence, sets: int, size: int, rng: np.random.Generator) -> list[list]:
    """Sets of images of different prompts, as the original compares them by MS-SSIM (row 16).

    images: one per prompt
    """
    return [[images[i] for i in rng.choice(len(images), size, replace=False)] for _ in range(sets)]


class ScaledTwice(EfficientNetLite0):
    """The extractor with its input scaled once more from 0..1 to -1..1, though it has that range already (row 17)."""

    def scale(self, images: Tensor) -> Tensor:
        return 2 * super().scale(images) - 1


def fidelity_effects(
    samples: pd.DataFrame,
    real: Sequence[str],
    population: Sequence[str],
    here: Mapping[str, float],
    classifier: FindingsClassifier,
    resolution: int,
    batch_size: int,
    sets: int,
    size: int,
) -> list[dict]:
    """Effects of rows 16 to 18, 22 and 23 on one model's samples: records of row, text, score, here, original, n.

    samples: their list (see read_samples); real: files of the real images; population: of a random draw
    of the population; here: scores by metric
    sets, size: how many sets of images of different prompts MS-SSIM compares, and of how many images
    """
    once = samples[samples["repeat"] == 0]
    paths = list(once["path"])

    def features(network: nn.Module, files: Sequence[str]) -> np.ndarray:
        return extract(network, ImageFiles(files, resolution), batch_size)

    mixed = mixed_sets(paths, sets, size, numpy_rng("mixed prompts"))
    ms_ssim = diversity(torch.stack(list(ImageFiles(some, resolution))) for some in mixed)["ms_ssim"][0]
    twice = ScaledTwice().eval()
    fid = frechet_distance(features(twice, real), features(twice, paths))
    general = EfficientNetLite0().eval()
    of_population = frechet_distance(features(general, population), features(general, paths))
    scores = top1_scores(list(once["Finding Labels"]), features(classifier, paths), classifier.labels)
    top1 = {name: value for name, (value, _) in scores.items()}
    effusion, mean = top1.pop("label_top1_Pleural Effusion"), top1.pop("label_top1")
    rows = [
        (16, "ms_ssim", here["ms_ssim"], ms_ssim, len(mixed)),
        (17, "fid_general", here["fid_general"], fid, len(paths)),
        (18, "top1_effusion", effusion, 0.0, len(paths)),
        (18, "label_top1", mean, sum(top1.values()), len(paths)),
        (22, "fid_general", of_population, here["fid_general"], len(paths)),
        (23, "label_auc", here["label_auc"], here["disease_auc"], len(paths)),
    ]
    return [dict(zip(("row", "score", "here", "original", "n"), row, strict=True), text="") for row in rows]


def sampling_effects(here: pd.DataFrame, own: pd.DataFrame, no_finding: pd.DataFrame) -> list[dict]:
    """Effects of rows 26 and 27 on one model that was trained on labels: records of row, text, variant, score, here,
    original, n.

    here, own, no_finding: fidelity tables of its samples as they are, of those drawn from labels, and of those whose
    guidance leads away from "No Finding". Row 26 is reversed, since here as in the original samples are of impressions.
    """
    variant = here["variant"].iloc[0]
    of = {name: table.set_index("metric") for name, table in [("here", here), ("own", own), ("no_finding", no_finding)]}
    return [
        {
            **{"row": row, "text": "", "variant": variant, "score": score, "n": of["here"].at[score, "n"]},
            **{"here": of[before].at[score, "value"], "original": of[after].at[score, "value"]},
        }
        for row, before, after in [(26, "own", "here"), (27, "here", "no_finding")]
        for score in ("fid_general", "label_auc")
    ]


def training_effects(
    here: pd.DataFrame, repeats: Iterable[tuple[int, pd.DataFrame]], images: pd.DataFrame, removed: int, text: str
) -> list[dict]:
    """Effects of the rows for which a model was trained or heat maps were made, and of rows 12 and 21 in numbers:
    records of row, text, variant, score, here, original, n.

    here: score table of the run's own model; repeats: rows with the score table of the model of each
    images: the image table; removed: how many images were left out for an MS-CXR image of their subject
    text: the kind that is compared, in the corrected protocol
    """

    def compared(scores: pd.DataFrame) -> dict[str, float]:
        return measures(scores[(scores["protocol"] == "corrected") & (scores["text"] == text)])

    own = compared(here)["auc_roc"]
    records = []
    for row, scores in repeats:
        others, variant = compared(scores), scores["variant"].iloc[0]
        record = {"row": row, "text": text, "variant": variant, "score": "auc_roc", "here": own}
        records.append(record | {"original": others["auc_roc"], "n": others["samples"]})
    training = images[images["split"] == "train"]
    silent = int((training["text"] == NO_FINDING).sum())
    counts = [(12, "training_texts", silent, len(training)), (21, "training_images", removed, len(training) + removed)]
    for row, score, original, n in counts:
        records.append({"row": row, "text": "", "variant": "", "score": score, "original": original, "n": n})
    return records
