"""The paper's tables from score tables: one row a variant, mean and standard deviation over seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

FIDELITY = {
    "fid_general": "FID",
    "kid_general": "KID",
    "fid_domain": "FID (X-ray)",
    "kid_domain": "KID (X-ray)",
    "ms_ssim": "MS-SSIM",
    "label_auc": "Label AUC",
}
LOCALISATION = {
    "auc_roc": "AUC-ROC",
    "top1": "Top-1",
    "cnr": "CNR",
    "iou": "IoU",
    "miou": "fg/bg mIoU",
    "box_iou": "Box IoU",
    "box_miou": "Box mIoU",
    "distance": "Distance (px)",
    "bare_auc": "Bare-map AUC",
    "wrong_word_auc": "Wrong-word AUC",
    "specificity": "Specificity",
}
MICRO_AUC = "auc_roc_micro"
COUNTS = {
    "n_images": "images",
    "n_samples": "n",
    "n_specificity": "n (specificity)",
    "n_findings": "findings",
    "n_excluded": "excluded",
}
LOWER_IS_BETTER = ("fid_general", "kid_general", "fid_domain", "kid_domain", "ms_ssim", "distance", "wrong_word_auc")


@dataclass(frozen=True)
class Repeat:
    """The scores of one variant and seed (seed None: a control without a model).

    localisation: score table of all texts and protocols; fidelity: columns metric, value, n, or None
    """

    variant: str
    seed: int | None
    localisation: pd.DataFrame
    fidelity: pd.DataFrame | None


def localisation_summary(scores: pd.DataFrame) -> dict[str, float]:
    """Means of one score table (one text and protocol): macro over findings, AUC-ROC also over samples (row 11).

    Excluded samples count in n_excluded only; a score that a sample does not have (distance with several boxes,
    specificity without a second finding) is left out of its mean.
    """
    kept = scores[scores["excluded"].fillna("") == ""]
    per_finding = kept.groupby("category")[list(LOCALISATION)].mean()
    return {
        **per_finding.mean().to_dict(),
        MICRO_AUC: kept["auc_roc"].mean(),
        "n_samples": len(kept),
        "n_specificity": int(kept["specificity"].notna().sum()),
        "n_findings": len(per_finding),
        "n_excluded": len(scores) - len(kept),
    }


def fidelity_summary(fidelity: pd.DataFrame | None) -> dict[str, float]:
    """The metrics of one fidelity table that Table 1 shows; empty without one."""
    if fidelity is None:
        return {}
    values = fidelity.set_index("metric")
    return values["value"].reindex(list(FIDELITY)).to_dict() | {"n_images": int(values.loc["fid_general", "n"])}


def table1(repeats: Sequence[Repeat], data: str, protocol: str) -> pd.DataFrame:
    """Table 1: per text and variant, fidelity beside localisation.

    Columns: data, protocol, text, variant, seeds (their number), then per metric its mean over seeds and `<metric>_sd`,
    the sample standard deviation (NaN with one seed), then counts (of the first seed; they do not depend on it).
    """
    metrics = [*FIDELITY, *LOCALISATION, MICRO_AUC]
    rows = []
    for text in repeats[0].localisation["text"].unique():
        for variant in dict.fromkeys(repeat.variant for repeat in repeats):
            summaries = []
            for repeat in repeats:
                if repeat.variant == variant:
                    scores = repeat.localisation.query("text == @text and protocol == @protocol")
                    summaries.append(localisation_summary(scores) | fidelity_summary(repeat.fidelity))
            frame = pd.DataFrame(summaries).reindex(columns=[*metrics, *COUNTS])
            row = {"data": data, "protocol": protocol, "text": text, "variant": variant, "seeds": len(frame)}
            for metric in metrics:
                row[metric] = frame[metric].mean()
                row[f"{metric}_sd"] = frame[metric].std(ddof=1) if len(frame) > 1 else np.nan
            rows.append(row | frame[list(COUNTS)].iloc[0].to_dict())
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(COUNTS, "Int64"))


def table1_notes(repeats: Sequence[Repeat], config: dict[str, Any], extractors: dict[str, str]) -> list[str]:
    """What a reader must know beside the numbers: how each column was made and what may not be compared."""
    seeds = {
        variant: [r.seed for r in repeats if r.variant == variant and r.seed is not None]
        for variant in config["variants"]
    }
    fidelity = next(r.fidelity for r in repeats if r.fidelity is not None).set_index("metric")
    notes = [
        "Mean ± standard deviation over seeds ("
        + "; ".join(f"{v}: {', '.join(map(str, s))}" for v, s in seeds.items())
        + "); "
        "one seed has no standard deviation.",
        "Localisation: macro mean over findings; a score counts only above the location prior, the mean box of the "
        "other patients with the same finding, which needs no model.",
        "Specificity: AUC-ROC of the finding's own words minus that of the image's other findings' words on the same "
        "boxes, on images with several findings (n in its own column).",
        f"FID and KID: {int(fidelity.loc['fid_general', 'n'])} samples against {int(fidelity.loc['n_real', 'n'])} real "
        f"images, with {extractors['general']} (general) and {extractors['domain']} (X-ray) features; FID is biased "
        "at small n, KID is not.",
        "Label AUC: the findings classifier on the samples against the labels they were prompted with.",
    ]
    if "ms_ssim_resized_to" in fidelity.index:
        notes.append(
            f"MS-SSIM within prompts, at {int(fidelity.loc['ms_ssim_resized_to', 'value'])} px: images were resized, "
            "its five scales need that."
        )
    return notes


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: "0.853 ± 0.004", one column a metric, an en dash where there is no value."""
    shown = {"Variant": table["variant"].str.replace("_", " ")}
    for metric, title in {**FIDELITY, **LOCALISATION}.items():
        arrow = "↓" if metric in LOWER_IS_BETTER else "↑"
        cells = zip(table[metric], table[f"{metric}_sd"], strict=True)
        shown[f"{title} {arrow}" if metric != "bare_auc" else title] = [_cell(mean, sd) for mean, sd in cells]
    for count, title in COUNTS.items():
        shown[title] = ["–" if pd.isna(value) else str(value) for value in table[count]]
    return pd.DataFrame(shown)


