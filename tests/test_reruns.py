"""What runs again after a change of configuration or code: exactly what reads it, and what depends on that."""

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from project import EXECUTED, PROJECT, rules_of, rules_to_run, snakemake

from tradeoffs.config.faults import _leaves
from tradeoffs.config.layers import _merge
from tradeoffs.jobs.limits import LIMITS
from tradeoffs.provenance.code import PACKAGE, ROOT, SCRIPTS, files_of

pytestmark = pytest.mark.xdist_group("workflow")
Runs = dict[str, tuple[int, str]]  # exit code and output by name

REPORT = {"report", "provenance", "all"}
CXR_TABLES = {"findings_table", "table2", "table3", "table7"}
TABLES = {"table1", "category_table", "differences_table"} | CXR_TABLES | REPORT
FIDELITY = {"fidelity", "tradeoff", "training_curves", "table1", "table3", "findings_table"} | REPORT
SAMPLED = {"samples", "samples_figure"} | FIDELITY
COMPARED = {"differences", "differences_figure", "differences_table"} | REPORT
SUMMARISED = (
    {"localisation_summary", "tradeoff", "training_curves", "findings"} | COMPARED | (TABLES - {"findings_table"})
)
SCORED = {"localise"} | SUMMARISED
PROFILED = {"attention_profile", "attention_profile_figure"} | REPORT
ATTENDED = {"heat_maps", "overlays", "faithfulness"} | PROFILED | SCORED
FIRST_SEED = {"attention_profile", "attention_profile_figure", "faithfulness", "overlays", "samples_figure"}
FINE_TUNED = {"finetune", "losses"} | ATTENDED | SAMPLED
ENCODED = {"latents"} | FINE_TUNED
REAL = {"real_features", "real_images_fidelity"} | FIDELITY
CLASSIFIED = {"classifier"} | REAL
IMAGES = REAL | {"prepare_wrong_prompts", "data_sheet", "location_prior"} | ENCODED
ALL_COCO = {"prepare_coco", "prepare_coco_grounding", "prepare_coco_prompts"} | IMAGES
ALL_CXR = {"prepare_images", "prepare_grounding", "prepare_prompts", "classifier"} | IMAGES
COCO, CXR = ALL_COCO - CXR_TABLES, ALL_CXR - {"category_table"}
# one variant that is in no main table
SCORED_VARIANT = {
    "heat_maps",
    "localise",
    "localisation_summary",
    "samples",
    "samples_figure",
    "fidelity",
    "losses",
    "table3",
} | REPORT
TRAINED_VARIANT = {"finetune"} | SCORED_VARIANT
IN_VARIANTS_ORDER = {
    "tradeoff",
    "training_curves",
    "findings",
    "differences_figure",
    "attention_profile_figure",
    "losses",
}

FILES = {
    "mimic_cxr_jpg": "results/smoke/data/cxr/raw/mimic-cxr-jpg",
    "mimic_cxr_reports": "results/smoke/data/cxr/raw/mimic-cxr",
    "ms_cxr": "results/smoke/data/cxr/raw/ms-cxr",
    "coco": "results/smoke/data/coco/raw",
}
OPEN_FILES = {"open_i": "open_i", "chestxray14": "chestx-ray14"}

# all that a further set of boxes needs besides the models, which are there
FURTHER_SET = {"prepare_boxes", "prepare_wrong_prompts", "latents", "heat_maps", "localise", "location_prior"}
FURTHER_SET |= {"localisation_summary", "differences", "overlays", "findings", "data_sheet", "grounding_sets_table"}
FURTHER_SET |= {"differences_table"} | REPORT

