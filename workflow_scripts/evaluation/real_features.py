"""Extracts the features of the real images that generated ones are compared with."""

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.tables import LABELS, read_images, read_prompts
from tradeoffs.evaluation.features import build_extractor, extract
from tradeoffs.evaluation.reference import ImageFeatures, images_of_population, images_of_prompts
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, workers = snakemake.input, snakemake.params, snakemake.threads - 1
    images = read_images(inputs.images)
    if inputs.prompts:
        images = images_of_prompts(images, read_prompts(inputs.prompts, LABELS), params.n)
    else:
        images = images_of_population(images, params.split, params.n, params.seed)
    different = images.drop_duplicates("sample_id")  # an image that is prompted with several times is seen once
    rows = different.reset_index(drop=True).reset_index().set_index("sample_id")["index"][images["sample_id"]]
    files = ImageFiles(different["path"], params.resolution)
    features = {}
    for kind, name in params.extractors.items():
        found = extract(build_extractor(name, inputs.get(kind)), files, params.batch_size, workers)
        features[kind] = found[rows]
    ImageFeatures(list(images["sample_id"]), list(images["Finding Labels"]), features).save(snakemake.output[0])
