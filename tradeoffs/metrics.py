"""What is scored: the names in the columns and rows of all score tables, and how people read them."""

from dataclasses import dataclass

UP, DOWN = "↑", "↓"  # the better direction


@dataclass(frozen=True)
class Metric:
    """A score.

    name: in a sentence; title: at the head of a column or beside an axis, where it differs
    better: UP, DOWN or "" where neither is; decimals: digits after the point where a score stands alone
    meaning: in words, for the dictionary beside a table
    """

    name: str
    title: str = ""
    better: str = ""
    decimals: int = 3
    meaning: str = ""

    @property
    def heading(self) -> str:
        """The title with the better direction."""
        return f"{self.title or self.name} {self.better}".rstrip()


SCORES = {
    "auc_roc": Metric(
        "AUC-ROC", better=UP, meaning="probability that a pixel inside the mask is hotter than one outside"
    ),
    "top1": Metric("top-1", "Top-1", UP, meaning="whether the hottest pixel is inside the mask"),
    "cnr": Metric(
        "CNR",
        better=UP,
        meaning="contrast-to-noise ratio: (mean inside - mean outside) / sqrt(variance inside + variance outside)",
    ),
    "abs_cnr": Metric("|CNR|", better=UP, meaning="absolute value of CNR, as papers on MS-CXR print it since BioViL"),
    "iou": Metric(
        "IoU",
        better=UP,
        meaning="intersection over union of the mask and the hot part of the map, by a mixture of two Gaussians",
    ),
    "miou": Metric("fg/bg mIoU", better=UP, meaning="mean of the IoU of the hot parts and of the backgrounds"),
    "threshold_iou": Metric(
        "IoU over thresholds",
        "IoU (over thresholds)",
        UP,
        meaning="mean IoU of the mask and what exceeds .1, .2, .3, .4, .5 in the scaled map: other papers' mIoU",
    ),
    "box_iou": Metric("box IoU", "Box IoU", UP, meaning="IoU of the mask and the bounding box of the hot part"),
    "box_miou": Metric(
        "box mIoU", "Box mIoU", UP, meaning="mean of the IoU of that bounding box and of the backgrounds"
    ),
    "distance": Metric(
        "distance",
        "Distance (px)",
        DOWN,
        meaning="pixels between the centres of the two bounding boxes, where the finding has one box",
    ),
}
CONTROLS = {
    "wrong_word_auc": Metric(
        "wrong-word AUC",
        "Wrong-word AUC",
        meaning="AUC-ROC of the other findings' words of the same text, on this finding's mask",
    ),
    "specificity": Metric(
        "specificity",
        "Specificity",
        UP,
        meaning="AUC-ROC minus wrong-word AUC: whether the words point to their own place rather than to any finding",
    ),
    "bare_auc": Metric(
        "bare-map AUC", "Bare-map AUC", meaning="AUC-ROC of the mean heat map of all tokens of the text"
    ),
    "wrong_prompt_auc": Metric(
        "wrong-prompt AUC",
        "Wrong-prompt AUC",
        meaning="AUC-ROC of the heat map of a text that names another finding, on this finding's mask",
    ),
}
METRICS = SCORES | CONTROLS  # of localisation
FAITHFULNESS = {  # of taking a finding's words away
    "change_ratio": Metric(
        "change inside over outside",
        "Change inside / outside",
        UP,
        meaning="change of the predicted image inside the mask over outside, when the finding's words are taken away",
    ),
    "change_auc": Metric("AUC-ROC of the change", "Change AUC", UP, meaning="AUC-ROC of that change as a heat map"),
    "other_word_ratio": Metric(
        "change inside over outside, other words",
        "Other words' inside / outside",
        meaning="the ratio for as many other words of the text",
    ),
    "other_word_auc": Metric(
        "AUC-ROC of other words' change", "Other words' AUC", meaning="AUC-ROC of the change by these other words"
    ),
    "text_ratio": Metric(
        "change inside over outside, whole text",
        "Whole text's inside / outside",
        meaning="that ratio for the text",
    ),
    "text_auc": Metric(
        "AUC-ROC of the whole text's change", "Whole text's AUC", meaning="AUC-ROC of the change by the whole text"
    ),
    "prior_auc": Metric(
        "AUC-ROC of the location prior", "Location prior's AUC", meaning="AUC-ROC of the location prior, same samples"
    ),
    "word_share": Metric(
        "share of the whole text's change",
        "Share of the text's change",
        UP,
        meaning="the words' change as a share of the whole text's",
    ),
}
FEATURES = {  # kinds of image features: in a name, in a title, in words
    "general": ("", "", "features of Inception or what stands in for it"),
    "domain": (" with X-ray features", " (X-ray)", "features of a chest X-ray network"),
    "vit": (" with ViT features", " (ViT)", "features of a self-supervised vision transformer"),
}
DISTANCES = {
    f"{name}_{kind}": Metric(
        f"{metric.name}{of}",
        f"{metric.title or metric.name}{title}",
        metric.better,
        1 if (name, kind) == ("fid", "general") else 3,
        f"{metric.meaning}, with {words}",
    )
    for name, metric in {
        "fid": Metric("FID", better=DOWN, meaning="Fréchet distance of the samples to real images"),
        "kid": Metric("KID", better=DOWN, meaning="kernel distance of the samples to real images"),
        "precision": Metric(
            "precision", "Precision", UP, meaning="share of the samples in a real image's ball, to its 5th neighbour"
        ),
        "recall": Metric("recall", "Recall", UP, meaning="share of the real images in a sample's ball"),
        "density": Metric(
            "density", "Density", UP, meaning="in how many balls of real images a sample lies, over 5; may exceed 1"
        ),
        "coverage": Metric("coverage", "Coverage", UP, meaning="share of the balls of real images that hold a sample"),
    }.items()
    for kind, (of, title, words) in FEATURES.items()
}
LABEL_SCORES = {
    "label_auc": Metric(
        "label AUC",
        "Label AUC",
        UP,
        meaning="AUC-ROC of the X-ray network: samples of a finding's prompts against all others, mean over findings",
    ),
    "disease_auc": Metric(
        "label AUC against No Finding only",
        "Label AUC (against No Finding)",
        UP,
        meaning="the same, against prompts of No Finding only, as in the original",
    ),
    "label_top1": Metric(
        "label top-1", "Label top-1", UP, meaning="share of samples whose highest logit is their prompt's finding"
    ),
}
MS_SSIM = Metric("MS-SSIM", better=DOWN, meaning="likeness of samples of the same prompt; low is diverse")
FIDELITY = DISTANCES | {"ms_ssim": MS_SSIM} | LABEL_SCORES
# What stands in a variant's place: the control of localisation, which needs no model, and the ceiling of fidelity.
LOCATION_PRIOR = "location_prior"
REAL_IMAGES = "real_images"
