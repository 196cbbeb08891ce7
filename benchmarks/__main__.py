"""Measures and prints the ratios; with all parts, also writes them to results.md beside this file."""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks import dag, fine_tuning, heat_maps, localisation
from benchmarks.measuring import markdown
from tradeoffs.provenance import commit

PARTS = {"dag": dag, "localisation": localisation, "fine_tuning": fine_tuning, "heat_maps": heat_maps}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parts = parser.parse_args().parts or list(PARTS)
    rows = []
    for part in parts:
        rows += PARTS[part].rows()
        print(markdown(rows[-1:]) if part != parts[-1] else "", flush=True)
    machine = f"{os.cpu_count()} x {platform.machine()}, torch {version('torch')}, commit {commit()}"
    results = f"{markdown(rows)}\n\nMachine: {machine}. One thread, CPU time.\n"
    print(results)
    if parts == list(PARTS):
        Path(__file__).with_name("results.md").write_text(f"# Results\n\n{results}")


if __name__ == "__main__":
    main()
