import os
import subprocess
import sys

import pytest
import torch

from tradeoffs.errors import InputError
from tradeoffs.jobs.devices import default_device, gpus_asked, held_cards
from tradeoffs.model import trainer

# a job that says which card it got and ends when its input does
JOB = """
import logging, os, sys
from tradeoffs.jobs.devices import held_cards
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
with held_cards(int(sys.argv[1]), pause=0.05):
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start(monkeypatch):
    """Starts processes on a machine with the cards 4 and 7; those left over end with the test."""
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setenv("SLURM_JOB_ID", f"test{os.getpid()}")  # its own cards, whatever else runs here
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    jobs = []

    def start(wanted: int) -> subprocess.Popen:
        command = [sys.executable, "-c", JOB, str(wanted)]
        jobs.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.communicate()


def cards_of(job: subprocess.Popen) -> str:
    """The cards that a job was given, as its log and its environment say."""
    logged, shown = job.stdout.readline(), job.stdout.readline().strip()
    assert logged == f"GPUs: {shown.replace(',', ', ')}\n"
    return shown


def test_two_jobs_never_get_the_same_card(start):
    first, second = start(1), start(1)
    assert {cards_of(first), cards_of(second)} == {"4", "7"}


def test_a_job_waits_until_a_killed_one_leaves_its_card(start):
    first, second = start(1), start(1)
    cards = {job: cards_of(job) for job in (first, second)}
    third = start(1)
    assert third.stdout.readline() == "waiting for 1 of the GPUs 4, 7, which other jobs hold\n"
    second.kill()
    assert cards_of(third) == cards[second]


def test_a_job_that_waits_for_two_cards_holds_none_of_them(start):
    assert cards_of(start(1)) == "4"
    both = start(2)
    assert both.stdout.readline().startswith("waiting for 2 of")
    assert cards_of(start(1)) == "7"


def test_jobs_of_another_slurm_job_have_cards_of_their_own(start, monkeypatch):
    assert cards_of(start(2)) == "4,7"
    monkeypatch.setenv("SLURM_JOB_ID", f"another{os.getpid()}")
    assert cards_of(start(2)) == "4,7"


def test_a_job_without_gpus_sees_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with held_cards(0) as cards:
        assert cards == [] and os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"


@pytest.mark.parametrize(("on_the_machine", "held"), [(0, []), (2, ["0"])])
def test_cards_are_counted_without_starting_cuda_in_the_job(tmp_path, monkeypatch, on_the_machine, held):
    """A process that has started CUDA looks at CUDA_VISIBLE_DEVICES no more."""
    (tmp_path / "torch.py").write_text(f"class cuda:\n    device_count = lambda: {on_the_machine}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", f"test{os.getpid()}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("counted in the job's own process"))
    with held_cards(1) as cards:
        assert cards == held
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_more_cards_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with pytest.raises(InputError, match="asks for 2 GPUs and sees 1: 4"), held_cards(2):
        pass


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"gpu": 2}, 2),
        ({"gpu": 0}, 0),
        ({"mem_mb": 500}, 0),
        ({"gpu": 0, "gres": "gpu:2"}, 2),
        ({"gres": "gpu:a100:2"}, 2),
        ({"gres": "gpu:a100"}, 1),
        ({"gres": "lustre:2"}, 0),
    ],
)
def test_both_dialects_of_slurm_tell_how_many_gpus(resources, gpus):
    assert gpus_asked(resources) == gpus


def test_training_and_inference_take_the_same_device(monkeypatch):
    """Cards are handed out by CUDA's names, so an accelerator of another kind is not used, in no stage."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made = []
    monkeypatch.setattr(trainer, "Accelerator", lambda **settings: made.append(settings))
    trainer.accelerator_for("fp32", learnable=False)
    assert made[0]["cpu"] and default_device() == "cpu"
    with pytest.raises(InputError, match="training.precision: fp16 needs a GPU"):
        trainer.accelerator_for("fp16", learnable=False)
