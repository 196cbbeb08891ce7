"""Scores real images as samples are scored: one half against the other, and the classifier on all with their labels."""

import numpy as np

from tradeoffs.data.tables import keyed, read_images, write_table
from tradeoffs.evaluation.classifier import label_scores, table_of
from tradeoffs.evaluation.features import build_extractor
from tradeoffs.evaluation.fidelity import real_distances
from tradeoffs.jobs.job import job
from tradeoffs.metrics import REAL_IMAGES

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    with np.load(inputs.real) as stored:
        ids, features = stored["id"], {kind: stored[kind] for kind in params.extractors}
    scores = real_distances(
        features, kid_subsets=params.kid_subsets, kid_subset_size=params.kid_subset_size, seed=params.seed
    )
    if "domain" in features:
        extractor = build_extractor(params.extractors["domain"], inputs.domain)
        finding_labels = read_images(inputs.images).set_index("sample_id").loc[ids, "Finding Labels"]
        logits = extractor.logits(features["domain"])
        scores |= label_scores("label_auc", list(finding_labels), logits, extractor.classifier.labels)
    keys = {"dataset": snakemake.wildcards.dataset, "variant": REAL_IMAGES, "seed": "", "step": ""}
    write_table(keyed(table_of(scores), **keys), snakemake.output.scores)
