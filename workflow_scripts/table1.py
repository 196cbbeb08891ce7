"""Table 1 as CSV, Markdown and LaTeX, with its sidecar."""

from pathlib import Path

import pandas as pd

from tradeoffs.files import atomic_path
from tradeoffs.jobs import job
from tradeoffs.paper.tables import Repeat, latex, markdown, table1, table1_notes
from tradeoffs.provenance import write_sidecar

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    repeats = [
        Repeat(variant, seed, pd.read_csv(localisation), pd.read_csv(fidelity))
        for (variant, seed), localisation, fidelity in zip(
            params.repeats, inputs.localisation, inputs.fidelity, strict=True
        )
    ]
    repeats.append(Repeat("location_prior", None, pd.read_csv(inputs.location_prior), None))

    table = table1(repeats, params.data, params.config["evaluation"]["protocol"])
    notes = table1_notes(repeats, params.config, params.extractors)
    with atomic_path(output.csv) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    for path, render in ((output.markdown, markdown), (output.latex, latex)):
        with atomic_path(path) as temporary:
            temporary.write_text(render(table, params.title, notes))
    counts = {Path(path).stem: pd.read_csv(path).set_index("reason")["count"].to_dict() for path in inputs.counts}
    write_sidecar(output.sidecar, params.config, counts)
