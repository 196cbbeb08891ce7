"""What the charts show of the score tables: rows, models, layers in the order of the U-Net."""

import re

import pandas as pd

from tradeoffs.data.text_kinds import texts_in
from tradeoffs.evaluation.statistics import MACRO, over_captions


def main_rows(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Rows of one protocol, of all pairs, conditioned on each data set's default text (phrase, caption)."""
    defaults = {dataset: texts_in(texts)[0] for dataset, texts in table.groupby("dataset")["text"]}
    kept = (table["protocol"] == protocol) & (table["text"] == table["dataset"].map(defaults))
    if "pairs" in table:
        kept &= table["pairs"] == "all"
    return table[kept]


def macro_auc(summaries: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The rows of the macro AUC-ROC among `main_rows`."""
    rows = main_rows(summaries, protocol)
    return rows[(rows["group"] == MACRO) & (rows["metric"] == "auc_roc")]


def models(localisation: pd.DataFrame, fidelity: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """One row per model (dataset, variant, seed, step): macro AUC-ROC beside FID, NaN for one that is not there.

    auc_roc: mean over categories of the mean over samples; excluded samples do not count
    """
    keys = ["dataset", "variant", "seed", "step"]
    scores = main_rows(over_captions(localisation), protocol)
    kept = scores[scores["excluded"].isna()]
    means = kept.groupby([*keys, "category"])["auc_roc"].mean().groupby(level=keys).mean().reset_index()
    fid = fidelity[fidelity["metric"] == "fid_general"].rename(columns={"value": "fid_general"})
    return means.merge(fid[[*keys, "fid_general"]], on=keys, how="outer")


def layer_names(layers: pd.DataFrame) -> dict[str, str]:
    """Readable names of cross-attention layers in the U-Net's order: "down 16×16 #1".

    layers: layer (the processor's name), resolution
    """
    sizes = layers.drop_duplicates("layer").set_index("layer")["resolution"]
    ordered = sorted(sizes.index, key=place_in_unet)
    stages = [f"{stage_of(layer)} {sizes[layer]}×{sizes[layer]}" for layer in ordered]
    numbers = [stages[: i + 1].count(stage) for i, stage in enumerate(stages)]
    return {
        layer: f"{stage} #{number}" if stages.count(stage) > 1 else stage
        for layer, stage, number in zip(ordered, stages, numbers, strict=True)
    }


def stage_of(layer: str) -> str:
    return layer.split("_")[0]


def place_in_unet(layer: str) -> tuple[int, list[int]]:
    return ("down", "mid", "up").index(stage_of(layer)), [int(number) for number in re.findall(r"\.(\d+)\.", layer)]
