"""What kills, full disks, read-only folders and a second run leave behind: after a plain rerun, the same bytes.

`python -m pytest -m interruptions` goes through all of them, each in every script; the ordinary tests only through
one kill.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from project import PROJECT, clean_environment, copy_project, rules_of, snakemake
from safetensors import SafetensorError, safe_open

pytestmark = pytest.mark.xdist_group("workflow")

TABLES = ["table1", "table2", "table3", "table7", "table1_cxr_findings", "table1_coco_categories", "differences"]
PATIENCE = 600  # seconds
DISKS = {f"rw,size={size}m": "No space left on device" for size in (1, 4, 16, 64)} | {"ro": "Read-only file system"}


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Snakemake with the smoke preset in a process group of its own, which is gone after the block."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--config", "preset=smoke"]
    with open(folder / "snakemake.txt", "a") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(**environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(there: Callable[[], bool], process: subprocess.Popen) -> None:
    """Returns as soon as `there()` is true, which must be before the process ends."""
    until = time.monotonic() + PATIENCE
    while not there():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)


def tables(folder: Path, names: Sequence[str] = TABLES) -> dict[str, bytes]:
    paths = [folder / "results" / f"{name}.{suffix}" for name in names for suffix in ("csv", "md", "tex")]
    return {path.name: path.read_bytes() for path in paths}


def read(path: Path) -> None:
    """Reads a file as its kind; raises what its reader raises for half a file."""
    match path.suffix:
        case ".csv":
            pd.read_csv(path)
        case ".json":
            json.loads(path.read_text())
        case ".png":
            Image.open(path).load()
        case ".npz":
            with np.load(path) as arrays:
                [arrays[name] for name in arrays]
        case ".safetensors":
            safe_open(path, "numpy")


def half_written(folder: Path) -> list[Path]:
    """Files of results under their final names that cannot be read."""
    broken = []
    for path in (folder / "results").rglob("*"):
        if path.is_file() and ".tmp" not in str(path):
            try:
                read(path)
            except (OSError, ValueError, SafetensorError):
                broken.append(path)
    return broken


def kill_every_script(folder: Path, *targets: str) -> set[str]:
    """Runs until a run gets through; returns who was killed, as killing/sitecustomize.py lists them."""
    killed = folder / "killed"
    killed.mkdir()
    environment = {"PYTHONPATH": str(PROJECT / "tests" / "killing"), "KILLED": str(killed)}
    while True:
        before = len(list(killed.iterdir()))
        with running(folder, "--cores", "2", "--keep-going", *targets, **environment) as run:
            if run.wait(PATIENCE) == 0:
                return {path.name for path in killed.iterdir()}
        assert len(list(killed.iterdir())) > before
        assert half_written(folder) == []
        assert snakemake(folder, "--unlock").returncode == 0


def scripts_of(run: str) -> set[str]:
    """Names of the scripts of all rules that ran, from what Snakemake printed."""
    rules = "".join(path.read_text() for path in (PROJECT / "rules").rglob("*.smk"))
    bodies = dict(re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *(?:use )?rule |\Z)", rules, re.S | re.M))
    scripts = [re.search(r"workflow_scripts/\w+/(\w+)\.py", bodies[rule]) for rule in rules_of(run) & set(bodies)]
    return {script[1] for script in scripts if script}


def assert_undisturbed(folder: Path, finished: Path) -> None:
    """The tables are those of an undisturbed run and follow from their files, and nothing half-written is left."""
    assert tables(folder) == tables(finished)
    assert not list((folder / "results").rglob("*.tmp*"))
    assert snakemake(folder, "--cores", "2", "verify").returncode == 0


def test_a_killed_run_goes_on_with_other_cores_and_ends_with_the_same_bytes(finished, tmp_path):
    folder, names = tmp_path / "again", ["table1", "table2", "table7"]
    shutil.copytree(finished, folder, symlinks=True)
    frozen = list((folder / "results" / "smoke").glob("*/cxr/frozen"))  # a fine-tuning and what follows from it
    assert {path.parts[-3] for path in frozen} == {"model", "attention", "sampling", "evaluation"}
    for path in frozen:
        shutil.rmtree(path)
    for name in names:
        (folder / "results" / f"{name}.csv").unlink()
    with running(folder, "--cores", "1", *names) as run:
        wait_for(lambda: any((folder / "results/smoke/model/cxr/frozen").glob("seed0/checkpoint/step*")), run)
    locked = snakemake(folder, "--cores", "1", "table1")
    assert locked.returncode != 0 and "--unlock" in locked.stdout + locked.stderr
    assert snakemake(folder, "--unlock").returncode == 0
    run = snakemake(folder, "--cores", "1", *names)
    assert run.returncode == 0, run.stderr[-3000:]
    assert {"finetune", "heat_maps", "localise", "samples", "fidelity", *names} <= rules_of(run.stdout + run.stderr)
    assert tables(folder, names) == tables(finished, names)


@pytest.mark.interruptions
def test_every_script_killed_while_it_writes_and_two_runs_at_once_change_no_byte(finished, tmp_path):
    folder = copy_project(tmp_path / "again")
    scripts = scripts_of((finished / "snakemake.txt").read_text())
    assert kill_every_script(folder) == {f"{script}.{event}" for script in scripts for event in ("open", "os.rename")}
    with running(folder, "--cores", "2", "--forcerun", "prepare_wrong_prompts") as first:
        wait_for(lambda: any((folder / ".snakemake/locks").glob("*")), first)
        second = snakemake(folder, "--cores", "2")
        assert second.returncode != 0 and "locked" in second.stdout + second.stderr
        assert first.wait(PATIENCE) == 0
    assert_undisturbed(folder, finished)


@pytest.mark.interruptions
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which only root may")
def test_a_full_disk_and_a_read_only_one_change_no_byte(finished, tmp_path):
    folder = copy_project(tmp_path / "again")
    results = folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(results)], check=True)
    try:
        for options, words in DISKS.items():
            subprocess.run(["mount", "-o", f"remount,{options}", str(results)], check=True)
            run = snakemake(folder, "--cores", "2")
            printed = run.stdout + run.stderr
            assert run.returncode != 0 and words in printed, printed[-6000:]
            assert half_written(folder) == []
        subprocess.run(["mount", "-o", "remount,rw,size=4g", str(results)], check=True)
        run = snakemake(folder, "--cores", "2")
        assert run.returncode == 0, run.stderr[-3000:]
        assert_undisturbed(folder, finished)
    finally:
        subprocess.run(["umount", str(results)], check=True)
