"""What Snakemake ends with."""

from collections.abc import Sequence
from pathlib import Path


def end_of_run(targets: Sequence[str], logs: str, benchmarks: str) -> str:
    """The answer of check or verify, else what the jobs of the run have taken until now.

    targets: words of Snakemake's command line; logs, benchmarks: folders of the run
    """
    for target, log in {"check": f"{logs}/check.log", "verify": f"{logs}/paper/verify.log"}.items():
        if target in targets and Path(log).is_file():
            return Path(log).read_text().splitlines()[-1]
    from tradeoffs.paper.report import times_block  # here, since it would slow down the start of every job

    return times_block(benchmarks).cells.to_markdown(index=False)
