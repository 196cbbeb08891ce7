"""What the README's first command takes: jobs, CPU seconds and, of those, seconds of imports, stage by stage."""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.measuring import Row, at_most

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "demo.md"
# Commit bf01a32, whose Table 1 had 83 jobs of two seeds with the sentence encoder: 26 min 24 s of CPU time on one
# machine, 43 min under load on another.
BEFORE = 26 * 60 + 24


def rows() -> list[Row]:
    """Runs `snakemake --cores 2 results/table1.csv` on a copy of the commit that is checked out."""
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "project"
        subprocess.run(["git", "clone", "-q", str(PROJECT), str(clone)], check=True)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "results/table1.csv"]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
        jobs = finished_jobs(clone / "results" / "demo")
    before = recorded(RESULTS.read_text()) if RESULTS.exists() else {}
    table = []
    for stage, of_stage in [("all stages", jobs), *jobs.groupby("stage", sort=False)]:
        seconds = of_stage["cpu"].sum()
        ratio = f"{seconds / before[stage]:.2f}" if before.get(stage) else ""
        spent = f"{len(of_stage)} jobs, {seconds:.0f} s of CPU time, {of_stage['imports'].sum():.0f} s of imports"
        table.append(Row(stage, f"{before[stage]:.0f} s" if stage in before else "", spent, ratio))
    return [at_most("README's first command, against commit bf01a32", BEFORE, jobs["cpu"].sum(), "s", 0.55), *table]


def finished_jobs(run: Path) -> pd.DataFrame:
    """One row per finished job of a run's folder: stage, and CPU seconds in all (`cpu`) and before its work began
    (`imports`)."""
    jobs = []
    for file in sorted([*run.glob("provenance/**/*.json"), *run.glob("model/**/provenance.json")]):
        seconds = json.loads(file.read_text())["cpu_seconds"]
        stage = file.relative_to(run).parts[file.is_relative_to(run / "provenance")]
        jobs.append({"stage": stage, "cpu": seconds["all"], "imports": seconds["imports"]})
    return pd.DataFrame(jobs)


def recorded(page: str) -> dict[str, float]:
    """CPU seconds of each stage in the last recorded table."""
    return {stage: float(s) for stage, s in re.findall(r"^\| ([\w ]+) \|.*?, (\d+) s of CPU time", page, re.MULTILINE)}
