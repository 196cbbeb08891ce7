"""The tables and figures that a run makes, by name, and what is said of one that it cannot make."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tradeoffs.config.faults import close
from tradeoffs.config.repeats import fine_tunings, pairs
from tradeoffs.config.schema import Config
from tradeoffs.data.sets import DATA_SETS
from tradeoffs.errors import InputError

PER_DATA_SET = ("overlays", "samples", "findings", "attention_profile", "data")  # figures
PER_SET_OF_BOXES = ("overlays", "findings", "data")
NEEDS = {
    "table1_cxr_findings": "cxr",
    "table2": "cxr",
    "table3": "cxr",
    "table7": "cxr",
    "table1_coco_categories": "coco",
}
RULES = {"findings_table": "table1_cxr_findings", "category_table": "table1_coco_categories"}  # with names of their own


def tables_of(config: Config) -> list[str]:
    """Names of the tables of a run, in the order of the report."""
    names = ["table1", *NEEDS, *(["grounding_sets"] if config.grounding else []), "differences"]
    if "impression" not in config.set_of("cxr").texts:
        names.remove("table7")
    return [name for name in names if NEEDS.get(name, config.data.sets[0]) in config.data.sets]


def figures_of(config: Config) -> list[str]:
    """Names of the figures of a run, in the order of the report."""
    names = ["tradeoff", "training_curves"]
    names += ["differences"] if pairs(config, config.data.sets) else []
    names += ["losses"] if fine_tunings(config, {name: config.variants_of(name) for name in config.data.sets}) else []
    names += [f"{figure}_{dataset}" for figure in PER_DATA_SET for dataset in config.data.sets]
    return names + [f"{figure}_{name}" for figure in PER_SET_OF_BOXES for name in config.grounding]


def caption_of(name: str, config: Config) -> str:
    """The file of a table's or figure's caption; a figure of each data set has one for all of them."""
    for dataset in [*config.data.sets, *config.grounding]:
        name = name.removesuffix(f"_{dataset}")
    return f"report/{name}.rst"


def misspelt(target: str, known: Iterable[str]) -> str:
    """What is said of a target that no rule makes. known: the rules by name, and the files that they make"""
    similar = close(target, known)
    if similar:
        return f"{target}: nothing makes this; did you mean {' or '.join(similar)}?"
    return f"{target}: nothing makes this; `snakemake --list` shows the targets by name, docs/outputs.md the files"


def check_targets(targets: Sequence[str], config: Config, called: Callable[[str], str] = str) -> None:
    """Raises InputError where a table or figure is asked for that this configuration cannot make, dry runs included.

    targets: words of Snakemake's command line: rules, files and options
    called: gives a rule's name in the workflow that takes this one in as a module
    """
    made = tables_of(config) + figures_of(config)
    of_rules = {called(rule): RULES.get(rule, rule) for rule in (*NEEDS, *RULES)}
    for target in targets:
        name = of_rules.get(target, Path(target).stem)
        dataset = NEEDS.get(name) or ("figures/" in target and name.rpartition("_")[2])
        if dataset in DATA_SETS and dataset not in config.data.sets and name not in made:
            raise InputError(f"{target}: needs {dataset}, which data.sets leaves out; add it there or ask for another")
        if name == "table7" and name not in made:
            raise InputError(f"{target}: needs reports of the images with boxes, which cxr from open data lacks")
