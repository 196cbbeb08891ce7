import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tradeoffs.evaluation.statistics import paired_differences, summarise
from tradeoffs.metrics import METRICS


def scores(rows, text="phrase", protocol="corrected", **columns):
    """Score table from (subject, category, auc_roc) rows; the other metrics are 0.5, nothing is excluded."""
    table = pd.DataFrame(rows, columns=["subject_id", "category", "auc_roc"])
    table["id"] = [f"sample{i}" for i in range(len(table))]
    rest = {metric: 0.5 for metric in METRICS if metric != "auc_roc"}
    fixed = {"text": text, "protocol": protocol, "named": True, "excluded": np.nan}
    return table.assign(**(rest | fixed | columns))


def row(summary, group, metric="auc_roc", **others):
    chosen = summary[(summary["group"] == group) & (summary["metric"] == metric)]
    for column, value in others.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


SMALL = scores(
    [(1, "Edema", 0.9), (1, "Edema", 0.6), (2, "Edema", 0.9), (2, "Pneumonia", 0.6), (3, "Pneumothorax", 0.1)],
    specificity=[0.3, np.nan, 0.1, np.nan, np.nan],
    excluded=[np.nan, np.nan, np.nan, "", "box cropped away"],
)


def test_macro_micro_and_category_means_of_the_samples_that_count():
    summary = summarise([SMALL], draws=10)
    # Edema (0.9 + 0.6 + 0.9) / 3 = 0.8, Pneumonia 0.6; the excluded Pneumothorax (0.1) counts nowhere
    assert row(summary, "Edema")["mean"] == pytest.approx(0.8)
    assert row(summary, "macro")["mean"] == pytest.approx((0.8 + 0.6) / 2)
    assert row(summary, "micro")["mean"] == pytest.approx((0.9 + 0.6 + 0.9 + 0.6) / 4)
    excluded = row(summary, "Pneumothorax")
    assert (excluded["n"], excluded["subjects"], excluded["excluded"]) == (0, 0, 1)
    assert excluded[["mean", "sd", "low", "high"]].isna().all()
    total = row(summary, "micro")
    assert (total["n"], total["subjects"], total["excluded"], total["seeds"]) == (4, 2, 1, 1)
    assert summary["group"].unique().tolist() == ["macro", "micro", "Edema", "Pneumonia", "Pneumothorax"]
    assert len(summary) == 5 * len(METRICS)


def test_a_metric_that_a_sample_lacks_is_left_out_of_its_mean():
    summary = summarise([SMALL.drop(columns="wrong_prompt_auc")], draws=10)
    specificity = row(summary, "macro", "specificity")  # only Edema has it, twice, in two subjects
    assert specificity["mean"] == pytest.approx((0.3 + 0.1) / 2)
    assert (specificity["n"], specificity["subjects"]) == (2, 2)
    assert row(summary, "Edema", "specificity")["excluded"] == 0
    missing = row(summary, "macro", "wrong_prompt_auc")
    assert missing["n"] == 0 and missing[["mean", "low", "high"]].isna().all()


def test_mean_and_standard_deviation_over_seeds():
    second = scores([(1, "Edema", 0.5), (2, "Edema", 0.5), (2, "Pneumonia", 0.9)])
    summary = summarise([SMALL, second], draws=10)
    # macro: 0.7 and (0.5 + 0.9) / 2 = 0.7; Edema: 0.8 and 0.5, mean 0.65, sd sqrt(0.15^2 + 0.15^2)
    assert row(summary, "macro")["mean"] == pytest.approx(0.7)
    assert row(summary, "macro")["sd"] == pytest.approx(0, abs=1e-12)
    edema = row(summary, "Edema")
    assert edema["mean"] == pytest.approx(0.65) and edema["sd"] == pytest.approx(np.sqrt(0.045))
    assert edema["seeds"] == 2 and edema["n"] == 3  # n of the first seed
    assert summarise([SMALL], draws=10)["sd"].isna().all()


