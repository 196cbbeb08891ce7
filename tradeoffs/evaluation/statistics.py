"""What score tables say about a variant: means, spread over seeds, intervals, and the difference of two variants.

Samples of one subject (patient; image on COCO) are not independent, so the bootstrap and the permutation test draw
subjects, never samples (cluster bootstrap: Davison, Hinkley, Bootstrap Methods and their Application, 1997, section
3.8; sign flips: Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005).
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from tradeoffs.metrics import FAITHFULNESS, METRICS

MACRO, MICRO = "macro", "micro"
INTERVAL = (0.025, 0.975)
NOT_COMMON = "not scored by every model"


def summarise(repeats: Sequence[pd.DataFrame], draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Means of one variant's score tables (one per seed), with their spread over seeds and 95 % intervals.

    One row per protocol, text, pairs ("all"; for the impression also "named", the rows whose text names the finding),
    group ("macro", the mean over categories of their means; "micro", the mean over samples; each category) and metric:
    mean: over seeds of the seeds' means; sd: their sample standard deviation, NaN with one seed
    low, high: percentile interval of `mean` over `draws` bootstrap samples of subjects, the same subjects in all seeds.
    A draw without a category leaves it out of the macro mean. NaN with fewer than two subjects.
    n, subjects: samples that have the metric and their subjects; texts: texts that were scored; excluded: samples
    excluded; all of the first seed
    A class of an image that several captions name is one sample, the mean over these (as in the original).
    """
    repeats = [over_captions(scores) for scores in repeats]
    table = pd.concat(repeats, keys=range(len(repeats)), names=["repeat"])
    tables = []
    for (protocol, text), rows in table.groupby(["protocol", "text"], sort=False):
        categories = np.unique(rows["category"])
        for pairs in ("all", "named") if text == "impression" else ("all",):
            chosen = rows if pairs == "all" else rows[rows["named"].astype(bool)]
            summary = _summarise(chosen, categories, len(repeats), draws, np.random.default_rng(seed))
            tables.append(summary.assign(protocol=protocol, text=text, pairs=pairs))
    columns = ["protocol", "text", "pairs", "group", "metric", "mean", "sd", "low", "high"]
    columns += ["n", "subjects", "texts", "excluded", "seeds"]
    return pd.concat(tables, ignore_index=True)[columns]


def over_captions(scores: pd.DataFrame) -> pd.DataFrame:
    """A score table with one row per image and class for the text "caption": the mean over the captions that were
    scored, their number in `texts`; without any, excluded with the first caption's reason. Other rows have 1 text."""
    scores = scores.assign(texts=_is_kept(scores).astype(int))
    if not {"text", "sample_id"} <= set(scores.columns):
        return scores
    of_captions = scores["text"] == "caption"
    keys = ["dataset", "variant", "seed", "step", "protocol", "text", "sample_id", "subject_id", "category"]
    keys = [key for key in keys if key in scores.columns]
    if not scores[of_captions].duplicated(keys).any():
        return scores
    scored_first = scores[of_captions].sort_values("texts", ascending=False, kind="stable")
    grouped = scored_first.groupby(keys, sort=False, dropna=False)
    means = grouped[list(scores.columns.intersection(list(METRICS)))].mean().join(grouped["texts"].sum())
    united = scored_first.drop_duplicates(keys).drop(columns=means.columns).merge(means.reset_index(), on=keys)
    united["id"] = united["sample_id"]
    return pd.concat([scores[~of_captions], united[scores.columns]], ignore_index=True)


