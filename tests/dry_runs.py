"""Many dry runs of Snakemake for the time of a few: each is a fork of one process that has imported it.

Usage: python dry_runs.py < runs.json > outputs.json, in the folder to run in. runs.json holds command lines by name,
such as {"guidance": ["--config", "sampling={guidance: 3.0}"]}; outputs.json exit code and output by name.
"""

import json
import os
import sys
import tempfile

import pydantic  # noqa: F401, loaded once for all
from snakemake import cli


def start(arguments: list[str], output: int) -> int:
    """Starts a dry run whose output goes to the file descriptor `output`; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    code: str | int | None = 1
    try:
        cli.main(["--dry-run", *arguments])
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code or 0))


cli.get_argument_parser()  # loads Snakemake's plugins
waiting = list(json.load(sys.stdin).items())
running, results = {}, {}
while waiting or running:
    while waiting and len(running) < len(os.sched_getaffinity(0)):
        name, arguments = waiting.pop()
        output = tempfile.TemporaryFile("w+")  # noqa: SIM115, open until the run has ended
        running[start(arguments, output.fileno())] = name, output
    child, status = os.wait()
    name, output = running.pop(child)
    output.seek(0)
    results[name] = os.waitstatus_to_exitcode(status), output.read()
json.dump(results, sys.stdout)
