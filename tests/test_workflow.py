"""The workflow itself: the smoke preset from raw phantoms to Table 1, and what runs again after a change."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from diffusers import StableDiffusionPipeline

PROJECT = Path(__file__).resolve().parent.parent
EXECUTED = (
    "config",
    "docs",
    "envs",
    "profiles",
    "report",
    "resources",
    "rules",
    "slurm",
    "workflow_scripts",
    "Snakefile",
)


def copy_project(target: Path) -> Path:
    target.mkdir()
    for name in EXECUTED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target / name)
    return target


def snakemake(
    folder: Path, *arguments: str, preset: str = "smoke", more_config: Sequence[str] = ()
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--config", f"preset={preset}", *more_config],
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
    assert table["variant"].tolist() == variants * 3
    assert table["text"].tolist() == ["phrase"] * 4 + ["impression"] * 4 + ["caption"] * 4
    models = table[table["variant"] != "location_prior"]
    columns = ["fid_general", "kid_general", "ms_ssim", "auc_roc", "cnr", "iou", "miou", "specificity", "bare_auc"]
    assert models[columns].notna().all(axis=None)
    assert models["fid_domain"].notna().tolist() == [True] * 6 + [False] * 3  # no findings in COCO
    assert table["auc_roc"].between(0, 1).all()
    assert (table["auc_roc_low"] <= table["auc_roc_high"]).all()
    assert table["data"].str.contains("Demo: phantom").all()
    assert table["auc_roc_sd"].isna().all()  # one seed


def test_every_table_and_figure_is_there(finished):
    results = finished / "results"
    tables = ["table1", "table1_coco_categories", "table2", "table3", "table7", "differences"]
    assert all(
        (results / f"{name}.{suffix}").stat().st_size for name in tables for suffix in ("csv", "md", "tex", "json")
    )
    figures = {path.stem for path in (results / "figures").glob("*.pdf")}
    assert figures == {path.stem for path in (results / "figures").glob("*.png")}
    assert len(figures) == 14
    page = (results / "report.html").read_text()
    assert all(f'id="figure-{name}"' in page for name in figures)
    assert all(f'id="table-{name}"' in page for name in tables)


def test_the_table_says_that_it_is_a_demo_in_every_format(finished):
    for suffix in ("csv", "md", "tex"):
        assert "Demo: phantom" in (finished / "results" / f"table1.{suffix}").read_text()


def test_the_sidecar_tells_what_the_table_was_made_from(finished):
    sidecar = json.loads((finished / "results" / "table1.json").read_text())
    assert sidecar["config"]["preset"] == "smoke"
    assert sidecar["config"]["training"]["steps"] == 6
    assert sidecar["packages"]["torch"].startswith("2.13.0")
    assert sidecar["counts"]["cxr/images_counts"]["kept"] > 0


def test_fine_tuned_models_open_as_a_stable_diffusion_pipeline(finished):
    folder = finished / "results/smoke/model/cxr/learnable/seed0/final"
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


TABLES = {"table1", "category_table", "table2", "table3", "table7", "differences_table", "report", "all"}
FIDELITY = {"fidelity", "table1", "table3", "tradeoff", "training_curves", "report", "all"}
SAMPLED = {"samples", "samples_figure"} | FIDELITY
SUMMARISED = {
    "localisation_summary",
    "differences",
    "differences_figure",
    "tradeoff",
    "training_curves",
    "findings",
} | TABLES
SCORED = {"localise"} | SUMMARISED
ATTENDED = {"heat_maps", "attention_profile", "attention_profile_figure", "overlays"} | SCORED
FINE_TUNED = {"finetune", "losses"} | ATTENDED | SAMPLED

# every table's sidecar holds the whole config
CONFIG_CHANGES = {
    "learning rate": ("learning_rate: 1.0e-3", "learning_rate: 2.0e-3", FINE_TUNED),
    "kept steps": ("keep: 4", "keep: 3", ATTENDED),
    "samples of the profile": (
        "profile_samples: 6",
        "profile_samples: 5",
        {"attention_profile", "attention_profile_figure"} | TABLES,
    ),
    "guidance": ("guidance: 4.0", "guidance: 3.0", SAMPLED | TABLES),
    "shards of samples": ("batch_size: 6\n  shards: 1", "batch_size: 6\n  shards: 2", SAMPLED | TABLES),
    "KID subset": ("kid_subset: 6", "kid_subset: 5", FIDELITY | TABLES),
    "bootstrap": ("bootstrap: 50", "bootstrap: 40", SUMMARISED),
    "classifier": ("epochs: 1", "epochs: 2", {"classifier", "real_features"} | FIDELITY | TABLES),
    "base training": ("unet_steps: 3", "unet_steps: 4", TABLES),
}


@pytest.mark.parametrize("change", CONFIG_CHANGES)
def test_a_changed_key_runs_exactly_the_rules_that_read_it(unchanged, change):
    folder, edit = unchanged
    old, new, expected = CONFIG_CHANGES[change]
    edit("config/presets/smoke.yaml", old, new)
    assert rules_to_run(folder) == expected


CHARTS = {
    "tradeoff",
    "training_curves",
    "findings",
    "differences_figure",
    "attention_profile_figure",
    "losses",
    "report",
    "all",
}
PICTURES = {"overlays", "samples_figure", "data_sheet"}

CODE_CHANGES = {
    "workflow_scripts/tradeoffs/training.py": FINE_TUNED,
    "workflow_scripts/tradeoffs/attention.py": ATTENDED,
    "workflow_scripts/tradeoffs/sampling.py": SAMPLED,
    "workflow_scripts/tradeoffs/conditioning.py": FINE_TUNED,
    "workflow_scripts/tradeoffs/evaluation/queries.py": (
        {"location_prior", "attention_profile", "attention_profile_figure"} | PICTURES | SCORED
    ),
    "workflow_scripts/tradeoffs/evaluation/statistics.py": SUMMARISED | CHARTS,
    "workflow_scripts/tradeoffs/evaluation/fidelity.py": FIDELITY,
    "workflow_scripts/tradeoffs/paper/tables.py": TABLES,
    "workflow_scripts/tradeoffs/paper/figures.py": CHARTS,
    "workflow_scripts/tradeoffs/paper/pictures.py": PICTURES | {"report", "all"},
    "workflow_scripts/tradeoffs/paper/style.py": PICTURES | CHARTS,
    "workflow_scripts/tradeoffs/paper/report.py": {"report", "all"},
    "workflow_scripts/tradeoffs/paper/report.html.j2": {"report", "all"},
    "workflow_scripts/draw_samples.py": SAMPLED,
}


@pytest.mark.parametrize("name", CODE_CHANGES)
def test_changed_code_runs_exactly_its_users(unchanged, name):
    folder, edit = unchanged
    edit(name, "\n", "\n\n")
    assert rules_to_run(folder) == CODE_CHANGES[name]


def test_what_was_put_back_runs_nothing(finished):
    assert rules_to_run(finished) == set()


def test_another_seed_runs_only_what_it_needs(finished):
    run = snakemake(finished, "--cores", "2", "--dry-run", more_config=["seeds=[0,1]"])
    assert run.returncode == 0, run.stdout + run.stderr
    made = re.findall(r"^    output: (.*)$", run.stdout + run.stderr, re.M)
    assert any("seed1/final" in outputs for outputs in made)
    assert not [outputs for outputs in made if "seed0/" in outputs or "/data/" in outputs or "latents" in outputs]


def test_measuring_the_differences_takes_a_finished_run_and_nothing_twice(finished):
    again = {"finetune_for_effect", "heat_maps_for_effect", "localise_for_effect"}
    assert rules_to_run(finished, "--force", "effects") == again | {"scoring_effects", "fidelity_effects", "effects"}


def test_an_external_method_becomes_rows_of_tables_2_and_7(finished, tmp_path):
    again = tmp_path / "external"
    shutil.copytree(finished, again, symlinks=True)
    grounding = pd.read_csv(again / "results/smoke/data/cxr/grounding.csv")
    heat = np.random.default_rng(0).random((len(grounding), 10, 10))
    np.savez(again / "maps.npz", id=grounding["phrase_id"].to_numpy(dtype=str), heat=heat)
    run = snakemake(again, "--cores", "2", "table2", "table7", more_config=["external={noise: maps.npz}"])
    assert run.returncode == 0, run.stderr[-3000:]
    for name in ("table2", "table7"):
        table = pd.read_csv(again / "results" / f"{name}.csv")
        rows = table[(table["variant"] == "noise") & (table["group"] == "micro")]
        assert len(rows) == 2
        assert rows["auc_roc"].between(0.3, 0.7).all()


def test_given_weights_take_the_place_of_our_classifier(finished, tmp_path):
    weights = {"inception": tmp_path / "inception.pt", "xrv_densenet121_all": tmp_path / "xrv.pt"}
    for file in weights.values():
        file.touch()
    given = ", ".join(f"{name}: {file}" for name, file in weights.items())
    config = [f"evaluation={{extractors: {{{given}}}}}"]
    run = snakemake(finished, "--cores", "2", "--dry-run", "--forceall", "table1", more_config=config)
    assert run.returncode == 0, run.stdout + run.stderr
    jobs = re.findall(r"^rule (\w+):\n    input: (.*)$", run.stdout + run.stderr, re.M)
    assert "classifier" not in {rule for rule, _ in jobs}
    readers = {rule for rule, files in jobs if str(weights["inception"]) in files}
    assert readers == {rule for rule, files in jobs if str(weights["xrv_densenet121_all"]) in files}
    assert readers == {"real_features", "fidelity"}


def test_every_target_is_explained(finished):
    listed = snakemake(finished, "--list").stdout
    names = re.findall(r"^(\w+)(?: \((.+)\))?$", listed, re.M)
    assert {"all", "table1", "table2", "table3", "table7", "figures", "report"} <= {name for name, _ in names}
    assert [name for name, explanation in names if not explanation] == []


def test_the_readme_shows_the_rule_graph_of_today(finished):
    graph = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "all"],
        cwd=finished,
        capture_output=True,
        text=True,
    ).stdout
    picture = (PROJECT / "docs" / "images" / "rulegraph.svg").read_text()
    assert set(re.findall(r"^\tid\d+\[(\w+)\]", graph, re.M)) == set(re.findall(r">(\w+)</text>", picture))


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
    run = snakemake(again, "--cores", "1", "table1", "table2", "table7")
    assert run.returncode == 0, run.stderr[-3000:]
    for name in ("table1", "table2", "table7"):
        for suffix in ("csv", "md", "tex"):
            path = f"results/{name}.{suffix}"
            assert (again / path).read_bytes() == (finished / path).read_bytes()


def test_tables_and_figures_made_again_are_the_same_bytes(finished, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(finished, again, symlinks=True)
    made = [path for path in (again / "results").glob("*.*") if path.suffix in (".csv", ".md", ".tex")]
    made += list((again / "results" / "figures").iterdir())
    before = {path: path.read_bytes() for path in made}
    for path in made:
        path.unlink()
    run = snakemake(again, "--cores", "2", "--forcerun", "table1", "tradeoff", "overlays")
    assert run.returncode == 0, run.stderr[-3000:]
    assert {path: path.read_bytes() for path in made if path.exists()} == before
