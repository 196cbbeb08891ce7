"""What each row of docs/differences.md does on the demo, as a table and in that page."""

from pathlib import Path

import pandas as pd

from tradeoffs.data.findings import NO_FINDING
from tradeoffs.data.tables import read_images, write_table
from tradeoffs.evaluation.effects import COLUMNS, measures
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.paper.effects import differences_page, read_effects

DATASET, TEXT = "cxr", "phrase"  # of the models that were trained, and the dumps that were made, for a row


def auc_roc(path: str) -> tuple[str, float, int]:
    """The variant, the macro mean of its AUC-ROC, and n, of a score table; corrected protocol, default text."""
    scores = pd.read_csv(path)
    scores = scores[(scores["protocol"] == "corrected") & (scores["text"] == TEXT)]
    means = measures(scores)
    return scores["variant"].iloc[0], means["auc_roc"], means["samples"]


with job(snakemake):
    inputs, output = snakemake.input, snakemake.output
    (here,) = map(auc_roc, inputs.here)
    repeats = [
        {"row": row, "text": TEXT, "score": "auc_roc", "here": here[1], "original": value, "n": n, "variant": variant}
        for row, (variant, value, n) in zip(snakemake.params.rows, map(auc_roc, inputs.repeats), strict=True)
    ]
    images = read_images(inputs.images)
    training = images[images["split"] == "train"]
    removed = pd.read_csv(inputs.images_counts).set_index("reason")["count"]["subject has an MS-CXR image"]
    counts = [
        {"row": 12, "score": "training_texts", "original": (training["text"] == NO_FINDING).sum(), "n": len(training)},
        {"row": 21, "score": "training_images", "original": removed, "n": len(training) + removed},
    ]
    records = pd.DataFrame(repeats + counts).assign(dataset=DATASET).fillna({"text": "", "variant": ""})
    effects = pd.concat([*map(read_effects, [*inputs.scoring, *inputs.fidelity]), records])[list(COLUMNS)]
    write_table(effects.sort_values("row", kind="stable"), output.csv)
    with atomic_path(output.page) as temporary:
        Path(temporary).write_text(differences_page(read_effects(output.csv)))
