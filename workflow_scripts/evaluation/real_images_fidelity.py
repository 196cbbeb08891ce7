"""Scores real images as samples are scored: one half against the other, and the classifier on all with their labels."""

from tradeoffs.data.tables import keyed, write_table
from tradeoffs.evaluation.classifier import table_of
from tradeoffs.evaluation.features import build_extractor
from tradeoffs.evaluation.fidelity import distances, distances_by_finding, halves
from tradeoffs.evaluation.label_consistency import label_consistency
from tradeoffs.evaluation.reference import load_features
from tradeoffs.jobs.job import job
from tradeoffs.metrics import REAL_IMAGES

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    images = load_features(inputs.real)
    real, held_out = (images.rows(half) for half in halves(images.ids, params.seed))
    scores = distances(real.features, held_out.features, **params.kid, seed=params.seed)
    if "domain" in images.features:
        scores |= distances_by_finding(real, held_out, **params.kid, seed=params.seed)
        extractor = build_extractor(params.extractors["domain"], inputs.domain)
        logits = extractor.logits(images.features["domain"])
        scores |= label_consistency(images.labels, logits, extractor.classifier.labels)
    keys = {"dataset": snakemake.wildcards.dataset, "variant": REAL_IMAGES, "seed": "", "step": ""}
    write_table(keyed(table_of(scores), **keys), snakemake.output.scores)
