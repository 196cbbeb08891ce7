"""Scores one model's samples: FID, KID, MS-SSIM within prompts and, with a classifier, label consistency."""

import numpy as np
import torch

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.tables import keyed, read_samples, write_table
from tradeoffs.evaluation.classifier import label_scores, table_of
from tradeoffs.evaluation.features import build_extractor, extract
from tradeoffs.evaluation.fidelity import distances, diversity
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards, workers = snakemake.input, snakemake.params, snakemake.wildcards, snakemake.threads - 1
    samples = read_samples(inputs.samples)
    once = samples[samples["repeat"] == 0]
    files = ImageFiles(once["path"], params.resolution)
    extractors = {kind: build_extractor(name, inputs.get(kind)) for kind, name in params.extractors.items()}
    fake = {kind: extract(extractor, files, params.batch_size, workers) for kind, extractor in extractors.items()}
    with np.load(inputs.real) as stored:
        real = {kind: stored[kind] for kind in fake}
    scores = distances(
        real, fake, kid_subsets=params.kid_subsets, kid_subset_size=params.kid_subset_size, seed=params.seed
    )

    repeated = [rows["path"] for _, rows in samples.groupby("prompt_id") if len(rows) > 1]
    scores |= diversity(torch.stack(list(ImageFiles(paths, params.resolution))) for paths in repeated)

    if "domain" in extractors:
        logits = extractors["domain"].logits(fake["domain"])
        labels = extractors["domain"].classifier.labels
        scores |= label_scores("label_auc", list(once["Finding Labels"]), logits, labels)

    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": wildcards.seed, "step": params.step}
    write_table(keyed(table_of(scores), **keys), snakemake.output[0])
