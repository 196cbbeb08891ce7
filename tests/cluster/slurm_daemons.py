"""A real SLURM on this machine for the time of the tests: two nodes with two made-up GPUs each."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CONFIG = Path("/etc/slurm")  # jobs find the configuration here only: Snakemake's job steps drop SLURM_CONF
SETTINGS = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmctldDebug=debug
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=DEFAULT CPUs=4 RealMemory=128000 Gres=gpu:2
NodeName=first NodeHostname={host} NodeAddr=127.0.0.1 Port={first_port}
NodeName=second NodeHostname={host} NodeAddr=127.0.0.1 Port={second_port}
PartitionName=DEFAULT MaxTime=3-00:00:00
PartitionName=cpu Nodes=first Default=YES
PartitionName=gpu Nodes=first
PartitionName=both Nodes=first,second
PartitionName=urgent Nodes=first PriorityTier=9
"""


class NoSlurm(Exception):
    """Why no SLURM can be had here."""


def command(*arguments: str) -> str:
    """What a SLURM command prints."""
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def jobs() -> list[dict[str, str]]:
    """All jobs since the start of SLURM, as `scontrol` shows them; `rule` is Snakemake's comment."""
    shown = [
        dict(field.split("=", 1) for field in line.split() if "=" in field)
        for line in command("scontrol", "show", "job", "--oneliner").splitlines()
        if line.startswith("JobId=")
    ]
    return [job | {"rule": job.get("Comment", "").removeprefix("rule_").partition("_wildcards_")[0]} for job in shown]


def warned(job: str) -> bool:
    """Whether SLURM has sent the signal that a job wanted before its time limit."""
    log = Path(command("scontrol", "show", "config").partition("SlurmctldLogFile")[2].split()[1]).read_text()
    return f"signal {signal.SIGTERM:d} to JobId={job}" in log


def state_of(job: str) -> str:
    """Such as RUNNING, for a job's number."""
    return next(shown["JobState"] for shown in jobs() if shown["JobId"] == job)


@contextmanager
def running_slurm(folder: Path) -> Iterator[None]:
    """SLURM with all its files in `folder`; in the end its jobs are cancelled. Raises NoSlurm if it cannot be had."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    if missing:
        raise NoSlurm(f"{', '.join(missing)} not installed (apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        raise NoSlurm("SLURM's daemons must be started by root")
    if (CONFIG / "slurm.conf").exists():
        raise NoSlurm(f"this machine has a SLURM of its own ({CONFIG}/slurm.conf)")
    with ExitStack() as stack:
        try:
            _start(folder, stack)
        except (OSError, subprocess.SubprocessError) as error:
            raise NoSlurm(f"SLURM does not start: {error} {getattr(error, 'stderr', '')}") from error
        stack.callback(_end_jobs)
        yield


def _start(folder: Path, stack: ExitStack) -> None:
    """Starts the daemons, which `stack` stops in reverse order."""
    _configure(folder, stack)
    files = [f"--{kind}-file={folder}/munged.{kind}" for kind in ("key", "pid", "log", "seed")]
    daemons = {
        "munged": ["--force", f"--socket={folder}/munge.sock", *files],
        "slurmctld": [],
        "slurmd.first": ["-N", "first"],
        "slurmd.second": ["-N", "second"],
    }
    for daemon, arguments in daemons.items():
        program = daemon.partition(".")[0]
        subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=60)
        stack.callback(_stop, folder / f"{daemon}.pid")
    wait_for("both nodes", lambda: "idle 2" in command("sinfo", "-h", "-p", "both", "-o", "%T %D"))


def _configure(folder: Path, stack: ExitStack) -> None:
    """Writes the configuration and links it to where SLURM looks for it; `stack` removes the links."""
    for name in ("state", "spool.first", "spool.second", "dev"):
        (folder / name).mkdir()
    (folder / "munged.key").write_bytes(os.urandom(1024))
    (folder / "munged.key").chmod(0o400)
    # a device file for each GPU; anything else is refused or gives jobs no CUDA_VISIBLE_DEVICES
    for card in range(2):
        (folder / "dev" / f"nvidia{card}").symlink_to("/dev/null")
    gres = f"NodeName=first,second Name=gpu File={folder}/dev/nvidia[0-1]\n"
    host = socket.gethostname().partition(".")[0]
    ports = {f"{name}_port": _free_port() for name in ("controller", "first", "second")}
    settings = SETTINGS.format(folder=folder, host=host, **ports)
    CONFIG.mkdir(exist_ok=True)
    for name, content in {"slurm.conf": settings, "gres.conf": gres}.items():
        (folder / name).write_text(content)
        (CONFIG / name).symlink_to(folder / name)
        stack.callback((CONFIG / name).unlink)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what: str, there: Callable[[], bool], seconds: float = 60) -> None:
    """Returns as soon as `there()` is true; raises TimeoutError if it is not within `seconds`."""
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds} s")
        time.sleep(0.2)


def _end_jobs() -> None:
    command("scancel", "--user=root")
    wait_for("the end of all jobs", lambda: not command("squeue", "-h"), 90)


def _stop(pid_file: Path) -> None:
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(f"the end of {pid_file.stem}", lambda: not Path(f"/proc/{pid}").exists())
