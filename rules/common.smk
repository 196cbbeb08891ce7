# The configuration, paths and helpers that the rules share.
#
# Paths: results/<run>/<stage>/<data set>/<variant>/seed<seed>/<checkpoint>/...; tables and figures of the current run:
# results/table1.csv, results/figures/..., results/report.html. All of it, and logs/, is below the prefix of a module that has one.
# Every value a script reads comes through params or input, and each rule has the digest of its code among its params,
# so that a change of config or code runs again exactly the rules that read it.
import os
import sys
from pathlib import Path

# Where the workflow lies; workflow.basedir is the folder of the workflow that takes this one in as a module.
HOME = str(Path(workflow.current_basedir).parent)
SHIPPED = "" if Path.cwd() == Path(HOME).resolve() else f"{HOME}/"  # before a path in the workflow's folder
if HOME not in sys.path:
    sys.path.insert(0, HOME)

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.path_modifier import PathModifier
from snakemake.utils import available_cpu_count
from tradeoffs.attention.passes import GENERATION, asked_of
from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import (
    base_kind,
    check_paths,
    content_of,
    encoder_kind,
    images_of_set,
    missing_paths,
    raw_tables,
    tables_of_set,
    unread_keys,
)
from tradeoffs.config.repeated_keys import check_repeated_keys
from tradeoffs.config.starts import source_of, start_of
from tradeoffs.config.repeats import checkpoints, entries, fine_tunings, first_repeats, pairs, repeats
from tradeoffs.config.targets import caption_of, check_targets, figures_of, misspelt, tables_of
from tradeoffs.data.sets import DATA_SETS
from tradeoffs.errors import InputError
from tradeoffs.files import sha256
from tradeoffs.paper.scope import scope_notes
from tradeoffs.jobs.limits import LIMITS, ONLOOKERS
from tradeoffs.jobs.run_progress import RunProgressHandler
from tradeoffs.metrics import LOCATION_PRIOR, REAL_IMAGES
from tradeoffs.packages import known_to_jobs
from tradeoffs.paper.end_of_run import end_of_run
from tradeoffs.provenance.code import code_digest

known_to_jobs(HOME)
try:
    check_repeated_keys(workflow.configfiles, sys.argv[1:])
    CONFIG = resolve(config, Path(HOME, "config", "presets"))
    check_targets(sys.argv[1:], CONFIG, workflow.modifier.modify_rulename)
    # the target that reports what is missing, by its name in a workflow that takes this one in; targets are not known yet
    if workflow.modifier.modify_rulename("check") not in sys.argv:
        check_paths(CONFIG)
except InputError as error:
    raise WorkflowError(str(error)) from None

# A module statement's prefix or replace_prefix moves what the workflow makes, in params too, which Snakemake leaves as
# they are; a user's relative path starts at the working directory, as without one, and Snakemake would move it too.
placed = workflow.modifier.path_modifier.replace_prefix
RESULTS = placed("results/").rstrip("/")
ALL_LOGS = placed("logs/").rstrip("/")
RUN = placed(f"results/{CONFIG.run}")
LOGS = placed(f"logs/{CONFIG.run}")
workflow.modifier.path_modifier = PathModifier(None, None, workflow)

# Jobs record it whole, and take limits and paces from it (see tradeoffs/jobs/limits.py); since it is no param, it has no
# job run again. In `folders` jobs have their records.
config = CONFIG.dump() | {"folders": {"results": RESULTS, "logs": ALL_LOGS}}

# Eight jobs at once on two cores are no faster than two and need the memory of eight, so no more run than there are
# cores.
if workflow.local_exec and workflow.resource_settings.cores:
    workflow.global_resources["_cores"] = min(workflow.resource_settings.cores, available_cpu_count())

if (workflow.resource_settings.cores or 0) > CONFIG.resources.threads:
    os.environ.setdefault("TQDM_DISABLE", "1")  # jobs side by side would draw their progress bars over one another

if "--generate-unit-tests" in sys.argv and not Path(RESULTS, "provenance.json").is_file():
    raise WorkflowError(
        "--generate-unit-tests copies the results of a finished run, which are not here; run `all` first"
    )

if workflow.is_main_process and unread_keys(CONFIG):
    logger.warning(
        f"{', '.join(unread_keys(CONFIG))}: not read, because this run draws phantoms; for your files set preset to paper, "
        "or data.source to files"
    )

