"""The rows, cells and notes of each table of the paper."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from configs import PRESETS
from paper_rows import (
    COCO,
    COMPARED,
    CXR,
    DATASETS,
    EXTRACTORS,
    FAITHFUL,
    FIDELITY,
    IN_TABLE_1,
    LOCALISED,
    MAIN,
    SUMMARIES,
    VARIANTS,
    cells,
    fidelity,
    first_table,
    only,
    variant,
)

from tradeoffs.config.layers import resolve
from tradeoffs.metrics import METRICS
from tradeoffs.paper.latex import to_latex
from tradeoffs.paper.notes import Compared
from tradeoffs.paper.scope import scope_notes
from tradeoffs.paper.tables import (
    differences_table,
    findings_table,
    grounding_table,
    table1,
    table3,
    table7,
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
