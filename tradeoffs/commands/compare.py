"""Two finished runs side by side: what differs in their scores, configuration, code and input files."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tradeoffs.errors import InputError
from tradeoffs.evaluation.statistics import paired_differences
from tradeoffs.metrics import FIDELITY, METRICS
from tradeoffs.provenance.records import records_of

SCORE = ["protocol", "text", "group", "metric"]
LOCALISATION = ["dataset", "variant", *SCORE]
LOCALISATION += ["a", "b", "difference", "low", "high", "p", "n", "subjects", "only_a", "only_b"]
FIDELITY_COLUMNS = ["dataset", "variant", "metric", "a", "b", "difference", "seeds_a", "seeds_b"]
SOURCES = ["what", "name", "a", "b"]
NONE = "(none)"
Facts = dict[tuple[str, str], set[str]]  # values by what they are and their name


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs, b minus a.

    localisation: a row a data set, variant, protocol, text, group (macro, micro) and metric: the means that each run
        reports, then the paired difference (see `paired_differences`), its interval, p value, samples and subjects that
        pair, and the samples that only one run has
    fidelity: a row a data set, variant and metric: means over seeds, and their difference, which has no interval
    sources: a row a thing that differs: a key of the configuration, a rule's code, a version, an input file
    unpaired: "<data set>/<variant>" of one run alone, by "a" and "b"
    """

    localisation: pd.DataFrame
    fidelity: pd.DataFrame
    sources: pd.DataFrame
    unpaired: Mapping[str, list[str]]


def compare(a: str | Path, b: str | Path, draws: int = 1000, permutations: int = 2000) -> Comparison:
    """Compares two results folders (`results`, with one run in it, or `results/<run>`), of their final models.

    draws, permutations: of the bootstrap and of the permutation test; see the section evaluation of the configuration
    Raises InputError for a folder without a finished run, or two runs that have no variant in common.
    """
    runs = run_folder(a), run_folder(b)
    scored = [set(_variants(run)) for run in runs]
    both = sorted(scored[0] & scored[1])
    if not both:
        raise InputError(f"{a}, {b}: they have no variant of a data set in common; give two runs of one study")
    localisation = [_localisation(*runs, *pair, draws, permutations) for pair in both]
    fidelity = [_fidelity(*runs, *pair) for pair in both]
    return Comparison(
        localisation=pd.concat(localisation, ignore_index=True)[LOCALISATION],
        fidelity=pd.concat(fidelity, ignore_index=True)[FIDELITY_COLUMNS],
        sources=_sources(*runs),
        unpaired={
            "a": ["/".join(pair) for pair in sorted(scored[0] - scored[1])],
            "b": ["/".join(pair) for pair in sorted(scored[1] - scored[0])],
        },
    )


def run_folder(folder: str | Path) -> Path:
    """The folder of a run's results: the given one, or the only one in it; raises InputError if there is no such."""
    folder = Path(folder)
    if (folder / "evaluation").is_dir():
        return folder
    runs = sorted(path.parent for path in folder.glob("*/evaluation"))
    if len(runs) == 1:
        return runs[0]
    found = f"holds the runs {', '.join(run.name for run in runs)}" if runs else "holds no run with a folder evaluation"
    raise InputError(f"{folder}: {found}; give the folder of one run, results/<run>")


def _variants(run: Path) -> Iterator[tuple[str, str]]:
    """Data set and variant of everything that a run has scored, the rows without a model among them."""
    for pattern in ("*/localisation.csv", "*/*/final/localisation.csv"):
        for path in (run / "evaluation").glob(f"*/{pattern}"):
            dataset, variant, *_ = path.relative_to(run / "evaluation").parts
            yield dataset, variant


def _files(run: Path, dataset: str, variant: str, name: str) -> list[Path]:
    """A variant's score files, one a seed."""
    folder = run / "evaluation" / dataset / variant
    return sorted(path for pattern in (name, f"seed*/final/{name}") for path in folder.glob(pattern))


def _localisation(a: Path, b: Path, dataset: str, variant: str, draws: int, permutations: int) -> pd.DataFrame:
    tables = [_score_tables(run, dataset, variant) for run in (a, b)]
    rows = paired_differences(tables[1], tables[0], draws, permutations)
    ids = [table[0].set_index(["protocol", "text", "id", "category"]).index for table in tables]
    for name, own, other in (("only_a", *ids), ("only_b", *reversed(ids))):
        alone = own.difference(other).to_frame(index=False).groupby(["protocol", "text"]).size()
        rows = rows.join(alone.rename(name), on=["protocol", "text"]).fillna({name: 0})
    for name, run in (("a", a), ("b", b)):
        rows = rows.join(
            _reported_means(run, dataset, variant).rename(name), on=["protocol", "text", "group", "metric"]
        )
    return rows.assign(dataset=dataset, variant=variant).astype({"only_a": int, "only_b": int})


