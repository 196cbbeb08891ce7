"""What each column of a paper table's CSV means, as a table of its own beside the CSV."""

from collections.abc import Iterable

import pandas as pd

from tradeoffs.metrics import DOWN, FAITHFULNESS, FIDELITY, METRICS, UP
from tradeoffs.paper.rows import MICRO_AUC

BETTER = {UP: "higher", DOWN: "lower", "": ""}
LABELS = {
    "data": "data set",
    "protocol": "corrected, or published: the original code's way of scoring (docs/differences.md)",
    "text": "what the heat maps were made with: phrase, impression or caption",
    "group": "finding or class; micro: the mean over samples; macro: the mean over findings or classes of their means",
    "training_text": "text of fine-tuning; empty for the base, the real images and the location prior",
    "text_encoder": "text encoder in fine-tuning: frozen, learnable or lora",
    "variant": "the model, or what stands in its place: location_prior, real_images, a method of `external` or images "
    "of `external_samples`",
    "pairs": "named: only where the impression names the finding literally; all: every pair of image and finding",
    "seeds": "number of the variant's seeds",
    "frozen": "variant with a frozen text encoder",
    "learnable": "its counterpart with a learnable one",
    "metric": "score that is compared",
    "method": "heat-map method, an entry of attention.methods; empty for the location prior",
    "chosen": "yes for the method that the validation patients choose",
    "validation_auc_roc": "macro AUC-ROC on the validation patients; all other scores are of the test patients",
    "step": "step of fine-tuning",
    "measure": "what is measured (docs/methods.md)",
}
COUNTS = {
    "n_images": "samples behind the fidelity scores, of one seed; of the real images one half",
    "n_samples": "texts that were scored (COCO: pairs of an image and a class)",
    "n_captions": "captions that these are the means over",
    "n_specificity": "of these, texts on images with several findings or classes",
    "n_subjects": "their patients (COCO: images)",
    "n_categories": "findings or classes behind the macro mean",
    "n_excluded": "texts that could not be scored",
    "n_interventions": "texts of which the finding's words were taken away, of the first seed",
    "n_kept": "pairs whose impression names the finding",
    "n_dropped": "the other pairs",
    "n_validation": "texts of the validation patients",
    "n": "samples compared",
    "subjects": "their patients (COCO: images)",
}
COMPARISON = {
    "difference": "frozen minus learnable, on the samples that both have in every seed",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "p": "two-sided sign-flip permutation test over patients (COCO: images), not corrected for the number of tests",
}
MEASURED = {
    f"{label}{suffix}": f"{end}{meaning}"
    for label, meaning in {
        "mean_frozen": "mean of the measure with the frozen text encoder",
        "mean_learnable": "mean of the measure with the learnable one",
        "difference": "frozen minus learnable, on the texts that both have",
    }.items()
    for suffix, end in {"": "", "_low": "lower end of the 95 % interval: ", "_high": "upper end of it: "}.items()
}
STATISTICS = {
    "": "mean over seeds",
    "_sd": "sample standard deviation over seeds; empty with one seed",
    "_low": "lower end of the 95 % interval of the mean, by bootstrap over patients (COCO: images)",
    "_high": "upper end of the 95 % interval of the mean, by bootstrap over patients (COCO: images)",
}


def dictionary(columns: Iterable[str]) -> pd.DataFrame:
    """One row a column of a paper table: column; meaning; statistic, of a score; better, "higher" or "lower" if either.

    Raises KeyError for a column that no paper table has.
    """
    plain = LABELS | COUNTS | MEASURED | COMPARISON
    rows = [(name, plain[name], "", "") if name in plain else _of_score(name) for name in columns]
    return pd.DataFrame(rows, columns=["column", "meaning", "statistic", "better"])


def _of_score(column: str) -> tuple[str, str, str, str]:
    suffix = next((suffix for suffix in ("_sd", "_low", "_high") if column.endswith(suffix)), "")
    name = column.removesuffix(suffix)
    metric = (FIDELITY | FAITHFULNESS | METRICS)[name.removesuffix("_micro") if name == MICRO_AUC else name]
    meaning = f"{metric.meaning}; micro mean" if name == MICRO_AUC else metric.meaning
    return column, meaning, STATISTICS[suffix], BETTER[metric.better]
