"""Scores one model's samples, or images from elsewhere: FID, KID and the like, MS-SSIM within prompts and, with a
classifier, label consistency and all by finding."""

from tradeoffs.data.tables import keyed, read_samples, write_table
from tradeoffs.evaluation.classifier import table_of
from tradeoffs.evaluation.image_sets import (
    build_extractors,
    diversity_within,
    features_of,
    fidelity_scores,
    read_image_set,
)
from tradeoffs.evaluation.reference import load_features
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards, workers = snakemake.input, snakemake.params, snakemake.wildcards, snakemake.threads - 1
    if params.step is None:  # not of a model of this run
        every = once = read_image_set(inputs.samples)
    else:
        every = read_samples(inputs.samples).rename(columns={"prompt_id": "prompt"})
        once = every[every["repeat"] == 0]
    extractors = build_extractors(params.extractors, {kind: inputs.get(kind) for kind in params.extractors})
    fake = features_of(once, extractors, params.resolution, params.batch_size, workers)
    scores = fidelity_scores(load_features(inputs.real), fake, extractors.get("domain"), **params.kid, seed=params.seed)
    scores |= diversity_within(every["prompt"], every["path"], params.resolution)
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant}
    keys |= {"seed": wildcards.get("seed", ""), "step": params.step}
    write_table(keyed(table_of(scores), **keys), snakemake.output[0])
