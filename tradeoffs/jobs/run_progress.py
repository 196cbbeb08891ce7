"""How far a run is as a whole: jobs done, and the time left by finished jobs of the same rules."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import timedelta

PAUSE = 10  # seconds at least between two lines


class RunProgress:
    """Counts and times the jobs of a run.

    The time left is that of the jobs to come, each as long as the mean of its rule's finished ones, divided by how many
    jobs ran at once until now. Jobs of rules of which none has finished are not in it and are counted.
    """

    def __init__(self, jobs: Mapping[str, int], now: float):
        """jobs: how many there are of each rule; now: seconds of any clock, here and below"""
        self._left = Counter(jobs)
        self._total = sum(jobs.values())
        self._start = now
        self._running: dict[int, tuple[str, float]] = {}
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    def started(self, job: int, rule: str, now: float) -> None:
        """A job has started, or has started again after it failed."""
        self._running[job] = rule, now

    def finished(self, job: int, now: float) -> None:
        """A job has finished."""
        rule, started = self._running.pop(job, ("", now))
        self._left[rule] -= 1
        self._seconds[rule].append(now - started)

    def line(self, now: float) -> str:
        """One line for people, such as "12 of 57 jobs done, about 0:08:30 left, besides 3 jobs of rules
        that are not timed yet"."""
        left = {rule: number for rule, number in self._left.items() if number > 0}
        timed = {rule: number for rule, number in left.items() if self._seconds[rule]}
        untimed = sum(left.values()) - sum(timed.values())
        parts = [f"{self._total - sum(left.values())} of {self._total} jobs done"]
        if timed:
            parts.append(f"about {timedelta(seconds=round(self._seconds_left(timed, now)))} left")
        if untimed:
            parts.append(f"{'besides ' if timed else ''}{untimed} jobs of rules that are not timed yet")
        return ", ".join(parts)

    def _seconds_left(self, timed: Mapping[str, int], now: float) -> float:
        running = [(rule, start) for rule, start in self._running.values() if rule in timed]
        done = sum(min(now - start, self._mean(rule)) for rule, start in running)
        return (sum(number * self._mean(rule) for rule, number in timed.items()) - done) / self._at_once(now)

    def _mean(self, rule: str) -> float:
        return sum(self._seconds[rule]) / len(self._seconds[rule])

    def _at_once(self, now: float) -> float:
        """How many jobs ran at once in the mean."""
        busy = sum(map(sum, self._seconds.values())) + sum(now - start for _, start in self._running.values())
        return max(1.0, busy / max(now - self._start, 1e-9))


class RunProgressHandler(logging.Handler):
    """Tells of a run's progress from the events that Snakemake logs (`LogEvent` of its logger plugins' interface)."""

    def __init__(self, out: logging.Logger):
        super().__init__()
        self._out = out
        self._progress: RunProgress | None = None
        self._told = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        """Takes up an event, and tells after a finished job unless it has told within PAUSE seconds."""
        said, now = vars(record), time.monotonic()
        event = str(said.get("event"))
        if event == "run_info" and self._progress is None:
            jobs = {rule: number for rule, number in said["stats"].items() if rule != "total"}
            self._progress = RunProgress(jobs, now)
        elif self._progress and event == "job_info":
            self._progress.started(said["jobid"], said["rule_name"], now)
        elif self._progress and event == "job_finished":
            self._progress.finished(said["job_id"], now)
        elif self._progress and event == "progress" and now >= self._told + PAUSE:
            self._told = now
            self._out.info(f"This run: {self._progress.line(now)}")  # Snakemake prints messages without their arguments
