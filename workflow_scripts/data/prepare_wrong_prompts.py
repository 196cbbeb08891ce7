"""Grounding table -> texts of the control "wrong prompt", for each kind of text."""

import pandas as pd

from tradeoffs.data.tables import read_grounding, read_images, write_table
from tradeoffs.data.wrong_prompts import wrong_prompts
from tradeoffs.jobs.job import job

with job(snakemake):
    grounding = read_grounding(snakemake.input.grounding)
    images = read_images(snakemake.input.images)
    tables = [wrong_prompts(grounding, images, text, snakemake.params.seed) for text in snakemake.params.texts]
    write_table(pd.concat(tables), snakemake.output.wrong_prompts)
