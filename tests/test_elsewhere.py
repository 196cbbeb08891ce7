"""The workflow away from its own folder: in another working directory, and as a module of another workflow."""

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
    assert "tradeoffs_table1" in run(tmp_path, "--dry-run")
    run(tmp_path, "results/smoke/data/cxr/raw")  # its scripts find the package
    assert (tmp_path / "results/smoke/data/cxr/raw").is_dir()


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
