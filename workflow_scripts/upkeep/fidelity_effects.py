"""What rows 16 to 18 of docs/differences.md do to the scores of one model's samples."""

import numpy as np
import pandas as pd

from tradeoffs.data.tables import read_images, read_samples, write_table
from tradeoffs.evaluation.classifier import load_classifier
from tradeoffs.evaluation.effects import COLUMNS, fidelity_effects
from tradeoffs.jobs.job import job

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    images = read_images(inputs.images).set_index("sample_id")
    with np.load(inputs.real) as stored:
        real = list(images.loc[stored["id"], "path"])
    records = fidelity_effects(
        read_samples(inputs.samples),
        real,
        pd.read_csv(inputs.fidelity).set_index("metric")["value"],
        load_classifier(inputs.classifier),
        params.resolution,
        params.batch_size,
        params.sets,
        params.size,
    )
    table = pd.DataFrame(records).assign(dataset=wildcards.dataset, variant=wildcards.variant)
    write_table(table[list(COLUMNS)], snakemake.output.effects)
