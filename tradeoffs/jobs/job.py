"""What every workflow script does around its work: log, thread limits, errors a person can read."""

import ctypes
import gc
import hashlib
import json
import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from threadpoolctl import threadpool_limits

from tradeoffs.errors import InputError, Stopped
from tradeoffs.files import remove_leftovers, sha256
from tradeoffs.jobs.devices import gpus_asked, held_cards
from tradeoffs.progress import alone
from tradeoffs.provenance.records import device_name, inputs_of, listed, record_job

logger = logging.getLogger("tradeoffs")

DISK_ERRORS = {  # by the system's words, which errors of other kinds (safetensors) hold too
    "No space left on device": "make room",
    "Disk quota exceeded": "make room or ask for a larger quota",
    "Read-only file system": "have the disk mounted for writing",
}


class _Tee:
    """Writes to the terminal and to the rule's log, so that progress bars are seen in both."""

    def __init__(self, *streams):
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return self.streams[0].isatty()


def _keep_freed_memory() -> None:
    """Has glibc keep large freed blocks for the next tensor; returning them took up to a third of a CPU job's time."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        trim_threshold, mmap_threshold = -1, -3  # from malloc.h
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)


def _collect_garbage_from_now() -> None:
    """Ends the pause that the package began with its import, and leaves what was imported out of every collection."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def launched() -> bool:
    """Whether this is one of the processes of a job, started by tradeoffs.jobs.distributed or torchrun."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def name_of(snakemake) -> str:
    """The job's name for people, its rule and wildcards, such as "finetune cxr/frozen/seed0"."""
    wildcards = getattr(snakemake, "wildcards", {}).items()
    values = "/".join(f"{key}{value}" if value.isdecimal() else value for key, value in wildcards)
    return f"{snakemake.rule} {values}".strip()


@contextmanager
def job(snakemake) -> Iterator[None]:
    """Runs a script's body with its stderr copied to `snakemake.log[0]`, with at most `snakemake.threads` threads and
    on as many GPUs as it asks for.

    Only this project's loggers tell of progress, others of what is wrong. On a terminal that several jobs share each
    line has the job's name in front; of those that only look (check, verify) there is one.

    What a killed job left half-written is removed first; one that went through is recorded (see `record_job`). An
    `InputError`, `Stopped` or a disk that takes no more is printed as one line without a traceback; any error ends the
    job with exit code 1.
    The processes of a job that torchrun started share its log, threads and GPUs; the first one tells of its progress.
    """
    imports = time.process_time()  # what a process took until here
    folders = getattr(snakemake, "config", {}).pop("folders", None)  # the workflow's, no part of the configuration
    _collect_garbage_from_now()
    _keep_freed_memory()
    terminal, root = sys.stderr, logging.getLogger()
    handlers, level_before = root.handlers[:], logger.level
    rank, processes = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("LOCAL_WORLD_SIZE", 1)))
    threads = max(1, snakemake.threads // processes)
    os.makedirs(os.path.dirname(snakemake.log[0]) or ".", exist_ok=True)
    if not launched():
        open(snakemake.log[0], "w").close()
    with open(snakemake.log[0], "a", buffering=1) as log:
        sys.stderr = _Tee(terminal, log)
        named = snakemake.output and not alone()
        shown, kept = logging.StreamHandler(terminal), logging.StreamHandler(log)
        shown.setFormatter(logging.Formatter(f"{name_of(snakemake)}: %(message)s" if named else "%(message)s"))
        root.handlers[:] = [shown, kept]
        logger.setLevel(logging.INFO if rank == 0 else logging.WARNING)
        try:
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(threads)
            if not launched():
                for path in snakemake.output:
                    remove_leftovers(path)
            started = time.monotonic()
            cards = held_cards(gpus_asked(snakemake.resources)) if not launched() else nullcontext()
            with threadpool_limits(threads), cards:
                yield
                device = device_name()
            # not a script run by hand, nor one of several processes: the one that launched them records the job
            if folders and snakemake.output and not launched():
                cpu_seconds = {"imports": imports, "all": sum(os.times()[:4])}
                record_job(snakemake, folders, device, time.monotonic() - started, cpu_seconds)
        except (InputError, Stopped) as error:
            print(f"Error in rule {name_of(snakemake)}: {error}", file=sys.stderr)
            sys.exit(1)
        except Exception as error:
            remedy = next((remedy for words, remedy in DISK_ERRORS.items() if words in str(error)), None)
            if remedy:
                remedy = f"{remedy} for {os.path.abspath('results')}, then run again"
                print(f"Error in rule {name_of(snakemake)}: {error}; {remedy}", file=sys.stderr)
            elif isinstance(error, PermissionError):
                remedy = "ask its owner for access, then run again"
                print(f"Error in rule {name_of(snakemake)}: {error}; {remedy}", file=sys.stderr)
            else:
                traceback.print_exc()
            sys.exit(1)
        finally:
            sys.stderr = terminal
            root.handlers[:] = handlers
            logger.setLevel(level_before)


def identity(snakemake) -> str:
    """Digest of all that a job's output follows from: params (its code's digest among them), wildcards, input files."""
    content = sha256(*listed(inputs_of(snakemake)))
    origin = [dict(snakemake.params.items()), dict(snakemake.wildcards.items()), content]
    return hashlib.sha256(json.dumps(origin, default=str).encode()).hexdigest()
