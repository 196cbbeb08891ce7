import errno
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from snakemake.iocontainers import InputFiles, Params, Wildcards
from threadpoolctl import threadpool_info, threadpool_limits

from tradeoffs.errors import InputError
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import identity, job, logger
from tradeoffs.packages import known_to_jobs
from tradeoffs.progress import Progress


@pytest.fixture
def snakemake(tmp_path):
    """Snakemake's object as far as a job reads it; the process is as before afterwards."""
    root, threads = logging.getLogger(), torch.get_num_threads()
    handlers, level = root.handlers[:], root.level
    yield SimpleNamespace(
        log=[str(tmp_path / "logs" / "data" / "rule.log")],
        threads=1,
        resources={},
        rule="prepare_images",
        output=[str(tmp_path / "images.csv")],
    )
    root.handlers[:], root.level = handlers, level
    torch.set_num_threads(threads)


def test_log_holds_what_the_terminal_shows(snakemake, capsys):
    terminal = sys.stderr
    with job(snakemake):
        print("progress", file=sys.stderr)
        logger.info("%d images", 3)
    assert sys.stderr is terminal
    shown = capsys.readouterr().err
    assert shown == Path(snakemake.log[0]).read_text() == "progress\n3 images\n"


def test_a_file_that_may_not_be_read_is_one_line(snakemake, capsys):
    with pytest.raises(SystemExit), job(snakemake):
        raise PermissionError(13, "Permission denied", "mimic/files/p10/a.jpg")
    told = (
        "Error in rule prepare_images: [Errno 13] Permission denied: 'mimic/files/p10/a.jpg'; ask its owner for access"
    )
    assert capsys.readouterr().err.startswith(told)


def test_only_this_projects_loggers_tell_of_progress(snakemake, capsys):
    with job(snakemake):
        logging.getLogger("fontTools.subset").info("glyphs subset")
        logging.getLogger("tradeoffs.evaluation.localisation").info("2 excluded")
        logging.getLogger("fontTools.subset").warning("no glyph")
    assert capsys.readouterr().err == "2 excluded\nno glyph\n"


def test_on_a_shared_terminal_each_line_names_its_job(snakemake, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    snakemake.rule, snakemake.wildcards = "finetune", {"dataset": "cxr", "variant": "frozen", "seed": "0"}
    with job(snakemake):
        logger.info("step 1 of 2")
    assert capsys.readouterr().err == "finetune cxr/frozen/seed0: step 1 of 2\n"
    assert Path(snakemake.log[0]).read_text() == "step 1 of 2\n"
    with pytest.raises(SystemExit), job(snakemake):
        raise InputError("images.csv: is empty")
    assert capsys.readouterr().err == "Error in rule finetune cxr/frozen/seed0: images.csv: is empty\n"


def test_a_bar_is_drawn_alone_only_and_else_is_a_line_now_and_then(snakemake, capsys, monkeypatch):
    monkeypatch.setattr("tradeoffs.progress.PAUSE", 0)
    with job(snakemake):
        assert list(Progress(range(2), desc="samples", unit="batch")) == [0, 1]
    assert "\rsamples: 100%" in capsys.readouterr().err
    snakemake.wildcards = {"dataset": "cxr"}
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with job(snakemake):
        assert list(Progress(range(2), desc="samples", unit="batch")) == [0, 1]
    lines = capsys.readouterr().err
    assert lines.endswith("prepare_images cxr: samples: 2 of 2 batch, 00:00 left\n") and "\r" not in lines


def test_a_job_within_a_job_leaves_the_outer_log_alone(snakemake, tmp_path):
    with job(snakemake):
        with job(SimpleNamespace(log=[str(tmp_path / "inner.log")], threads=1, rule="table1", resources={}, output=[])):
            logger.info("inner")
        logger.info("outer")
    assert Path(snakemake.log[0]).read_text() == "inner\nouter\n"
    assert (tmp_path / "inner.log").read_text() == "inner\n"


def test_input_error_is_one_line(snakemake, capsys):
    terminal = sys.stderr
    with pytest.raises(SystemExit) as end, job(snakemake):
        raise InputError("images.csv, row 3: path is empty; correct it")
    assert end.value.code == 1 and sys.stderr is terminal
    expected = "Error in rule prepare_images: images.csv, row 3: path is empty; correct it\n"
    assert Path(snakemake.log[0]).read_text() == capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EROFS, os.strerror(errno.EROFS), "images.csv"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_disk_that_takes_no_more_is_one_line_with_the_remedy(snakemake, error):
    with pytest.raises(SystemExit), job(snakemake):
        raise error
    remedy = f"(make room|have the disk mounted for writing) for {os.getcwd()}/results, then run again"
    assert re.fullmatch(f"Error in rule prepare_images: .*; {remedy}\n", Path(snakemake.log[0]).read_text())


def test_what_a_killed_job_left_of_its_output_is_removed(snakemake, tmp_path):
    with atomic_path(snakemake.output[0]) as temporary:
        temporary.touch()
        with job(snakemake):
            assert not temporary.exists()
        temporary.touch()


def test_other_errors_are_logged_with_a_traceback(snakemake):
    with pytest.raises(SystemExit) as end, job(snakemake):
        raise KeyError("sample_id")
    log = Path(snakemake.log[0]).read_text()
    assert end.value.code == 1
    assert log.startswith("Traceback") and "test_jobs.py" in log and log.endswith("KeyError: 'sample_id'\n")


def test_threads_are_limited(snakemake):
    torch.set_num_threads(2)
    with threadpool_limits(2):
        assert {pool["num_threads"] for pool in threadpool_info()} == {2}
        with job(snakemake):
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}


