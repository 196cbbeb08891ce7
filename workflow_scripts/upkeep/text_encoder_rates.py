"""Localisation and fidelity against training length, a line per rate of the text encoder: a table and a figure."""

import matplotlib

matplotlib.use("Agg")

import pandas as pd
import seaborn as sns

from tradeoffs.data.tables import write_table
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job

SHOWN = {
    "auc_roc": "AUC-ROC ↑",
    "specificity": "Specificity ↑",
    "label_auc": "Label AUC ↑",
    "fid_domain": "FID (X-ray) ↓",
}

with job(snakemake):
    table = pd.concat(map(pd.read_csv, snakemake.input.scores), ignore_index=True)
    write_table(table, snakemake.output.table)
    names = {"text_encoder": "text encoder's rate", "step": "steps of fine-tuning"}
    long = table.rename(columns=SHOWN | names).melt([*names.values()], list(SHOWN.values()), "score")
    grid = sns.relplot(
        long,
        x=names["step"],
        y="value",
        hue=names["text_encoder"],
        style=names["text_encoder"],
        col="score",
        col_wrap=2,
        kind="line",
        markers=True,
        dashes=False,
        height=3,
        aspect=1.3,
        facet_kws={"sharey": False},
    )
    grid.set_titles("{col_name}").set_ylabels("")
    with atomic_path(snakemake.output.figure) as temporary:
        grid.savefig(temporary, format="png", dpi=110)
