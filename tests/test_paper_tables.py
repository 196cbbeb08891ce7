import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from configs import PRESETS

from tradeoffs.config.layers import resolve
from tradeoffs.data.tables import keyed, write_table
from tradeoffs.metrics import FAITHFULNESS, METRICS
from tradeoffs.paper.blocks import Block, PaperTable
from tradeoffs.paper.dictionary import dictionary
from tradeoffs.paper.formatting import decimals, estimate, fixed, p_clause, p_value, signed, significant
from tradeoffs.paper.latex import to_latex
from tradeoffs.paper.notes import Compared
from tradeoffs.paper.rendering import to_markdown, write
from tradeoffs.paper.results import read_counts, read_differences, read_results
from tradeoffs.paper.scope import scope_notes
from tradeoffs.paper.tables import (
    differences_table,
    findings_table,
    grounding_table,
    table1,
    table3,
    table7,
)

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


# --- Table 1 ------------------------------------------------------------------------------------------------------


def test_table_1_has_a_block_per_data_set_and_text_and_a_row_per_variant():
    rows = first_table().rows
    blocks = [("cxr", "phrase"), ("cxr", "impression"), ("coco", "caption")]
    assert list(zip(rows["data"], rows["text"], rows["variant"], strict=True)) == [
        (DATASETS[dataset], text, name) for dataset, text in blocks for name in IN_TABLE_1
    ]
    assert set(rows["protocol"]) == {"corrected"}


def test_table_1_puts_scores_into_their_cells():
    table = first_table()
    # the third variant of the config: 0.7 + 2 * 0.02; impression 0.1 less; micro 0.01 more; coco 0.1 more
    frozen = only(table.rows, variant="frozen", text="phrase")
    assert frozen["auc_roc"] == pytest.approx(0.74) and frozen["auc_roc_micro"] == pytest.approx(0.75)
    assert only(table.rows, variant="frozen", text="impression")["auc_roc"] == pytest.approx(0.64)
    coco = only(table.rows, variant="frozen", text="caption")
    assert coco["auc_roc"] == pytest.approx(0.84) and coco["fid_general"] == 50
    interval = frozen[["auc_roc_low", "auc_roc_high", "auc_roc_micro_low", "auc_roc_micro_high"]]
    assert interval.tolist() == pytest.approx([0.72, 0.77, 0.73, 0.78])
    # FID 100 and 104: mean 102, sd sqrt((2^2 + 2^2) / 1)
    assert frozen["fid_general"] == 102 and frozen["fid_general_sd"] == pytest.approx(np.sqrt(8))
    counts = ["n_images", "n_samples", "n_specificity", "n_subjects", "n_categories", "n_excluded", "seeds"]
    assert frozen[counts].tolist() == [12, 10, 2, 7, 2, 1, 2]

    heading = "Demo: phantom radiographs, conditioned on the phrase, corrected protocol"
    shown = cells(table, heading, ("frozen",))
    assert shown["FID ↓"] == "102.0 ± 2.8" and shown["FID (X-ray) ↓"] == "0.0012 ± 0.0000"
    assert shown["AUC-ROC ↑"] == "0.740 ± 0.004 [0.720, 0.770]" and shown["AUC-ROC (micro) ↑"] == "0.750 ± 0.004"
    assert shown["IoU ↑"] == "0.250 ± 0.500" and shown["n"] == "10" and shown["excluded"] == "1"
    assert cells(table, heading, ("pretrained",))["AUC-ROC ↑"] == "0.700 [0.680, 0.730]"
    controls = cells(table, f"{heading}: controls", ("frozen",))
    assert controls["Specificity ↑"] == "0.250 ± 0.500 [0.230, 0.280]" and controls["n (specificity)"] == "2"
    assert {"Wrong-word AUC", "Wrong-prompt AUC", "Bare-map AUC"} <= set(controls)


