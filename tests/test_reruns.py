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

# Each table's sidecar holds the whole config, so a change of any key writes the tables and the report anew.
OF_CXR = {"findings_table", "table2", "table3", "table7"}
TABLES = {"table1", "category_table", "differences_table", "report", "provenance", "all"} | OF_CXR
FIDELITY = {"fidelity", "tradeoff", "training_curves"} | TABLES
SAMPLED = {"samples", "samples_figure"} | FIDELITY
COMPARED = {"differences", "differences_figure"} | TABLES
SUMMARISED = {"localisation_summary", "tradeoff", "training_curves", "findings"} | COMPARED
SCORED = {"localise"} | SUMMARISED
PROFILED = {"attention_profile", "attention_profile_figure"} | TABLES
ATTENDED = {"heat_maps", "overlays", "faithfulness"} | PROFILED | SCORED
FIRST_SEED = {"attention_profile", "attention_profile_figure", "faithfulness", "overlays", "samples_figure"}
FINE_TUNED = {"finetune", "losses"} | ATTENDED | SAMPLED
ENCODED = {"latents"} | FINE_TUNED
REAL = {"real_features", "real_images_fidelity"} | FIDELITY
CLASSIFIED = {"classifier"} | REAL
IMAGES = REAL | {"prepare_wrong_prompts", "data_sheet", "location_prior"} | ENCODED
COCO = {"prepare_coco", "prepare_coco_prompts"} | IMAGES
CXR = {"prepare_images", "prepare_grounding", "prepare_prompts", "classifier"} | IMAGES
# one variant that is in no main table
SCORED_VARIANT = {
    "heat_maps",
    "localise",
    "localisation_summary",
    "samples",
    "samples_figure",
    "fidelity",
    "losses",
} | TABLES
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
FURTHER_SET |= TABLES

# Dotted key of the schema: another value than the smoke preset's, and what runs again. A <name> is sentences_learnable,
# or a set of boxes.
KEYS: dict[str, tuple[object, set[str]]] = {
    # figures of single images and layers show the first seed
    "seeds": ([0, 1], FINE_TUNED - FIRST_SEED),
    "data.source": ("files", CXR | COCO),
    "data.sets": (
        ["cxr"],
        (TABLES - {"category_table"}) | {"tradeoff", "training_curves", "differences_figure", "losses"},
    ),
    **{f"data.{folder}": ("elsewhere", TABLES) for folder in FILES},  # phantoms do without
    "data.mimic_prepared": ("elsewhere.csv", TABLES),
    "data.coco_prepared": ("elsewhere.csv", TABLES),
    "data.sentences": ("other_sentences.csv", TRAINED_VARIANT),
    "data.views": (["PA"], CXR),
    "data.max_missing": (0.5, TABLES),
    "data.prompts": ("own_prompts.csv", {"prepare_prompts"} | REAL | SAMPLED),
    "data.phantoms.seed": (1, {"phantoms", "phantom_scenes"} | CXR | COCO),
    "data.phantoms.train": (49, {"phantoms"} | CXR),
    "data.phantoms.val": (17, {"phantoms"} | CXR),
    "data.phantoms.p19": (25, {"phantoms"} | CXR),
    "data.phantoms.mscxr": (17, {"phantoms"} | CXR),
    "data.phantoms.coco_train": (25, {"phantom_scenes"} | COCO),
    "data.phantoms.coco_val": (17, {"phantom_scenes"} | COCO),
    "data.query_words": (
        {"Edema": ["edema", "congestion"]},
        {"prepare_grounding", "prepare_wrong_prompts", "data_sheet", "location_prior"} | ATTENDED,
    ),
    "data.cxr": ("open", (CXR | COCO) - {"table7"}),  # which needs reports of the images with boxes
    "data.open_i": ("elsewhere", TABLES),
    "data.chestxray14": ("elsewhere", TABLES),
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
    "encoders": ({"other": {"source": "owner/name"}}, TABLES),  # no variant uses it
    "encoders.<name>.source": ("owner/name", TABLES),
    "encoders.<name>.revision": ("v1", TABLES),
    "variants": ({"another": {"text": "finding_labels"}}, TRAINED_VARIANT | IN_VARIANTS_ORDER),
    "variants.<name>.finetune": (False, SCORED_VARIANT),
    "variants.<name>.text_encoder": ("frozen", TRAINED_VARIANT),
    "variants.<name>.text": ("finding_labels", TRAINED_VARIANT),
    "variants.<name>.encoder": ("other", {"encoder"} | TRAINED_VARIANT),
    "variants.<name>.lora_rank": (8, TRAINED_VARIANT),
    "variants.<name>.sets": (["cxr"], TABLES),  # where its text is all the same
    "variants.<name>.weights": ("ema", FINE_TUNED),  # with what it needs, an average and the variant that keeps it
    "variants.<name>.seeds": ([1], TRAINED_VARIANT),
    "variants.<name>.main": (False, TABLES),  # its text keeps it out of the main tables all the same
    "external": ({"noise": "maps.npz"}, {"external_method", "localisation_summary", "findings"} | TABLES),
    "external_samples": ({"gan": "vit"}, {"external_samples"} | TABLES),
    "training.steps": (7, FINE_TUNED),
    "training.coco_steps": (5, FINE_TUNED),
    "training.milestones": ([3], FINE_TUNED),
    "training.coco_milestones": ([1], FINE_TUNED),
    "training.batch_size": (8, FINE_TUNED),
    "training.micro_batch_size": (2, FINE_TUNED),
    "training.learning_rate": (2e-3, FINE_TUNED),
    "training.text_encoder_learning_rate": (1e-4, FINE_TUNED),
    "training.weight_decay": (0.1, FINE_TUNED),
    "training.schedule": ("constant", FINE_TUNED),
    "training.warmup_steps": (1, FINE_TUNED),
    "training.text_dropout": (0.5, FINE_TUNED),
    "training.precision": ("bf16", FINE_TUNED),
    "training.checkpoint_every": (2, TABLES),
    "training.gradient_checkpointing": (True, FINE_TUNED),
    "training.log_every": (2, TABLES),
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
    "heat_maps.profile_samples": (5, {"faithfulness"} | PROFILED),
    "sampling.images": (13, {"prepare_prompts", "prepare_coco_prompts"} | REAL | SAMPLED),
    "sampling.guidance": (3.0, SAMPLED),
    "sampling.steps": (4, SAMPLED),
    "sampling.scheduler": ("ddim", SAMPLED),
    "sampling.batch_size": (5, SAMPLED),
    "sampling.precision": ("bf16", SAMPLED),
    "sampling.shards": (2, SAMPLED),
    "evaluation.protocol": (
        "published",
        {"tradeoff", "training_curves", "findings", "differences_figure", "overlays"} | TABLES,
    ),
    "evaluation.frame": ("image", {"location_prior"} | SCORED),
    "evaluation.bootstrap": (40, SUMMARISED),
    "evaluation.permutations": (40, COMPARED),
    "evaluation.max_excluded": (0.6, TABLES),
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
    "resources.threads": (2, TABLES),
    "resources.gpus": (1, TABLES),
    "resources.training_gpus": (1, TABLES),
    "resources.mem_mb": (3000, TABLES),
    "resources.runtime_minutes": (11, TABLES),
    "resources.max_runtime_minutes": (20, TABLES),
}
ANOTHER_RUN = {"preset", "run"}  # they name another folder of results, where everything is to be made
HUB = {"source": "owner/name"}
NEEDED_WITH = {
    "data.source": {"data": FILES},
    "data.cxr": {"data": FILES | OPEN_FILES | {"source": "files"}},
    **{key: {"grounding": {"own": {"path": "own_boxes.csv"}}} for key in KEYS if key.startswith("grounding.")},
    "grounding.<name>.layout": {"grounding": {"own": {"path": "own_set"}}},
    "base.revision": {"base": HUB},
    "encoders.<name>.revision": {"encoders": {"sentences_learnable": HUB}},
    "variants.<name>.weights": {
        "training": {"ema_decay": 0.9},
        "variants": {"raw": {"text": "sentences", "text_encoder": "learnable"}},
    },
    "variants.<name>.encoder": {"encoders": {"other": HUB}},
}


