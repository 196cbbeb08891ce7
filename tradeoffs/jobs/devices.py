"""Which graphics cards a job computes on: as many as it asked for, and none that another job of this machine holds."""

import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tradeoffs.errors import InputError

logger = logging.getLogger("tradeoffs")


def default_device() -> str:
    """Where a model is computed and trained: on the job's first card (CUDA or ROCm), or on the CPU if there is none."""
    import torch  # here, since jobs without a model shall not wait for it

    return "cuda" if torch.cuda.is_available() else "cpu"


def check_precision(key: str, precision: str) -> None:
    """Raises InputError, naming the configuration's key, for a precision (fp32, fp16, bf16) that the device does not
    have: fp16 is for GPUs, bf16 for recent ones and CPUs."""
    import torch

    gpu = default_device() == "cuda"
    if precision == "fp16" and not gpu:
        raise InputError(f"{key}: fp16 needs a GPU and there is none; use fp32, or bf16")
    if precision == "bf16" and gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f"{key}: this GPU has no bf16; use fp16 or fp32")


def autocast(key: str, precision: str) -> AbstractContextManager:
    """A block in which models on the default device compute in `precision`; raises like `check_precision`."""
    import torch

    check_precision(key, precision)
    half = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(default_device(), half, enabled=precision != "fp32")


def gpus_asked(resources: Mapping[str, int | str]) -> int:
    """How many GPUs a job asks for, in either of SLURM's dialects: gpu=1, or gres="gpu:1" or "gpu:a100:1"."""
    gres = re.fullmatch(r"gpu(:[A-Za-z][\w.]*)?(:(\d+))?", str(resources.get("gres", "")))
    return int(resources.get("gpu", 0)) or (int(gres[3] or 1) if gres else 0)


@contextmanager
def held_cards(wanted: int, pause: float = 2.0) -> Iterator[list[str]]:
    """Holds `wanted` cards (perhaps 0), shows the process no others and yields their names; waits while they are taken.

    They are chosen from CUDA_VISIBLE_DEVICES, which SLURM sets for a job and a user for a share of a machine, else from
    all cards. A machine without cards gives none. pause: seconds between two looks for free cards.
    Must be entered before the process touches CUDA. Raises InputError if there are fewer cards than wanted.
    """
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = _cards(shown) if wanted else []
    if cards and len(cards) < wanted:
        raise InputError(
            f"the job asks for {wanted} GPUs and sees {len(cards)}: {', '.join(cards)}; lower the GPUs in the "
            "configuration's section resources, or name more in CUDA_VISIBLE_DEVICES"
        )
    with ExitStack() as locks:
        held = _hold(locks, cards, wanted)
        if wanted and not cards:
            logger.info("no GPU is here, computing on the CPU")
        if cards and not held:
            logger.info("waiting for %d of the GPUs %s, which other jobs hold", wanted, ", ".join(cards))
        while cards and not held:
            time.sleep(pause)
            held = _hold(locks, cards, wanted)
        if held:
            logger.info("GPUs: %s", ", ".join(held))
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
        try:
            yield held
        finally:
            if shown is None:
                del os.environ["CUDA_VISIBLE_DEVICES"]
            else:
                os.environ["CUDA_VISIBLE_DEVICES"] = shown


def _cards(shown: str | None) -> list[str]:
    if shown is None:
        # Counting may start CUDA, which then no longer looks at CUDA_VISIBLE_DEVICES: so by a process of its own
        counting = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
        count = subprocess.run(counting, stdout=subprocess.PIPE, text=True, check=True).stdout
        return [str(card) for card in range(int(count))]
    return [name for name in (part.strip() for part in shown.split(",")) if name and not name.startswith("-")]


def _hold(locks: ExitStack, cards: list[str], wanted: int) -> list[str]:
    """The names of `wanted` cards that were free, now locked until `locks` closes; none of them if too few are free."""
    with ExitStack() as taken:
        held: list[str] = []
        for card in cards:
            if len(held) < wanted and _lock(taken, card):
                held.append(card)
        if len(held) < wanted:
            return []
        locks.push(taken.pop_all())
        return held


def _lock(locks: ExitStack, card: str) -> bool:
    """Locks a card, unless another process has; the kernel frees it when the process ends, however it ends.

    The lock is a socket's name (Linux's abstract ones), which all users of a machine share and which leaves no file.
    SLURM may number each job's cards from 0, so inside one the job is part of the name.
    """
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0tradeoffs/{os.environ.get('SLURM_JOB_ID', '')}/{card}")
    except OSError:
        lock.close()
        return False
    locks.enter_context(lock)
    return True
