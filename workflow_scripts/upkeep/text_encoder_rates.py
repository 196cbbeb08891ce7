"""Localisation and fidelity against training length, a line per rate of the text encoder: a table and a figure."""

import pandas as pd
from matplotlib.figure import Figure

from tradeoffs.data.tables import write_table
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.metrics import FIDELITY, METRICS
from tradeoffs.paper.style import PAGE, looks

SHOWN = {name: (METRICS | FIDELITY)[name].heading for name in ("auc_roc", "specificity", "label_auc", "fid_domain")}

with job(snakemake):
    table = pd.concat(map(pd.read_csv, snakemake.input.scores), ignore_index=True)
    write_table(table, snakemake.output.table)
    figure = Figure(figsize=(PAGE, 4.5), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    look = looks([str(rate) for rate in table["text_encoder"].unique()])
    for axes, (metric, heading) in zip(panels.flat, SHOWN.items(), strict=True):
        for rate, rows in table.groupby("text_encoder", sort=False):
            mark = look[str(rate)]
            axes.plot(rows["step"], rows[metric], color=mark.colour, ls=mark.line, marker=mark.marker, label=str(rate))
        axes.set_title(heading)
    for axes in panels[-1]:
        axes.set_xlabel("fine-tuning step")
    panels[1][0].legend(title="text encoder's rate", loc="lower right")
    with atomic_path(snakemake.output.figure) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
