"""The rows behind the paper's tables: all scores of a variant side by side. Parameters: see `tables`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tradeoffs.data.findings import MSCXR_FINDINGS, NO_FINDING
from tradeoffs.data.text_kinds import texts_in
from tradeoffs.evaluation.statistics import MACRO, MICRO, summarise_faithfulness
from tradeoffs.metrics import FAITHFULNESS, FIDELITY, LOCATION_PRIOR, METRICS

MICRO_AUC = "auc_roc_micro"
STATISTICS = {"mean": "", "sd": "_sd", "low": "_low", "high": "_high"}  # of a summary, and the suffix of its column
COUNTS = (
    *("n_images", "n_samples", "n_captions", "n_specificity", "n_subjects", "n_categories", "n_excluded"),
    *("n_kept", "n_dropped", "n_interventions"),
)
CLASSIFIED = (*MSCXR_FINDINGS, NO_FINDING)  # what fidelity is broken down by
KEYS = ["dataset", "text", "pairs", "group", "variant"]
Variants = Mapping[str, Mapping[str, Any]]


def wide_scores(summaries: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """One row per KEYS (the index), columns `<metric>`, `<metric>_sd`, `<metric>_low`, `<metric>_high`, counts."""
    values = summaries[summaries["protocol"] == protocol].set_index([*KEYS, "metric"])
    columns = {
        f"{metric}{suffix}": values.xs(metric, level="metric")[statistic]
        for metric in METRICS
        for statistic, suffix in STATISTICS.items()
    }
    of_all_metrics = values.groupby(level=KEYS)[["n", "subjects", "texts", "excluded", "seeds"]].max()
    columns |= {
        "n_samples": of_all_metrics["n"],
        "n_captions": of_all_metrics["texts"].where(of_all_metrics.index.get_level_values("text") == "caption"),
        "n_specificity": values.xs("specificity", level="metric")["n"],
        "n_subjects": of_all_metrics["subjects"],
        "n_excluded": of_all_metrics["excluded"],
        "seeds": of_all_metrics["seeds"],
    }
    return pd.DataFrame(columns).sort_index()


def macro_rows(
    summaries: pd.DataFrame, names: Mapping[str, Sequence[str]], protocol: str, without_maps: Sequence[str]
) -> pd.DataFrame:
    """Per data set, text and variant: the macro means, the micro mean of AUC-ROC and the number of categories.

    names: the variants of each data set; without_maps: those of them that are images only and have no such scores
    """
    scores = wide_scores(summaries, protocol)
    keys = [
        (dataset, text, "all", name)
        for dataset in names
        for text in texts_of(scores, dataset)
        for name in names[dataset]
    ]
    localised = [key for key in keys if key[-1] not in without_maps]
    rows = scores.xs(MACRO, level="group").loc[localised].reindex(keys)
    micro = scores.xs(MICRO, level="group")
    for suffix in STATISTICS.values():
        rows[f"{MICRO_AUC}{suffix}"] = micro[f"auc_roc{suffix}"]
    categories = scores.drop(index=[MACRO, MICRO], level="group")
    rows["n_categories"] = (categories["n_samples"] > 0).groupby(level=rows.index.names).sum()
    return rows.reset_index()


def with_fidelity(
    rows: pd.DataFrame, fidelity: pd.DataFrame, keys: Sequence[str] = ("dataset", "variant")
) -> pd.DataFrame:
    """The rows with each variant's fidelity: mean and sample standard deviation over seeds, number of images."""
    keys = list(keys)
    values = fidelity.groupby([*keys, "metric"])["value"]
    mean, sd = (
        statistic.unstack("metric").reindex(columns=list(FIDELITY)) for statistic in (values.mean(), values.std())
    )
    images = fidelity[fidelity["metric"] == "fid_general"].groupby(keys)["n"].first()
    return rows.join(mean.join(sd.add_suffix("_sd")).assign(n_images=images), on=keys)


def with_faithfulness(rows: pd.DataFrame, faithfulness: pd.DataFrame, draws: int) -> pd.DataFrame:
    """The rows with each variant's faithfulness, where its text is the one that was intervened on, and its n."""
    summary = summarise_faithfulness(faithfulness, draws).rename(columns={"n": "n_interventions"})
    return rows.merge(summary.drop(columns="subjects"), "left", ["dataset", "variant", "text"])


def fidelity_by_finding(fidelity: pd.DataFrame) -> pd.DataFrame:
    """The rows of fidelity scores of single findings, such as fid_general_Edema, as fid_general with group Edema."""
    parts = []
    for finding in CLASSIFIED:
        rows = fidelity[fidelity["metric"].str.endswith(f"_{finding}")]
        parts.append(rows.assign(metric=rows["metric"].str.removesuffix(f"_{finding}"), group=finding))
    return pd.concat(parts, ignore_index=True)


def ordered(
    rows: pd.DataFrame, datasets: Mapping[str, str], protocol: str | None, labels: Sequence[str]
) -> pd.DataFrame:
    """The rows as in the CSV: what each is, its scores, its counts; without columns that a table does not have."""
    columns = ["data", "protocol", "text", *labels, "seeds"]
    columns += [f"{metric}{suffix}" for metric in FIDELITY for suffix in ("", "_sd")]
    columns += [f"{metric}{suffix}" for metric in FAITHFULNESS for suffix in ("", "_low", "_high")]
    columns += [f"{metric}{suffix}" for metric in (*METRICS, MICRO_AUC) for suffix in STATISTICS.values()]
    rows = rows.assign(data=rows["dataset"].map(datasets))
    if protocol is not None:  # of localisation
        rows = rows.assign(protocol=protocol)
    rows = rows.reindex(columns=[column for column in [*columns, *COUNTS] if column in rows])
    return rows.astype({column: "Int64" for column in ("seeds", *COUNTS) if column in rows})


def variants_of(variants: Variants, dataset: str) -> list[str]:
    """The variants that a table shows of a data set."""
    return [name for name, entry in variants.items() if dataset in entry["sets"]]


def grounding_variants(
    scores: pd.DataFrame, variants: Variants, external: Sequence[str], dataset: str, text: str
) -> list[str]:
    """The rows per category: variants, external methods that have maps of this text, the location prior."""
    scored = [name for name in external if (dataset, text, "all", MICRO, name) in scores.index]
    return [*variants_of(variants, dataset), *scored, LOCATION_PRIOR]


def texts_of(scores: pd.DataFrame, dataset: str) -> list[str]:
    """The kinds of texts that a data set was scored with, the default one first."""
    return texts_in(scores.loc[dataset].index.get_level_values("text"))


def groups_of(scores: pd.DataFrame, dataset: str) -> list[str]:
    """The data set's categories by name, then micro and macro mean."""
    found = scores.loc[dataset].index.get_level_values("group").unique()
    return [*sorted(set(found) - {MACRO, MICRO}), MICRO, MACRO]
