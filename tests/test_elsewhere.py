"""The workflow away from its own folder: in another working directory, and as a module of another workflow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from project import PROJECT, clean_environment

from tradeoffs.config.targets import misspelt

MODULE = f"""
module tradeoffs:
    snakefile: "{PROJECT}/Snakefile"
    config: {{"preset": "smoke"}}
use rule * from tradeoffs as tradeoffs_*
rule mine:
    default_target: True
    input: rules.tradeoffs_table1.output
"""


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("way", ["--directory", "-s"])
def test_another_working_directory_with_a_configuration_of_its_own(tmp_path, way):
    """What ships is found from the Snakefile, a user's relative path from the working directory."""
    (tmp_path / "own.csv").write_text("sample_id,text,Finding Labels\na,edema,Edema\n")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("preset: smoke\ndata: {prompts: own.csv}\n")
    where = (
        [PROJECT, "--directory", str(tmp_path)] if way == "--directory" else [tmp_path, "-s", f"{PROJECT}/Snakefile"]
    )
    told = run(*where, "--dry-run", "results/table1.csv", "results/report.html")
    assert "own.csv" in told
    run(*where, "results/smoke/data/cxr/raw")
    assert (tmp_path / "results/smoke/data/cxr/raw").is_dir()


def test_a_module_of_another_workflow(tmp_path):
    (tmp_path / "Snakefile").write_text(MODULE)
    told = run(tmp_path, "--dry-run")
    assert "tradeoffs_table1" in told and "localrules directive specifies rules that are not present" not in told
    run(tmp_path, "results/smoke/data/cxr/raw")  # its scripts find the package
    assert (tmp_path / "results/smoke/data/cxr/raw").is_dir()


@pytest.mark.parametrize(
    ("statement", "results", "logs"),
    [
        ('prefix: "sub"', "sub/results", "sub/logs"),
        ('replace_prefix: {"results/": "out/"}', "out", "logs"),
    ],
)
def test_a_module_with_a_prefix_makes_the_same_files_there(tmp_path, statement, results, logs):
    """In params too, and in the records; a user's relative path stays one from the working directory."""
    (tmp_path / "own.csv").write_text("sample_id,text,Finding Labels\na,edema,Edema\n")
    settings = '{"preset": "smoke", "data": {"prompts": "own.csv"}}'
    (tmp_path / "Snakefile").write_text(MODULE.replace('{"preset": "smoke"}', f"{settings}\n    {statement}"))
    run(tmp_path, f"{results}/smoke/data/cxr/prompts.csv")
    assert "edema" in (tmp_path / results / "smoke/data/cxr/prompts.csv").read_text()
    record = json.loads((tmp_path / results / "smoke/provenance/data/cxr/prepare_images.json").read_text())
    assert record["params"]["folders"]["ms_cxr"] == f"{results}/smoke/data/cxr/raw/ms-cxr"
    assert "folders" not in record["config"]
    assert (tmp_path / logs / "smoke/data/cxr/prepare_images.log").is_file()
    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert made == {"Snakefile", "own.csv", results.split("/")[0], logs.split("/")[0]}


def test_a_table_of_a_module_that_its_configuration_cannot_make_is_refused(tmp_path):
    settings = '{"preset": "smoke", "data": {"sets": ["coco"]}}'
    (tmp_path / "Snakefile").write_text(MODULE.replace('{"preset": "smoke"}', settings))
    told = run(tmp_path, "--dry-run", "tradeoffs_table2", code=1)
    assert "tradeoffs_table2: needs cxr, which data.sets leaves out" in told


def test_the_check_of_a_module_tells_what_is_missing(tmp_path):
    settings = '{"preset": "smoke", "data": {"prompts": "nowhere.csv"}}'
    (tmp_path / "Snakefile").write_text(MODULE.replace('{"preset": "smoke"}', settings))
    assert "MISSING data.prompts" in " ".join(run(tmp_path, "tradeoffs_check", code=1).split())


def test_a_misspelt_target_of_a_module_is_told_with_the_right_one(tmp_path):
    (tmp_path / "Snakefile").write_text(MODULE)
    told = run(tmp_path, "--dry-run", "tradeofs_table1", code=1)
    assert "tradeofs_table1: nothing makes this; did you mean tradeoffs_table1 or " in told
    assert "nothing makes this" not in run(tmp_path, "--dry-run", "mine")  # which comes after the module


@pytest.mark.parametrize("arguments", [["results/tabel1.csv"], ["-R", "results/tabel1.csv", "--", "table1"]])
def test_a_misspelt_target_stops_with_the_right_one(tmp_path, arguments):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("preset: smoke\n")
    told = run(tmp_path, "-s", f"{PROJECT}/Snakefile", "--dry-run", *arguments, code=1)
    assert "results/tabel1.csv: nothing makes this; did you mean results/table1.csv" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("chek", "did you mean check?"),
        ("table", "did you mean table1?"),
        ("nonsense", "`snakemake --list` shows the targets by name, docs/outputs.md the files"),
    ],
)
def test_what_is_said_of_a_misspelt_target(target, words):
    known = ["all", "check", "verify", "table1", "figures", "results/table1.csv"]
    assert misspelt(target, known) == f"{target}: nothing makes this; {words}"
