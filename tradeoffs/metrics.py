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
    "iou": Metric(
        "IoU",
        better=UP,
        meaning="intersection over union of the mask and the hot part of the map, by a mixture of two Gaussians",
    ),
    "miou": Metric("fg/bg mIoU", better=UP, meaning="mean of the IoU of the hot parts and of the backgrounds"),
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
FIDELITY = {
    "fid_general": Metric(
        "FID",
        better=DOWN,
        decimals=1,
        meaning="Fréchet distance of the samples to real images, with features of Inception or what stands in for it",
    ),
    "kid_general": Metric(
        "KID", better=DOWN, meaning="kernel distance of the samples to real images, with the same features"
    ),
    "fid_domain": Metric(
        "FID with X-ray features",
        "FID (X-ray)",
        DOWN,
        meaning="Fréchet distance with features of a chest X-ray network",
    ),
    "kid_domain": Metric(
        "KID with X-ray features", "KID (X-ray)", DOWN, meaning="kernel distance with features of a chest X-ray network"
    ),
    "ms_ssim": Metric("MS-SSIM", better=DOWN, meaning="likeness of samples of the same prompt; low is diverse"),
    "label_auc": Metric(
        "label AUC",
        "Label AUC",
        UP,
        meaning="AUC-ROC of the X-ray network on the samples against the labels of their prompts, mean over findings",
    ),
}
# What stands in a variant's place: the control of localisation, which needs no model, and the ceiling of fidelity.
LOCATION_PRIOR = "location_prior"
REAL_IMAGES = "real_images"
