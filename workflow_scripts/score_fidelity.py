"""Scores one model's samples: FID, KID, MS-SSIM within prompts and, with a classifier, label consistency."""

import numpy as np
import pandas as pd
import torch

from tradeoffs.data.tables import read_samples, write_table
from tradeoffs.evaluation.classifier import label_scores, load_classifier
from tradeoffs.evaluation.features import ImageFiles, build_extractor, extract
from tradeoffs.evaluation.fidelity import distances, diversity
from tradeoffs.jobs import job

with job(snakemake):
    params, classifier = snakemake.params, snakemake.input.classifier or None
    samples = read_samples(snakemake.input.samples)
    once = samples[samples["repeat"] == 0]
    files = ImageFiles(once["path"], params.resolution)
    fake = {
        kind: extract(build_extractor(name, classifier), files, params.batch_size)
        for kind, name in params.extractors.items()
    }
    with np.load(snakemake.input.real) as stored:
        real = {kind: stored[kind] for kind in fake}
    scores = distances(
        real, fake, kid_subsets=params.kid_subsets, kid_subset_size=params.kid_subset_size, seed=params.seed
    )

    repeated = [rows["path"] for _, rows in samples.groupby("prompt_id") if len(rows) > 1]
    scores |= diversity(torch.stack(list(ImageFiles(paths, params.resolution))) for paths in repeated)

    if classifier:
        model = load_classifier(classifier)
        logits = extract(model, files, params.batch_size)
        scores |= label_scores("label_auc", list(once["Finding Labels"]), logits, model.labels)

    table = pd.DataFrame([(metric, *score) for metric, score in scores.items()], columns=["metric", "value", "n"])
    write_table(table, snakemake.output[0])
