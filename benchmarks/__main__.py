"""Measures the workflow against plain implementations of the original's procedures and prints the ratios; each part
leaves its table in results/ too."""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks import batch_sizes, dag, demo, fine_tuning, heat_maps, localisation, lora, prepare_mimic
from benchmarks.measuring import markdown
from tradeoffs.provenance.records import commit

PARTS = {
    "localisation": localisation,
    "fine_tuning": fine_tuning,
    "lora": lora,
    "heat_maps": heat_maps,
    "dag": dag,
    "prepare_mimic": prepare_mimic,
    "batch_sizes": batch_sizes,
    "demo": demo,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args().parts
    unknown = set(chosen) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    machine = f"{os.cpu_count()} x {platform.machine()}, torch {version('torch')}, commit {commit()}"
    for part in chosen or PARTS:
        results = f"{markdown(PARTS[part].rows())}\n\n{machine}\n"
        print(results, flush=True)
        file = Path(__file__).parent / "results" / f"{part}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# `python -m benchmarks {part}`\n\n{results}")


if __name__ == "__main__":
    main()