def _cell(mean: float, sd: float) -> str:
    if pd.isna(mean):
        return "–"
    digits = 3 if abs(mean) < 10 else 1
    return f"{mean:.{digits}f}" + ("" if pd.isna(sd) else f" ± {sd:.{digits}f}")


def markdown(table: pd.DataFrame, title: str, notes: Iterable[str]) -> str:
    """The table as Markdown: a heading, one block per text, then the notes."""
    parts = [f"# {title}"]
    for text, block in table.groupby("text", sort=False):
        parts += [
            f"**{_block_title(block, str(text))}**",
            formatted(block).to_markdown(index=False, disable_numparse=True),
        ]
    parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def latex(table: pd.DataFrame, title: str, notes: Iterable[str]) -> str:
    """The table as a LaTeX `table*` (booktabs), one block of rows per text."""
    shown = formatted(table)
    lines = [
        r"\begin{table*}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2pt}",
        rf"\caption{{{_escape(title)}. {_escape(' '.join(notes))}}}",
        rf"\begin{{tabular}}{{l{'r' * (shown.shape[1] - 1)}}}",
        r"\toprule",
        " & ".join(rf"\rotatebox{{90}}{{{_escape(column)}}}" for column in shown.columns) + r" \\",
    ]
    for text, block in table.groupby("text", sort=False):
        lines += [
            r"\midrule",
            rf"\multicolumn{{{shown.shape[1]}}}{{l}}{{{_escape(_block_title(block, str(text)))}}} \\",
        ]
        lines += [" & ".join(map(_escape, row)) + r" \\" for row in shown.loc[block.index].to_numpy()]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]) + "\n"


def _block_title(block: pd.DataFrame, text: str) -> str:
    return f"{block['data'].iloc[0]}, conditioned on the {text}, {block['protocol'].iloc[0]} protocol"


def _escape(text: str) -> str:
    symbols = {"±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "–": "--", "%": r"\%", "_": r"\_", "&": r"\&"}
    return "".join(symbols.get(character, character) for character in text)
