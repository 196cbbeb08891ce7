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
DATA = f"{RUN}/data/cxr"
PHANTOMS = f"{DATA}/raw"
LATENTS = f"{RUN}/model/{{dataset}}/latents"
HEAT_MAPS = f"{RUN}/attention/{{dataset}}/{{variant}}/seed{{seed}}"
SAMPLES = f"{RUN}/sampling/{{dataset}}/{{variant}}/seed{{seed}}"
EVALUATION = f"{RUN}/evaluation/{{dataset}}"
SCORES = f"{RUN}/evaluation/cxr"
LOGS = f"logs/{CONFIG.run}"
BENCHMARKS = f"{RUN}/benchmarks"
ENVIRONMENT = "../envs/environment.yaml"

DEMO = CONFIG.data.source == "phantoms"
DATA_NAME = "Demo: phantom radiographs" if DEMO else "MIMIC-CXR, MS-CXR"
DATA_NOTE = "Phantoms and a small model, not the paper's numbers" if DEMO else "Fine-tuned on MIMIC-CXR"
RAW = [PHANTOMS] if DEMO else []
THREADS = CONFIG.resources.threads
TEXTS = ["phrase", "impression"]
REPEATS = [(variant, seed) for variant in CONFIG.variants for seed in CONFIG.seeds_of(variant)]
EXTRACTORS = {"general": "efficientnet_lite0", "domain": "findings_classifier"}
# heat maps have the size of the latents: 8 px a latent pixel in Stable Diffusion and in the demo's base
MAP_SIZE = CONFIG.image.resolution // 8


wildcard_constraints:
    dataset="cxr",
    variant="[a-z][a-z0-9_]*",
    seed=r"\d+",
    shard=r"\d+",
    subset="train|mscxr",


def model_folder(wildcards):
    """The variant's model: its fine-tuned folder, or the base as it is."""
    if CONFIG.variants[wildcards.variant].finetune:
        return f"{RUN}/model/{wildcards.dataset}/{wildcards.variant}/seed{wildcards.seed}"
    return f"{RUN}/model/base"


def raw_folder(key):
    """A raw data folder: the config's, or the phantoms'."""
    if DEMO:
        folders = {"mimic_cxr_jpg": "mimic-cxr-jpg", "mimic_cxr_reports": "mimic-cxr", "ms_cxr": "ms-cxr"}
        return f"{PHANTOMS}/{folders[key]}"
    return getattr(CONFIG.data, key)


def latent_shards(subset):
    """The files of latents of a subset of the images."""
    return [f"{LATENTS}/{subset}_{shard}.safetensors" for shard in range(CONFIG.latents.shards)]


def heat_map_shards(text):
    """The files of heat maps of one model and text."""
    return [f"{HEAT_MAPS}/{text}_{shard}.npz" for shard in range(CONFIG.heat_maps.shards)]


def memory(wildcards, attempt):
    """MB for a job that runs a model; more when it is tried again."""
    return CONFIG.resources.mem_mb * attempt


def runtime(wildcards, attempt):
    """Minutes for a job that runs a model; more when it is tried again."""
    return CONFIG.resources.runtime_minutes * attempt