def paired_differences(
    frozen: Sequence[pd.DataFrame],
    learnable: Sequence[pd.DataFrame],
    draws: int = 1000,
    permutations: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences frozen minus learnable of the score tables of two variants (one table per seed each).

    One row per protocol, text, group (macro, micro) and metric. A sample's score is its mean over the variant's seeds;
    a metric is compared on the samples that have it in every seed of both variants (n; of that many subjects).
    low, high: percentile interval over `draws` bootstrap samples of subjects, as in `summarise`
    p: two-sided sign-flip permutation test; each of `permutations` swaps the two variants, or not, at random for each
    subject, for all samples of a subject at once. p = (1 + #{|T*| >= |T|}) / (1 + permutations). NaN without samples.

    Interval and p are about these trained models on other subjects. They do not cover how models of other seeds would
    differ; that is in the standard deviation over seeds.
    """
    frozen, learnable = ([over_captions(scores) for scores in repeats] for repeats in (frozen, learnable))
    differences = (_seed_means(frozen) - _seed_means(learnable)).reset_index()
    tables = []
    for (protocol, text), rows in differences.groupby(["protocol", "text"], sort=False):
        rng = np.random.default_rng(seed)
        categories, subjects = np.unique(rows["category"]), np.unique(rows["subject_id"])
        sums, counts = _totals(rows, categories, subjects)
        weights = _bootstrap_weights(len(subjects), draws, rng)
        signs = rng.choice([-1.0, 1.0], size=(len(subjects), permutations))
        all_counts = counts.sum(axis=1)

        difference = _group_means(sums.sum(axis=1), all_counts)[:2].ravel()
        resampled = _group_means(sums @ weights, counts @ weights)[:2].reshape(len(difference), draws)
        flipped = _group_means(sums @ signs, all_counts[:, None])[:2].reshape(len(difference), permutations)
        rounding = 1 - 1e-9  # flips that equal the observed difference must not miss it by the order of a sum
        extreme = np.abs(flipped) >= np.abs(difference)[:, None] * rounding
        p = np.where(np.isnan(difference), np.nan, (1 + extreme.sum(axis=1)) / (1 + permutations))

        n = rows[list(METRICS)].notna().sum().tolist() * 2
        with_metric = _subjects(rows).tolist() * 2
        low, high = _interval(resampled, np.array(with_metric))
        values = {"difference": difference, "low": low, "high": high, "p": p, "n": n, "subjects": with_metric}
        tables.append(_rows([MACRO, MICRO], values).assign(protocol=protocol, text=text))
    columns = ["protocol", "text", "group", "metric", "difference", "low", "high", "p", "n", "subjects"]
    return pd.concat(tables, ignore_index=True)[columns]


def mean_interval(values: np.ndarray, subjects: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """Mean of values and the ends of its 95 % percentile interval over bootstrap samples of subjects, (3,).

    subjects: that of each value. NaN without values, and ends NaN with fewer than two subjects.
    """
    if not len(values):
        return np.full(3, np.nan)
    _, places = np.unique(subjects, return_inverse=True)
    sums, counts = np.bincount(places, values), np.bincount(places)
    weights = _bootstrap_weights(len(sums), draws, np.random.default_rng(seed))
    low, high = _interval((sums @ weights / (counts @ weights))[None], np.array([len(sums)]))
    return np.array([np.mean(values), low[0], high[0]])


def summarise_faithfulness(table: pd.DataFrame, draws: int) -> pd.DataFrame:
    """Mean over samples of each score, by data set, variant and text, with its 95 % interval by bootstrap over
    subjects.

    One row per data set, variant and text, columns <score>, <score>_low, <score>_high, and n, subjects.
    """
    rows = []
    for (dataset, variant, text), own in table.groupby(["dataset", "variant", "text"], sort=False):
        row = {
            "dataset": dataset,
            "variant": variant,
            "text": text,
            "n": len(own),
            "subjects": own["subject_id"].nunique(),
        }
        for name in FAITHFULNESS:
            scored = own.dropna(subset=[name])
            mean, low, high = mean_interval(scored[name].to_numpy(), scored["subject_id"].to_numpy(), draws)
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _summarise(
    rows: pd.DataFrame, categories: np.ndarray, seeds: int, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    kept = rows[_is_kept(rows)].reindex(columns=["subject_id", "category", "texts", *METRICS])
    subjects = np.unique(kept["subject_id"])
    weights = _bootstrap_weights(len(subjects), draws, rng)
    groups = [MACRO, MICRO, *categories]
    shape = (len(groups) * len(METRICS), draws)
    means, resampled = [], []
    for repeat in range(seeds):
        sums, counts = _totals(_of_repeat(kept, repeat), categories, subjects)
        means.append(_group_means(sums.sum(axis=1), counts.sum(axis=1)).ravel())
        resampled.append(_group_means(sums @ weights, counts @ weights).reshape(shape))

    first, excluded = _of_repeat(kept, 0), _of_repeat(rows[~_is_kept(rows)], 0)
    parts = [first, first, *(first[first["category"] == category] for category in categories)]
    subjects_with_metric = np.concatenate([_subjects(part) for part in parts])
    dropped = [len(excluded), len(excluded), *((excluded["category"] == category).sum() for category in categories)]
    low, high = _interval(_mean_of_present(np.stack(resampled)), subjects_with_metric)
    columns = {
        "mean": _mean_of_present(np.stack(means)),
        "sd": pd.DataFrame(means).std(ddof=1),
        "low": low,
        "high": high,
        "n": np.concatenate([part[list(METRICS)].notna().sum() for part in parts]),
        "subjects": subjects_with_metric,
        "texts": np.repeat([int(part["texts"].sum()) for part in parts], len(METRICS)),
        "excluded": np.repeat(dropped, len(METRICS)),
        "seeds": seeds,
    }
    return _rows(groups, columns)


def _is_kept(rows: pd.DataFrame) -> pd.Series:
    return rows["excluded"].isna() | (rows["excluded"] == "")


def _of_repeat(rows: pd.DataFrame, repeat: int) -> pd.DataFrame:
    return rows[rows.index.get_level_values("repeat") == repeat]


def _rows(groups: Sequence[str], columns: dict[str, Sequence]) -> pd.DataFrame:
    names = {"group": np.repeat(groups, len(METRICS)), "metric": list(METRICS) * len(groups)}
    return pd.DataFrame(names | columns)


def _seed_means(repeats: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over seeds of each sample's metrics (samples, METRICS); NaN where a seed lacks it."""
    keys = ["protocol", "text", "id", "category", "subject_id"]
    tables = [rows[_is_kept(rows)].set_index(keys).reindex(columns=list(METRICS)) for rows in repeats]
    grouped = pd.concat(tables).groupby(level=keys, sort=False)
    return grouped.mean().where(grouped.count() == len(repeats))


def _totals(rows: pd.DataFrame, categories: np.ndarray, subjects: np.ndarray) -> tuple[csr_array, csr_array]:
    """Sum and number of each category's and metric's values in each subject: two (categories * metrics, subjects).

    Sparse, because a subject has few of the categories: resampling subjects is then one cheap matrix product.
    """
    values = rows[list(METRICS)].to_numpy(float)
    sample, metric = np.nonzero(~np.isnan(values))
    cell = np.searchsorted(categories, rows["category"])[sample] * len(METRICS) + metric
    places = (cell, np.searchsorted(subjects, rows["subject_id"])[sample])
    shape = (len(categories) * len(METRICS), len(subjects))
    return csr_array((values[sample, metric], places), shape), csr_array((np.ones(len(sample)), places), shape)


def _group_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means (2 + categories, metrics, ...) from sums and counts (categories * metrics, ...): macro, micro, each."""
    sums, counts = (cells.reshape(-1, len(METRICS), *cells.shape[1:]) for cells in (sums, counts))
    with np.errstate(invalid="ignore"):
        categories = sums / counts
        micro = sums.sum(axis=0) / counts.sum(axis=0)
    return np.stack([_mean_of_present(categories), micro, *categories])


def _mean_of_present(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of the values that are not NaN; NaN where all are (without NumPy's warning)."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0).sum(axis=0) / present.sum(axis=0)


def _bootstrap_weights(subjects: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each subject occurs in each bootstrap sample, (subjects, draws)."""
    if not subjects:
        return np.zeros((0, draws))
    return rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=draws).T.astype(float)


def _interval(resampled: np.ndarray, subjects: np.ndarray) -> Iterator[np.ndarray]:
    """Lower and upper end of the 95 % percentile intervals of (statistics, draws); NaN with fewer than two subjects."""
    quantiles = pd.DataFrame(resampled.T).quantile(list(INTERVAL)).to_numpy()
    return (np.where(subjects > 1, end, np.nan) for end in quantiles)


def _subjects(rows: pd.DataFrame) -> np.ndarray:
    """Number of subjects that have each metric, (METRICS,)."""
    return rows[list(METRICS)].notna().groupby(rows["subject_id"].to_numpy()).any().sum().to_numpy()


def on_common_samples(prior: pd.DataFrame, models: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The location prior's scores where each model has the score too, so that their means are of the same samples.

    prior, models: columns `localisation.COLUMNS`; a sample that is left without AUC-ROC is excluded, with its reason
    """
    keys, metrics = ["protocol", "text", "id", "category"], list(METRICS)
    scores = prior.set_index(keys)
    for model in models:
        kept = model[model["excluded"].fillna("") == ""]
        there = kept.set_index(keys).reindex(columns=metrics).notna()
        scores[metrics] = scores[metrics].where(there.reindex(scores.index, fill_value=False))
    lost = scores["auc_roc"].isna() & (scores["excluded"].fillna("") == "")
    return scores.assign(excluded=scores["excluded"].mask(lost, NOT_COMMON)).reset_index()
