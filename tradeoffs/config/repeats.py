"""The models of a run as labels: data set, variant, seed and checkpoint, which fill the wildcards of the rules' paths.

`variants`: names of variants by data set
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tradeoffs.config.schema import Config

Variants = Mapping[str, Sequence[str]]
Label = dict[str, Any]


def repeats(config: Config, variants: Variants) -> list[Label]:
    """Labels of the fine-tuned models of some variants: one per seed."""
    return [
        {"dataset": dataset, "variant": variant, "seed": seed, "checkpoint": "final"}
        for dataset, names in variants.items()
        for variant in names
        for seed in config.seeds_of(variant)
    ]


def first_repeats(config: Config, variants: Variants) -> list[Label]:
    """As `repeats`, the first seed of each variant only."""
    return [label for label in repeats(config, variants) if label["seed"] == config.seeds_of(label["variant"])[0]]


def fine_tunings(config: Config, variants: Variants) -> list[Label]:
    """As `repeats`, of the variants that have a fine-tuning of their own."""
    return [label for label in repeats(config, variants) if config.has_training(label["variant"])]


def checkpoints(config: Config, variants: Variants) -> list[Label]:
    """As `repeats`, with the intermediate checkpoints (raw weights) before each."""
    labels = []
    for label in repeats(config, variants):
        if config.has_training(label["variant"]):
            milestones = config.training_of(label["dataset"], label["variant"])["milestones"]
            labels += [label | {"checkpoint": f"step{step}"} for step in milestones]
        labels.append(label)
    return labels


def pairs(config: Config, datasets: Sequence[str]) -> list[Label]:
    """Labels of the pairs of a frozen and a learnable variant of some data sets or sets of boxes."""
    return [
        {"dataset": dataset, "frozen": frozen, "learnable": learnable}
        for dataset in datasets
        for frozen, learnable in config.pairs_of(dataset)
    ]


def entries(config: Config, variants: Variants) -> dict[str, dict[str, Any]]:
    """The configuration's entries of some variants, each with the data sets that it is given for."""
    shown = {name for names in variants.values() for name in names}
    return {
        name: variant.model_dump(include={"finetune", "encoder", "text_encoder", "text", "attention_regularisation"})
        | {"sampled_from": config.sampled_from(name)}
        | {"sets": [dataset for dataset, names in variants.items() if name in names]}
        for name, variant in config.variants.items()
        if name in shown
    }
