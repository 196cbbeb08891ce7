"""The workflow away from its own folder: in another working directory, and as a module of another workflow."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import PROJECT, clean_environment

MODULE = f"""
module tradeoffs:
    snakefile: "{PROJECT}/Snakefile"
    config: {{"preset": "smoke"}}
use rule * from tradeoffs as tradeoffs_*
rule mine:
    default_target: True
    input: rules.tradeoffs_table1.output
"""


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("way", ["--directory", "-s"])
def test_another_working_directory_with_a_configuration_of_its_own(tmp_path, way):
    """What ships is found from the Snakefile, a user's relative path from the working directory."""
    (tmp_path / "own.csv").write_text("text,Finding Labels\nedema,Edema\n")
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
