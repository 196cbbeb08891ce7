"""The findings classifier that ships with the demo's base, so that FID (X-ray) is the same measure in every run."""

import tempfile
from pathlib import Path

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.mimic import prepare_images
from tradeoffs.demo.phantom_files import JPG_FOLDER, MSCXR_FOLDER, REPORTS_FOLDER, write_phantoms
from tradeoffs.evaluation.classifier import LABELS, label_matrix, label_scores, save_classifier, train_classifier
from tradeoffs.evaluation.features import extract
from tradeoffs.jobs.job import job

with job(snakemake), tempfile.TemporaryDirectory() as folder:
    params, raw = snakemake.params, Path(folder)
    write_phantoms(raw, params.seed, train=params.train, val=params.val, p19=0, mscxr=1, workers=snakemake.threads)
    images, _ = prepare_images(raw / JPG_FOLDER, raw / REPORTS_FOLDER, raw / MSCXR_FOLDER, ["PA", "AP"], 0.0)
    images = images[images["Finding Labels"] != ""].sort_values("sample_id")
    train, val = (images[images["split"] == split] for split in ("train", "val"))
    how = {name: params[name] for name in ("epochs", "batch_size", "learning_rate", "seed")}
    files = ImageFiles(train["path"], params.resolution)
    model = train_classifier(files, label_matrix(train["Finding Labels"], LABELS), LABELS, **how)
    logits = extract(model, ImageFiles(val["path"], params.resolution), params.batch_size, 0)
    scores = label_scores("val_auc", list(val["Finding Labels"]), logits, LABELS)
    reached = {metric: round(value, 6) for metric, (value, n) in scores.items() if n}
    about = {"phantoms": "of a seed of their own, which no table uses", "resolution": params.resolution, **how}
    save_classifier(snakemake.output.classifier, model, {**about, "n_train": len(train), "n_val": len(val), **reached})
