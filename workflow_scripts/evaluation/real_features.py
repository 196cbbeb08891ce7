"""Extracts the features of the real images that generated ones are compared with."""

import numpy as np

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.tables import read_images
from tradeoffs.errors import InputError
from tradeoffs.evaluation.features import build_extractor, extract
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.randomness import seed_of

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    source, workers = inputs.images, snakemake.threads - 1
    images = read_images(source)
    images = images[images["split"] == params.split]
    if images.empty:
        raise InputError(f"{source}: no image has split {params.split!r}; add such rows or set another split")
    order = images["sample_id"].map(lambda name: seed_of(params.seed, "real images", name))
    images = images.loc[order.sort_values().index[: params.n]].sort_values("sample_id")

    files = ImageFiles(images["path"], params.resolution)
    features = {}
    for kind, name in params.extractors.items():
        features[kind] = extract(build_extractor(name, inputs.get(kind)), files, params.batch_size, workers)
    with atomic_path(snakemake.output[0]) as temporary, open(temporary, "wb") as file:
        np.savez(file, id=images["sample_id"].to_numpy(dtype=np.str_), **features)