def test_values_that_do_not_exist_are_empty_and_shown_as_a_dash():
    table = first_table()
    reference = only(table.rows, variant="location_prior", text="phrase")
    assert reference[["fid_general", "bare_auc", "n_images"]].isna().all()
    heading = "Demo: phantom radiographs, conditioned on the phrase, corrected protocol"
    shown = cells(table, heading, ("location prior",))
    assert (shown["FID ↓"], shown["images"], shown["AUC-ROC ↑"]) == ("–", "–", "0.600 [0.580, 0.630]")
    assert cells(table, f"{heading}: controls", ("location prior",))["Wrong-prompt AUC"] == "–"
    coco = only(table.rows, variant="frozen", text="caption")
    assert coco[["fid_domain", "label_auc"]].isna().all()
    scenes = cells(table, "Demo: phantom scenes, conditioned on the caption, corrected protocol", ("frozen",))
    assert "FID ↓" in scenes and "FID (X-ray) ↓" not in scenes and "Label AUC ↑" not in scenes


def test_real_images_have_fidelity_alone():
    table = first_table()
    real = only(table.rows, variant="real_images", text="phrase")
    assert (real["fid_general"], real["n_images"]) == (20, 6)
    assert real[["fid_general_sd", "ms_ssim", "auc_roc", "auc_roc_micro", "n_samples", "seeds"]].isna().all()
    assert only(table.rows, variant="real_images", text="impression")["fid_general"] == 20
    heading = "Demo: phantom radiographs, conditioned on the phrase, corrected protocol"
    shown = cells(table, heading, ("real images",))
    assert (shown["FID ↓"], shown["MS-SSIM ↓"], shown["AUC-ROC ↑"], shown["images"]) == ("20.0", "–", "–", "6")
    assert cells(table, f"{heading}: controls", ("real images",))["Specificity ↑"] == "–"
    assert "biased upwards" in table.notes[-2] and "FID of this size" in table.notes[-1]


def test_the_published_protocol_shows_its_own_rows():
    rows = table1("T", SUMMARIES, FIDELITY, FAITHFUL, MAIN, DATASETS, "published", COMPARED).rows
    assert set(rows["protocol"]) == {"published"} and (rows["auc_roc"].dropna() == -9).all()


def test_a_variant_stands_only_in_its_data_sets():
    variants = MAIN | {"learnable": variant(text_encoder="lora", sets=["cxr"]), "frozen": variant(sets=["coco"])}
    rows = table1("T", SUMMARIES, FIDELITY, FAITHFUL, variants, DATASETS, "corrected", COMPARED).rows
    own = {text: rows[rows["text"] == text]["variant"].tolist() for text in ("phrase", "caption")}
    assert own["phrase"] == ["pretrained", "learnable", "more_layers", "real_images", "location_prior"]
    assert own["caption"] == ["pretrained", "frozen", "more_layers", "real_images", "location_prior"]
    rows = table3("T", SUMMARIES, FIDELITY, VARIANTS | variants, CXR, "corrected", COMPARED).rows
    assert "frozen" not in set(rows["variant"]) and only(rows[:9], variant="learnable")["text_encoder"] == "lora"


def test_a_table_shows_the_variants_that_it_is_given():
    labels = {"labels_frozen": VARIANTS["labels_frozen"]}
    rows = table1("T", SUMMARIES, FIDELITY, FAITHFUL, labels, CXR, "corrected", COMPARED).rows
    assert set(rows["variant"]) == {"labels_frozen", "real_images", "location_prior"}


def test_a_variant_without_summary_is_an_error():
    with pytest.raises(KeyError, match="unheard_of"):
        table1(
            "T",
            SUMMARIES,
            FIDELITY,
            FAITHFUL,
            MAIN | {"unheard_of": variant()},
            CXR,
            "corrected",
            COMPARED,
        )


