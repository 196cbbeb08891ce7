"""The paper's tables from summaries of localisation scores, fidelity scores and differences.

Throughout, `summaries` are rows of localisation_summary.csv, `fidelity` rows of fidelity.csv, `differences` rows of
differences.csv; `datasets` maps the data sets that the table shows, one for findings_table, table3 and table7, to
display names; `variants` maps the names of those that it shows to their entries of the config, in the order of the
rows, with `sets`, where it shows them; `protocol` chooses the rows.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from tradeoffs.data.sets import DATA_SETS
from tradeoffs.data.text_kinds import texts_in
from tradeoffs.metrics import DISTANCES, FAITHFULNESS, FIDELITY, LABEL_SCORES, LOCATION_PRIOR, METRICS, REAL_IMAGES
from tradeoffs.paper.blocks import Block, PaperTable
from tradeoffs.paper.formatting import count, decimals, estimate, p_value, readable
from tradeoffs.paper.notes import (
    DIFFERENCE_NOTES,
    NOTE_BY_FINDING,
    NOTE_FAITHFULNESS,
    NOTE_LITERATURE,
    NOTE_NAMED,
    NOTE_SAMPLED_ALIKE,
    NOTE_SAMPLED_FROM_OWN,
    NOTES_NO_PAIR,
    Compared,
    external_notes,
    far_off_notes,
    fidelity_notes,
    score_notes,
)
from tradeoffs.paper.results import DIFFERENCES
from tradeoffs.paper.rows import (
    CLASSIFIED,
    MICRO_AUC,
    Variants,
    fidelity_by_finding,
    grounding_variants,
    groups_of,
    macro_rows,
    ordered,
    texts_of,
    variants_of,
    wide_scores,
    with_faithfulness,
    with_fidelity,
)

COUNTS = {
    "n_images": "images",
    "n_samples": "n",
    "n_captions": "captions",
    "n_specificity": "n (specificity)",
    "n_excluded": "excluded",
    "n_kept": "kept",
    "n_dropped": "dropped",
}
TITLES = {name: metric.heading for name, metric in (FIDELITY | METRICS).items()}
TITLES |= {MICRO_AUC: "AUC-ROC (micro) ↑", **COUNTS}
WITH_INTERVAL = ("auc_roc", "specificity")
SHOWN = ["auc_roc", "top1", "cnr", "iou", "miou"]
OF_LITERATURE = ["abs_cnr", "threshold_iou"]  # beside the paper's where there is one score a row
SHOWN_CONTROLS = ["specificity", "wrong_word_auc", "wrong_prompt_auc", "bare_auc"]
FIDELITY_BLOCKS = {
    "distances to real images": [name for name in DISTANCES if name.startswith(("fid", "kid"))],
    "overlap with real images": [name for name in DISTANCES if not name.startswith(("fid", "kid"))],
    "label consistency": list(LABEL_SCORES),
}
LABELS = {
    "training_text": "Trained on",
    "text_encoder": "Text encoder",
    "group": "Category",
    "variant": "Variant",
}

TRAINING_TEXTS = {
    "impression": "impression",
    "finding_labels": "finding labels",
    "sentences": "language-model sentences",
    "findings_first": "findings before the impression",
    "findings_random": "findings in the impression",
    "finding_tokens": "a token per finding",
}
TEXT_ENCODERS = ("frozen", "learnable", "lora")


# --- the tables ---------------------------------------------------------------------------------------------------


def table1(
    title: str,
    summaries: pd.DataFrame,
    fidelity: pd.DataFrame,
    faithfulness: pd.DataFrame,
    variants: Variants,
    datasets: Mapping[str, str],
    protocol: str,
    compared: Compared,
    draws: int = 1000,
) -> PaperTable:
    """Table 1, the trade-off: fidelity beside localisation (macro) and its controls.

    Per data set and text: the variants, then the real images (their fidelity is the ceiling) and the location prior.
    Radiographs that were made elsewhere are rows after the variants, with fidelity alone.
    faithfulness: rows of faithfulness.csv; draws: of the bootstrap behind its intervals
    """
    names = {
        dataset: [
            *variants_of(variants, dataset),
            *(compared.external_samples if DATA_SETS[dataset].has_findings else []),
            *(REAL_IMAGES, LOCATION_PRIOR),
        ]
        for dataset in datasets
    }
    rows = with_fidelity(macro_rows(summaries, names, protocol, [*compared.external_samples, REAL_IMAGES]), fidelity)
    rows = ordered(with_faithfulness(rows, faithfulness, draws), datasets, protocol, ["variant"])
    notes = [
        *far_off_notes(rows, variants),
        *score_notes(rows, variants),
        NOTE_FAITHFULNESS,
        *fidelity_notes(fidelity, datasets, compared),
    ]
    blocks = [*_trade_off_blocks(rows, ["variant"]), *_faithfulness_blocks(rows)]
    return PaperTable(title, rows, blocks, notes)


def findings_table(
    title: str,
    fidelity: pd.DataFrame,
    variants: Variants,
    datasets: Mapping[str, str],
    compared: Compared,
) -> PaperTable:
    """Fidelity by finding: the samples of each finding's prompts against the real images that have it.

    Per finding the variants, then the real images.
    """
    [dataset] = datasets
    parts = fidelity_by_finding(fidelity)
    names = [*variants_of(variants, dataset), *compared.external_samples, REAL_IMAGES]
    found = [finding for finding in CLASSIFIED if finding in set(parts["group"])]
    keys = [(dataset, finding, name) for finding in found for name in names]
    rows = pd.DataFrame(keys, columns=["dataset", "group", "variant"])
    rows = with_fidelity(rows, parts, ["dataset", "group", "variant"])
    rows["seeds"] = (
        rows["variant"].map(fidelity.groupby("variant")["seed"].nunique()).where(rows["variant"] != REAL_IMAGES)
    )
    rows = ordered(rows, datasets, None, ["group", "variant"])
    blocks = _fidelity_blocks(rows, datasets[dataset], ["group", "variant"])
    notes = [NOTE_BY_FINDING, *fidelity_notes(fidelity, datasets, compared)]
    return PaperTable(title, rows, blocks, notes)


def grounding_table(
    title: str,
    summaries: pd.DataFrame,
    variants: Variants,
    external: Sequence[str],
    datasets: Mapping[str, str],
    protocol: str,
) -> PaperTable:
    """Table 2 (cxr), the table per category (coco) and the one of further sets of boxes: grounding per category, then
    micro and macro mean.

    Rows as in Table 1, with the external methods before the location prior, for the texts that they have maps of.
    """
    scores = wide_scores(summaries, protocol)
    keys = [
        (dataset, text, "all", group, name)
        for dataset in datasets
        for text in texts_of(scores, dataset)
        for group in groups_of(scores, dataset)
        for name in grounding_variants(scores, variants, external, dataset, text)
    ]
    rows = ordered(scores.loc[keys].reset_index(), datasets, protocol, ["group", "variant"])
    columns = ["n_samples", "n_captions", *SHOWN, *OF_LITERATURE, *SHOWN_CONTROLS]
    blocks = [_block(part, heading, ["group", "variant"], columns) for heading, part in _parts(rows)]
    return PaperTable(title, rows, blocks, [NOTE_LITERATURE, *score_notes(rows, variants), *external_notes(external)])


def table3(
    title: str,
    summaries: pd.DataFrame,
    fidelity: pd.DataFrame,
    variants: Variants,
    datasets: Mapping[str, str],
    protocol: str,
    compared: Compared,
) -> PaperTable:
    """Table 3, what the training text does: per training text and text encoder, localisation and fidelity.

    The base as it is comes first, real images and the location prior last.
    """
    [dataset] = datasets
    base = [name for name, entry in variants.items() if not entry["finetune"] and dataset in entry["sets"]]
    trained = [
        name
        for text in TRAINING_TEXTS
        for encoder in TEXT_ENCODERS
        for name, entry in variants.items()
        if entry["finetune"] and (entry["text"], entry["text_encoder"]) == (text, encoder) and dataset in entry["sets"]
    ]
    names = {dataset: [*base, *trained, *compared.external_samples, REAL_IMAGES, LOCATION_PRIOR]}
    rows = with_fidelity(macro_rows(summaries, names, protocol, [*compared.external_samples, REAL_IMAGES]), fidelity)
    training_texts = {name: TRAINING_TEXTS[variants[name]["text"]] for name in trained}
    rows["training_text"] = rows["variant"].map(training_texts).fillna("")
    rows["text_encoder"] = rows["variant"].map({name: variants[name]["text_encoder"] for name in trained}).fillna("")
    labels = ["training_text", "text_encoder", "variant"]
    rows = ordered(rows, datasets, protocol, labels)
    sampled_alike = {variants[name]["sampled_from"] for name in [*base, *trained]} <= {"impression"}
    notes = [
        *far_off_notes(rows, variants),
        NOTE_SAMPLED_ALIKE if sampled_alike else NOTE_SAMPLED_FROM_OWN,
        *score_notes(rows, variants),
        *fidelity_notes(fidelity, datasets, compared),
    ]
    return PaperTable(title, rows, _trade_off_blocks(rows, labels), notes)


def table7(
    title: str,
    summaries: pd.DataFrame,
    variants: Variants,
    external: Sequence[str],
    datasets: Mapping[str, str],
    protocol: str,
) -> PaperTable:
    """Table 7, grounding with the impression as text: the pairs whose text names the finding beside all pairs.

    One row per finding (then micro and macro mean), variant and pairs. n_kept, n_dropped: samples whose text names the
    finding (the original's `--filter_bad_impressions` keeps these) and the others.
    """
    [dataset] = datasets
    scores = wide_scores(summaries, protocol)
    n = scores["n_samples"].unstack("pairs")
    scores = scores.join(pd.DataFrame({"n_kept": n["named"], "n_dropped": n["all"] - n["named"]}))
    names = grounding_variants(scores, variants, external, dataset, "impression")
    keys = [
        (dataset, "impression", pairs, group, name)
        for group in groups_of(scores, dataset)
        for name in names
        for pairs in ("named", "all")
    ]
    labels = ["group", "variant", "pairs"]
    rows = ordered(scores.loc[keys].reset_index(), datasets, protocol, labels)

    heading, part = next(_parts(rows))
    kept, everything = (part[part["pairs"] == pairs].reset_index(drop=True) for pairs in ("named", "all"))
    cells = _block(kept, heading, ["group", "variant"], ["n_kept", "n_dropped"]).cells
    for metric in ("auc_roc", "top1", "iou", *OF_LITERATURE, "specificity"):
        for pairs, source in (("named", kept), ("all", everything)):
            cells[f"{TITLES[metric]} ({pairs})"] = _metric_cells(source, metric)
    notes = [
        NOTE_NAMED,
        NOTE_LITERATURE,
        *score_notes(rows, variants),
        *external_notes(external),
    ]
    return PaperTable(title, rows, [Block(heading, cells, labels=2)], notes)


def differences_table(title: str, differences: pd.DataFrame, datasets: Mapping[str, str], protocol: str) -> PaperTable:
    """All differences frozen minus learnable: per data set, pair of variants, text, group (macro, micro) and metric."""
    parts = {}
    for dataset, data in datasets.items():
        own = differences[(differences["dataset"] == dataset) & (differences["protocol"] == protocol)]
        for pair, rows in own.groupby(["frozen", "learnable"], sort=False):
            for text in texts_in(rows["text"]):
                parts[(data, *pair, text)] = rows[rows["text"] == text].assign(data=data)
    rows = pd.concat(parts.values(), ignore_index=True) if parts else differences
    blocks = [
        Block(
            f"{_heading(data, text, protocol)}: {readable(frozen)} minus {readable(learnable)}",
            _difference_cells(part),
            1,
        )
        for (data, frozen, learnable, text), part in parts.items()
    ]
    return PaperTable(
        title, rows.reindex(columns=["data", *DIFFERENCES]), blocks, DIFFERENCE_NOTES if parts else NOTES_NO_PAIR
    )


# --- what Markdown and LaTeX show ---------------------------------------------------------------------------------


def _parts(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The blocks of a table, per data set and text, with their headings."""
    for (data, text, protocol), part in rows.groupby(["data", "text", "protocol"], sort=False):
        yield _heading(data, text, protocol), part


def _heading(data: str, text: str, protocol: str) -> str:
    return f"{data}, conditioned on the {text}, {protocol} protocol"


def _trade_off_blocks(rows: pd.DataFrame, labels: Sequence[str]) -> list[Block]:
    """Per data set and text a block of fidelity beside localisation, and one of controls; per data set all fidelity."""
    trade_off = ["fid_general", "fid_domain", "ms_ssim", "label_auc", "auc_roc", MICRO_AUC, *SHOWN[1:]]
    blocks = []
    for heading, part in _parts(rows):
        blocks.append(_block(part, heading, labels, [*trade_off, "n_images", "n_samples", "n_captions", "n_excluded"]))
        controls = ["auc_roc", *SHOWN_CONTROLS, "n_samples", "n_specificity"]
        blocks.append(_block(part, f"{heading}: controls", labels, controls))
    for data, part in rows.groupby("data", sort=False):  # fidelity is the same for each text of the heat maps
        own = part[(part["text"] == part["text"].iloc[0]) & (part["variant"] != LOCATION_PRIOR)]
        blocks += _fidelity_blocks(own, data, labels)
    return blocks


def _faithfulness_blocks(rows: pd.DataFrame) -> list[Block]:
    """Per data set what taking the finding's words away does, beside where attention points."""
    blocks = []
    for data, part in rows[rows["n_interventions"].notna()].groupby("data", sort=False):
        cells = {"Variant": list(map(readable, part["variant"])), TITLES["auc_roc"]: _metric_cells(part, "auc_roc")}
        for name, metric in FAITHFULNESS.items():
            values = part[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
            cells[metric.heading] = [estimate(mean, np.nan, low, high, 3) for mean, low, high in values]
        cells["n"] = list(map(count, part["n_interventions"]))
        blocks.append(Block(f"{data}: the finding's words taken away", pd.DataFrame(cells), 1))
    return blocks


def _fidelity_blocks(part: pd.DataFrame, data: str, labels: Sequence[str]) -> list[Block]:
    """What is known of fidelity, by kind of score."""
    return [
        _block(part, f"{data}: {name}", labels, [*scores, "n_images"])
        for name, scores in FIDELITY_BLOCKS.items()
        if part[scores].notna().any(axis=None)
    ]


def _block(part: pd.DataFrame, heading: str, labels: Sequence[str], columns: Sequence[str]) -> Block:
    """A block of the given columns; a column without any value (X-ray features of scenes) is left out."""
    cells = {LABELS[label]: list(map(readable, part[label])) for label in labels}
    for column in columns:
        if part[column].notna().any():
            is_count = column in COUNTS
            cells[TITLES[column]] = list(map(count, part[column])) if is_count else _metric_cells(part, column)
    return Block(heading, pd.DataFrame(cells), len(labels))


def _metric_cells(part: pd.DataFrame, metric: str) -> list[str]:
    values = part[[f"{metric}{suffix}" for suffix in ("", "_sd")]].to_numpy(float)
    intervals = np.full_like(values, np.nan)
    if metric in WITH_INTERVAL:
        intervals = part[[f"{metric}{suffix}" for suffix in ("_low", "_high")]].to_numpy(float)
    digits = decimals(part[metric])
    return [estimate(mean, sd, low, high, digits) for mean, sd, low, high in np.hstack([values, intervals])]


def _difference_cells(part: pd.DataFrame) -> pd.DataFrame:
    macro, micro = (part[part["group"] == group].set_index("metric").loc[list(METRICS)] for group in ("macro", "micro"))
    cells = {"Score": [metric.heading for metric in METRICS.values()]}
    for name, rows in (("macro", macro), ("micro", micro)):
        values = zip(rows["difference"], rows["low"], rows["high"], METRICS.values(), strict=True)
        cells[f"Difference ({name})"] = [
            estimate(difference, np.nan, low, high, metric.decimals) for difference, low, high, metric in values
        ]
        cells[f"p ({name})"] = list(map(p_value, rows["p"]))
    cells |= {"n": list(map(count, macro["n"])), "subjects": list(map(count, macro["subjects"]))}
    return pd.DataFrame(cells)