# Dotted key of the schema: another value than the smoke preset's, and what runs again. A <name> is sentences_learnable,
# or a set of boxes.
KEYS: dict[str, tuple[object, set[str]]] = {
    # figures of single images and layers show the first seed
    "seeds": ([0, 1], FINE_TUNED - FIRST_SEED),
    "data.source": ("files", ALL_CXR | ALL_COCO),
    "data.sets": (
        ["cxr"],
        {"table1", "differences_table", "tradeoff", "training_curves", "differences_figure", "losses"} | REPORT,
    ),
    **{f"data.{folder}": ("elsewhere", set()) for folder in FILES},  # phantoms do without
    "data.mimic_prepared": ("elsewhere.csv", set()),
    "data.coco_prepared": ("elsewhere.csv", set()),
    "data.coco_captions": (
        2,
        {"prepare_coco_grounding", "prepare_wrong_prompts", "location_prior", "localisation_summary", "data_sheet"}
        | {"findings_table"}  # which has the note on boxes and their counts too
        | ATTENDED,
    ),
    "data.sentences": ("other_sentences.csv", TRAINED_VARIANT),
    "data.views": (["PA"], CXR),
    "data.max_missing": (0.5, set()),
    "data.limit.train": (40, CXR),
    "data.limit.val": (14, CXR),
    "data.limit.p19": (20, CXR),
    "data.limit.mscxr": (14, CXR),
    "data.limit.coco_train": (20, COCO),
    "data.limit.coco_val": (14, COCO),
    "data.prompts": ("own_prompts.csv", {"prepare_prompts"} | REAL | SAMPLED),
    "data.phantoms.seed": (1, {"phantoms", "phantom_scenes"} | ALL_CXR | ALL_COCO),
    "data.phantoms.train": (49, {"phantoms"} | CXR),
    "data.phantoms.val": (17, {"phantoms"} | CXR),
    "data.phantoms.p19": (25, {"phantoms"} | CXR),
    "data.phantoms.mscxr": (17, {"phantoms"} | CXR),
    "data.phantoms.coco_train": (25, {"phantom_scenes"} | COCO),
    "data.phantoms.coco_val": (17, {"phantom_scenes"} | COCO),
    "data.query_words": (
        {"Edema": ["edema", "congestion"]},
        {"prepare_grounding", "prepare_wrong_prompts", "data_sheet", "location_prior", "findings_table"}
        | ATTENDED - {"category_table"},
    ),
    "data.cxr": ("open", (CXR | COCO) - {"table7"}),  # which needs reports of the images with boxes
    "data.open_i": ("elsewhere", set()),
    "data.chestxray14": ("elsewhere", set()),
    "grounding": ({"own": {"path": "own_boxes.csv"}}, FURTHER_SET),
    "grounding.<name>.models": ("coco", FURTHER_SET),
    "grounding.<name>.layout": ("chestx_det", FURTHER_SET),
    "grounding.<name>.path": ("own_boxes.csv", FURTHER_SET),
    "grounding.<name>.images": ("own_set", FURTHER_SET),
    "grounding.<name>.split": ("all", FURTHER_SET),
    "grounding.<name>.categories": (["Edema"], FURTHER_SET),
    "grounding.<name>.query_words": ({"Edema": ["edema"]}, FURTHER_SET),
    "grounding.<name>.texts": (["impression"], FURTHER_SET),
    "grounding.<name>.title": ("Own", FURTHER_SET),
    "image.resolution": (64, CLASSIFIED | {"data_sheet", "location_prior"} | ENCODED),
    "base.source": ("owner/name", {"base_model"} | ENCODED),
    "base.revision": ("v1", {"base_model"} | ENCODED),
    "base.prediction_type": ("v_prediction", {"base_model"} | ENCODED),
    "encoders": ({"other": {"source": "owner/name"}}, set()),  # no variant uses it
    "encoders.<name>.source": ("owner/name", set()),
    "encoders.<name>.revision": ("v1", set()),
    "variants": ({"another": {"text": "finding_labels"}}, TRAINED_VARIANT | IN_VARIANTS_ORDER),
    "variants.<name>.finetune": (False, SCORED_VARIANT),
    "variants.<name>.model": ("resources/demo_base", {"given_model", "latents_of_given_model"} | SCORED_VARIANT),
    "variants.<name>.from": ("learnable", TRAINED_VARIANT),
    "variants.<name>.text_encoder": ("frozen", TRAINED_VARIANT),
    "variants.<name>.text": ("finding_labels", TRAINED_VARIANT),
    "variants.<name>.encoder": ("other", {"encoder"} | TRAINED_VARIANT),
    "variants.<name>.lora_rank": (8, TRAINED_VARIANT),
    "variants.<name>.sets": (["cxr"], set()),  # where its text is all the same
    "variants.<name>.finding_tokens.start_and_end": (True, TRAINED_VARIANT),  # with a text of tokens
    "variants.<name>.finding_tokens.one_absent": (True, TRAINED_VARIANT),
    "variants.<name>.attention_regularisation": (0.12, TRAINED_VARIANT),
    "variants.<name>.padding": ("masked", TRAINED_VARIANT),
    "variants.<name>.unet": ("lora", TRAINED_VARIANT),
    "variants.<name>.unet_lora_rank": (8, TRAINED_VARIANT),
    "variants.<name>.unet_lora_targets": (["attn2.to_k"], TRAINED_VARIANT),
    "variants.<name>.training": ({"steps": 7}, TRAINED_VARIANT),
    "variants.<name>.weights": ("ema", FINE_TUNED),  # with what it needs, an average and the variant that keeps it
    "variants.<name>.seeds": ([1], TRAINED_VARIANT),
    "variants.<name>.main": (False, set()),  # its text keeps it out of the main tables all the same
    "external": (
        {"noise": "maps.npz"},
        {"external_method", "localisation_summary", "findings", "table2", "table7"} | REPORT,
    ),
    "external_samples": ({"gan": "vit"}, {"external_samples", "table1", "table3", "findings_table"} | REPORT),
    "training.steps": (7, FINE_TUNED - {"category_table"}),
    "training.coco_steps": (5, FINE_TUNED - CXR_TABLES),
    "training.milestones": ([3], FINE_TUNED - {"category_table"}),
    "training.coco_milestones": ([1], FINE_TUNED - CXR_TABLES),
    "training.batch_size": (8, FINE_TUNED),
    "training.micro_batch_size": (2, FINE_TUNED),
    "training.learning_rate": (2e-3, FINE_TUNED),
    "training.text_encoder_learning_rate": (1e-4, FINE_TUNED),
    "training.weight_decay": (0.1, FINE_TUNED),
    "training.schedule": ("constant", FINE_TUNED),
    "training.warmup_steps": (1, FINE_TUNED),
    "training.text_dropout": (0.5, FINE_TUNED),
    "training.precision": ("bf16", FINE_TUNED),
    "training.checkpoint_every": (2, set()),
    "training.gradient_checkpointing": (True, FINE_TUNED),
    "training.log_every": (2, set()),
    "training.validation_images": (3, FINE_TUNED),
    "training.preview_every": (2, set()),
    "training.log_with": ("tensorboard", set()),
    "training.ema_decay": (0.9, FINE_TUNED),
    "training.min_snr_gamma": (5.0, FINE_TUNED),
    "training.max_grad_norm": (1.0, FINE_TUNED),
    "latents.shards": (2, ENCODED),
    "latents.batch_size": (4, ENCODED),
    "heat_maps.steps": (6, ATTENDED),
    "heat_maps.keep": (3, ATTENDED),
    "heat_maps.batch_size": (8, ATTENDED),
    "heat_maps.precision": ("bf16", ATTENDED),
    "heat_maps.shards": (2, ATTENDED - {"faithfulness"}),
    "heat_maps.profile_samples": (5, {"faithfulness", "table1"} | PROFILED),
    # the target methods is not part of all
    "attention.patients": (3, set()),
    "attention.methods": ({"mine": {}}, set()),
    "attention.methods.<name>.layers": (["up"], set()),
    "attention.methods.<name>.coarsest": (1, set()),
    "attention.methods.<name>.heads": ([1], set()),
    "attention.methods.<name>.steps": ([1], set()),
    "attention.methods.<name>.tokens": ("all", set()),
    "attention.methods.<name>.noise": ("inversion", set()),
    "attention.methods.<name>.guidance_difference": (True, set()),
    "attention.methods.<name>.scale_each": (True, set()),
    "attention.methods.<name>.interpolation": ("bilinear", set()),
    "attention.methods.<name>.self_attention": (1, set()),
    "attention.methods.<name>.bimodal": (True, set()),
    "attention.methods.<name>.smoothing": (0.5, set()),
    "attention.methods.<name>.threshold": ("otsu", set()),
    "attention.methods.<name>.threshold_at": (0.6, set()),
    "sampling.images": (13, {"prepare_prompts", "prepare_coco_prompts"} | REAL | SAMPLED),
    "sampling.guidance": (3.0, SAMPLED),
    "sampling.text": ("own", {"samples", "samples_figure", "fidelity", "table3"} | REPORT),
    "sampling.unconditional": ("no_finding", set()),  # no variant of the smoke preset has finding labels
    "sampling.steps": (4, SAMPLED),
    "sampling.scheduler": ("ddim", SAMPLED),
    "sampling.batch_size": (5, SAMPLED),
    "sampling.precision": ("bf16", SAMPLED),
    "sampling.shards": (2, SAMPLED),
    "evaluation.protocol": (
        "published",
        {"tradeoff", "training_curves", "findings", "differences_figure", "overlays"} | TABLES - {"findings_table"},
    ),
    "evaluation.ms_cxr_part": (
        "all",
        {"localise", "location_prior", "faithfulness", "overlays", "findings_table"} | SCORED,
    ),
    "evaluation.frame": ("image", {"location_prior", "overlays", "findings_table"} | SCORED),
    "evaluation.bootstrap": (40, SUMMARISED),
    "evaluation.permutations": (40, COMPARED),
    "evaluation.max_excluded": (0.6, set()),
    "evaluation.ms_ssim.prompts": (3, SAMPLED),
    "evaluation.ms_ssim.repeats": (3, SAMPLED),
    "evaluation.reference": ("population", REAL),
    "evaluation.real_images": (11, REAL),
    "evaluation.kid_subset": (5, {"real_images_fidelity"} | FIDELITY),
    "evaluation.batch_size": (11, REAL),
    "evaluation.extractors.inception": ("inception.pt", REAL),
    "evaluation.extractors.xrv_densenet121_all": ("densenet.pt", REAL),
    "evaluation.extractors.findings_classifier": ("resources/demo_base/classifier", REAL),
    "evaluation.extractors.dinov2": ("vit", REAL),
    "classifier.epochs": (2, CLASSIFIED),
    "classifier.batch_size": (8, CLASSIFIED),
    "classifier.learning_rate": (2e-3, CLASSIFIED),
    "resources.threads": (2, set()),
    "resources.gpus": (1, set()),
    "resources.training_gpus": (1, set()),
    "resources.mem_mb": (3000, set()),
    "resources.runtime_minutes": (11, set()),
    "resources.max_runtime_minutes": (20, set()),
}
ANOTHER_RUN = {"preset", "run"}  # they name another folder of results, where everything is to be made
HUB = {"source": "owner/name"}
TOKENS = {"variants": {"sentences_learnable": {"text": "finding_tokens"}}}
NEEDED_WITH = {
    "variants.<name>.finding_tokens.start_and_end": TOKENS,
    "variants.<name>.finding_tokens.one_absent": TOKENS,
    "data.source": {"data": FILES},
    "data.cxr": {"data": FILES | OPEN_FILES | {"source": "files"}},
    **{key: {"grounding": {"own": {"path": "own_boxes.csv"}}} for key in KEYS if key.startswith("grounding.")},
    "grounding.<name>.layout": {"grounding": {"own": {"path": "own_set"}}},
    "base.revision": {"base": HUB},
    "variants.<name>.lora_rank": {"variants": {"sentences_learnable": {"text_encoder": "lora"}}},
    "variants.<name>.unet_lora_rank": {"variants": {"sentences_learnable": {"unet": "lora"}}},
    "variants.<name>.unet_lora_targets": {"variants": {"sentences_learnable": {"unet": "lora"}}},
    "encoders.<name>.revision": {"encoders": {"sentences_learnable": HUB}},
    "variants.<name>.weights": {
        "training": {"ema_decay": 0.9},
        "variants": {"raw": {"text": "sentences", "text_encoder": "learnable"}},
    },
    "variants.<name>.encoder": {"encoders": {"other": HUB}},
    "variants.<name>.model": {"variants": {"sentences_learnable": {"finetune": False}}},
}


