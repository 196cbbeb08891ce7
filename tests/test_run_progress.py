"""What a run tells of itself as a whole, with times worked out by hand."""

import logging

import pytest

from tradeoffs.jobs import run_progress
from tradeoffs.jobs.run_progress import RunProgress, RunProgressHandler


def test_the_time_left_is_that_of_finished_jobs_of_the_same_rules():
    progress = RunProgress({"latents": 3, "finetune": 2, "all": 1}, now=0)
    assert progress.line(0) == "0 of 6 jobs done, 6 jobs of rules that are not timed yet"
    progress.started(1, "latents", 0)
    progress.finished(1, 10)
    # 2 more of 10 s each, one at once
    assert progress.line(10) == "1 of 6 jobs done, about 0:00:20 left, besides 3 jobs of rules that are not timed yet"
    progress.started(2, "latents", 10)
    progress.started(3, "finetune", 10)
    progress.finished(2, 40)
    # latents took 10 s and 30 s, 20 s in the mean, and one is left; 10 + 30 + 30 s of work in 40 s: 1.75 at once
    assert progress.line(40) == "2 of 6 jobs done, about 0:00:11 left, besides 3 jobs of rules that are not timed yet"


def test_what_has_run_of_a_job_is_not_left():
    progress = RunProgress({"latents": 2}, now=0)
    progress.started(1, "latents", 0)
    progress.finished(1, 100)
    progress.started(2, "latents", 100)
    assert progress.line(160) == "1 of 2 jobs done, about 0:00:40 left"
    assert progress.line(300) == "1 of 2 jobs done, about 0:00:00 left"  # longer than the first
    progress.finished(2, 300)
    assert progress.line(300) == "2 of 2 jobs done"


def test_a_job_that_is_tried_again_counts_once_and_from_its_new_start():
    progress = RunProgress({"latents": 2}, now=0)
    progress.started(1, "latents", 0)
    progress.started(1, "latents", 50)
    progress.finished(1, 60)
    assert progress.line(60) == "1 of 2 jobs done, about 0:00:10 left"


@pytest.fixture
def snakemake_logger(monkeypatch):
    """A logger with the handler, and what it says at which second of a clock."""
    clock, told = [0.0], []
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: clock[0])
    logger = logging.Logger("snakemake")
    said = logging.Handler()
    said.emit = lambda record: told.append(record.getMessage())
    out = logging.Logger("out")
    out.addHandler(said)
    logger.addHandler(RunProgressHandler(out))

    def log(second: float, event: str, **values) -> None:
        clock[0] = second
        logger.info(None, extra={"event": event, **values})

    return log, told


def test_snakemakes_events_become_a_line_now_and_then(snakemake_logger):
    log, told = snakemake_logger
    log(0, "progress", done=0, total=3)  # before the run
    log(0, "run_info", stats={"latents": 3, "total": 3})
    for job, second in ((1, 0), (2, 4), (3, 20)):
        log(second, "job_info", jobid=job, rule_name="latents")
        log(second + 4, "job_finished", job_id=job)
        log(second + 4, "progress", done=job, total=3)
    # after 4 s; not at 8 s, within the pause; after 24 s
    assert told == ["This run: 1 of 3 jobs done, about 0:00:08 left", "This run: 3 of 3 jobs done"]


def test_the_events_are_snakemakes_own():
    from snakemake_interface_logger_plugins.common import LogEvent

    assert {"run_info", "job_info", "job_finished", "progress"} <= {str(event) for event in LogEvent}
