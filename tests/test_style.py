"""The code's style and types, and the workflow's own linter."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
CHECKS = {
    "ruff": ["ruff", "check", "."],
    "ruff's format": ["ruff", "format", "--check", "."],
    "snakefmt": ["snakefmt", "--check", "Snakefile", "rules"],
    "mypy": ["mypy"],
    "snakemake's lint": ["snakemake", "--lint"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_project_is_clean(check):
    run = subprocess.run([sys.executable, "-m", *CHECKS[check]], cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