def arguments(key: str, value: object) -> list[str]:
    """Snakemake's command line for the smoke preset with another value of one key."""
    nested = value
    name = "own" if key.startswith("grounding.") else "sentences_learnable"
    for part in reversed(key.replace("<name>", name).split(".")):
        nested = {part: nested}
    nested = _merge(NEEDED_WITH.get(key, {}), nested)
    if key in ("variants.<name>.finetune", "variants.<name>.model"):  # one that is learnable then has no meaning
        nested["variants"]["sentences_learnable"]["text_encoder"] = "frozen"
    return [
        "--cores",
        "2",
        "--config",
        "preset=smoke",
        *(f"{name}={json.dumps(part)}" for name, part in nested.items()),
    ]


def dry_runs(folder: Path, runs: Mapping[str, Sequence[str]]) -> Runs:
    run = subprocess.run(
        [sys.executable, PROJECT / "tests" / "dry_runs.py"],
        cwd=folder,
        input=json.dumps(runs),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def changed_keys(finished) -> Runs:
    """A dry run for each key of the schema, over the finished results."""
    shutil.copyfile(finished / "resources" / "sentences.csv", finished / "other_sentences.csv")
    (finished / "own_prompts.csv").write_text("prompt_id,text,Finding Labels,sample_id\n")
    (finished / "vit").mkdir()
    for name in ("own_boxes.csv", "maps.npz", "inception.pt", "densenet.pt"):  # dry runs do not read them
        (finished / name).touch()
    (finished / "own_set").mkdir()
    (finished / "own_set" / "ChestX_Det_test.json").touch()
    open_i, nih = (finished / folder for folder in OPEN_FILES.values())
    for folder in (open_i / "png", open_i / "ecgen-radiology", nih / "images"):
        folder.mkdir(parents=True)
    for file in (open_i / "nlmcxr_dicom_metadata.csv", nih / "BBox_List_2017.csv", nih / "Data_Entry_2017_v2020.csv"):
        file.touch()
    (finished / "tensorboard").mkdir()  # Python takes it for the package, which no run needs
    runs = dry_runs(finished, {key: arguments(key, value) for key, (value, _) in KEYS.items()})
    (finished / "tensorboard").rmdir()
    return runs


def test_every_key_of_the_schema_is_tested():
    assert {key for key, _, _ in _leaves()} == set(KEYS) | ANOTHER_RUN


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_runs_exactly_the_rules_that_read_it(changed_keys, key):
    code, output = changed_keys[key]
    assert code == 0, output
    assert rules_of(output) == KEYS[key][1]


def test_a_limit_or_pace_runs_nothing_again():
    assert all(KEYS[key][1] == set() for key in LIMITS)


# What a change costs a person: jobs of the smoke preset, which has 4 models of radiographs and 3 of scenes, and 2
# intermediate ones (of scenes). In each: report, provenance and all, where there is anything to do.
JOBS = {
    "training.log_every": 0,
    "training.checkpoint_every": 0,
    "data.max_missing": 0,
    "resources.mem_mb": 0,
    # 9 models are sampled and scored; 2 figures of samples, 2 of FID; Tables 1, 1 by finding and 3
    "sampling.guidance": 9 + 9 + 2 + 2 + 3 + 3,
    # of 4 models; the list of prompts, features and scores of its real images, a figure of samples, 2 of FID; 3 tables
    "data.prompts": 1 + 2 + 4 + 4 + 1 + 2 + 3 + 3,
    # 9 models' heat maps are made and scored; 6 profiles, 6 of faithfulness, 7 + 2 priors' summaries (on the
    # samples that the models have scores of), 2 differences; 2 figures each of overlays, profiles and findings, 3
    # others; 6 tables
    "heat_maps.steps": 9 + 9 + 6 + 6 + 9 + 2 + 6 + 3 + 6 + 3,
    # 7 + 2 priors' summaries, 2 differences; 2 figures of findings, 3 others; 6 tables
    "evaluation.bootstrap": 9 + 2 + 5 + 6 + 3,
    # 3 models are tuned, have heat maps and samples made and scored, and a summary, as has the prior; 2 profiles, 2 of
    # faithfulness, a difference; 4 figures of radiographs, 4 others; 6 tables
    "training.steps": 6 * 3 + 1 + 2 + 2 + 1 + 4 + 4 + 6 + 3,
}


@pytest.mark.parametrize("key", JOBS)
def test_a_changed_key_costs_so_many_jobs(changed_keys, key):
    _, output = changed_keys[key]
    total = re.search(r"^total +(\d+)", output, re.M)
    assert int(total.group(1) if total else 0) == JOBS[key]


def test_the_page_of_keys_tells_what_a_change_costs():
    rows = re.findall(r"^\| `([\w.]+)`.*\| (\d+) \|", (PROJECT / "config/README.md").read_text(), re.M)
    assert len(rows) == 5
    assert {key: int(jobs) for key, jobs in rows} == {key: JOBS.get(key, 0) for key, _ in rows}


# --- code ------------------------------------------------------------------------------------------------------------


def scripts_by_file() -> dict[str, frozenset[str]]:
    """The scripts of the workflow that use each Python file, by its path in the project."""
    users = defaultdict(set)
    for path in SCRIPTS.rglob("*.py"):
        script = path.relative_to(SCRIPTS).as_posix()
        for file in files_of(script):
            users[file.relative_to(ROOT).as_posix()].add(script)
    files = [*SCRIPTS.rglob("*.py"), *(ROOT / PACKAGE).rglob("*.py")]
    return {file: frozenset(users[file]) for file in (path.relative_to(ROOT).as_posix() for path in files)}


FILES_BY_SCRIPTS: dict[frozenset[str], list[str]] = defaultdict(list)
for _file, _scripts in scripts_by_file().items():
    FILES_BY_SCRIPTS[_scripts].append(_file)
CODE_GROUPS = {files[0]: (scripts, files) for scripts, files in FILES_BY_SCRIPTS.items()}
CODE_GROUPS["template"] = frozenset({"paper/report.py"}), ["tradeoffs/paper/report.html.j2"]


def jobs_of(graph: str) -> tuple[dict[str, str], set[tuple[str, str]]]:
    """From Snakemake's graph of jobs in Mermaid's language, the rule of each job, and pairs of a job and one that needs
    its output."""
    rules = dict(re.findall(r"^\t(id\d+)\[(\w+)", graph, re.M))
    return rules, set(re.findall(r"^\t(id\d+) --> (id\d+)", graph, re.M))


@pytest.fixture(scope="module")
def job_graph(finished) -> tuple[dict[str, str], set[tuple[str, str]]]:
    return jobs_of(snakemake(finished, "--dag", "mermaid-js", "all").stdout)


# The captions in a clone are other files than those of the finished run, so these run in any case.
ELSEWHERE = {"report", "provenance", "all"}


@pytest.fixture(scope="module")
def changed_files(finished, tmp_path_factory) -> Runs:
    """A dry run over the finished results for each group of files that the same scripts use, from a changed clone."""
    runs = {}
    for number, (name, (_, files)) in enumerate(CODE_GROUPS.items()):
        clone = tmp_path_factory.mktemp(f"clone{number}")
        for part in set(EXECUTED) - {"docs", "resources", "Snakefile"}:
            shutil.copytree(PROJECT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(PROJECT / "Snakefile", clone / "Snakefile")
        for file in files:
            with (clone / file).open("a") as code:
                code.write("# changed\n")
        runs[name] = ["--snakefile", str(clone / "Snakefile"), "--cores", "2", "--config", "preset=smoke"]
    return dry_runs(finished, runs)


def scripts_of_rules() -> dict[str, str]:
    """The script of each rule; the digest among its params must be that script's."""
    scripts, heirs = {}, {}
    for file in (PROJECT / "rules").rglob("*.smk"):
        for block in re.split(r"^\s*(?:use )?rule ", file.read_text(), flags=re.M)[1:]:
            name, heir = re.match(r"(\w+)(?: as (\w+))?", block).groups()
            found = re.findall(r'/workflow_scripts/(\w+/\w+\.py)"', block)
            assert re.findall(r'code=code_digest\("(.*)"\)', block) == found, name
            if heir:
                heirs[heir] = name
            elif found:
                scripts[name] = found[0]
    for heir, name in heirs.items():
        scripts[heir] = scripts[name]
    return scripts


@pytest.mark.parametrize("name", CODE_GROUPS)
def test_changed_code_runs_exactly_its_users(changed_files, job_graph, name):
    code, output = changed_files[name]
    assert code == 0, output
    (rules, edges), (scripts, _) = job_graph, CODE_GROUPS[name]
    users = {rule for rule, script in scripts_of_rules().items() if script in scripts}
    jobs = {job for job, rule in rules.items() if rule in users}
    while more := {after for before, after in edges if before in jobs} - jobs:
        jobs |= more
    assert rules_of(output) == {rules[job] for job in jobs} | ELSEWHERE


TABLES_AND_CHARTS = TABLES | IN_VARIANTS_ORDER
CODE = {  # some by hand
    "tradeoffs/model/training.py": FINE_TUNED,
    "tradeoffs/attention/capture.py": FINE_TUNED,  # which attention regularisation captures too
    "tradeoffs/evaluation/fidelity.py": {"real_images_fidelity"} | FIDELITY,
    "tradeoffs/paper/tables.py": TABLES,
    "tradeoffs/paper/report.py": {"report", "provenance", "all"},
    "tradeoffs/config/schema.py": set(),
}


@pytest.mark.parametrize("name", CODE)
def test_changed_modules_run_what_one_expects(changed_files, name):
    group = next(first for first, (_, files) in CODE_GROUPS.items() if name in files)
    assert rules_of(changed_files[group][1]) == CODE[name] | ELSEWHERE


# --- nothing to do ---------------------------------------------------------------------------------------------------


def test_nothing_runs_again_without_a_change(finished):
    assert rules_to_run(finished) == set()


def test_a_fresh_clone_over_the_results_runs_nothing(finished):
    for name in EXECUTED:
        for file in [finished / name, *(finished / name).rglob("*")]:
            file.touch()
    assert rules_to_run(finished) == set()