MISSING = missing_paths(CONFIG)
BASE_KIND = None if MISSING else base_kind(CONFIG.base.source)
DATA = f"{RUN}/data/{{dataset}}"
CXR, COCO = f"{RUN}/data/cxr", f"{RUN}/data/coco"
LATENTS = f"{RUN}/model/{{dataset}}/latents"
GIVEN = f"{RUN}/model/given/{{variant}}"  # a model of the user's
LATENTS_OF_GIVEN = f"{RUN}/model/{{dataset}}/latents_of/{{variant}}"
REPEAT = "{dataset}/{variant}/seed{seed}"
CHECKPOINT = f"{REPEAT}/{{checkpoint}}"
MODEL = f"{RUN}/model/{REPEAT}"
HEAT_MAPS = f"{RUN}/attention/{CHECKPOINT}"
SAMPLES = f"{RUN}/sampling/{CHECKPOINT}/shard{{shard}}"
EVALUATION = f"{RUN}/evaluation/{{dataset}}"
SCORES = f"{RUN}/evaluation/{CHECKPOINT}"
SUMMARY = f"{EVALUATION}/{{variant}}/localisation_summary.csv"
DIFFERENCES = f"{EVALUATION}/differences/{{frozen}}-{{learnable}}.csv"
BENCHMARKS = f"{RUN}/benchmarks"
ENVIRONMENT = f"{HOME}/envs/environment.yaml"  # of all rules, see environment.smk

DEMO = CONFIG.data.source == "phantoms"
THREADS = CONFIG.resources.threads
TRAINING_PROCESSES = max(1, CONFIG.training_gpus)  # one per GPU
DATASETS = CONFIG.data.sets
SETS = {name: CONFIG.set_of(name) for name in (*DATA_SETS, *CONFIG.grounding)}
PROTOCOLS = ["corrected", "published"]
TITLES = {name: f"phantom {SETS[name].images}" if DEMO else SETS[name].title for name in DATASETS}
SET_TITLES = {name: SETS[name].title for name in CONFIG.grounding}
TABLE_TITLES = {dataset: f"Demo: {title}" if DEMO else title for dataset, title in TITLES.items()}
NOTE = "Demo: phantoms and a small model, not the paper's data or numbers." if DEMO else ""
# heat maps have the size of the latents: 8 px a latent pixel in Stable Diffusion and in the demo's base
MAP_SIZE = CONFIG.image.resolution // 8


wildcard_constraints:
    dataset="|".join(SETS),
    boxes="|".join(CONFIG.grounding) or "there is no further set of boxes",
    variant="|".join([*CONFIG.variants, *CONFIG.external, LOCATION_PRIOR]),
    frozen="|".join(CONFIG.variants),
    learnable="|".join(CONFIG.variants),
    encoder="[a-z0-9_-]+",
    method="|".join(CONFIG.external) or "there is no external method",
    seed=r"\d+",
    checkpoint=r"final|step\d+",
    shard=r"\d+",
    row=r"\d+",
    subset="|".join(sorted({"train", *(of_set.boxes for of_set in SETS.values())})),


def raw_folder(key):
    """A raw data folder: the config's, or the phantoms'."""
    phantoms = {"mimic_cxr_jpg": "cxr/raw/mimic-cxr-jpg", "mimic_cxr_reports": "cxr/raw/mimic-cxr"}
    phantoms |= {"ms_cxr": "cxr/raw/ms-cxr", "coco": "coco/raw"}
    return f"{RUN}/data/{phantoms[key]}" if DEMO else getattr(CONFIG.data, key)


def prepared(dataset):
    """The original's prepared table that takes the place of raw files, or none."""
    key = SETS[dataset].prepared
    return [] if DEMO or key is None else getattr(CONFIG.data, key) or []


def captions(wildcards):
    """The file of all captions, for a data set whose images have several."""
    return f"{DATA}/captions.csv".format(**wildcards) if SETS[wildcards.dataset].has_captions else []


def sentences(wildcards):
    """The file of language-model sentences, for a variant that is conditioned on them."""
    return CONFIG.data.sentences if CONFIG.variants[wildcards.variant].text == "sentences" else []


def training_of(wildcards):
    """The settings of a fine-tuning, without limits and paces."""
    settings = CONFIG.training_of(wildcards.dataset, wildcards.variant)
    return {key: value for key, value in settings.items() if f"training.{key}" not in LIMITS}


def encoder_of(wildcards):
    """The folder of the text encoder of a variant that does without the base's own."""
    encoder = CONFIG.variants[wildcards.variant].encoder
    return f"{RUN}/model/encoders/{encoder}" if encoder else []


