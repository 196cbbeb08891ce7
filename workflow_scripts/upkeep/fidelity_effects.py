"""What rows 16 to 18, 22 and 23 of docs/differences.md do to the scores of one model's samples."""

import pandas as pd

from tradeoffs.data.tables import read_images, read_samples, write_table
from tradeoffs.evaluation.classifier import load_classifier
from tradeoffs.evaluation.effects import COLUMNS, fidelity_effects
from tradeoffs.evaluation.reference import images_of_population, load_features
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    images = read_images(inputs.images)
    real = load_features(inputs.real).ids
    population = images_of_population(images, params.split, params.n, seed=0)
    records = fidelity_effects(
        read_samples(inputs.samples),
        list(images.set_index("sample_id").loc[real, "path"]),
        list(population["path"]),
        pd.read_csv(inputs.fidelity).set_index("metric")["value"],
        load_classifier(inputs.classifier),
        params.resolution,
        params.batch_size,
        params.sets,
        params.size,
    )
    table = pd.DataFrame(records).assign(dataset=wildcards.dataset, variant=wildcards.variant)
    write_table(table[list(COLUMNS)], snakemake.output.effects)
