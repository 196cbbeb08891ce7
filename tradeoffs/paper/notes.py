"""What a reader must know beside the numbers of a table: how they were made and what may not be compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tradeoffs.metrics import REAL_IMAGES
from tradeoffs.paper.formatting import readable

NOTE_MEANS = "Macro: mean over categories of their means. Micro: mean over samples."
NOTE_PRIOR = (
    "The location prior is the mean mask of the same category in the other patients (COCO: images), scored on the "
    "samples that all variants of Table 1 have the score of. It needs no model; a localisation score counts only above "
    "it."
)
NOTE_CONTROLS = (
    "Specificity: AUC-ROC of the category's own words minus that of the other categories' words (wrong word) on the "
    "same mask, on images with several categories. Wrong prompt: heat maps of a text that names another category, "
    "queried by that category's words, on the same mask. Bare map: the mean over all tokens of the text."
)
NOTE_SAMPLED_ALIKE = (
    "Samples of all variants are drawn from the same texts, impressions, as all heat maps of a block are made with the "
    "same texts."
)
NOTE_SAMPLED_FROM_OWN = (
    "Each variant is sampled with prompts of the kind of text it was trained on (a base as it is: of its `text` in the "
    "config), so fidelity speaks of model and prompts together. All heat maps of a block are made with the same texts."
)
NOTE_OWN_CLASSIFIER = (
    "own_classifier was trained in this run: its FID and label AUC compare within the run only. Give "
    "evaluation.extractors.findings_classifier a classifier's folder to compare runs."
)
NOTE_REAL = (
    "Real images: the ceiling of fidelity. FID and KID are of one random half of the real images against the other "
    "(images: those of a half), and FID at half the n is biased upwards."
)
NOTE_NAMED = "Named: the pairs whose impression names the finding literally (kept); all: these and the dropped ones."
NOTE_FID_SIZE = (
    "What a FID of this size means: it depends on the features and on the number of images, so it compares within this "
    "column only, never with a published one. Read it between two rows: real images, the ceiling, "
    "and the base before fine-tuning."
)
FAR_OFF = 0.1  # in AUC-ROC, from the median of the other variants
NOTE_OVERLAP = (
    "Precision, recall, density and coverage: with balls to the 5th neighbour (Naeem et al., 2020); they depend on the "
    "number of images, which the real images' halves have half of."
)
NOTE_LABELS = (
    "Label AUC: the images of a finding against all others. Against No Finding: against the images of No Finding only, "
    "as in the original. Top-1: the share whose highest logit is the finding's. All are means over findings."
)
NOTE_FAITHFULNESS = (
    "The finding's words taken away: how much the predicted image changes when the same noised real image is denoised "
    "without these words, inside the finding over outside, with the 95 % interval over patients (images); first seed. "
    "Controls: as many other words of the text, the whole text, the location prior. A word is used where the finding "
    "is only as far as it is above these."
)
NOTE_BY_FINDING = (
    "The samples of a finding's prompts against the real images that have the finding; an image counts for each of its "
    "findings. FID is biased at so small n and compares within a finding only, KID is not biased."
)
REFERENCES = {
    "prompts": "the real images of the prompts, each as often as it is prompted with",
    "population": "a random draw of real images, whose labels are mixed otherwise than those of the prompts",
}
NOTE_LITERATURE = (
    "|CNR| and IoU over thresholds (the mean for .1 to .5 of the scaled map) are what papers on MS-CXR print as CNR "
    "and mIoU since BioViL; fg/bg mIoU is another score. |CNR| does not tell pointing away from pointing at."
)
DIFFERENCE_NOTES = (
    "Differences are paired: samples that have the score in every seed of both variants, each with its mean over the "
    "variant's seeds.",
    "[low, high]: 95 % interval, percentile bootstrap over patients (COCO: images).",
    "p: two-sided sign-flip permutation test, which swaps the two variants for all samples of a patient (COCO: image) "
    "at once. The p values are not corrected for the number of comparisons.",
    "Both are about these trained models on other patients; how models of other seeds differ is in the standard "
    "deviations over seeds of the other tables.",
    NOTE_MEANS,
)
NOTES_NO_PAIR = ("No variant of the config with a frozen text encoder has a learnable counterpart.",)


def score_notes(rows: pd.DataFrame, variants: Iterable[str]) -> list[str]:
    """On localisation scores. rows: of the table, with variant and seeds; variants: those of the config"""
    seeds = rows.drop_duplicates("variant").set_index("variant")["seeds"]
    listing = ", ".join(f"{readable(name)} {seeds[name]}" for name in variants if name in seeds.index)
    return [
        f"Mean ± standard deviation over seeds (their number: {listing}); one seed has no standard deviation.",
        "[low, high]: 95 % interval of the mean, percentile bootstrap over patients (COCO: images); the CSV has it for "
        "every score.",
        NOTE_MEANS,
        NOTE_PRIOR,
        NOTE_CONTROLS,
    ]


@dataclass(frozen=True)
class Compared:
    """What samples are compared with, and by which networks.

    extractors: names of the feature extractors, "general", "domain" and "vit"; reference: evaluation.reference;
    external_samples: names of the radiographs that were made elsewhere
    """

    extractors: Mapping[str, str]
    reference: str
    external_samples: Sequence[str] = ()


def fidelity_notes(
    fidelity: pd.DataFrame,
    datasets: Mapping[str, str],
    compared: Compared,
) -> list[str]:
    """On fidelity, with the sizes and features behind each data set's numbers."""
    notes = [
        "Fidelity: mean ± standard deviation over seeds; it belongs to a set of images and has no interval.",
        f"Samples are compared with {REFERENCES[compared.reference]}.",
        NOTE_OVERLAP,
    ]
    fidelity = fidelity[~fidelity["variant"].isin([REAL_IMAGES, *compared.external_samples])]
    for dataset, data in datasets.items():
        own = fidelity[fidelity["dataset"] == dataset].groupby("metric").first()
        features = f"{compared.extractors['general']} (general)"
        if "fid_domain" in own.index:
            features += f", {compared.extractors['domain']} (X-ray)"
        if "fid_vit" in own.index:
            features += f", {compared.extractors['vit']} (ViT)"
        notes.append(
            f"{data}: FID and KID of {own.loc['fid_general', 'n']:.0f} samples against "
            f"{own.loc['n_real', 'value']:.0f} real images, with {features} features; FID is biased at small n, "
            "KID is not."
        )
        if "ms_ssim_resized_to" in own.index:
            notes.append(
                f"{data}: MS-SSIM within prompts, at {own.loc['ms_ssim_resized_to', 'value']:.0f} px: images were "
                "resized, its five scales need that."
            )
    if "label_auc" in set(fidelity["metric"]):
        notes.append(
            f"Label consistency: {compared.extractors['domain']} on the samples against the labels they were prompted "
            "with. Real images: against their own labels."
        )
        notes.append(NOTE_LABELS)
    if compared.extractors.get("domain") == "own_classifier":
        notes.append(NOTE_OWN_CLASSIFIER)
    if compared.external_samples:
        notes.append(f"Images that were made elsewhere: {', '.join(map(readable, compared.external_samples))}.")
    return [*notes, NOTE_REAL, NOTE_FID_SIZE]


