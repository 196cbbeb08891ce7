"""Where a variant's fine-tuning starts: at the base, at another variant's model, or at a model of the user's."""

import re
from typing import NamedTuple

from tradeoffs.config.sections.model import Variant
from tradeoffs.data.sets import DATA_SETS


class Start(NamedTuple):
    """Another variant, and the step of its fine-tuning whose model is taken; None for its last."""

    variant: str
    step: int | None


def start_of(variant: Variant) -> Start | None:
    """The other variant that `from` names; None for a path or hub id, or where there is none."""
    named = re.fullmatch(r"([a-z][a-z0-9_]*)(?:@(\d+))?", variant.from_ or "")
    return Start(named[1], int(named[2]) if named[2] else None) if named else None


def source_of(variant: Variant) -> str | None:
    """The folder, hub id or file of the user's that a variant is or starts from; None where it has none."""
    return variant.model or (None if start_of(variant) else variant.from_)


def check_starts(config) -> None:
    """Raises ValueError, which names the key, if a variant starts from a model that the run does not make."""
    for name, variant in config.variants.items():
        start = start_of(variant)
        if start is None:
            continue
        key = f"variants.{name}.from"
        if start.variant not in config.variants:
            raise ValueError(
                f"{key}: there is no variant {start.variant}; name one of {', '.join(config.variants)}, or write "
                f"./{start.variant} for a folder"
            )
        _check_circle(config, name, key)
        absent = [seed for seed in config.seeds_of(name) if seed not in config.seeds_of(start.variant)]
        if absent and config.variants[start.variant].finetune:
            raise ValueError(
                f"{key}: {start.variant} has no seed {absent[0]}; add it there, or set variants.{name}.seeds to its own"
            )
        for dataset in config.data.sets:
            if name in config.variants_of(dataset):
                _check_model(config, name, start, dataset, key)


def _check_circle(config, name: str, key: str) -> None:
    """Raises ValueError if a variant starts, by whatever others, from itself."""
    way = [name]
    while (start := start_of(config.variants[way[-1]])) and start.variant in config.variants:
        way.append(start.variant)
        if way.count(start.variant) > 1:
            raise ValueError(f"{key}: goes round in a circle ({' from '.join(way)}); let one start from the base")


def _check_model(config, name: str, start: Start, dataset: str, key: str) -> None:
    """Raises ValueError if the run does not make the model on one data set."""
    other = config.variants[start.variant]
    if start.variant not in config.variants_of(dataset):
        raise ValueError(
            f"{key}: {start.variant} is not trained on {dataset}; leave {dataset} out of variants.{name}.sets"
        )
    if start.step is None:
        return
    if not config.has_training(start.variant):
        raise ValueError(f"{key}: {start.variant} has no fine-tuning with steps of its own; leave out @{start.step}")
    settings = config.training_of(dataset, start.variant)
    if start.step not in (*settings["milestones"], settings["steps"]):
        section = "training" if other.training is None else f"variants.{start.variant}.training"
        milestones = DATA_SETS[dataset].training_key("milestones")
        raise ValueError(
            f"{key}: {start.variant} keeps no model at step {start.step} on {dataset}; add it to "
            f"{section}.{milestones}, or leave {dataset} out of variants.{name}.sets"
        )