def arguments(key: str, value: object) -> list[str]:
    """Snakemake's command line for the smoke preset with another value of one key."""
    nested = value
    name = "own" if key.startswith("grounding.") else "sentences_learnable"
    for part in reversed(key.replace("<name>", name).split(".")):
        nested = {part: nested}
    nested = _merge(NEEDED_WITH.get(key, {}), nested)
    if key == "variants.<name>.finetune":  # a base that is learnable has no meaning
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
    return dry_runs(finished, {key: arguments(key, value) for key, (value, _) in KEYS.items()})


def test_every_key_of_the_schema_is_tested():
    assert {key for key, _, _ in _leaves()} == set(KEYS) | ANOTHER_RUN


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_runs_exactly_the_rules_that_read_it(changed_keys, key):
    code, output = changed_keys[key]
    assert code == 0, output
    assert rules_of(output) == KEYS[key][1]


def test_a_limit_or_pace_is_written_into_the_tables_sidecars_only():
    assert all(KEYS[key][1] == TABLES for key in LIMITS)


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


def edges_of(graph: str) -> set[tuple[str, str]]:
    """Pairs of a rule and one that needs its output, from Snakemake's rule graph in Mermaid's language."""
    names = dict(re.findall(r"^\t(id\d+)\[(\w+)\]", graph, re.M))
    return {(names[one], names[other]) for one, other in re.findall(r"^\t(id\d+) --> (id\d+)", graph, re.M)}


@pytest.fixture(scope="module")
def rule_graph(finished) -> set[tuple[str, str]]:
    run = snakemake(finished, "--rulegraph", "mermaid-js", "all")
    return edges_of(run.stdout)


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
def test_changed_code_runs_exactly_its_users(changed_files, rule_graph, name):
    code, output = changed_files[name]
    assert code == 0, output
    scripts, _ = CODE_GROUPS[name]
    in_graph = {rule for edge in rule_graph for rule in edge}
    expected = ({rule for rule, script in scripts_of_rules().items() if script in scripts} & in_graph) | ELSEWHERE
    while more := {after for before, after in rule_graph if before in expected} - expected:
        expected |= more
    assert rules_of(output) == expected


TABLES_AND_CHARTS = TABLES | IN_VARIANTS_ORDER
CODE = {  # some by hand
    "tradeoffs/model/training.py": FINE_TUNED,
    "tradeoffs/attention/capture.py": ATTENDED,
    "tradeoffs/evaluation/fidelity.py": ({"real_images_fidelity"} | FIDELITY)
    - {"category_table", "table2", "table7", "differences_table"},
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
