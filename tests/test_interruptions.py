"""What kills, full disks, read-only folders and a second run leave behind: after a plain rerun, the same bytes.

`python -m pytest -m interruptions` goes through all of them (about twice the time of the smoke preset); the ordinary
tests only through one kill.
"""

import contextlib
import os
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
from project import copy_project, snakemake

pytestmark = pytest.mark.xdist_group("workflow")

TABLES = ["table1", "table2", "table3", "table7", "table1_coco_categories", "differences"]
PATIENCE = 600  # seconds
STAGES = [  # scripts in whose jobs the run is killed, in the order data flows
    "write_phantoms",
    "prepare_images",
    "base_model",
    "latents",
    "finetune",
    "heat_maps",
    "localise",
    "draw_samples",
    "score_fidelity",
    "summarise_localisation",
    "table1",
    "report",
]


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Snakemake with the smoke preset in a process group of its own, which is gone after the block."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--config", "preset=smoke"]
    with open(folder / "snakemake.txt", "a") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(found: Callable[[], object], process: subprocess.Popen):
    """What `found` returns as soon as that is something; None if the process ends before."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if result := found():
            return result
        if process.poll() is not None:
            return None
        time.sleep(0.05)
    raise TimeoutError


def jobs(folder: Path, script: str) -> list[int]:
    """Process ids of the running jobs of a script in this folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # no process, or it has ended
            continue
        if any(part.startswith(f"{folder}/.snakemake/scripts/") and part.endswith(f".{script}.py") for part in command):
            found.append(int(process.name))
    return found


def tables(folder: Path, names: Sequence[str] = TABLES) -> dict[str, bytes]:
    paths = [folder / "results" / f"{name}.{suffix}" for name in names for suffix in ("csv", "md", "tex")]
    return {path.name: path.read_bytes() for path in paths}


def half_written(folder: Path) -> list[Path]:
    """Files under their final names that cannot be read."""
    broken = []
    for path in (folder / "results").rglob("*"):
        try:
            if path.suffix == ".csv":
                pd.read_csv(path)
            elif path.suffix == ".npz":
                with np.load(path) as arrays:
                    [arrays[name] for name in arrays]
        except (OSError, ValueError):
            broken.append(path)
    return [path for path in broken if ".tmp" not in path.name]


def test_a_killed_run_goes_on_with_other_cores_and_ends_with_the_same_bytes(finished, tmp_path):
    folder = copy_project(tmp_path / "again")
    with running(folder, "--cores", "1", "table1", "table2", "table7") as run:
        assert wait_for(lambda: jobs(folder, "finetune"), run)
        time.sleep(2)
    locked = snakemake(folder, "--cores", "1", "table1")
    assert locked.returncode != 0 and "--unlock" in locked.stdout + locked.stderr
    assert snakemake(folder, "--unlock").returncode == 0
    run = snakemake(folder, "--cores", "1", "table1", "table2", "table7")
    assert run.returncode == 0, run.stderr[-3000:]
    names = ["table1", "table2", "table7"]
    assert tables(folder, names) == tables(finished, names)


@pytest.mark.interruptions
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk, which only root may")
def test_every_misfortune_in_turn_changes_no_byte(finished, tmp_path):
    folder = copy_project(tmp_path / "again")
    results = folder / "results"
    results.mkdir()
    disk = ["-t", "tmpfs", "-o", "size=20m", "none", str(results)]
    subprocess.run(["mount", *disk], check=True)
    try:
        full = snakemake(folder, "--cores", "2", "--keep-going")
        assert full.returncode != 0 and "No space left on device" in full.stdout + full.stderr
        assert half_written(folder) == []

        subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
        forbidden = snakemake(folder, "--cores", "2")
        assert forbidden.returncode != 0 and "Read-only file system" in forbidden.stdout + forbidden.stderr
        subprocess.run(["mount", "-o", "remount,rw,size=2g", str(results)], check=True)

        killed = []
        for script in STAGES:
            for whole in (False, True):
                with running(folder, "--cores", "2") as run:
                    victims = wait_for(lambda script=script: jobs(folder, script), run)
                    if victims:
                        time.sleep(2 * whole)
                        killed.append((script, whole))
                        if whole:
                            os.killpg(run.pid, signal.SIGKILL)
                        else:
                            for victim in victims:
                                with contextlib.suppress(ProcessLookupError):
                                    os.kill(victim, signal.SIGKILL)
                            run.wait(PATIENCE)
                            assert run.returncode != 0
                assert half_written(folder) == []
                if whole:
                    assert snakemake(folder, "--unlock").returncode == 0
        assert {script for script, _ in killed} == set(STAGES)

        with running(folder, "--cores", "2", "--forcerun", "prepare_wrong_prompts") as run:
            wait_for(lambda: jobs(folder, "heat_maps"), run)
            second = snakemake(folder, "--cores", "2")
            assert second.returncode != 0 and "locked" in second.stdout + second.stderr
            assert run.wait(PATIENCE) == 0
        assert tables(folder) == tables(finished)
        assert snakemake(folder, "--cores", "2", "verify").returncode == 0
    finally:
        subprocess.run(["umount", str(results)], check=True)
