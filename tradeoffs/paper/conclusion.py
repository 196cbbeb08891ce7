"""The conclusion in words, from the numbers: does the paper's trade-off appear?

The trade-off has two halves: the frozen text encoder localises better, the learnable one has the lower FID. Each half
is judged by a 95 % interval; one that includes 0 says that no difference was found, not that there is none. There is a
verdict only where both halves can be judged: from few subjects, images or seeds there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import ttest_rel

from tradeoffs.data.text_kinds import texts_in
from tradeoffs.metrics import FIDELITY, LOCATION_PRIOR, METRICS
from tradeoffs.paper.formatting import p_clause, signed, significant

FROZEN, LEARNABLE = "frozen", "learnable"
LOCALISATION = ("auc_roc", "specificity")
FIDS = ("fid_general", "fid_domain")
SEEDS_TO_TEST = 3  # with two seeds (one degree of freedom) t would have to exceed 12.7
SUBJECTS_TO_JUDGE = 30  # the bootstrap's intervals are too narrow for fewer
IMAGES_TO_JUDGE = 100  # FID rests on means and covariances of the samples' features

VERDICTS = {
    2: "appears",
    1: "appears in part",
    0: "does not appear",
    -1: "goes the other way in part",
    -2: "goes the other way",
}
READINGS = {1: "the frozen variant is better", -1: "the learnable variant is better", 0: "no difference was found"}
LOWER_FID = {1: LEARNABLE, -1: FROZEN}


@dataclass(frozen=True)
class Half:
    """One half of the trade-off on one data set.

    direction: 1 as in the paper, -1 the other way, 0 neither, None if there are no or too few numbers to judge by
    clause: the outcome without numbers; sentences: the same with numbers
    """

    direction: int | None
    clause: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Conclusion:
    """verdict: how the trade-off fares on the data set, a clause that follows "the trade-off"; sentences: why."""

    title: str
    verdict: str
    sentences: tuple[str, ...]


def headline(conclusions: Sequence[Conclusion]) -> str:
    """One sentence over all data sets."""
    subjects = ["the paper's trade-off", *["it"] * (len(conclusions) - 1)]
    clauses = [f"on {c.title} {subject} {c.verdict}" for c, subject in zip(conclusions, subjects, strict=True)]
    sentence = "; ".join(clauses)
    return f"{sentence[0].upper()}{sentence[1:]}."


def conclusions(
    titles: Mapping[str, str], summaries: pd.DataFrame, fidelity: pd.DataFrame, differences: pd.DataFrame
) -> list[Conclusion]:
    """The conclusion on each data set, for the variants frozen and learnable under the corrected protocol.

    titles: data set -> a name that reads well after "on", in the order of the report
    summaries, fidelity, differences: rows of localisation_summary.csv, fidelity.csv and differences.csv
    """
    defaults = {dataset: texts_in(texts)[0] for dataset, texts in summaries.groupby("dataset")["text"]}
    return [
        _conclusion(
            title,
            _of(summaries, dataset=dataset, text=defaults.get(dataset, ""), pairs="all"),
            _of(fidelity, dataset=dataset),
            _of(differences, dataset=dataset, text=defaults.get(dataset, ""), frozen=FROZEN, learnable=LEARNABLE),
        )
        for dataset, title in titles.items()
    ]


def _conclusion(title: str, summary: pd.DataFrame, fidelity: pd.DataFrame, differences: pd.DataFrame) -> Conclusion:
    localisation = _localisation(
        _of(differences, protocol="corrected", group="macro"),
        _of(summary, protocol="corrected", group="macro", metric="auc_roc"),
    )
    fid = _fid(fidelity)
    if localisation.direction is None:
        verdict = f"cannot be judged: {localisation.clause}"
    elif fid.direction is None:
        verdict = f"cannot be judged as a whole: {localisation.clause}, and {fid.clause}"
    else:
        verdict = f"{VERDICTS[localisation.direction + fid.direction]}: {localisation.clause}, and {fid.clause}"
    return Conclusion(title, verdict, localisation.sentences + fid.sentences)


def _localisation(differences: pd.DataFrame, auc_roc: pd.DataFrame) -> Half:
    """The half about localisation; the better variant's AUC-ROC must lie above the location prior's to count."""
    directions: dict[str, int] = {}  # by the score's name
    sentences = []
    clause = "frozen and learnable have no paired differences in localisation"
    for metric in LOCALISATION:
        name = METRICS[metric].name
        row = _estimate(differences, "difference", metric=metric)
        if row is None:
            sentences.append(f"There is no paired difference in {name} between frozen and learnable.")
            continue
        if row["subjects"] < SUBJECTS_TO_JUDGE:
            clause = f"localisation was scored on {row['subjects']:.0f} subjects, fewer than {SUBJECTS_TO_JUDGE}"
            sentences.append(
                f"In {name} frozen minus learnable is {signed(row['difference'])}; {row['subjects']:.0f} subjects are "
                f"too few to judge by, which takes {SUBJECTS_TO_JUDGE}."
            )
            continue
        directions[name] = _direction(row["low"], row["high"])
        caution = "" if directions[name] else "; an interval that includes 0 is no evidence of equality"
        sentences.append(
            f"In {name} {READINGS[directions[name]]}: frozen minus learnable is {signed(row['difference'])} "
            f"(95 % interval {signed(row['low'])} to {signed(row['high'])}, {p_clause(row['p'])}, "
            f"{row['n']:.0f} samples of {row['subjects']:.0f} subjects){caution}."
        )
    if not directions:
        return Half(None, clause, tuple(sentences))

    sentences += _over_seeds(auc_roc)
    above, sentence = _against_prior(auc_roc)
    sentences.append(sentence)
    agreed = _agreed(list(directions.values()))
    if not agreed:
        differ = any(directions.values())
        clause = "AUC-ROC and specificity disagree" if differ else "no difference in localisation was found"
        return Half(0, clause, tuple(sentences))
    better = FROZEN if agreed == 1 else LEARNABLE
    clause = f"the {better} variant localises better{_by_which(directions)}"
    if not above[better]:
        sentences.append(f"Localisation counts only above the location prior, so the advantage of {better} does not.")
        return Half(0, f"{clause}, but is not shown to lie above the location prior", tuple(sentences))
    return Half(agreed, clause, tuple(sentences))


def _by_which(directions: Mapping[str, int]) -> str:
    """By which score one variant localises better and by which not; nothing where all scores say so."""
    found, none = ([name for name, way in directions.items() if bool(way) == differs] for differs in (True, False))
    return f" by {found[0]}, though not by {none[0]}" if found and none else ""


def _over_seeds(auc_roc: pd.DataFrame) -> list[str]:
    """What another training would give, which the interval over subjects does not tell; nothing with one seed."""
    frozen, learnable = (_estimate(auc_roc, "mean", variant=variant) for variant in (FROZEN, LEARNABLE))
    if frozen is None or learnable is None or pd.isna(frozen["sd"]) or pd.isna(learnable["sd"]):
        return []
    larger = max(frozen["sd"], learnable["sd"])
    verdict = "less" if abs(frozen["mean"] - learnable["mean"]) < larger else "more"
    return [
        f"Over seeds AUC-ROC has a standard deviation of {frozen['sd']:.3f} (frozen) and {learnable['sd']:.3f} "
        f"(learnable); the variants differ by {verdict} than the larger of the two."
    ]


def _against_prior(auc_roc: pd.DataFrame) -> tuple[dict[str, bool], str]:
    """Which variant lies above the location prior (its 95 % interval above the prior's), and the sentence about it."""
    variants = LOCATION_PRIOR, FROZEN, LEARNABLE
    estimates = {variant: _estimate(auc_roc, "mean", variant=variant) for variant in variants}
    rows = {variant: row for variant, row in estimates.items() if row is not None}
    missing = [variant.replace("_", " ") for variant in variants if variant not in rows]
    if missing:
        above = dict.fromkeys((FROZEN, LEARNABLE), False)
        return above, f"A comparison with the location prior lacks the AUC-ROC of {' and '.join(missing)}."
    prior = rows.pop(LOCATION_PRIOR)
    above = {variant: bool(row["low"] > prior["high"]) for variant, row in rows.items()}
    below = {variant: bool(row["high"] < prior["low"]) for variant, row in rows.items()}
    clauses = [
        f"{variant}, at {_interval(row)}, "
        + ("lies above it" if above[variant] else "lies below it" if below[variant] else "overlaps it")
        for variant, row in rows.items()
    ]
    return above, (
        f"The location prior, which needs no model, has AUC-ROC {_interval(prior)}; {', and '.join(clauses)}."
    )


def _fid(fidelity: pd.DataFrame) -> Half:
    """The half about FID: tested over the seeds that both variants have, if they and the samples are enough."""
    directions, signs, sentences, lacking = [], [], [], ""
    for metric in FIDS:
        values = _of(fidelity, metric=metric).dropna(subset="value")
        values = values[values["variant"].isin((FROZEN, LEARNABLE))]
        frozen, learnable = (_of(values, variant=v).set_index("seed")["value"] for v in (FROZEN, LEARNABLE))
        if frozen.empty or learnable.empty:
            continue
        signs.append(int(np.sign(frozen.mean() - learnable.mean())))
        comparison = f"lower for {LOWER_FID[signs[-1]]}" if signs[-1] else "equal"
        sentence = (
            f"In the mean over seeds the {FIDELITY[metric].name} is {comparison}: "
            f"learnable {significant(learnable.mean())} ({_count(learnable)}), "
            f"frozen {significant(frozen.mean())} ({_count(frozen)})"
        )
        seeds = frozen.index.intersection(learnable.index)
        if values["n"].min() < IMAGES_TO_JUDGE:
            lacking = "samples"
            sentences.append(
                f"{sentence}; the difference is not tested, which takes {IMAGES_TO_JUDGE} samples a model."
            )
        elif len(seeds) < SEEDS_TO_TEST:
            lacking = "seeds"
            sentences.append(f"{sentence}; the difference is not tested, which takes {SEEDS_TO_TEST} seeds in common.")
        else:
            test = ttest_rel(learnable[seeds], frozen[seeds])
            low, high = test.confidence_interval(0.95)
            directions.append(-_direction(low, high))
            verdict = "" if directions[-1] else ", so no difference was found"
            sentences.append(
                f"{sentence}; the mean difference has the 95 % interval {significant(low)} to {significant(high)} "
                f"({p_clause(test.pvalue)}, paired t-test over {len(seeds)} seeds){verdict}."
            )
    if not signs:
        return Half(None, "there is no FID of both variants", ("There is no FID of both variants.",))
    if not directions:
        leaning = _agreed(signs)
        difference = f"the lower FID of the {LOWER_FID[leaning]} variant" if leaning else "the difference in FID"
        return Half(None, f"{difference} is not tested (too few {lacking})", tuple(sentences))
    agreed = _agreed(directions)
    if agreed:
        return Half(agreed, f"the {LOWER_FID[agreed]} variant has the lower FID", tuple(sentences))
    clause = "the two FIDs disagree" if any(directions) else "no difference in FID was found"
    return Half(0, clause, tuple(sentences))


def _of(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _estimate(table: pd.DataFrame, estimate: str, **values: str) -> pd.Series | None:
    """The first row with these values; None without one, or if its estimate or interval is missing."""
    rows = _of(table, **values).dropna(subset=[estimate, "low", "high"])
    return None if rows.empty else rows.iloc[0]


def _direction(low: float, high: float) -> int:
    return 1 if low > 0 else -1 if high < 0 else 0


def _agreed(directions: Sequence[int]) -> int:
    """The direction that at least one score has and none opposes, else 0."""
    found = set(directions) - {0}
    return found.pop() if len(found) == 1 else 0


def _interval(row: pd.Series) -> str:
    return f"{row['mean']:.3f} (95 % interval {row['low']:.3f} to {row['high']:.3f})"


def _count(values: pd.Series) -> str:
    return f"{len(values)} seed" + ("s" if len(values) != 1 else "")
