"""Fine-tuning in processes of its own: killed anywhere, doubled by a restarted head, divided among several."""

import multiprocessing
import os
import random
import shutil
import signal
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import count

import pytest
import torch
from accelerate.state import AcceleratorState
from small_training import IDS, SETTINGS, same

from tradeoffs.errors import Stopped
from tradeoffs.jobs.resuming import RunFolder, retire
from tradeoffs.model.checkpoints import load
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.model.training_progress import Onlookers

SIX_STEPS = replace(
    SETTINGS,
    steps=6,
    milestones=[3],
    micro_batch_size=2,
    schedule="constant",
    warmup_steps=0,
    ema_decay=0.5,
    log_every=3,
)


def sizes_of_weights(trainer, step):
    """In place of validation losses, which wait for nothing either: the mean size of weights and of their average."""
    rows = []
    for kind in ("raw", "ema"):
        with trainer.as_used(average=kind == "ema"):
            size = torch.cat([weight.flatten().abs() for weight in trainer.parameters]).mean().item()
        rows.append({"step": step, "weights": kind, "validation_loss": size, "images": 1})
    return rows


@pytest.fixture(scope="module")
def fine_tuning(tiny_base, tiny_latents):
    """Fine-tunes the tiny base in this process and saves weights, their average and the loss log in `folder`."""

    def run(folder, settings=SIX_STEPS, learnable=False, started=lambda: None, pause=0.0):
        AcceleratorState._reset_state(reset_partial_state=True)
        torch.set_num_threads(1)
        model = load(tiny_base)
        owner = RunFolder(folder / "checkpoint", "this run")

        def text(row, rng):
            time.sleep(pause / settings.batch_size)
            return ["left pneumonia", "right pneumonia", "mild edema"][rng.integers(3)]

        def keep(step):
            with owner.writing(owner.milestones / f"step{step}") as milestone:
                milestone.mkdir()
                torch.save(model.unet.state_dict(), milestone / "unet.pt")

        started()
        pairs, looks = Pairs(IDS, text), Onlookers(validation=sizes_of_weights)
        outcome = fine_tune(model, pairs, tiny_latents, learnable, settings, 0, owner, keep, onlookers=looks)
        if int(os.environ.get("RANK", 0)) == 0:
            found = {"losses": torch.tensor(outcome.losses.to_numpy())}
            found["validation"] = torch.tensor(outcome.validation.drop(columns="weights").to_numpy(float))
            for kind in ("raw", "average"):
                for part in ("unet", "text_encoder"):
                    state = model.networks[part].state_dict()
                    found |= {f"{kind} {part} {name}": value.clone() for name, value in state.items()}
                outcome.use_ema()
            found |= {f"milestone {k}": v for k, v in torch.load(owner.milestones / "step3" / "unet.pt").items()}
            torch.save(found, folder / "found.pt")

    return run


@pytest.fixture(scope="module")
def undisturbed(fine_tuning, tmp_path_factory):
    """What a run gives that nothing disturbs: tensors by name."""
    folder = tmp_path_factory.mktemp("undisturbed")
    end(start(fine_tuning, folder), 0)
    return torch.load(folder / "found.pt")


def start(function, *arguments, environment=(), **keywords):
    """A process that runs a function; it copies this one, which has all libraries loaded."""

    def main():
        os.environ.update(environment)
        try:
            function(*arguments, **keywords)
        except Stopped as error:
            print(error)
            os._exit(3)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=main)
    process.start()
    return process


def end(process, exit_code, seconds=60):
    process.join(seconds)
    assert process.exitcode == exit_code


def killed_after(calls):
    """Has this process killed at its `calls`th function call from now on."""
    numbers = count()
    sys.setprofile(lambda *event: os.kill(os.getpid(), signal.SIGKILL) if next(numbers) == calls else None)


def empty_state(folder):
    folder.mkdir(parents=True)


def last_checkpoint(folder):
    return max((int(path.name[4:]) for path in (folder / "checkpoint").glob("step*")), default=0)


def test_a_run_killed_again_and_again_ends_as_the_undisturbed_one(fine_tuning, undisturbed, tmp_path):
    draw, killed_at, exit_code = random.Random(1), [], None
    while exit_code != 0:
        # a whole run takes 1,500,000 calls; to begin and to write a checkpoint takes about 150,000 each
        process = start(fine_tuning, tmp_path, started=partial(killed_after, draw.randrange(100_000, 1_200_000)))
        process.join(60)
        exit_code = process.exitcode
        assert exit_code in (0, -signal.SIGKILL)
        killed_at.append(last_checkpoint(tmp_path))
        assert len(killed_at) < 30
    assert len(set(killed_at)) > 2
    assert same(torch.load(tmp_path / "found.pt"), undisturbed)
    assert not list((tmp_path / "checkpoint").glob(".*"))  # nothing half-written is left