def test_script_ends_with_exit_code(tmp_path):
    script = (
        "from types import SimpleNamespace\n"
        "from tradeoffs.jobs.job import job\n"
        f"values = dict(log=[{str(tmp_path / 'rule.log')!r}], threads=1, resources={{}}, rule='r', output=[])\n"
        "with job(SimpleNamespace(**values)):\n"
        "    raise MemoryError\n"
    )
    run = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True)
    assert run.returncode == 1 and (tmp_path / "rule.log").read_bytes() == run.stderr and b"MemoryError" in run.stderr


@pytest.mark.parametrize("marked", [True, False])
def test_garbage_is_not_collected_among_the_imports_of_a_job(tmp_path, marked):
    script = (
        "from types import SimpleNamespace\n"
        "import gc, pandas\n"
        "from tradeoffs.jobs.job import job\n"
        f"values = dict(log=[{str(tmp_path / 'rule.log')!r}], threads=1, resources={{}}, rule='r', output=[])\n"
        "before = gc.isenabled()\n"
        "with job(SimpleNamespace(**values)):\n"
        "    print(before, gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)} | ({"TRADEOFFS_JOB": "1"} if marked else {})
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == (["False", "True", "True"] if marked else ["True", "True", "False"])


def test_workflow_marks_its_jobs(monkeypatch):
    monkeypatch.setattr(os, "environ", {"PYTHONPATH": "/mine"})  # another one, so that no later test is a job
    known_to_jobs("/workflow")
    assert os.environ == {"PYTHONPATH": f"/workflow{os.pathsep}/mine", "TRADEOFFS_JOB": "1"}


def test_identity_tells_params_wildcards_and_contents_of_inputs(tmp_path):
    def digest(content="1", guidance=4.0, seed="0"):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / "weights").write_text(content)
        return identity(
            SimpleNamespace(
                params=Params(fromdict={"sampling": {"guidance": guidance}}),
                wildcards=Wildcards(fromdict={"seed": seed}),
                input=InputFiles(fromdict={"model": str(tmp_path / "model")}),
            )
        )

    assert digest() == digest()
    assert len({digest(), digest(content="2"), digest(guidance=3.0), digest(seed="1")}) == 4


def test_identity_tells_the_one_model_of_several_that_a_job_reads(tmp_path):
    def digest(step, **weights):
        for name, content in weights.items():
            (tmp_path / "milestones" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "milestones" / name / "weights").write_text(content)
        return identity(
            SimpleNamespace(
                params=Params(fromdict={"model": str(tmp_path / "milestones" / step)}),
                wildcards=Wildcards(fromdict={"checkpoint": step}),
                input=InputFiles(fromdict={"model": str(tmp_path / "milestones")}),
            )
        )

    before = digest("step2", step2="a", step4="a")
    assert digest("step2", step4="b") == before != digest("step2", step2="b")
