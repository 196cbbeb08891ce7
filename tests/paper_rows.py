"""Scores of made-up variants, and Table 1 of them, for the tests of the paper's tables."""

import numpy as np
import pandas as pd

from tradeoffs.metrics import FAITHFULNESS, METRICS
from tradeoffs.paper.notes import Compared
from tradeoffs.paper.tables import table1

DATASETS = {"cxr": "Demo: phantom radiographs", "coco": "Demo: phantom scenes"}
CXR, COCO = ({name: DATASETS[name]} for name in DATASETS)
EXTRACTORS = {"general": "inception", "domain": "x-ray classifier"}
COMPARED = Compared(EXTRACTORS, "prompts")


def variant(text="impression", text_encoder="frozen", finetune=True, sets=("cxr", "coco")):
    entry = {"finetune": finetune, "text_encoder": text_encoder, "text": text, "sets": sets}
    return entry | {"sampled_from": "impression"}


VARIANTS = {
    "pretrained": variant(finetune=False),
    "sentences_learnable": variant("sentences", "learnable"),
    "frozen": variant(),
    "learnable": variant(text_encoder="learnable"),
    "labels_frozen": variant("finding_labels"),
    "more_layers": variant(),
    "sentences_frozen": variant("sentences"),
}
MAIN = {name: VARIANTS[name] for name in ("pretrained", "frozen", "learnable", "more_layers")}
IN_TABLE_1 = [*MAIN, "real_images", "location_prior"]
LOCALISED = [*MAIN, "location_prior"]
GROUPS = ["macro", "micro", "Edema", "Pneumonia"]


def summary(dataset, name, auc, texts=("phrase", "impression"), seeds=2, n=10, named=4):
    """A summary whose AUC-ROC is `auc` for the first text (macro), 0.1 less for the next, 0.01 more for each next
    group, 0.001 more for named pairs; every other metric is 0.25 with sd 0.5."""
    rows = []
    for t, text in enumerate(texts):
        for pairs in ("all", "named") if text == "impression" else ("all",):
            for g, group in enumerate(GROUPS):
                for metric in METRICS:
                    mean = auc - 0.1 * t + 0.01 * g + 0.001 * (pairs == "named") if metric == "auc_roc" else 0.25
                    sd = (0.004 if metric == "auc_roc" else 0.5) if seeds > 1 else np.nan
                    count = (n if pairs == "all" else named) if g < 2 else 3
                    count = 2 if metric == "specificity" else count
                    rows.append(
                        {"dataset": dataset, "variant": name, "protocol": "corrected", "text": text, "pairs": pairs}
                        | {"group": group, "metric": metric, "mean": mean, "sd": sd, "low": mean - 0.02}
                        | {
                            "high": mean + 0.03,
                            "n": count,
                            "subjects": 7,
                            "texts": 3 * count,
                            "excluded": 1,
                            "seeds": seeds,
                        }
                    )
    table = pd.DataFrame(rows)
    return pd.concat([table, table.assign(protocol="published", mean=-9.0)])


def prior(dataset, texts=("phrase", "impression")):
    table = summary(dataset, "location_prior", 0.6, texts, seeds=1)
    statistics = ["mean", "sd", "low", "high"]
    table.loc[table["metric"].isin(["bare_auc", "wrong_prompt_auc"]), statistics] = np.nan
    return table


def fidelity(dataset, name, seed, fid, domain=True):
    rows = {"fid_general": (fid, 12), "kid_general": (0.3, 12), "ms_ssim": (0.3, 4), "n_real": (24, 24)}
    rows |= {"ms_ssim_resized_to": (176, 4)}
    if domain:
        rows |= {"fid_domain": (0.00123, 12), "label_auc": (0.75, 12), "label_auc_Edema": (0.7, 12)}
        rows |= {"disease_auc": (0.875, 12), "fid_general_Edema": (fid + 1, 3), "recall_domain": (0.625, 12)}
    table = pd.DataFrame([(metric, *score) for metric, score in rows.items()], columns=["metric", "value", "n"])
    return table.assign(dataset=dataset, variant=name, seed=seed)


def real_fidelity(dataset, fid, domain=True):
    table = fidelity(dataset, "real_images", np.nan, fid, domain)
    table = table[~table["metric"].str.startswith("ms_ssim")]
    return table.assign(n=table["n"].where(~table["metric"].str.startswith("fid"), 6))


AUCS = {name: 0.7 + 0.02 * i for i, name in enumerate(VARIANTS)}
SUMMARIES = pd.concat(
    [
        prior("cxr"),
        *(summary("cxr", name, auc, seeds=1 if name == "pretrained" else 2) for name, auc in AUCS.items()),
        prior("coco", ("caption",)),
        *(summary("coco", name, AUCS[name] + 0.1, ("caption",)) for name in MAIN),
        summary("cxr", "bio_vil", 0.9, ("phrase",), seeds=1),
    ]
)
FIDELITY = pd.concat(
    [
        *(fidelity("cxr", name, seed, 100 + 4 * seed) for name in VARIANTS for seed in (0, 1)),
        *(fidelity("coco", name, seed, 50, domain=False) for name in MAIN for seed in (0, 1)),
        real_fidelity("cxr", 20),
        real_fidelity("coco", 10, domain=False),
    ]
)


FAITHFUL = pd.DataFrame(
    [
        {
            "dataset": "cxr",
            "variant": name,
            "seed": 0,
            "text": "phrase",
            "subject_id": subject,
            "change_ratio": ratio,
            "change_auc": 0.5,
        }
        for name in MAIN
        for subject, ratio in (("p", 1.0), ("q", 4.0))
    ]
).reindex(columns=["dataset", "variant", "seed", "text", "subject_id", *FAITHFULNESS])


def only(rows, **values):
    for column, value in values.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, rows
    return rows.iloc[0]


def cells(table, heading, label):
    """A row of the block of that heading as {title: cell}, found by its first cells."""
    block = next(block for block in table.blocks if block.heading == heading)
    rows = [row for row in block.cells.to_dict("records") if tuple(row.values())[: len(label)] == label]
    assert len(rows) == 1
    return rows[0]


def first_table():
    return table1(
        "Table 1. Trade-off",
        SUMMARIES,
        FIDELITY,
        FAITHFUL,
        MAIN,
        DATASETS,
        "corrected",
        COMPARED,
    )
