"""Whether an X-ray network finds in images what they were prompted with: by AUC-ROC in two ways, and top-1."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from tradeoffs.data.findings import MSCXR_FINDINGS, NO_FINDING
from tradeoffs.evaluation.classifier import LABELS, Scores, label_matrix, label_scores


def label_consistency(finding_labels: Sequence[str], logits: np.ndarray, labels: Sequence[str]) -> Scores:
    """All scores of label consistency: label_auc, disease_auc and label_top1, each with one for every finding.

    finding_labels: of n images, such as "Edema|Pneumonia"; logits: (n, labels) of a network that knows `labels`
    label_auc (ours): the images of a finding against all others (see `label_scores`)
    disease_auc, label_top1 (the original's): see `disease_scores` and `top1_scores`
    """
    return {
        **label_scores("label_auc", finding_labels, logits, labels),
        **disease_scores(finding_labels, logits, labels),
        **top1_scores(finding_labels, logits, labels),
    }


def disease_scores(finding_labels: Sequence[str], logits: np.ndarray, labels: Sequence[str]) -> Scores:
    """AUC-ROC of each finding's images against those of No Finding only, as the original has it; images of other
    findings are left out. So it asks whether the images look ill, hardly of what (docs/differences.md, row 23).

    Returns disease_auc: (mean over findings, their number; NaN without any), then disease_auc_<finding>: (AUC, number
    of the finding's images). A finding without images, and all of them without images of No Finding, are left out.
    """
    healthy, *of_findings = label_matrix(finding_labels, [NO_FINDING, *MSCXR_FINDINGS]).T
    scores = {}
    for finding, ill in zip(MSCXR_FINDINGS, of_findings, strict=True):
        compared = ill | healthy
        if finding in labels and ill.any() and not ill[compared].all():
            logit = logits[compared, list(labels).index(finding)]
            scores[finding] = (float(roc_auc_score(ill[compared], logit)), int(ill.sum()))
    return _with_mean("disease_auc", scores)


def top1_scores(finding_labels: Sequence[str], logits: np.ndarray, labels: Sequence[str]) -> Scores:
    """Share of each finding's images whose highest logit is the finding's, among the eight findings and No Finding as
    far as the network knows them; an image counts for each of its findings (docs/differences.md, row 18).

    Returns label_top1: (mean over findings, their number; NaN without any), then label_top1_<finding>: (share, images).
    """
    known = [label for label in LABELS if label in labels]
    columns = [list(labels).index(label) for label in known]
    highest = np.array(known)[logits[:, columns].argmax(axis=1)]
    shown = label_matrix(finding_labels, MSCXR_FINDINGS).T
    scores = {
        finding: (float(np.mean(highest[images] == finding)), int(images.sum()))
        for finding, images in zip(MSCXR_FINDINGS, shown, strict=True)
        if finding in known and images.any()
    }
    return _with_mean("label_top1", scores)


def _with_mean(name: str, scores: Scores) -> Scores:
    mean = float(np.mean([value for value, _ in scores.values()])) if scores else float("nan")
    return {name: (mean, len(scores)), **{f"{name}_{finding}": score for finding, score in scores.items()}}