def model_folder(wildcards):
    """The model's folder: the base, a model of the user's as it is, the fine-tuned one or an intermediate checkpoint."""
    name = wildcards["variant"]
    variant = CONFIG.variants[name]
    if not variant.finetune:
        return GIVEN.format(variant=name) if variant.model else f"{RUN}/model/base"
    trained = {"dataset": CONFIG.models_of(wildcards["dataset"]), "variant": CONFIG.trained_as(name)}
    folder = MODEL.format(**dict(wildcards, **trained))
    if variant.weights == "ema":
        return f"{folder}/ema"
    kept = wildcards.get("checkpoint", "final")  # samples for a row of docs/differences.md are of the last
    return f"{folder}/final" if kept == "final" else f"{folder}/milestones/{kept}"


def start_folder(wildcards):
    """The folder of the model that a fine-tuning starts from."""
    variant = CONFIG.variants[wildcards.variant]
    start = start_of(variant)
    if start is None:
        return GIVEN.format(variant=wildcards.variant) if variant.from_ else f"{RUN}/model/base"
    last = CONFIG.training_of(wildcards.dataset, start.variant)["steps"]
    kept = "final" if start.step in (None, last) else f"step{start.step}"
    return model_folder(dict(wildcards, variant=start.variant, checkpoint=kept))


def given_source(wildcards):
    """Folder, hub id or file of a variant's model of the user's."""
    return source_of(CONFIG.variants[wildcards.variant])


def output_of(folder):
    """The output that holds a model's folder, of which all intermediate checkpoints share one."""
    return str(Path(folder).parent) if Path(folder).parent.name == "milestones" else folder


def model_output(wildcards):
    """The output that holds a model."""
    return output_of(model_folder(wildcards))


def domain_extractor(wildcards):
    """The weights of the X-ray network, for the data set that has findings: the user's, or those of our classifier."""
    if not SETS[wildcards.dataset].has_findings:
        return []
    given = CONFIG.evaluation.extractors
    return given.xrv_densenet121_all or given.findings_classifier or f"{EVALUATION}/classifier".format(**wildcards)


def latent_shards(wildcards, subset):
    """The files of a subset of the images as a variant's model encodes them: the base's autoencoder, or that of a model
    of the user's."""
    origin = CONFIG.origin_of(wildcards.variant)
    folder = LATENTS_OF_GIVEN if origin else LATENTS
    label = {"dataset": wildcards.dataset, "variant": origin}
    return paths(f"{folder}/{subset}_{{shard}}.safetensors", [label], CONFIG.latents.shards)


def passes_of_checkpoint(wildcards):
    """The passes that heat-map methods ask for; of an intermediate model only the fresh one is looked at."""
    return asked_of(METHODS.values() if wildcards.checkpoint == "final" else [])


def model_for_effect(wildcards):
    """The folder of the run's own model for rows 1 and 14, which are about maps; else of one trained for the row."""
    if wildcards.row in ("1", "14"):
        return f"{MODEL}/final".format(**{**wildcards, "seed": CONFIG.seeds_of(wildcards.variant)[0]})
    return f"{EFFECT}/{'ema' if wildcards.row == '13' else 'final'}".format(**wildcards)


def heat_map_shards(wildcards):
    """The files of heat maps of one model."""
    return paths(f"{HEAT_MAPS}/heat_maps_{{shard}}.npz", [wildcards], CONFIG.heat_maps.shards)


def sample_shards(wildcards, name):
    """The files or folders of that name in the shards of one model's samples."""
    return paths(f"{SAMPLES}/{name}", [wildcards], CONFIG.sampling.shards)


def scored_part(wildcards):
    """The part of a data set's boxes that tables show."""
    of_set = SETS[wildcards.get("dataset", "cxr")]  # external methods are of cxr
    return "test" if of_set.choices == "test" else CONFIG.evaluation.ms_cxr_part


def texts_of_checkpoint(wildcards):
    """The texts of the heat maps; for an intermediate checkpoint only the default one, which the curves need."""
    texts = SETS[wildcards.dataset].texts
    return texts if wildcards.checkpoint == "final" else texts[:1]


def step_of(wildcards):
    """The step of a model's fine-tuning; one for a row of docs/differences.md has no checkpoint but the last."""
    return CONFIG.step_of(wildcards.dataset, wildcards.variant, wildcards.get("checkpoint", "final"))


def scores_over_seeds(dataset, variant):
    """The score tables of a variant, one per seed; of the location prior and of an external method there is one."""
    folder = f"{EVALUATION.format(dataset=dataset)}/{variant}"
    if variant not in CONFIG.variants:
        return [f"{folder}/localisation.csv"]
    return [f"{folder}/seed{seed}/final/localisation.csv" for seed in CONFIG.seeds_of(variant)]


def beside_the_prior(wildcards):
    """The scores of the models that the location prior is compared with, on whose samples its means are taken."""
    if wildcards.variant != LOCATION_PRIOR:
        return []
    variants = CONFIG.main_variants_of(wildcards.dataset)
    return [scores_over_seeds(wildcards.dataset, variant)[0] for variant in variants]


