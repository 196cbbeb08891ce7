"""How the package is built."""

import re
import subprocess
import sys

import pytest
from project import PROJECT


def test_stage_modules_do_not_import_snakemake():
    users = [
        path
        for path in (PROJECT / "tradeoffs").rglob("*.py")
        if re.search(r"^\s*(import|from) snakemake\b", path.read_text(), re.M)
    ]
    assert {path.parent.name for path in users} == {"provenance"}  # which no stage but verify


def test_what_the_rules_import_waits_for_no_large_package():
    """Each start of Snakemake, and each of its jobs with a process of its own, imports these modules."""
    rules = "".join(path.read_text() for path in (PROJECT / "rules").rglob("*.smk"))
    modules = sorted(set(re.findall(r"^ *from (tradeoffs[\w.]*) import", rules, re.M)))
    code = f"import sys, {', '.join(modules)}; print({{'torch', 'pandas', 'scipy', 'PIL'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert len(modules) > 10 and run.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "scripts, slow",
    [
        (["paper/table", "paper/report", "paper/chart", "evaluation/summarise_localisation"], "torch"),
        (["evaluation/localise", "evaluation/location_prior", "evaluation/score_methods"], "diffusers"),
        (["evaluation/score_fidelity", "evaluation/real_images_fidelity", "paper/picture"], "diffusers"),
        (["paper/explore", "paper/mechanism"], "diffusers"),
    ],
)
def test_jobs_without_a_model_do_not_wait_for_its_libraries(scripts, slow):
    """diffusers costs a job three seconds of CPU time, torch one."""
    sources = [(PROJECT / f"workflow_scripts/{script}.py").read_text() for script in scripts]
    modules = sorted(set(re.findall(r"^from (tradeoffs[\w.]*) import", "\n".join(sources), re.M)))
    code = f"import sys, {', '.join(modules)}; print({slow!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert len(modules) >= 4 and run.stdout.strip() == "False"
