"""Measures the workflow against plain implementations of the original's procedures and prints the ratios; a run of all
parts also writes them to results.md beside this file."""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks import dag, fine_tuning, heat_maps, localisation, prepare_mimic
from benchmarks.measuring import markdown
from tradeoffs.provenance import commit

PARTS = {
    "localisation": localisation,
    "fine_tuning": fine_tuning,
    "heat_maps": heat_maps,
    "dag": dag,
    "prepare_mimic": prepare_mimic,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args().parts
    unknown = set(chosen) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    rows = []
    for part in chosen or PARTS:
        rows += PARTS[part].rows()
        print(markdown(rows), flush=True)  # as they come; a full run takes long
    machine = f"{os.cpu_count()} x {platform.machine()}, torch {version('torch')}, commit {commit()}"
    results = f"{markdown(rows)}\n\nCPU time on one thread; {machine}.\n"
    if not chosen:
        Path(__file__).with_name("results.md").write_text(f"# Results of `python -m benchmarks`\n\n{results}")


if __name__ == "__main__":
    main()