def test_notes_of_table_1():
    notes = "\n".join(first_table().notes)
    assert "(their number: pretrained 1, frozen 2, learnable 2, more layers 2)" in notes
    assert (
        "phantom radiographs: FID and KID of 12 samples against 24 real images, with inception (general), x-ray "
        in notes
    )
    assert (
        "phantom scenes: FID and KID of 12 samples against 24 real images, with inception (general) features" in notes
    )
    assert "at 176 px" in notes and "no interval" in notes and "counts only above it" in notes


def far_off(auc, **entry):
    """Notes of table 3 about sentences_frozen, which has this AUC-ROC and entry; the others have 0.70 to 0.80."""
    summaries = SUMMARIES.copy()
    row = (summaries["variant"] == "sentences_frozen") & (summaries["metric"] == "auc_roc")
    summaries.loc[row, ["mean", "low", "high"]] = auc, auc - 0.01, auc + 0.01
    variants = VARIANTS | {"sentences_frozen": VARIANTS["sentences_frozen"] | entry}
    table = table3("T", summaries, FIDELITY, variants, CXR, "corrected", COMPARED)
    return [note for note in table.notes if "far off" in note]


def test_a_row_far_off_the_others_is_explained():
    (note,) = far_off(0.36, encoder="minilm")
    assert note.startswith(
        "sentences frozen lies far off the others (AUC-ROC 0.360 on Demo: phantom radiographs, phrase;"
    )
    assert "another text encoder (minilm)" in note and "below 0.5 means" in note
    assert "the configuration gives no reason" in far_off(0.6)[0] and "below 0.5" not in far_off(0.6)[0]
    assert "attention_regularisation 0.12, a loss" in far_off(0.36, attention_regularisation=0.12)[0]
    assert far_off(0.7) == []


def test_table_1_shows_all_fidelity_once_a_data_set():
    table = first_table()
    name = "Demo: phantom radiographs"
    shown = cells(table, f"{name}: distances to real images", ("frozen",))
    assert shown == {
        "Variant": "frozen",
        "FID ↓": "102.0 ± 2.8",
        "FID (X-ray) ↓": "0.0012 ± 0.0000",
        "KID ↓": "0.300 ± 0.000",
        "images": "12",
    }
    assert cells(table, f"{name}: overlap with real images", ("frozen",))["Recall (X-ray) ↑"] == "0.625 ± 0.000"
    labels = cells(table, f"{name}: label consistency", ("real images",))
    assert (labels["Label AUC ↑"], labels["Label AUC (against No Finding) ↑"]) == ("0.750", "0.875")
    headings = [block.heading for block in table.blocks if block.heading.startswith("Demo: phantom scenes: ")]
    assert headings == ["Demo: phantom scenes: distances to real images"]  # no empty blocks


def test_faithfulness_stands_beside_localisation_of_the_same_text():
    table = first_table()
    frozen = only(table.rows, variant="frozen", text="phrase")
    assert frozen[["change_ratio", "change_auc", "n_interventions"]].tolist() == [2.5, 0.5, 2]
    assert 1 <= frozen["change_ratio_low"] <= 2.5 <= frozen["change_ratio_high"] <= 4
    assert pd.isna(only(table.rows, variant="frozen", text="impression")["change_ratio"])
    shown = cells(table, "Demo: phantom radiographs: the finding's words taken away", ("frozen",))
    assert shown["AUC-ROC ↑"].startswith("0.740") and shown["Change inside / outside ↑"] == "2.500 [1.000, 4.000]"
    assert shown["Other words' AUC"] == "–" and shown["n"] == "2"


def test_tables_tell_the_frame_of_the_whole_image():
    for frame, told in (("crop", [False, False]), ("image", [True, True])):
        notes = scope_notes(resolve({"evaluation": {"frame": frame}}, PRESETS))
        assert ["not covered" in note for note in notes.values()] == told


