# The configuration, paths and helpers that the rules share.
#
# Paths: results/<run>/<stage>/<data set>/<variant>/seed<seed>/...; tables of the current run: results/table1.csv, ...
# Every value a script reads comes through params or input, and each rule has the digest of its code among its params,
# so that a change of config or code runs again exactly the rules that read it.
from pathlib import Path

from snakemake.exceptions import WorkflowError
from tradeoffs.config import base_kind, check_paths, resolve
from tradeoffs.errors import InputError
from tradeoffs.files import sha256
from tradeoffs.provenance import code_digest

try:
    CONFIG = resolve(config, Path(workflow.basedir, "config", "presets"))
    check_paths(CONFIG)
except InputError as error:
    raise WorkflowError(str(error)) from None

RUN = f"results/{CONFIG.run}"
LOGS = f"logs/{CONFIG.run}"
BENCHMARKS = f"{RUN}/benchmarks"
ENVIRONMENT = "../envs/environment.yaml"
TEXTS = ["phrase", "impression"]
THREADS = CONFIG.resources.threads


wildcard_constraints:
    dataset="cxr",
    variant="[a-z][a-z0-9_]*",
    seed=r"\d+",
    text="phrase|impression",
    shard=r"\d+",
    subset="train|mscxr",


def model_folder(wildcards):
    """The variant's model: its fine-tuned folder, or the base as it is."""
    if CONFIG.variants[wildcards.variant].finetune:
        return f"{RUN}/model/{wildcards.dataset}/{wildcards.variant}/seed{wildcards.seed}"
    return f"{RUN}/model/base"


def of_all_seeds(pattern):
    """The paths of `pattern` (with {variant} and {seed}) for every variant and its seeds."""
    return [
        pattern.format(variant=variant, seed=seed) for variant in CONFIG.variants for seed in CONFIG.seeds_of(variant)
    ]


def memory(wildcards, attempt):
    """MB for a job that runs a model; more when it is tried again."""
    return CONFIG.resources.mem_mb * attempt


def runtime(wildcards, attempt):
    """Minutes for a job that runs a model; more when it is tried again."""
    return CONFIG.resources.runtime_minutes * attempt
