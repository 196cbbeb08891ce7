"""CPU time and memory of a call, and the table that shows them."""

import ctypes
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a call, and by how many MB the resident memory's peak exceeded what was there before."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Row:
    """A line of the results: a quantity, the plain value and ours with their unit, the target and whether it is met."""

    what: str
    plain: str
    ours: str
    ratio: str
    target: str = ""
    met: bool | None = None


def alone(function: Callable[..., Any], *arguments: object, threads: int = 1) -> Any:
    """The function's result from a process of its own, so that no call finds another's memory."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        return pool.submit(function, *arguments).result()


def cost(function: Callable[[], object]) -> Cost:
    """What a call costs. CPU time rather than the clock's: on one thread they agree on an idle machine, and other
    work disturbs the first less."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier calls freed counts as not there
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    start = time.process_time()
    function()
    return Cost(time.process_time() - start, (_status("VmHWM") - before) / 1024)


def children_cost(function: Callable[[], object]) -> Cost:
    """CPU seconds of all processes that a call starts and waits for, and the largest one's peak memory in MB; the
    caller has waited for none before."""
    function()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _status(key: str) -> int:
    """A line of the process's status in kB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if key in line)


def at_least(quantity: str, plain: float, ours: float, unit: str, target: float | None = None) -> Row:
    """A row whose ratio is plain / ours, at least `target`."""
    ratio = plain / ours
    met = None if target is None else ratio >= target
    goal = "" if target is None else f"at least {target:g}"
    return Row(quantity, f"{plain:.3g} {unit}", f"{ours:.3g} {unit}", f"{ratio:.2f}", goal, met)


def at_most(quantity: str, plain: float, ours: float, unit: str, target: float) -> Row:
    """A row whose ratio is ours / plain, at most `target`."""
    ratio = ours / plain
    return Row(
        quantity, f"{plain:.3g} {unit}", f"{ours:.3g} {unit}", f"{ratio:.2f}", f"at most {target:g}", ratio <= target
    )


def at_most_value(quantity: str, value: float, unit: str, target: float) -> Row:
    """A row without a plain counterpart: a value of at most `target`."""
    return Row(quantity, "", f"{value:.3g} {unit}", "", f"at most {target:g} {unit}", value <= target)


def markdown(rows: list[Row]) -> str:
    """The rows as a table."""
    lines = ["| | plain | ours | ratio | target | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        lines.append(f"| {row.what} | {row.plain} | {row.ours} | {row.ratio} | {row.target} | {met} |")
    return "\n".join(lines)


def only_shown(quantity: str, value: str) -> Row:
    """A row without a target."""
    return Row(quantity, "", value, "")