def test_images_from_elsewhere_are_rows_with_fidelity_alone():
    theirs = fidelity("cxr", "gan", np.nan, 60)
    made = pd.concat([FIDELITY, theirs])
    compared = replace(COMPARED, external_samples=["gan"])
    table = table1("T", SUMMARIES, made, FAITHFUL, MAIN, DATASETS, "corrected", compared)
    assert table.rows["variant"].tolist()[:7] == [*MAIN, "gan", "real_images", "location_prior"]
    row = only(table.rows, variant="gan", text="phrase")
    assert row["fid_general"] == 60 and row[["auc_roc", "seeds"]].isna().all()
    assert any("made elsewhere: gan" in note for note in table.notes)
    table = findings_table("T", made, MAIN, CXR, compared)
    assert only(table.rows, variant="gan", group="Edema")["fid_general"] == 61


def test_fidelity_by_finding_has_a_row_a_finding_and_variant_and_the_real_images():
    table = findings_table("Findings", FIDELITY, MAIN, CXR, Compared(EXTRACTORS, "population"))
    assert list(zip(table.rows["group"], table.rows["variant"], strict=True)) == [
        ("Edema", name) for name in [*MAIN, "real_images"]
    ]
    frozen = only(table.rows, variant="frozen")
    assert frozen[["fid_general", "n_images", "seeds", "label_auc"]].tolist() == [103, 3, 2, 0.7]
    real = only(table.rows, variant="real_images")
    assert real["fid_general"] == 21 and pd.isna(real["seeds"])
    shown = cells(table, "Demo: phantom radiographs: distances to real images", ("Edema", "frozen"))
    assert shown["FID ↓"] == "103.0 ± 2.8" and shown["images"] == "3"
    assert any("random draw" in note for note in table.notes)


# --- grounding ----------------------------------------------------------------------------------------------------


def test_grounding_lists_categories_then_micro_and_macro_and_external_methods_before_the_prior():
    table = grounding_table("Table 2", SUMMARIES, MAIN, ["bio_vil"], CXR, "corrected")
    phrase = table.rows[table.rows["text"] == "phrase"]
    names = [*MAIN, "bio_vil", "location_prior"]
    expected = [(group, name) for group in ("Edema", "Pneumonia", "micro", "macro") for name in names]
    assert list(zip(phrase["group"], phrase["variant"], strict=True)) == expected
    assert table.rows["text"].drop_duplicates().tolist() == ["phrase", "impression"]
    impression = table.rows[table.rows["text"] == "impression"]
    assert "bio_vil" not in set(impression["variant"])  # it has maps of the phrases only

    pneumonia = only(phrase, group="Pneumonia", variant="learnable")
    assert pneumonia["auc_roc"] == pytest.approx(0.76 + 0.03) and pneumonia["n_samples"] == 3
    heading = "Demo: phantom radiographs, conditioned on the phrase, corrected protocol"
    shown = cells(table, heading, ("micro mean", "bio vil"))
    assert shown["AUC-ROC ↑"] == "0.910 [0.890, 0.940]" and shown["n"] == "10"
    assert "Specificity ↑" in shown and "Bare-map AUC" in shown
    assert any("other methods: bio vil" in note for note in table.notes)


def test_the_table_per_category_is_that_of_coco():
    table = grounding_table("Categories", SUMMARIES, MAIN, [], COCO, "corrected")
    assert set(table.rows["data"]) == {"Demo: phantom scenes"} and len(table.rows) == 4 * len(LOCALISED)
    assert only(table.rows, group="Edema", variant="frozen")["auc_roc"] == pytest.approx(0.84 + 0.02)
    assert not any("other methods" in note for note in table.notes)


