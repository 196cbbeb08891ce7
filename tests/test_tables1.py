import numpy as np
import pandas as pd
import pytest

from tradeoffs.paper.tables import (
    FIDELITY,
    LOCALISATION,
    Repeat,
    fidelity_summary,
    formatted,
    latex,
    localisation_summary,
    markdown,
    table1,
    table1_notes,
)

TITLE = "Table 1. Fidelity & localisation_x. Phantoms, 100 % demo"
DATA = "Demo: phantom radiographs"


def scores(*rows, text="phrase", protocol="corrected"):
    """Score table from (category, auc_roc, specificity, distance, excluded) rows; other scores are 0.5."""
    table = pd.DataFrame(rows, columns=["category", "auc_roc", "specificity", "distance", "excluded"])
    for metric in LOCALISATION:
        if metric not in table:
            table[metric] = 0.5
    table.loc[table["excluded"].notna(), list(LOCALISATION)] = np.nan
    return table.assign(text=text, protocol=protocol)


FIRST = scores(
    ("Edema", 0.9, 0.3, 10.0, None),
    ("Edema", 0.6, np.nan, np.nan, None),
    ("Edema", 0.9, 0.1, 20.0, None),
    ("Pneumonia", 0.6, np.nan, 40.0, None),
    ("Pneumonia", np.nan, np.nan, np.nan, "box cropped away"),
    ("Pneumothorax", np.nan, np.nan, np.nan, "query not in the text"),
)
SECOND = scores(("Edema", 0.6, 0.0, 10.0, None), ("Pneumonia", 0.8, np.nan, 20.0, None))


def fidelity(fid):
    return pd.DataFrame(
        [
            ("fid_general", fid, 12),
            ("kid_general", 0.25, 12),
            ("fid_domain", 0.001, 12),
            ("ms_ssim", 0.3, 4),
            ("ms_ssim_resized_to", 176, 4),
            ("n_real", 24, 24),
        ],
        columns=["metric", "value", "n"],
    )


@pytest.fixture
def repeats():
    other = scores(("Edema", 0.1, 0.1, 1.0, None), protocol="published")
    impression = scores(("Edema", 0.55, np.nan, 5.0, None), text="impression")
    return [
        Repeat("frozen", 0, pd.concat([FIRST, other, impression]), fidelity(100.0)),
        Repeat("frozen", 1, pd.concat([SECOND, other, impression]), fidelity(104.0)),
        Repeat("pretrained", 0, pd.concat([SECOND, other, impression]), fidelity(200.0)),
        Repeat("location_prior", None, pd.concat([SECOND.drop(columns="bare_auc"), impression]), None),
    ]


@pytest.fixture
def table(repeats):
    return table1(repeats, DATA, "corrected")


def row(table, variant, text="phrase"):
    return table[(table["variant"] == variant) & (table["text"] == text)].squeeze()


def test_macro_and_micro_means():
    summary = localisation_summary(FIRST)
    # Edema (0.9 + 0.6 + 0.9) / 3 = 0.8, Pneumonia 0.6
    assert summary["auc_roc"] == pytest.approx((0.8 + 0.6) / 2)
    assert summary["auc_roc_micro"] == pytest.approx((0.9 + 0.6 + 0.9 + 0.6) / 4)
    # only Edema has a specificity, twice; distances: Edema (10 + 20) / 2, Pneumonia 40
    assert summary["specificity"] == pytest.approx(0.2) and summary["n_specificity"] == 2
    assert summary["distance"] == pytest.approx((15 + 40) / 2)
    assert (summary["n_samples"], summary["n_findings"], summary["n_excluded"]) == (4, 2, 2)


def test_fidelity_columns():
    summary = fidelity_summary(fidelity(100.0))
    assert summary["fid_general"] == 100 and summary["n_images"] == 12
    assert np.isnan(summary["label_auc"]) and set(summary) == {*FIDELITY, "n_images"}
    assert fidelity_summary(None) == {}