def _score_tables(run: Path, dataset: str, variant: str) -> list[pd.DataFrame]:
    tables = [pd.read_csv(path) for path in _files(run, dataset, variant, "localisation.csv")]
    missing = [metric for metric in METRICS if metric not in tables[0]]  # of a run by older code
    return [table.reindex(columns=[*table.columns, *missing]) for table in tables]


def _reported_means(run: Path, dataset: str, variant: str) -> pd.Series:
    summary = pd.read_csv(run / "evaluation" / dataset / variant / "localisation_summary.csv")
    return summary[summary["pairs"] == "all"].set_index(SCORE)["mean"]


def _fidelity(a: Path, b: Path, dataset: str, variant: str) -> pd.DataFrame:
    of_run = []
    for run in (a, b):
        files = _files(run, dataset, variant, "fidelity.csv")
        tables = [pd.read_csv(path) for path in files] or [pd.DataFrame(columns=["metric", "value"])]
        of_run.append(pd.concat(tables).groupby("metric")["value"].agg(["mean", "count"]).reindex(list(FIDELITY)))
    means = pd.DataFrame({"a": of_run[0]["mean"], "b": of_run[1]["mean"]})
    counts = {"seeds_a": of_run[0]["count"], "seeds_b": of_run[1]["count"]}
    table = means.assign(difference=means["b"] - means["a"], **counts).dropna(subset=["a", "b"], how="all")
    counted = table.fillna({"seeds_a": 0, "seeds_b": 0}).astype({"seeds_a": int, "seeds_b": int})
    return counted.rename_axis("metric").reset_index().assign(dataset=dataset, variant=variant)


# --- what the runs were made from ---------------------------------------------------------------------------------


def _sources(a: Path, b: Path) -> pd.DataFrame:
    """What differs in the records of the two runs' jobs (SOURCES); several values of one run are joined by " | "."""
    of_a, of_b = _facts(a), _facts(b)
    facts = [_folded(of_a, of_b), _folded(of_b, of_a)]
    rows = []
    for key in dict.fromkeys((*facts[0], *facts[1])):
        values = [" | ".join(sorted(own.get(key, {NONE}))) for own in facts]
        made_by_one = key[0] == "code" and NONE in values  # a rule that the other run had no need of
        if values[0] != values[1] and not made_by_one:
            rows.append((*key, *values))
    return pd.DataFrame(rows, columns=SOURCES)


def _facts(run: Path) -> Facts:
    """By what it is and its name, all values that the records of a run's jobs have for it.

    Raises InputError if there are no records.
    """
    facts: Facts = defaultdict(set)
    made: set[str] = set()
    records = [_read(path) for path in sorted(records_of(run))]
    if not records:
        raise InputError(f"{run}: has no records of its jobs in provenance/; give the folder of a finished run")
    for record in records:
        made |= set(record["outputs"])
    for record in records:
        for key, value in _leaves(record["config"]):
            facts["configuration", key].add(value)
        facts["commit", "git"].add(record["commit"])
        facts["version", "Python"].add(record["python"])
        for name, version in record["packages"].items():
            facts["version", name].add(version)
        facts["device", "of the jobs"].add(record["device"])
        if "code" in record["params"]:
            facts["code", f"rule {record['rule']}"].add(record["params"]["code"])
        for path, digest in record["inputs"].items():
            if path not in made:
                facts["input file", path].add(digest[:16])
    return facts


def _folded(own: Facts, other: Collection[tuple[str, str]]) -> Facts:
    """The facts of one run, with one entry for all keys of a section of the configuration that the other run has not,
    such as a variant; keys that are null are left out of it."""
    keys = [key.split(".") for what, key in other if what == "configuration"]
    known = {tuple(parts[:n]) for parts in keys for n in range(len(parts) + 1)}
    folded: Facts = {}
    sections: dict[str, list[str]] = defaultdict(list)
    for (what, key), values in own.items():
        parts = key.split(".")
        end = next((n for n in range(1, len(parts)) if tuple(parts[:n]) not in known), None)
        if what != "configuration" or end is None:
            folded[what, key] = values
        elif values != {"null"}:
            sections[".".join(parts[:end])].append(f"{'.'.join(parts[end:])}: {' | '.join(sorted(values))}")
    return folded | {("configuration", name): {", ".join(keys)} for name, keys in sections.items()}


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _leaves(value: Any, key: str = "") -> Iterable[tuple[str, str]]:
    """Keys such as "training.steps" of a configuration, with their values as JSON."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value)