def test_table_7_counts_what_is_kept_and_dropped():
    table = table7("Table 7", SUMMARIES, MAIN, ["bio_vil"], CXR, "corrected")
    assert set(table.rows["text"]) == {"impression"}
    assert table.rows["pairs"].tolist()[:4] == ["named", "all", "named", "all"]
    micro = only(table.rows, group="micro", variant="frozen", pairs="named")
    assert (micro["n_samples"], micro["n_kept"], micro["n_dropped"]) == (4, 4, 6)
    assert only(table.rows, group="micro", variant="frozen", pairs="all")["n_samples"] == 10
    assert only(table.rows, group="Edema", variant="frozen", pairs="all")["n_dropped"] == 0

    (block,) = table.blocks
    shown = cells(table, block.heading, ("micro mean", "frozen"))
    # frozen 0.74, impression 0.1 less, micro 0.01 more, named 0.001 more
    assert shown["AUC-ROC ↑ (named)"] == "0.651 ± 0.004 [0.631, 0.681]"
    assert shown["AUC-ROC ↑ (all)"] == "0.650 ± 0.004 [0.630, 0.680]"
    assert (shown["kept"], shown["dropped"]) == ("4", "6") and len(block.cells) == 4 * len(LOCALISED)


# --- Table 3 ------------------------------------------------------------------------------------------------------


def test_table_3_goes_by_training_text_and_text_encoder():
    table = table3("Table 3", SUMMARIES, FIDELITY, VARIANTS, CXR, "corrected", COMPARED)
    phrase = table.rows[table.rows["text"] == "phrase"]
    assert list(zip(phrase["training_text"], phrase["text_encoder"], phrase["variant"], strict=True)) == [
        ("", "", "pretrained"),
        ("impression", "frozen", "frozen"),
        ("impression", "frozen", "more_layers"),
        ("impression", "learnable", "learnable"),
        ("finding labels", "frozen", "labels_frozen"),
        ("language-model sentences", "frozen", "sentences_frozen"),
        ("language-model sentences", "learnable", "sentences_learnable"),
        ("", "", "real_images"),
        ("", "", "location_prior"),
    ]
    assert len(table.rows) == 18 and phrase["fid_general"].iloc[1] == 102
    assert only(phrase, variant="sentences_learnable")["auc_roc"] == pytest.approx(0.72)
    shown = cells(table, table.blocks[0].heading, ("–", "–", "location prior"))
    assert shown["AUC-ROC ↑"] == "0.600 [0.580, 0.630]" and shown["FID ↓"] == "–"
    assert "drawn from the same texts, impressions" in table.notes[0]


# --- differences --------------------------------------------------------------------------------------------------


def differences(dataset, pair, texts, value):
    rows = [
        {"dataset": dataset, "frozen": pair[0], "learnable": pair[1], "protocol": protocol, "text": text}
        | {"group": group, "metric": metric, "difference": value if metric == "auc_roc" else np.nan}
        | {"low": value - 0.1, "high": value + 0.2, "p": 0.0004 if group == "macro" else 0.04, "n": 9, "subjects": 5}
        for protocol in ("corrected", "published")
        for text in texts
        for group in ("macro", "micro")
        for metric in METRICS
    ]
    return pd.DataFrame(rows)


def test_differences_stand_by_data_pair_and_text_with_interval_and_p():
    table = differences_table(
        "Differences",
        pd.concat(
            [
                differences("coco", ("frozen", "learnable"), ["caption"], 0.3),
                differences("cxr", ("frozen", "learnable"), ["impression", "phrase"], -0.05),
                differences("cxr", ("labels_frozen", "labels_learnable"), ["phrase", "impression"], 0.2),
            ]
        ),
        DATASETS,
        "corrected",
    )
    order = table.rows[["data", "frozen", "text"]].drop_duplicates().to_numpy().tolist()
    xray, scenes = DATASETS.values()
    assert order == [
        [xray, "frozen", "phrase"],
        [xray, "frozen", "impression"],
        [xray, "labels_frozen", "phrase"],
        [xray, "labels_frozen", "impression"],
        [scenes, "frozen", "caption"],
    ]
    assert len(table.rows) == 5 * 2 * len(METRICS) and set(table.rows["protocol"]) == {"corrected"}
    heading = f"{xray}, conditioned on the phrase, corrected protocol: frozen minus learnable"
    shown = cells(table, heading, ("AUC-ROC ↑",))
    assert shown["Difference (macro)"] == "−0.050 [−0.150, 0.150]" and shown["p (macro)"] == "< 0.001"
    assert (shown["p (micro)"], shown["n"], shown["subjects"]) == ("0.040", "9", "5")
    assert cells(table, heading, ("CNR ↑",))["Difference (macro)"] == "–"
    assert any("sign-flip permutation test" in note and "not corrected" in note for note in table.notes)
    text = to_latex(table, "differences")
    assert r"$<$ 0.001" in text and r"$-$0.050 [$-$0.150, 0.150]" in text


