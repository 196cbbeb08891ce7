"""Scores one model's samples: FID, KID and the like, MS-SSIM within prompts and, with a classifier, label consistency,
for all samples and, where there are findings, for those of each."""

import torch

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.tables import keyed, read_samples, write_table
from tradeoffs.evaluation.classifier import table_of
from tradeoffs.evaluation.features import build_extractor, extract
from tradeoffs.evaluation.fidelity import distances, distances_by_finding, diversity
from tradeoffs.evaluation.label_consistency import label_consistency
from tradeoffs.evaluation.reference import ImageFeatures, load_features
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards, workers = snakemake.input, snakemake.params, snakemake.wildcards, snakemake.threads - 1
    samples = read_samples(inputs.samples)
    once = samples[samples["repeat"] == 0]
    files = ImageFiles(once["path"], params.resolution)
    extractors = {kind: build_extractor(name, inputs.get(kind)) for kind, name in params.extractors.items()}
    features = {kind: extract(extractor, files, params.batch_size, workers) for kind, extractor in extractors.items()}
    fake = ImageFeatures(list(once["image_id"]), list(once["Finding Labels"]), features)
    real = load_features(inputs.real)
    scores = distances(real.features, fake.features, **params.kid, seed=params.seed)

    repeated = [rows["path"] for _, rows in samples.groupby("prompt_id") if len(rows) > 1]
    scores |= diversity(torch.stack(list(ImageFiles(paths, params.resolution))) for paths in repeated)

    if "domain" in extractors:
        scores |= distances_by_finding(real, fake, **params.kid, seed=params.seed)
        logits = extractors["domain"].logits(features["domain"])
        scores |= label_consistency(fake.labels, logits, extractors["domain"].classifier.labels)

    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": wildcards.seed, "step": params.step}
    write_table(keyed(table_of(scores), **keys), snakemake.output[0])
