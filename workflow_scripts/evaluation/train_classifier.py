"""Trains the findings classifier on the training images and scores it on the validation images."""

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import (
    LABELS,
    label_matrix,
    label_scores,
    save_classifier,
    table_of,
    train_classifier,
)
from tradeoffs.evaluation.features import extract
from tradeoffs.jobs.job import job

with job(snakemake):
    source, params, output = snakemake.input.images, snakemake.params, snakemake.output
    workers = snakemake.threads - 1
    images = read_images(source)
    images = images[images["split"].isin(["train", "val"])]
    labelled = images[images["Finding Labels"] != ""]
    train, val = (labelled[labelled["split"] == split].sort_values("sample_id") for split in ("train", "val"))
    for split, rows in (("train", train), ("val", val)):
        if rows.empty:
            raise InputError(f"{source}: no {split} image has Finding Labels; the classifier needs some, add such rows")

    model = train_classifier(
        ImageFiles(train["path"], params.resolution),
        label_matrix(train["Finding Labels"], LABELS),
        LABELS,
        epochs=params.epochs,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        seed=params.seed,
        workers=workers,
    )
    logits = extract(model, ImageFiles(val["path"], params.resolution), params.batch_size, workers)
    scores = label_scores("val_auc", list(val["Finding Labels"]), logits, LABELS)

    training = {k: params[k] for k in ("resolution", "epochs", "batch_size", "learning_rate", "seed")}
    reached = {metric: round(value, 6) for metric, (value, n) in scores.items() if n}
    save_classifier(output.classifier, model, {**training, "n_train": len(train), "n_val": len(val), **reached})
    write_table(table_of(scores), output.metrics)
    counts = {"read (train and val)": len(images), "no Finding Labels": len(images) - len(labelled)}
    write_counts({**counts, "kept": len(labelled)}, output.counts)