def test_a_broken_checkpoint_is_passed_over_for_the_one_before(fine_tuning, undisturbed, tmp_path, capfd):
    end(start(fine_tuning, tmp_path), 0)
    (tmp_path / "found.pt").unlink()
    newest, before = sorted((tmp_path / "checkpoint").glob("step*"), reverse=True)
    weights = newest / "state" / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    end(start(fine_tuning, tmp_path), 0)
    assert same(torch.load(tmp_path / "found.pt"), undisturbed)

    for checkpoint in (newest, before):
        (checkpoint / "about.json").write_text("{")
    (tmp_path / "found.pt").unlink()
    end(start(fine_tuning, tmp_path), 0)
    assert same(torch.load(tmp_path / "found.pt"), undisturbed)


def test_of_two_processes_on_one_folder_the_newer_one_goes_on_and_the_older_one_stops(
    fine_tuning, undisturbed, tmp_path, capfd
):
    older = start(fine_tuning, tmp_path, pause=0.5)
    while not last_checkpoint(tmp_path):
        assert older.is_alive()
        time.sleep(0.02)
    newer = start(fine_tuning, tmp_path)
    end(older, 3)
    end(newer, 0)
    assert f"was taken over by process {newer.pid} on " in capfd.readouterr().out
    assert same(torch.load(tmp_path / "found.pt"), undisturbed)


def test_what_a_displaced_process_has_half_written_never_appears(tmp_path):
    older, newer = RunFolder(tmp_path / "run", "a"), RunFolder(tmp_path / "run", "a")
    older.claim()
    with older.writing(tmp_path / "final") as folder:
        folder.mkdir()
        (folder / "weights").write_text("whole")
    newer_output = tmp_path / "final" / "weights"
    with pytest.raises(Stopped, match="was taken over"), older.writing(tmp_path / "final") as folder:
        folder.mkdir()
        (folder / "weights").write_text("late")
        newer.claim()
    assert newer_output.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir() if path.name != "run"] == ["final"]

    newer.save(4, empty_state, {"step": 4})
    with pytest.raises(Stopped, match="was taken over"):
        older.save(6, empty_state, {"step": 6})
    assert newer.newest() == (tmp_path / "run" / "step00000004" / "state", {"step": 4})

    retire(newer.folder)
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    with pytest.raises(Stopped, match="another process has finished"):
        older.check()


def test_a_finished_run_can_be_continued_until_its_job_is_recorded(tmp_path):
    run = RunFolder(tmp_path / "run", "a")
    run.claim()
    with run.writing(run.milestones / "step2") as folder:
        folder.mkdir()
        (folder / "weights").write_text("of step 2")
    run.save(4, empty_state, {"step": 4})
    run.finish(tmp_path / "milestones")
    shutil.rmtree(tmp_path / "milestones")  # as Snakemake does when the job failed after all
    assert run.newest() == (tmp_path / "run" / "step00000004" / "state", {"step": 4})
    run.finish(tmp_path / "milestones")
    retire(run.folder)
    assert (tmp_path / "milestones/step2/weights").read_text() == "of step 2"
    assert [path.name for path in tmp_path.iterdir()] == ["milestones"]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    run = RunFolder(tmp_path / "run", "a")
    run.claim()
    run.save(2, empty_state, {"step": 2})

    def full(state):
        empty_state(state)
        (state / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run.save(4, full, {"step": 4})
    assert run.newest() == (tmp_path / "run" / "step00000002" / "state", {"step": 2})
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["owner.json", "step00000002"]


def start_two(function, *arguments, **keywords):
    """Two processes of one job, as torchrun starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        start(function, *arguments, environment=common | {"RANK": rank, "LOCAL_RANK": rank}, **keywords)
        for rank in ("0", "1")
    ]


def nearly_same(found, expected):
    """Adam divides by the gradient's size, so where that is rounding error alone the weights may differ more."""
    assert found.keys() == expected.keys()
    differences = torch.cat([(found[name] - expected[name]).abs().flatten() for name in expected])
    return torch.quantile(differences, 0.99) < 1e-5 and differences.max() < 1e-3


@pytest.mark.parametrize("learnable", [False, True])
def test_two_processes_give_what_one_gives(fine_tuning, tmp_path, learnable):
    settings = replace(SIX_STEPS, steps=4, gradient_checkpointing=True, micro_batch_size=1)  # two passes per process
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    processes = start_two(fine_tuning, tmp_path / "two", settings, learnable)
    end(start(fine_tuning, tmp_path / "one", settings, learnable), 0)
    for process in processes:
        end(process, 0)
    assert nearly_same(torch.load(tmp_path / "two" / "found.pt"), torch.load(tmp_path / "one" / "found.pt"))


def test_a_signal_to_one_of_two_processes_ends_both_and_one_goes_on_alone(fine_tuning, undisturbed, tmp_path, capfd):
    processes = start_two(fine_tuning, tmp_path, pause=0.5)
    while not last_checkpoint(tmp_path):
        assert all(process.is_alive() for process in processes)
        time.sleep(0.02)
    os.kill(processes[1].pid, signal.SIGTERM)
    for process in processes:
        end(process, 3)
    said = capfd.readouterr().out
    assert said.count("after step") == 2 and "stopped by SIGTERM after step" in said
    assert last_checkpoint(tmp_path) < SIX_STEPS.steps
    end(start(fine_tuning, tmp_path), 0)
    assert nearly_same(torch.load(tmp_path / "found.pt"), undisturbed)
