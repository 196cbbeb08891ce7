"""Extracts the features of the real images that generated ones are compared with."""

import numpy as np

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.evaluation.features import build_extractor, extract, reference_images
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, workers = snakemake.input, snakemake.params, snakemake.threads - 1
    images = reference_images(inputs.images, params.split, params.n, params.seed)
    files = ImageFiles(images["path"], params.resolution)
    features = {}
    for kind, name in params.extractors.items():
        features[kind] = extract(build_extractor(name, inputs.get(kind)), files, params.batch_size, workers)
    with atomic_path(snakemake.output[0]) as temporary, open(temporary, "wb") as file:
        np.savez(file, id=images["sample_id"].to_numpy(dtype=np.str_), **features)
