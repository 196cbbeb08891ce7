"""The workflow itself: the smoke preset from raw phantoms to Table 1, and what runs again after a change."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from diffusers import StableDiffusionPipeline

PROJECT = Path(__file__).resolve().parent.parent
EXECUTED = "config", "docs", "envs", "profiles", "resources", "rules", "workflow_scripts", "Snakefile"


def copy_project(target: Path) -> Path:
    target.mkdir()
    for name in EXECUTED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target / name)
    return target


def snakemake(folder: Path, *arguments: str, preset: str = "smoke") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--config", f"preset={preset}"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )


def rules_to_run(folder: Path, *targets: str) -> set[str]:
    """Names of the rules that a dry run would execute."""
    run = snakemake(folder, "--cores", "2", "--dry-run", *targets)
    assert run.returncode == 0, run.stdout + run.stderr
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", run.stdout + run.stderr, re.S | re.M)
    return {line.split()[0] for line in table.group(1).splitlines()} if table else set()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A copy of the project in which the smoke preset has made everything."""
    folder = copy_project(tmp_path_factory.mktemp("workflow") / "project")
    run = snakemake(folder, "--cores", "8")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return folder


@pytest.fixture
def unchanged(finished):
    """The finished project; what a test changes in a file, it changes through `edit`, which is undone."""
    saved: dict[Path, bytes] = {}

    def edit(name: str, old: str, new: str) -> None:
        path = finished / name
        saved.setdefault(path, path.read_bytes())
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    yield finished, edit
    for path, content in saved.items():
        path.write_bytes(content)


def test_table_1_has_every_row_with_its_scores(finished):
    table = pd.read_csv(finished / "results" / "table1.csv")
    variants = ["pretrained", "frozen", "learnable", "location_prior"]
    assert table["variant"].tolist() == variants * 2
    assert table["text"].tolist() == ["phrase"] * 4 + ["impression"] * 4
    models = table[table["variant"] != "location_prior"]
    columns = ["fid_general", "kid_general", "fid_domain", "ms_ssim", "auc_roc", "cnr", "iou", "miou", "specificity"]
    assert models[columns].notna().all(axis=None)
    assert table["auc_roc"].between(0, 1).all()
    assert table["data"].str.contains("Demo: phantom").all()
    assert table["auc_roc_sd"].isna().all()  # one seed


def test_the_table_says_that_it_is_a_demo_in_every_format(finished):
    for suffix in ("csv", "md", "tex"):
        assert "Demo: phantom radiographs" in (finished / "results" / f"table1.{suffix}").read_text()


def test_the_sidecar_tells_what_the_table_was_made_from(finished):
    sidecar = json.loads((finished / "results" / "table1.json").read_text())
    assert sidecar["config"]["preset"] == "smoke"
    assert sidecar["config"]["training"]["steps"] == 6
    assert sidecar["packages"]["torch"].startswith("2.13.0")
    assert sidecar["counts"]["images_counts"]["kept"] > 0


def test_fine_tuned_models_open_as_a_stable_diffusion_pipeline(finished):
    folder = finished / "results/smoke/model/cxr/learnable/seed0"
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    image = pipeline("small left pleural effusion", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (128, 128, 3)


def test_every_rule_left_a_log_and_a_benchmark(finished):
    logs = {path.relative_to(finished / "logs/smoke").with_suffix("") for path in (finished / "logs").rglob("*.log")}
    assert len(logs) == len(list((finished / "results/smoke/benchmarks").rglob("*.tsv"))) > 20


def test_nothing_runs_again_without_a_change(finished):
    assert rules_to_run(finished) == set()


def test_touched_files_run_nothing_again(finished):
    for name in ("workflow_scripts/finetune.py", "workflow_scripts/tradeoffs/training.py", "config/config.yaml"):
        (finished / name).touch()
    assert rules_to_run(finished) == set()


SCORED = {"localise", "table1", "all"}
SAMPLED = {"samples", "fidelity", "table1", "sheets", "all"}
FINE_TUNED = {"finetune", "heat_maps"} | SCORED | SAMPLED

CONFIG_CHANGES = {
    "learning rate": ("learning_rate: 1.0e-3", "learning_rate: 2.0e-3", FINE_TUNED),
    "kept steps": ("keep: 4", "keep: 3", {"heat_maps"} | SCORED),
    "guidance": ("guidance: 4.0", "guidance: 3.0", SAMPLED),
    "KID subset": ("kid_subset: 6", "kid_subset: 5", {"fidelity", "table1", "all"}),
    "classifier": (
        "epochs: 1",
        "epochs: 2",
        {"classifier", "real_features", "fidelity", "table1", "all"},
    ),
    "base training": ("unet_steps: 3", "unet_steps: 4", {"table1", "all"}),
}


@pytest.mark.parametrize("change", CONFIG_CHANGES)
def test_a_changed_key_runs_exactly_the_rules_that_read_it(unchanged, change):
    folder, edit = unchanged
    old, new, expected = CONFIG_CHANGES[change]
    edit("config/presets/smoke.yaml", old, new)
    assert rules_to_run(folder) == expected


CODE_CHANGES = {
    "workflow_scripts/tradeoffs/training.py": FINE_TUNED,
    "workflow_scripts/tradeoffs/attention.py": {"heat_maps"} | SCORED,
    "workflow_scripts/tradeoffs/sampling.py": SAMPLED,
    "workflow_scripts/tradeoffs/evaluation/queries.py": {"localise", "location_prior", "table1", "all"},
    "workflow_scripts/tradeoffs/paper/tables.py": {"table1", "all"},
    "workflow_scripts/tradeoffs/paper/figures.py": {"sheets", "all"},
    "workflow_scripts/draw_samples.py": SAMPLED,
}


@pytest.mark.parametrize("name", CODE_CHANGES)
def test_changed_code_runs_exactly_its_users(unchanged, name):
    folder, edit = unchanged
    edit(name, '"""', '"""Changed. ')
    assert rules_to_run(folder) == CODE_CHANGES[name]


def test_what_was_put_back_runs_nothing(finished):
    assert rules_to_run(finished) == set()


def test_another_preset_does_not_touch_the_finished_run(finished):
    run = snakemake(finished, "--cores", "2", "--dry-run", preset="demo")
    assert run.returncode == 0
    outputs = re.findall(r"^    output: (.*)$", run.stdout + run.stderr, re.M)
    assert outputs
    assert not [path for line in outputs for path in line.split(", ") if path.startswith("results/smoke")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training={stepz: 3}"], "training.stepz"),
        (["heat_maps={keep: 99}"], "heat_maps.keep"),
        (["data={source: files}"], "data.mimic_cxr_jpg"),
        (["base={source: no/such/folder}"], "base.source"),
    ],
)
def test_a_mistake_in_the_config_is_one_readable_error(tmp_path, arguments, message):
    folder = copy_project(tmp_path / "project")
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--config", "preset=smoke", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert message in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_a_second_run_with_other_cores_gives_the_same_bytes(finished, tmp_path):
    again = copy_project(tmp_path / "again")
    run = snakemake(again, "--cores", "1", "results/table1.csv")
    assert run.returncode == 0, run.stderr[-3000:]
    for suffix in ("csv", "md", "tex"):
        name = f"results/table1.{suffix}"
        assert (again / name).read_bytes() == (finished / name).read_bytes()
