import multiprocessing
import os
import signal
import sys
import time

import pytest

from tradeoffs.errors import Stopped
from tradeoffs.jobs.distributed import launch

SAYS_RANK = """
import os, pathlib
pathlib.Path(__file__).with_name("rank" + os.environ["RANK"]).write_text(os.environ["WORLD_SIZE"])
"""
FAILS = "import os, time; os.environ['RANK'] == '1' and exit(7); time.sleep(60)"
WAITS_FOR_A_SIGNAL = """
import os, pathlib, signal, sys, time

def handle(number, frame):
    time.sleep(0.3)
    mark.with_suffix(".signal").write_text(signal.Signals(number).name)
    sys.exit(1)

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, handle)
mark = pathlib.Path(__file__).with_name("rank" + os.environ["RANK"])
mark.touch()
time.sleep(60)
"""


@pytest.fixture
def launched(tmp_path):
    """Starts a process that launches a script in two processes; its exit code is 3 where `launch` raises Stopped."""
    script = tmp_path / "script.py"

    def main():
        sys.argv = [str(script)]
        try:
            launch(2)
        except Stopped as stopped:
            print(stopped)
            os._exit(3)
        except SystemExit as ended:
            os._exit(ended.code)
        os._exit(0)

    def start(source):
        script.write_text(source)
        process = multiprocessing.get_context("fork").Process(target=main)
        process.start()
        return process

    return start


def test_the_script_runs_once_a_process(launched, tmp_path):
    process = launched(SAYS_RANK)
    process.join(60)
    assert process.exitcode == 0
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2", "2"]


def test_one_failing_process_ends_the_job(launched):
    process = launched(FAILS)
    process.join(60)
    assert process.exitcode == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_signals_reach_every_process_and_their_end_is_awaited(launched, tmp_path, capfd, name):
    process = launched(WAITS_FOR_A_SIGNAL)
    while not all((tmp_path / f"rank{rank}").exists() for rank in (0, 1)):
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, signal.Signals[name])
    process.join(60)
    assert process.exitcode == 3
    assert [(tmp_path / f"rank{rank}.signal").read_text() for rank in (0, 1)] == [name, name]
    assert f"stopped by {name}; run again" in capfd.readouterr().out
