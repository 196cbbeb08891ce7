"""The workflow itself: the smoke preset from raw phantoms to the report."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from diffusers import StableDiffusionPipeline
from project import PROJECT, rules_to_run, snakemake
from snakemake.utils import available_cpu_count

from tradeoffs.config.layers import resolve
from tradeoffs.config.targets import figures_of
from tradeoffs.errors import InputError
from tradeoffs.provenance import again
from tradeoffs.provenance.records import checksums

pytestmark = pytest.mark.xdist_group("workflow")


def test_table_1_has_every_row_with_its_scores(finished):
    table = pd.read_csv(finished / "results" / "table1.csv")
    variants = ["pretrained", "frozen", "learnable", "real_images", "location_prior"]
    assert table["variant"].tolist() == variants * 3
    assert table["text"].tolist() == ["phrase"] * 5 + ["impression"] * 5 + ["caption"] * 5
    models = table[~table["variant"].isin(variants[3:])]
    real = table[table["variant"] == "real_images"]
    assert real[["fid_general", "kid_general"]].notna().all(axis=None) and real["auc_roc"].isna().all()
    table = table[table["variant"] != "real_images"]
    columns = ["fid_general", "kid_general", "ms_ssim", "auc_roc", "cnr", "iou", "miou", "specificity", "bare_auc"]
    assert models[columns].notna().all(axis=None)
    assert models["fid_domain"].notna().tolist() == [True] * 6 + [False] * 3  # no findings in COCO
    assert table["auc_roc"].between(0, 1).all()
    assert (table["auc_roc_low"] <= table["auc_roc_high"]).all()
    assert table["data"].str.contains("Demo: phantom").all()
    assert table["auc_roc_sd"].isna().all()  # one seed


def test_every_table_and_figure_is_there(finished):
    results = finished / "results"
    tables = ["table1", "table1_cxr_findings", "table1_coco_categories", "table2", "table3", "table7", "differences"]
    assert all(
        (results / f"{name}.{suffix}").stat().st_size for name in tables for suffix in ("csv", "md", "tex", "json")
    )
    figures = {path.stem for path in (results / "figures").glob("*.pdf")}
    assert figures == {path.stem for path in (results / "figures").glob("*.png")}
    assert figures == set(figures_of(resolve({"preset": "smoke"}, PROJECT / "config/presets")))
    page = (results / "report.html").read_text()
    assert all(f'id="figure-{name}"' in page for name in figures)
    assert all(f'id="table-{name}"' in page for name in tables)


def test_a_finished_job_runs_once_more_in_a_debugger_and_changes_nothing(finished, monkeypatch):
    monkeypatch.chdir(finished)
    before = json.loads(Path("results/provenance.json").read_text())["files"]
    for file in ("results/figures/losses.png", "results/smoke/evaluation/cxr/frozen/seed0/final/localisation.csv"):
        again.debug(file)
        assert Path("debug", file).read_bytes() == Path(file).read_bytes()
        assert checksums([file]) == {file: before[file]}
    with pytest.raises(InputError, match="no finished job has made it.*--skip-script-cleanup results/none.csv"):
        again.debug("results/none.csv")


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


def test_every_job_left_a_log_and_a_benchmark(finished):
    def names(folder, suffix):
        return {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob(f"*{suffix}")}

    logs = names(finished / "logs/smoke", ".log") - {"check", "paper/verify"}  # which have no benchmark
    assert logs == names(finished / "results/smoke/benchmarks", ".tsv") and len(logs) > 90


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
    readers = {name: {rule for rule, files in jobs if str(file) in files} for name, file in weights.items()}
    assert readers["inception"] == {"real_features", "fidelity"}
    assert readers["xrv_densenet121_all"] == readers["inception"] | {"real_images_fidelity"}


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


def test_a_mistake_in_the_config_is_one_readable_error(finished):
    run = snakemake(finished, "--dry-run", more_config=["training={stepz: 3}"])
    assert run.returncode != 0
    assert "training.stepz" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_a_table_is_that_of_the_last_configuration_and_comes_back_with_the_one_before(finished, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(finished, again, symlinks=True)
    table, sidecar = again / "results" / "table1.csv", again / "results" / "table1.json"
    before = table.read_bytes()
    for protocol in ("published", "corrected"):
        run = snakemake(again, "--cores", "2", "table1", more_config=[f"evaluation={{protocol: {protocol}}}"])
        assert run.returncode == 0, run.stderr[-3000:]
        assert json.loads(sidecar.read_text())["config"]["evaluation"]["protocol"] == protocol
        assert (table.read_bytes() == before) == (protocol == "corrected")


def test_tables_and_figures_made_again_are_the_same_bytes(finished, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(finished, again, symlinks=True)
    made = [path for path in (again / "results").glob("*.*") if path.suffix in (".csv", ".md", ".tex")]
    made += list((again / "results" / "figures").iterdir())
    before = {path: path.read_bytes() for path in made}
    for path in made:
        path.unlink()
    run = snakemake(again, "--cores", "999", "--forcerun", "table1", "tradeoff", "overlays")
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"Provided cores: {available_cpu_count()}\n" in run.stderr  # more jobs would only need more memory
    assert {path: path.read_bytes() for path in made if path.exists()} == before


def test_check_tells_what_there_is_to_do_and_what_it_took(finished):
    run = snakemake(finished, "--cores", "1", "check")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "prepared tables of the run" in run.stderr
    rows = re.findall(r"^\| (\w+) +\|.*\| +(\d+) +\| [\d.]+ +\| 0\.00 +\|$", run.stderr, re.M)
    of_models = {"latents", "finetune", "heat_maps", "attention_profile", "faithfulness", "samples"}
    assert {rule for rule, _ in rows} == of_models | {"classifier", "real_features", "fidelity"}
    assert all(int(jobs) > 0 for _, jobs in rows) and "unknown" not in run.stderr
    again = snakemake(finished, "--cores", "1", "check")
    assert "Disk space" in again.stderr


def test_check_lists_everything_that_is_missing(finished):
    run = snakemake(finished, "--cores", "1", "check", preset="paper")
    assert run.returncode != 0 and "Traceback" not in run.stderr
    missing = re.findall(r"MISSING (\S+):", run.stderr)
    assert missing == ["data.mimic_cxr_jpg", "data.mimic_cxr_reports", "data.ms_cxr", "data.coco"]
    assert "base model and 126 fine-tuned ones" in run.stderr


def test_the_tables_follow_from_the_files_beside_them(finished):
    run = snakemake(finished, "--cores", "1", "verify")
    assert run.returncode == 0, run.stderr
    tables = {path.name.replace("_columns", "") for path in (finished / "results").glob("*_columns.csv")}
    assert len(tables) == 7 and run.stderr.count("follows from the files") == 7


def test_a_score_that_was_changed_by_hand_is_found(finished):
    scores = next((finished / "results/smoke/evaluation/cxr/frozen").glob("seed0/final/localisation.csv"))
    content = scores.read_bytes()
    try:
        scores.write_bytes(content.replace(b"corrected", b"corrected ", 1))
        run = snakemake(finished, "--cores", "1", "verify")
    finally:
        scores.write_bytes(content)
    assert run.returncode != 0
    assert "seed0/final/localisation.csv: is not what rule localise wrote" in run.stderr


def test_the_account_of_the_results_joins_all_jobs(finished):
    joined = json.loads((finished / "results" / "provenance.json").read_text())
    assert joined["config"]["preset"] == "smoke" and joined["commits"] and joined["devices"]
    assert {"finetune", "heat_maps", "fidelity", "table1", "tradeoff", "report"} < set(joined["wall_seconds"])
    assert "results/smoke/model/cxr/frozen/seed0/final" in joined["files"]
    assert not [path for path in joined["sources"] if path.startswith("results/")]
    model = json.loads((finished / "results/smoke/model/cxr/frozen/seed0/provenance.json").read_text())
    assert model["wildcards"]["seed"] == "0" and model["params"]["training"]["steps"] == 6
    assert model["config"] == joined["config"]