# --- rendering ----------------------------------------------------------------------------------------------------


def test_numbers_have_fitting_digits_deviation_and_interval():
    nan = float("nan")
    assert estimate(nan, 1, 1, 1, 3) == "–"
    assert estimate(0.12345, nan, nan, nan, 3) == "0.123"
    assert estimate(-0.0001, 0.01, -0.02, 0.0, 3) == "0.000 ± 0.010 [−0.020, 0.000]"
    assert estimate(102.04, 2.83, nan, nan, 1) == "102.0 ± 2.8"
    assert [fixed(-0.5, 1), significant(-0.123456), significant(1234.5)] == ["−0.5", "−0.1235", "1234"]
    assert [signed(value) for value in (0.0, 0.1, -0.0002)] == ["+0.000", "+0.100", "−0.000200"]
    assert [decimals(pd.Series(values)) for values in ([9.9, -10.0], [0.01, 0.06, nan], [0.01, -0.04])] == [1, 3, 4]
    assert [p_value(p) for p in (1.0, 0.001, 0.00099, nan)] == ["1.000", "0.001", "< 0.001", "–"]
    assert [p_clause(p) for p in (0.25, 0.00099, nan)] == ["p = 0.250", "p < 0.001", "no p value"]


def small_table():
    shown = pd.DataFrame({"Variant": ["a_b", "50 % & more"], "FID ↓": ["1.0 ± 0.1", "–"]})
    rows = pd.DataFrame({"data": ["Demo: scenes"] * 2, "value": [1 / 3, np.nan], "n": [7, 8]})
    return PaperTable("Table 9. A_b & {c}", rows, [Block("Block #1", shown, labels=1)], ["first ± note", "second_note"])


def test_markdown_has_headings_aligned_cells_and_notes():
    lines = to_markdown(small_table()).splitlines()
    assert lines[0] == "# Table 9. A_b & {c}" and "**Block #1**" in lines
    assert [cell.strip() for cell in lines[6].split("|")[1:-1]] == ["a_b", "1.0 ± 0.1"]
    assert lines[5].startswith("|:--") and lines[5].endswith("-:|")  # labels to the left, numbers to the right
    assert lines[-2:] == ["- first ± note", "- second_note"]


def test_a_bar_in_a_heading_or_a_cell_does_not_end_it():
    cells = pd.DataFrame({"Variant": ["a|b"], "|CNR| ↑": ["1.2"]})
    lines = to_markdown(PaperTable("T", pd.DataFrame(), [Block("B", cells, 1)], [])).splitlines()
    assert [cell.strip() for cell in lines[4].split(" | ")] == ["| Variant", "\\|CNR\\| ↑ |"] and "a\\|b" in lines[6]


def test_latex_is_escaped_and_has_a_caption_and_a_label_for_each_block():
    table = small_table()
    text = to_latex(PaperTable(table.title, table.rows, [*table.blocks] * 2, table.notes), "table9")
    assert r"\caption{A\_b \& \{c\} Block \#1.}\label{tab:table9} \\" in text and r"\label{tab:table9:2}" in text
    assert r"\begin{longtable}{lr}" in text and r"Variant & FID~$\downarrow$ \\" in text
    assert "\na\\_b & 1.0 $\\pm$ 0.1 \\\\\n50 \\% \\& more & -- \\\\\n" in text
    assert r"first $\pm$ note" in text and r"second\_note" in text and text.isascii()


