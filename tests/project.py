"""Copies of the project to run Snakemake in."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDERS = [
    "config",
    "docs",
    "envs",
    "profiles",
    "report",
    "resources",
    "rules",
    "slurm",
    "tradeoffs",
    "workflow_scripts",
]
EXECUTED = [*FOLDERS, "Snakefile"]


def copy_project(target: Path) -> Path:
    target.mkdir()
    for name in EXECUTED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target / name)
    return target


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what pytest needs to find our modules, and `more`."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def snakemake(
    folder: Path,
    *arguments: str,
    preset: str = "smoke",
    more_config: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--config", f"preset={preset}", *more_config],
        cwd=folder,
        env=clean_environment(**(environment or {})),
        capture_output=True,
        text=True,
    )


def watched(folder: Path) -> dict[str, str]:
    """Environment in which no Python process gets out of this machine; see offline/sitecustomize.py."""
    offline = PROJECT / "tests" / "offline"
    files = {"WATCHED": folder / "watched.txt", "ATTEMPTS": folder / "attempts.txt"}
    return {"PYTHONPATH": str(offline)} | {name: str(path) for name, path in files.items()}


def rules_to_run(folder: Path, *targets: str, more_config: Sequence[str] = ()) -> set[str]:
    """Names of the rules that a dry run would execute."""
    run = snakemake(folder, "--cores", "2", "--dry-run", *targets, more_config=more_config)
    assert run.returncode == 0, run.stdout + run.stderr
    return rules_of(run.stdout + run.stderr)


def rules_of(dry_run: str) -> set[str]:
    """Names of the rules in the output of a dry run."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", dry_run, re.S | re.M)
    return {line.split()[0] for line in table.group(1).splitlines()} if table else set()