def only(dataset, values):
    """Of values by data set, such as variants, that of one data set; nothing if the run does without it."""
    return {dataset: values[dataset]} if dataset in values else {}


def summaries(variants, external=False):
    """The summaries of some variants, given by data set, of external methods if asked for, and of the location prior."""
    return [
        SUMMARY.format(dataset=dataset, variant=name)
        for dataset, names in variants.items()
        for name in [*names, *(CONFIG.external if external and SETS[dataset].has_findings else []), LOCATION_PRIOR]
    ]


def counts(datasets):
    """What was kept and left out of the images and boxes of some data sets."""
    tables = [{"dataset": dataset, "table": table} for dataset in datasets for table in ("images", "grounding")]
    return paths(f"{DATA}/{{table}}_counts.csv", tables)


def without_a_model(variants):
    """The fidelity of images that no model of the run made, of each data set for which variants are given: of the real
    ones, and on radiographs of those from elsewhere."""
    return [
        f"{EVALUATION}/{name}/fidelity.csv".format(dataset=dataset)
        for dataset in variants
        for name in [*(CONFIG.external_samples if SETS[dataset].has_findings else []), REAL_IMAGES]
    ]


def paths(pattern, labels, shards=1):
    """The path of each label, shard after shard."""
    return [pattern.format(**label, shard=shard) for label in labels for shard in range(shards)]


def table_files(name):
    """The outputs of a table's rule."""
    return {
        "csv": report(f"{RESULTS}/{name}.csv", caption=f"../report/{name}.rst", category="Tables"),
        "columns": f"{RESULTS}/{name}_columns.csv",
        "markdown": f"{RESULTS}/{name}.md",
        "latex": f"{RESULTS}/{name}.tex",
        "sidecar": f"{RESULTS}/{name}.json",
    }


def figure_files(name):
    """The outputs of a figure's rule; one of each data set has the caption of all of them."""
    caption = f"../report/{name.removesuffix('_{dataset}')}.rst"
    return {
        "pdf": f"{RESULTS}/figures/{name}.pdf",
        "png": report(f"{RESULTS}/figures/{name}.png", caption=caption, category="Figures"),
    }


def of_pictures(wildcards):
    """The params of every figure that is made of images."""
    phantoms = DEMO and wildcards.dataset in DATASETS  # a set of boxes of the user's own has real images
    note = NOTE if phantoms else f"{SETS[wildcards.dataset].sharing} {NOTE}".strip()
    return {"resolution": CONFIG.image.resolution, "note": note}


if workflow.is_main_process and not any(isinstance(handler, RunProgressHandler) for handler in logger.handlers):
    logger.addHandler(RunProgressHandler(logger))


def check_spelling():
    """Stops where a target is asked for that nothing makes, with those that are like it. As a module of another workflow
    it only warns, since rules of that one may follow."""
    if not workflow.is_main_process or Path(sys.argv[0]).stem not in ("snakemake", "__main__"):
        return
    words = get_argument_parser().parse_args(sys.argv[1:])  # Snakemake's own reading of them comes after the rules
    asked = {
        str(target) for part in (words.targets, words.forcerun, words.until, words.omit_from) for target in part or []
    }
    names = {rule.name for rule in workflow.rules}
    files = {str(file) for rule in workflow.rules for file in rule.output if "{" not in str(file)}
    for target in sorted(asked - names):
        if Path(target).exists() or any(one.is_producer(target) for one in workflow.rules):
            continue
        message = misspelt(target, names | files)
        if Path(workflow.basedir) == Path(HOME):
            raise WorkflowError(message)
        if "did you mean" in message:
            logger.warning(message)


def growing(amount):
    """A resource of a job, `amount` at first and as much more each time it is tried again."""
    return lambda wildcards, attempt: amount * attempt


memory = growing(CONFIG.resources.mem_mb)  # MB of a job that runs a model


def runtime(wildcards, attempt):
    """Minutes of a job that runs a model."""
    resources = CONFIG.resources
    return min(resources.runtime_minutes * attempt, resources.max_runtime_minutes)


# What a job asks for. Not in a profile's default-resources: a profile of the user's that names an account or a queue
# there would lose it to ours.
MODEL_JOB = {"gpu": CONFIG.resources.gpus, "mem_mb": memory, "runtime": runtime}
LIGHT_JOB = {"mem_mb": growing(4000), "runtime": growing(120)}


onsuccess:
    print(end_of_run(sys.argv, LOGS, BENCHMARKS))


onerror:
    print(end_of_run(sys.argv, LOGS, BENCHMARKS))