def test_latex_that_would_be_too_wide_has_intervals_below_their_means():
    score = "0.853 ± 0.004 [0.831, 0.870]"
    narrow, wide = (
        to_latex(
            PaperTable("T", pd.DataFrame(), [Block("B", pd.DataFrame({f"S{i}": [score] for i in range(n)}), 0)], []),
            "t",
        )
        for n in (3, 9)
    )
    assert r"0.853 $\pm$ 0.004 [0.831, 0.870] &" in narrow
    assert r"\shortstack[r]{{0.853 $\pm$ 0.004}\\{[0.831, 0.870]}} &" in wide


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_fits_on_its_page(tmp_path):
    write(first_table(), *(tmp_path / f"table1.{suffix}" for suffix in ("csv", "md", "tex")))
    packages = r"\usepackage{booktabs,longtable,pdflscape}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{table1}}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document)
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    log = [subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout for _ in range(2)][1]
    assert "Overfull" not in log and "Warning" not in log


def test_every_format_of_every_table_is_ascii_latex_and_names_the_demo(tmp_path):
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    write(first_table(), *paths)
    assert all("Demo: phantom radiographs" in path.read_text() for path in paths)
    assert paths[2].read_text().isascii()
    content = [path.read_bytes() for path in paths]
    write(first_table(), *paths)
    assert [path.read_bytes() for path in paths] == content


def test_the_dictionary_tells_what_each_column_of_each_table_means():
    arguments = SUMMARIES, VARIANTS, [], CXR, "corrected"
    tables = [first_table(), grounding_table("T", *arguments), table7("T", *arguments)]
    tables.append(table3("T", SUMMARIES, FIDELITY, VARIANTS, CXR, "corrected", COMPARED))
    tables.append(findings_table("T", FIDELITY, MAIN, CXR, COMPARED))
    for table in tables:
        words = dictionary(table.rows.columns).set_index("column")
        assert words.index.tolist() == table.rows.columns.tolist() and (words["meaning"] != "").all()
    words = dictionary(["auc_roc_micro_low", "fid_general_sd", "n", "label_auc"]).set_index("column")
    assert words.loc["auc_roc_micro_low", "meaning"].endswith("micro mean")
    assert "lower end of the 95 % interval" in words.loc["auc_roc_micro_low", "statistic"]
    assert words["better"].tolist() == ["higher", "lower", "", "higher"]
    with pytest.raises(KeyError):
        dictionary(["unheard_of"])


def test_csv_has_six_digits_and_empty_cells(tmp_path):
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    write(small_table(), *paths)
    assert paths[0].read_text() == "data,value,n\nDemo: scenes,0.333333,7\nDemo: scenes,,8\n"


def test_results_are_read_one_under_the_other(tmp_path):
    rows = [{"dataset": "cxr", "seed": 0, "value": 1.0}, {"dataset": "coco", "seed": 1, "value": 2.0}]
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, row in zip(paths, rows, strict=True):
        write_table(keyed(pd.DataFrame([{"value": row["value"]}]), dataset=row["dataset"], seed=row["seed"]), path)
    assert read_results(paths).to_dict("records") == rows


def test_without_a_pair_of_variants_the_table_of_differences_is_empty(tmp_path):
    table = differences_table("Differences", read_differences([]), DATASETS, "corrected")
    paths = [tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "tex")]
    write(table, *paths)
    header = "data,frozen,learnable,protocol,text,group,metric,difference,low,high,p,n,subjects\n"
    assert paths[0].read_text() == header and "counterpart" in table.notes[0]


def test_counts_are_named_by_data_set(tmp_path):
    for dataset, kept in (("cxr", 3), ("coco", 4)):
        (tmp_path / dataset).mkdir()
        (tmp_path / dataset / "images_counts.csv").write_text(f"reason,count\nread,5\nkept,{kept}\n")
    counts = read_counts([tmp_path / "cxr" / "images_counts.csv", tmp_path / "coco" / "images_counts.csv"])
    assert counts == {"cxr/images_counts": {"read": 5, "kept": 3}, "coco/images_counts": {"read": 5, "kept": 4}}