def far_off_notes(rows: pd.DataFrame, variants: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why a variant's AUC-ROC lies far off all others, as far as the configuration tells: one note a variant.

    rows: of the table, one per data set, text and variant; variants: entries of the config
    """
    found: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    models = rows[rows["variant"].isin(list(variants))].dropna(subset="auc_roc")
    for (data, text), part in models.groupby(["data", "text"], sort=False):
        for row in _far_off(part):
            found.setdefault(row["variant"], []).append(f"{row['auc_roc']:.3f} on {data}, {text}")
            reasons[row["variant"]] = " ".join(_reasons(row, variants[row["variant"]]))
    return [
        f"{readable(name)} lies far off the others (AUC-ROC {'; '.join(found[name])}): {reasons[name]}"
        for name in found
    ]


def _far_off(part: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """Rows at least FAR_OFF from the median of the others, with an interval that touches none of theirs."""
    for place, row in part.iterrows():
        others = part.drop(index=place)
        apart = (others["auc_roc_low"] > row["auc_roc_high"]) | (others["auc_roc_high"] < row["auc_roc_low"])
        if len(others) > 1 and apart.all() and abs(row["auc_roc"] - others["auc_roc"].median()) >= FAR_OFF:
            yield row


def _reasons(row: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[str]:
    if not entry["finetune"]:
        yield "it is the base as it is, which was not fine-tuned on these images and texts."
    elif entry.get("encoder"):
        yield (
            f"its texts are read by another text encoder ({entry['encoder']}) than the base was trained with, so the "
            "cross-attention had the steps of the fine-tuning alone to learn what its embeddings mean."
        )
    elif entry.get("attention_regularisation"):
        yield (
            f"it was trained with attention_regularisation {entry['attention_regularisation']:g}, a loss that asks for "
            "attention to the findings' words at every pixel, not at the finding's."
        )
    else:
        yield "the configuration gives no reason; look at its heat maps in the figures."
    if row["auc_roc_high"] < 0.5:
        yield "An AUC-ROC below 0.5 means that the maps are colder inside the boxes or masks than outside."


def external_notes(external: Sequence[str]) -> list[str]:
    """Names the external methods, if there are any."""
    return [f"Heat maps of other methods: {', '.join(map(readable, external))}."] if external else []
