"""What each row of docs/differences.md does on the demo, as a table and in that page."""

from pathlib import Path

import pandas as pd

from tradeoffs.data.tables import read_images, write_table
from tradeoffs.evaluation.effects import COLUMNS, sampling_effects, training_effects
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.paper.effects import differences_page, read_effects
from tradeoffs.provenance.records import commit

with job(snakemake):
    inputs, output = snakemake.input, snakemake.output
    repeats = zip(snakemake.params.rows, map(pd.read_csv, inputs.repeats), strict=True)
    removed = pd.read_csv(inputs.images_counts).set_index("reason")["count"]["subject has an MS-CXR image"]
    records = training_effects(pd.read_csv(*inputs.here), repeats, read_images(inputs.images), removed, text="phrase")
    if inputs.sampled:  # a run may do without labels_frozen
        records += sampling_effects(*map(pd.read_csv, inputs.sampled))
    trained = pd.DataFrame(records).assign(dataset="cxr")
    effects = pd.concat([*map(read_effects, [*inputs.scoring, *inputs.fidelity]), trained])[list(COLUMNS)]
    write_table(effects.sort_values("row", kind="stable").assign(commit=commit()), output.csv)
    with atomic_path(output.page) as temporary:
        Path(temporary).write_text(differences_page(read_effects(output.csv)))