def test_mean_and_deviation_over_seeds(table):
    frozen = row(table, "frozen")
    # seeds: 0.7 and (0.6 + 0.8) / 2 = 0.7; FID 100 and 104: mean 102, sd sqrt((2^2 + 2^2) / 1)
    assert frozen["seeds"] == 2 and frozen["auc_roc"] == pytest.approx(0.7) and frozen["auc_roc_sd"] == pytest.approx(0)
    assert frozen["fid_general"] == 102 and frozen["fid_general_sd"] == pytest.approx(np.sqrt(8))
    # specificity 0.2 and 0.0: mean 0.1, sd sqrt(0.1^2 + 0.1^2)
    assert frozen["specificity"] == pytest.approx(0.1) and frozen["specificity_sd"] == pytest.approx(np.sqrt(0.02))
    one = row(table, "pretrained")
    assert one["seeds"] == 1 and one["fid_general"] == 200 and np.isnan(one["fid_general_sd"])
    assert frozen["n_excluded"] == 2 and frozen["n_samples"] == 4 and frozen["n_images"] == 12


def test_rows_and_their_order(table):
    assert list(zip(table["text"], table["variant"], strict=True)) == [
        (text, variant) for text in ("phrase", "impression") for variant in ("frozen", "pretrained", "location_prior")
    ]
    assert set(table["data"]) == {DATA} and set(table["protocol"]) == {"corrected"}
    # one finding without a second one: no specificity; nothing of the other protocol (0.1)
    impression = row(table, "frozen", "impression")
    assert impression["auc_roc"] == pytest.approx(0.55) and np.isnan(impression["specificity"])
    assert impression["n_specificity"] == 0 and impression["n_findings"] == 1


def test_control_without_model(table):
    prior = row(table, "location_prior")
    assert prior["auc_roc"] == pytest.approx(0.7) and np.isnan(prior["fid_general"]) and prior["n_images"] is pd.NA


def test_published_protocol(repeats):
    table = table1(repeats[:3], DATA, "published")
    assert row(table, "frozen")["auc_roc"] == pytest.approx(0.1) and set(table["protocol"]) == {"published"}


def test_cells(table):
    shown = formatted(table)
    assert shown["Variant"].tolist()[:3] == ["frozen", "pretrained", "location prior"]
    assert shown["FID ↓"].tolist()[:3] == ["102.0 ± 2.8", "200.0", "–"]
    assert shown["Specificity ↑"].tolist()[:3] == ["0.100 ± 0.141", "0.000", "0.000"]
    assert shown["Label AUC ↑"].tolist()[:3] == ["–"] * 3
    assert shown["images"].tolist()[:3] == ["12", "12", "–"] and shown["excluded"].tolist()[:3] == ["2", "0", "0"]
    assert "Bare-map AUC" in shown.columns and "Wrong-word AUC ↓" in shown.columns


def test_markdown_says_that_it_is_the_demo(table):
    text = markdown(table, TITLE, ["first note", "second note"])
    assert text.startswith(f"# {TITLE}\n")
    assert f"**{DATA}, conditioned on the phrase, corrected protocol**" in text
    assert text.index("on the phrase") < text.index("on the impression")
    assert "- first note\n- second note\n" in text
    lines = [line for line in text.splitlines() if line.startswith("| frozen")]
    assert len(lines) == 2 and "102.0 ± 2.8" in lines[0]


def test_latex_is_escaped(table):
    text = latex(table, TITLE, ["95 % of a_b & c"])
    assert r"\caption{Table 1. Fidelity \& localisation\_x. Phantoms, 100 \% demo. 95 \% of a\_b \& c}" in text
    assert DATA in text and text.count(r"\midrule") == 2 and text.endswith("\\end{table*}\n")
    columns = formatted(table).shape[1]
    rows = [line for line in text.splitlines() if line.startswith(("frozen", "pretrained", "location prior"))]
    assert len(rows) == 6 and all(line.count(" & ") == columns - 1 and line.endswith(r" \\") for line in rows)
    assert rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}" in text
    assert r"102.0 $\pm$ 2.8" in text and r"FID $\downarrow$" in text and not set("±↓↑–") & set(text)


def test_notes(repeats):
    config = {"variants": {"frozen": {}, "pretrained": {}}}
    notes = table1_notes(repeats, config, {"general": "inception", "domain": "classifier"})
    assert "(frozen: 0, 1; pretrained: 0)" in notes[0]
    assert any("12 samples against 24 real images, with inception (general) and classifier (X-ray)" in n for n in notes)
    assert any("at 176 px" in note for note in notes)
