"""What is scored: the names in the columns and rows of all score tables, and how people read them."""

from dataclasses import dataclass

UP, DOWN = "↑", "↓"  # the better direction


@dataclass(frozen=True)
class Metric:
    """A score.

    name: in a sentence; title: at the head of a column or beside an axis, where it differs
    better: UP, DOWN or "" where neither is; decimals: digits after the point where a score stands alone
    """

    name: str
    title: str = ""
    better: str = ""
    decimals: int = 3

    @property
    def heading(self) -> str:
        """The title with the better direction."""
        return f"{self.title or self.name} {self.better}".rstrip()


SCORES = {
    "auc_roc": Metric("AUC-ROC", better=UP),
    "top1": Metric("top-1", "Top-1", UP),
    "cnr": Metric("CNR", better=UP),
    "iou": Metric("IoU", better=UP),
    "miou": Metric("fg/bg mIoU", better=UP),
    "box_iou": Metric("box IoU", "Box IoU", UP),
    "box_miou": Metric("box mIoU", "Box mIoU", UP),
    "distance": Metric("distance", "Distance (px)", DOWN),
}
CONTROLS = {
    "wrong_word_auc": Metric("wrong-word AUC", "Wrong-word AUC"),
    "specificity": Metric("specificity", "Specificity", UP),
    "bare_auc": Metric("bare-map AUC", "Bare-map AUC"),
    "wrong_prompt_auc": Metric("wrong-prompt AUC", "Wrong-prompt AUC"),
}
METRICS = SCORES | CONTROLS  # of localisation
FEATURES = {  # kinds of image features: in a name, in a title
    "general": ("", ""),
    "domain": (" with X-ray features", " (X-ray)"),
    "vit": (" with ViT features", " (ViT)"),
}
DISTANCES = {
    f"{name}_{kind}": Metric(f"{metric.name}{of}", f"{metric.title or metric.name}{title}", metric.better, decimals)
    for name, metric in {
        "fid": Metric("FID", better=DOWN),
        "kid": Metric("KID", better=DOWN),
        "precision": Metric("precision", "Precision", UP),
        "recall": Metric("recall", "Recall", UP),
        "density": Metric("density", "Density", UP),
        "coverage": Metric("coverage", "Coverage", UP),
    }.items()
    for kind, (of, title) in FEATURES.items()
    for decimals in [1 if (name, kind) == ("fid", "general") else 3]
}
LABEL_SCORES = {
    "label_auc": Metric("label AUC", "Label AUC", UP),
    "disease_auc": Metric("label AUC against No Finding only", "Label AUC (against No Finding)", UP),
    "label_top1": Metric("label top-1", "Label top-1", UP),
}
FIDELITY = DISTANCES | {"ms_ssim": Metric("MS-SSIM", better=DOWN)} | LABEL_SCORES
# What stands in a variant's place: the control of localisation, which needs no model, and the ceiling of fidelity.
LOCATION_PRIOR = "location_prior"
REAL_IMAGES = "real_images"