def test_protocols_and_texts_stay_apart_and_named_pairs_are_a_subset():
    impression = scores(
        [(1, "Edema", 0.2), (2, "Edema", 0.4), (3, "Pneumonia", 0.9)],
        text="impression",
        named=[True, False, False],
    )
    published = scores([(1, "Edema", 0.1)], protocol="published")
    summary = summarise([pd.concat([SMALL, impression, published])], draws=10)
    assert row(summary, "Edema", text="phrase", protocol="published")["mean"] == pytest.approx(0.1)
    assert row(summary, "Edema", text="impression", pairs="all")["mean"] == pytest.approx(0.3)
    assert row(summary, "Edema", text="impression", pairs="named")["mean"] == pytest.approx(0.2)
    assert row(summary, "micro", text="impression", pairs="all")["n"] == 3
    without = row(summary, "Pneumonia", text="impression", pairs="named")
    assert without["n"] == 0 and np.isnan(without["mean"])
    assert set(summary.loc[summary["text"] == "phrase", "pairs"]) == {"all"}


def test_nothing_named_gives_empty_rows():
    table = scores([(1, "Edema", 0.2), (2, "Edema", 0.4)], text="impression", named=False)
    named = summarise([table], draws=10).query("pairs == 'named'")
    assert set(named["n"]) == {0} and named["mean"].isna().all() and len(named) == 3 * len(METRICS)


def mean_of(rows, group):
    """Macro or micro mean of (category, value) pairs in plain Python."""
    values = {}
    for category, value in rows:
        values.setdefault(category, []).append(value)
    means = [sum(part) / len(part) for part in values.values()]
    return sum(means) / len(means) if group == "macro" else sum(v for _, v in rows) / len(rows)


@pytest.mark.parametrize("group", ["macro", "micro"])
def test_the_interval_is_that_of_all_resamples_of_subjects(group):
    rng = np.random.default_rng(3)
    # the second category is in two of five subjects, so some resamples lack it
    rows = [(s, c, v) for s, c, v in zip([0, 0, 0, 1, 1, 2, 3, 3, 4], "AABABAAAA", rng.normal(size=9), strict=True)]
    subjects = [[(c, v) for s, c, v in rows if s == subject] for subject in range(5)]
    resampled = [mean_of(sum(draw, []), group) for draw in itertools.product(subjects, repeat=5)]
    expected = np.quantile(resampled, [0.025, 0.975])
    interval = row(summarise([scores(rows)], draws=20_000), group)[["low", "high"]]
    assert interval.tolist() == pytest.approx(expected.tolist(), abs=0.04)
    assert expected[1] - expected[0] > 0.8  # so the tolerance means something


def test_subjects_are_drawn_not_samples():
    # 2 subjects, each with 50 equal samples: a resample has mean 0 or 1 in half of the cases, while resampled
    # samples would stay within about 0.5 +- 0.1
    rows = [(subject, "Edema", float(subject)) for subject in (0, 1) for _ in range(50)]
    micro = row(summarise([scores(rows)]), "micro")
    assert (micro["low"], micro["mean"], micro["high"]) == (0, 0.5, 1)


def test_one_subject_has_no_interval():
    assert (
        row(summarise([scores([(1, "Edema", 0.2), (1, "Edema", 0.4)])], draws=10), "micro")[["low", "high"]]
        .isna()
        .all()
    )


def test_the_same_subjects_are_drawn_in_every_seed():
    # the seeds' means are opposite to each other, so with the same subjects their mean is always 0.5
    first = scores([(s, "Edema", s / 10) for s in range(11)])
    second = first.assign(auc_roc=1 - first["auc_roc"])
    micro = row(summarise([first, second], draws=50), "micro")
    assert (micro["low"], micro["high"]) == pytest.approx((0.5, 0.5))


