"""Limits and paces: keys of the configuration that decide when a job gives up, or how often and where it saves and
reports, but nothing of what it makes.

They are no params of any rule, so that a change of one runs nothing again. A job takes them from the whole
configuration, which Snakemake hands to every script.
"""

from typing import Any

# of the section training: who looks at a model while it learns, and leaves its weights as they are
ONLOOKERS = ("validation_images", "preview_every", "log_with")
LIMITS = (
    "data.max_missing",
    "evaluation.max_excluded",
    *(f"training.{key}" for key in ("checkpoint_every", "log_every", "preview_every", "log_with")),
)


def limit(snakemake, key: str) -> Any:
    """The value of one of LIMITS, the variant's own if the job is of one that changes it; ValueError for another key,
    which has to be a param, or results would outlive it."""
    if key not in LIMITS:
        raise ValueError(f"{key} changes results; give it to the script as a param of its rule")
    section, name = key.split(".")
    variant = dict(snakemake.wildcards.items()).get("variant")
    changed = (snakemake.config["variants"].get(variant, {}).get(section) or {}).get(name)
    return snakemake.config[section][name] if changed is None else changed
