"""The table of heat-map methods: each variant's, on test patients, and which one validation patients choose."""

from collections.abc import Mapping, Sequence

import pandas as pd

from tradeoffs.evaluation.splits import TEST, VALIDATION, chosen, validation_means
from tradeoffs.evaluation.statistics import MACRO, summarise
from tradeoffs.metrics import LOCATION_PRIOR, METRICS
from tradeoffs.paper.blocks import Block, PaperTable
from tradeoffs.paper.formatting import MISSING, estimate, fixed, readable
from tradeoffs.paper.notes import NOTE_CONTROLS, NOTE_MEANS

SHOWN = ("auc_roc", "top1", "cnr", "iou", "miou", "specificity", "wrong_word_auc", "bare_auc")


def methods_table(
    title: str,
    methods: pd.DataFrame,
    priors: pd.DataFrame,
    names: Sequence[str],
    text: Mapping[str, str],
    draws: int,
    datasets: Mapping[str, str],
) -> PaperTable:
    """A row a data set, variant and method, then the location prior: macro means on the test patients with intervals,
    in the corrected protocol.

    methods: rows of the variants' methods.csv; priors: of the location prior's localisation.csv
    names: of the methods, in the order of the rows; text: the kind of text by data set; draws: of the bootstrap
    """
    rows = []
    for dataset, data in datasets.items():
        own = methods[methods["dataset"] == dataset]
        for variant, scores in own.groupby("variant", sort=False):
            means = validation_means(scores)
            choice = chosen(means, names)
            for name in names:
                row = {"data": data, "variant": variant, "method": name, "chosen": "yes" if name == choice else ""}
                row["validation_auc_roc"] = means.get(name)
                rows.append(row | _test_scores(scores[scores["method"] == name], draws))
        prior = priors[(priors["dataset"] == dataset) & (priors["protocol"] == "corrected")]
        prior = prior[prior["text"] == text[dataset]].assign(method=LOCATION_PRIOR)
        splits = own.assign(subject_id=own["subject_id"].astype(str)).drop_duplicates("subject_id")
        splits = splits.set_index("subject_id")["split"]
        prior = prior.assign(split=prior["subject_id"].astype(str).map(splits), seed=0)
        row = {"data": data, "variant": LOCATION_PRIOR, "method": "", "chosen": ""}
        row["validation_auc_roc"] = validation_means(prior).get(LOCATION_PRIOR)
        rows.append(row | _test_scores(prior, draws))
    table = pd.DataFrame(rows)
    blocks = [
        Block(f"{data}, {text[name]}", _cells(table[table["data"] == data]), 3) for name, data in datasets.items()
    ]
    return PaperTable(title, table, blocks, _notes(table))


def _test_scores(scores: pd.DataFrame, draws: int) -> dict[str, float]:
    """Macro means on the test part with their intervals (columns as in the other tables), and what they are of."""
    test = scores[scores["split"] == TEST]
    first = scores[scores["seed"] == scores["seed"].iloc[0]]
    values: dict[str, float] = {"n_validation": int((first["split"] == VALIDATION).sum())}
    if test.empty:
        return values
    summary = summarise([rows for _, rows in test.groupby("seed", sort=False)], draws)
    macro = summary[(summary["group"] == MACRO) & (summary["pairs"] == "all")].set_index("metric")
    values |= {"n_samples": int(macro["n"].max()), "n_subjects": int(macro["subjects"].max())}
    values["seeds"] = int(macro["seeds"].max())
    for metric in METRICS:
        for statistic, suffix in {"mean": "", "sd": "_sd", "low": "_low", "high": "_high"}.items():
            values[f"{metric}{suffix}"] = macro.loc[metric, statistic]
    return values


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    cells = {
        "Variant": rows["variant"].map(readable),
        "Method": rows["method"].map(readable),
        "Chosen": rows["chosen"],
        "AUC-ROC (validation)": [
            MISSING if pd.isna(value) else fixed(value, 3) for value in rows["validation_auc_roc"]
        ],
    }
    for metric in SHOWN:
        parts = rows.reindex(columns=[metric, f"{metric}_sd", f"{metric}_low", f"{metric}_high"]).to_numpy(float)
        cells[METRICS[metric].heading] = [
            estimate(mean, sd, low, high, METRICS[metric].decimals) for mean, sd, low, high in parts
        ]
    cells["n"] = rows["n_samples"].astype("Int64").astype(str)
    return pd.DataFrame(cells)


def _notes(rows: pd.DataFrame) -> list[str]:
    return [
        "Chosen: the method with the highest macro AUC-ROC on the validation patients, for each variant. All other "
        "scores are of the test patients, none of whom is among them (a patient's part follows from the id alone). "
        "The intervals do not cover the choice.",
        "Macro means in the corrected protocol, [low, high]: 95 % interval, percentile bootstrap over patients (COCO: "
        "images).",
        "A score counts only above the location prior of the same test patients, which leaves out findings that no "
        "other patient has. The map of a method with tokens all, start, end or padding is chosen by no word: where two "
        "findings are in one text its specificity is 0, else it is that of their texts. A method with noise "
        "generation has not seen the image.",
        NOTE_MEANS,
        NOTE_CONTROLS,
    ]