def test_repeated_runs_agree():
    pd.testing.assert_frame_equal(summarise([SMALL], draws=50), summarise([SMALL], draws=50))
    other = SMALL.assign(auc_roc=0.3)
    first, second = (paired_differences([SMALL], [other], draws=50, permutations=50) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


# --- differences --------------------------------------------------------------------------------------------------


def test_difference_of_the_samples_that_both_have_in_every_seed():
    rows = [(1, "Edema", 0.9), (1, "Edema", 0.7), (2, "Pneumonia", 0.5), (3, "Pneumonia", 0.5)]
    frozen = [scores(rows), scores(rows).assign(auc_roc=[0.7, 0.7, 0.5, 0.5])]
    learnable = scores(rows).assign(auc_roc=[0.5, 0.6, 0.6, np.nan])
    learnable = learnable.sample(frac=1, random_state=0)  # samples are matched by name, not by place
    table = paired_differences(frozen, [learnable], draws=10, permutations=10)
    # means over seeds: frozen 0.8, 0.7, 0.5; differences 0.3, 0.1 (Edema), -0.1 (Pneumonia); the last has no pair
    macro, micro = row(table, "macro"), row(table, "micro")
    assert macro["difference"] == pytest.approx(((0.3 + 0.1) / 2 - 0.1) / 2)
    assert micro["difference"] == pytest.approx((0.3 + 0.1 - 0.1) / 3)
    assert (macro["n"], macro["subjects"], micro["n"], micro["subjects"]) == (3, 2, 3, 2)
    assert row(table, "macro", "iou")["n"] == 4

    # a sample that is missing in one seed is left out altogether
    frozen[1]["excluded"] = ["constant heat map", "", "", ""]
    table = paired_differences(frozen, [learnable], draws=10, permutations=10)
    assert row(table, "micro")["difference"] == pytest.approx((0.1 - 0.1) / 2, abs=1e-12)
    assert row(table, "micro")["n"] == 2 and row(table, "micro", "iou")["n"] == 3


def test_no_common_sample_has_no_difference_and_no_p():
    table = paired_differences([SMALL.assign(iou=np.nan)], [SMALL], draws=10, permutations=10)
    assert row(table, "macro", "iou")[["difference", "low", "high", "p"]].isna().all()
    assert row(table, "macro", "iou")["n"] == 0


def test_p_value_is_that_of_the_exact_test():
    rng = np.random.default_rng(1)
    values, others = rng.normal(0.6, 0.2, 9), rng.normal(0.55, 0.2, 9)
    frozen = scores([(subject, "Edema", value) for subject, value in enumerate(values)])
    table = paired_differences([frozen], [frozen.assign(auc_roc=others)], draws=10, permutations=20_000)
    exact = stats.permutation_test(
        (values, others), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    assert 0.05 < exact.pvalue < 0.5
    p = row(table, "macro")["p"]
    assert p == pytest.approx(exact.pvalue, abs=0.015) and row(table, "micro")["p"] == pytest.approx(p)


def test_a_subjects_samples_are_swapped_together():
    # 3 subjects with 40 samples each, all differences 0.1: of the 8 sign patterns two are as extreme, p = 0.25;
    # swapping single samples would give p of about 1 / (1 + permutations)
    rows = [(subject, "Edema", 0.6) for subject in range(3) for _ in range(40)]
    table = paired_differences([scores(rows)], [scores(rows).assign(auc_roc=0.5)], draws=10, permutations=20_000)
    assert row(table, "micro")["p"] == pytest.approx(0.25, abs=0.015)
    assert row(table, "micro", "iou")["p"] == 1  # no difference at all


def test_the_smallest_p_value_counts_the_observed_labels():
    rows = [(subject, "Edema", 0.6 + subject / 1000) for subject in range(40)]
    table = paired_differences([scores(rows)], [scores(rows).assign(auc_roc=0.5)], draws=10, permutations=99)
    assert row(table, "macro")["p"] == pytest.approx(1 / 100)


@pytest.mark.parametrize("group", ["macro", "micro"])
def test_the_interval_of_a_difference_is_that_of_all_resamples_of_subjects(group):
    rng = np.random.default_rng(5)
    rows = [(s, c, v) for s, c, v in zip([0, 0, 0, 1, 1, 2, 3, 3, 4], "AABABAAAA", rng.normal(size=9), strict=True)]
    subjects = [[(c, v - 0.25) for s, c, v in rows if s == subject] for subject in range(5)]
    resampled = [mean_of(sum(draw, []), group) for draw in itertools.product(subjects, repeat=5)]
    expected = np.quantile(resampled, [0.025, 0.975])
    table = paired_differences([scores(rows)], [scores(rows).assign(auc_roc=0.25)], draws=20_000, permutations=10)
    assert row(table, group)[["low", "high"]].tolist() == pytest.approx(expected.tolist(), abs=0.04)
