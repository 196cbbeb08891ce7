"""The findings classifier: a small CNN that stands where the original has a chest X-ray DenseNet.

Its penultimate features give the domain FID, its logits the label consistency of generated images.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from tradeoffs.data.findings import MSCXR_FINDINGS, NO_FINDING
from tradeoffs.data.image_files import batches
from tradeoffs.errors import InputError
from tradeoffs.files import atomic_path
from tradeoffs.jobs.devices import default_device
from tradeoffs.progress import Progress
from tradeoffs.randomness import numpy_rng, seed_of, torch_rng

INPUT_SIZE = 64
MAX_SHIFT = 4
CHANNELS = (16, 32, 64, 96, 128)
LABELS = (*MSCXR_FINDINGS, NO_FINDING)

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "classifier.json"

Scores = dict[str, tuple[float, int]]  # metric: (value, n)


class FindingsClassifier(nn.Module):
    """Five stages of stride 2, global average pooling, 128 features, one logit per label (multi-label)."""

    def __init__(self, labels: Sequence[str]):
        super().__init__()
        self.labels = list(labels)
        self.num_features = CHANNELS[-1]
        stages = []
        for before, after in zip((1, *CHANNELS), CHANNELS, strict=False):
            stages += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(self.num_features, len(self.labels))

    def features(self, images: Tensor) -> Tensor:
        """(n, 128) from uint8 images (n, 3, H, W)."""
        return self.body(prepare(images))

    def logits(self, features: Tensor) -> Tensor:
        """(n, labels) from features (n, 128)."""
        return self.head(features)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, labels) from uint8 images (n, 3, H, W)."""
        return self.logits(self.features(images))


def prepare(images: Tensor) -> Tensor:
    """Grey float images (n, 1, h, w) in [-1, 1], at most 64 px, from uint8 images (n, 3, H, W)."""
    grey = images.float().mean(dim=1, keepdim=True) / 127.5 - 1
    if min(grey.shape[-2:]) > INPUT_SIZE:
        grey = F.interpolate(grey, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True)
    return grey


def _prepared(images: list[Tensor]) -> Tensor:
    return prepare(torch.stack(images))


def label_matrix(finding_labels: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Bool array (n, labels) from texts like "Edema|Pneumonia"; labels that are not asked for are ignored."""
    return np.array([[label in text.split("|") for label in labels] for text in finding_labels], dtype=bool)


def label_scores(name: str, finding_labels: Sequence[str], logits: np.ndarray, labels: Sequence[str]) -> Scores:
    """AUC-ROC of logits (n, labels) against the texts of labels ("Edema|Pneumonia"), and its mean over findings.

    Returns `name`: (mean over the findings, "No Finding" not being one; number of findings), then for each label
    `name`_<label>: (AUC, number of positives). Images whose text is empty are unlabelled and left out, as are labels
    without positives or without negatives; the mean of none is NaN.
    docs/differences.md, row 18: a mean (the original sums), of correctly named labels.
    """
    labelled = [i for i, text in enumerate(finding_labels) if text]
    targets = label_matrix([finding_labels[i] for i in labelled], labels).reshape(-1, len(labels))
    scores = {}
    for k, label in enumerate(labels):
        positives = int(targets[:, k].sum())
        if 0 < positives < len(targets):
            scores[f"{name}_{label}"] = (float(roc_auc_score(targets[:, k], logits[labelled, k])), positives)
    findings = [auc for key, (auc, _) in scores.items() if key != f"{name}_{NO_FINDING}"]
    return {name: (float(np.mean(findings)) if findings else float("nan"), len(findings)), **scores}


def table_of(scores: Scores) -> pd.DataFrame:
    """Scores as rows: metric, value, n."""
    return pd.DataFrame([(metric, *score) for metric, score in scores.items()], columns=["metric", "value", "n"])


def train_classifier(
    images: Dataset,
    targets: np.ndarray,
    labels: Sequence[str],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    workers: int = 0,
) -> FindingsClassifier:
    """Trains for a fixed number of epochs: AdamW, cosine schedule, random shifts of up to 4 px.

    images: n uint8 images (3, H, W) of one size; targets: bool (n, labels); workers: processes that decode images
    beside this one
    Chests are not mirrored, since that would swap left and right. No epoch is chosen, so no image beside these is used.
    """
    inputs = torch.cat(list(batches(images, 64, workers, "decoding", _prepared)))
    size = inputs.shape[-1]
    padded = F.pad(inputs, [MAX_SHIFT] * 4, mode="replicate")
    wanted = torch.from_numpy(targets).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "classifier"))
        model = FindingsClassifier(labels)
    device = default_device()
    model.train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    steps = -(-len(inputs) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    progress = Progress(range(epochs), desc="classifier", unit="epoch")
    for epoch in progress:
        order = torch.randperm(len(inputs), generator=torch_rng(seed, "order", epoch))
        corners = numpy_rng(seed, "shift", epoch).integers(0, 2 * MAX_SHIFT + 1, size=(len(inputs), 2))
        total = 0.0
        for rows in order.tensor_split(steps):
            shifted = [padded[i, :, y : y + size, x : x + size] for i in rows for y, x in [corners[i]]]
            logits = model.head(model.body(torch.stack(shifted).to(device)))
            loss = F.binary_cross_entropy_with_logits(logits, wanted[rows].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        progress.set_postfix(loss=f"{total / len(inputs):.3f}")
    return model.cpu().eval()


def save_classifier(folder: str | Path, model: FindingsClassifier, card: dict) -> None:
    """Writes the weights and a JSON card (labels, then whatever `card` says about the training) to a folder."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        save_file(model.state_dict(), temporary / WEIGHTS_FILE)
        (temporary / CARD_FILE).write_text(json.dumps({"labels": model.labels, **card}, indent=2) + "\n")


def load_classifier(folder: str | Path) -> FindingsClassifier:
    """The classifier of a folder, in evaluation mode.

    Raises InputError if files are missing or broken, or if the weights are not exactly this network's
    (docs/differences.md, row 19).
    """
    card_file, weights_file = Path(folder) / CARD_FILE, Path(folder) / WEIGHTS_FILE
    try:
        model = FindingsClassifier(json.loads(card_file.read_text())["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{card_file}: not a classifier's card ({error}); train the classifier again") from error
    try:
        weights = load_file(weights_file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{weights_file}: cannot be read ({error}); train the classifier again") from error
    expected, found = ({k: v.shape for k, v in d.items()} for d in (model.state_dict(), weights))
    wrong = sorted(k for k in expected | found if expected.get(k) != found.get(k))
    if wrong:
        raise InputError(
            f"{weights_file}: {len(wrong)} weights are missing, unexpected or of another shape (first: {wrong[0]}); "
            "train the classifier again"
        )
    model.load_state_dict(weights)
    return model.eval()
