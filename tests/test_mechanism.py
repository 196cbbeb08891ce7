"""Why the trade-off happens: drift, probe, attention by kind of token, overlap; its table, paragraph and figure."""

import numpy as np
import pandas as pd
import pytest

from tradeoffs.attention.sums import GroupedSums
from tradeoffs.evaluation.mechanism import MEASURES, attention_mass, drift, overlap, probe
from tradeoffs.evaluation.statistics import mean_interval
from tradeoffs.paper.mechanism import mechanism_figure, mechanism_rows, mechanism_table


def test_drift_is_relative_to_the_length():
    before, now = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[3.0, 4.0], [1.0, 2.0]])
    assert drift(now, before, np.array([0.5, 0.5])) == pytest.approx((0 + 2) / 2)
    assert drift(now, before, np.array([1.0, 0.0])) == 0


def test_attention_adds_up_to_one():
    """Two layers, one step in each fifth; of a context of 6: 2 own tokens, start, end and 2 of padding."""
    shares = np.array([0.3, 0.1, 0.2, 0.2, 0.1], np.float32)  # the last, of padding, counts twice
    maps = np.broadcast_to(shares[None, :, None, None], (5, 5, 2, 2))
    sums = GroupedSums("a", "x y", ["x", "y"], np.zeros((2, 2)), 3, {"mid_2": 2 * maps}, {"mid_2": 2}, np.ones(5))
    found = attention_mass(sums, np.array([True, False]), 6)
    expected = {"mass_words": 0.3, "mass_other": 0.1, "mass_start": 0.2, "mass_end": 0.2, "mass_padding": 0.2}
    assert found == pytest.approx(expected) and sum(found.values()) == pytest.approx(1)


def test_overlap_of_maps():
    one, other = np.array([[2.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 5.0], [5.0, 0.0]])
    assert overlap(one, 7 * one) == pytest.approx(1) and overlap(one, other) == pytest.approx(0.5)


def test_the_probe_is_asked_of_texts_that_it_has_not_seen():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"category": ["Edema", "Pneumonia"] * 20, "text": [f"text {i // 2}" for i in range(40)]})
    telling = [np.array([float(c == "Edema"), 0.1 * rng.normal()]) for c in rows["category"]]
    assert probe(telling, rows).mean() == 1
    # features that name the text but not the category are of no use for other texts
    only_the_text = [np.eye(20)[i // 2] for i in range(40)]
    assert probe(only_the_text, rows).mean() <= 0.5
    assert np.isnan(probe(telling[:4], rows[:4])).all()  # two texts do not make five parts


def test_means_have_intervals_over_subjects():
    mean, low, high = mean_interval(np.array([1.0, 1.0, 4.0]), np.array(["p", "p", "q"]), 500)
    assert (mean, low, high) == (2.0, 1.0, 4.0)
    assert np.isnan(mean_interval(np.array([1.0]), np.array(["p"]), 10)[1])
    assert np.isnan(mean_interval(np.array([]), np.array([]), 10)).all()


def measures() -> pd.DataFrame:
    rows = []
    for variant, drifted in (("frozen", 0.0), ("learnable", 0.5)):
        for step in (100, 200):
            for subject in range(4):
                values = dict.fromkeys(MEASURES, 0.25) | {"drift": drifted * step / 200}
                rows.append({"variant": variant, "step": step, "id": f"s{subject}", "subject_id": subject} | values)
    return pd.DataFrame(rows).assign(dataset="cxr", seed=0, category="Edema")


def test_the_paragraph_names_what_differs_clearly():
    pairs = [{"dataset": "cxr", "frozen": "frozen", "learnable": "learnable"}]
    rows = mechanism_rows(measures(), pairs, 50, {"cxr": "Data"})
    last = rows[(rows["step"] == 200) & (rows["measure"] == "drift")].iloc[0]
    assert (last["difference"], last["difference_low"], last["difference_high"], last["n"]) == (-0.5, -0.5, -0.5, 4)
    table = mechanism_table("Why.", rows)
    assert "drift of the words' embeddings higher by 0.500 [+0.500, +0.500]" in table.notes[0]
    assert "linear probe, held-out texts" in table.notes[0].split("No clear difference")[1]
    assert len(table.blocks) == 1 and len(table.blocks[0].cells) == 2 * len(MEASURES)
    figure = mechanism_figure(rows, ["frozen", "learnable"], "")
    assert len(figure.axes) == len(MEASURES)
