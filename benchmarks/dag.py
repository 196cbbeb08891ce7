"""Building the DAG of the paper's run: time and memory grow with its jobs, not with the images behind them."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Cost, Row, alone, at_most_value, children_cost, only_shown

PROJECT = Path(__file__).resolve().parents[1]
TABLES = {  # rows at full size: MIMIC-CXR-JPG and MS-COCO's train2017, and the tables that are prepared from them
    "mimic/mimic-cxr-2.0.0-metadata.csv": 377_110,
    "mimic/mimic-cxr-2.0.0-chexpert.csv": 227_835,
    "mimic/mimic-cxr-2.0.0-split.csv": 377_110,
    "mscxr/MS_CXR_Local_Alignment_v1.1.0.csv": 1_448,
    **{
        f"coco/annotations/{kind}_{split}2017.json": 118_287
        for kind in ("captions", "instances")
        for split in ("train", "val")
    },
    "results/paper/data/cxr/images.csv": 377_110,
    "results/paper/data/coco/images.csv": 118_287,
}
FOLDERS = ["mimic/files", "reports/files", "coco/train2017", "coco/val2017"]
CONFIG = {"mimic_cxr_jpg": "mimic", "mimic_cxr_reports": "reports", "ms_cxr": "mscxr", "coco": "coco"}


def _stand_in(folder: Path, rows: int | None) -> None:
    """What the paper's run looks for before it starts: folders and tables of so many rows (None: the true number)."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for name, true_rows in TABLES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(
            "p10/p10000032/s50414267/02aa804e,10000032,50414267,AP,2544,3056\n" * (rows or true_rows)
        )
    for name in ("config", "resources", "report"):
        (folder / name).symlink_to(PROJECT / name)


def _dry_run(seeds: int, shards: int | None, rows: int | None) -> tuple[Cost, int]:
    """Cost of `snakemake -n all` and the number of its jobs. None: the preset's shards, tables of their true size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _stand_in(folder, rows)
        data = ", ".join(f"{key}: {place}" for key, place in CONFIG.items())
        command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "2"]
        command += ["-s", str(PROJECT / "Snakefile"), "all"]
        command += ["--config", "preset=paper", f"seeds={list(range(seeds))}", f"data={{{data}}}"]
        if shards is not None:
            command += [f"{section}={{shards: {shards}}}" for section in ("latents", "heat_maps", "sampling")]
        output = []

        def run() -> None:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stdout + done.stderr)
            output.append(done.stdout)

        spent = children_cost(run)
    return spent, int(re.findall(r"^total\s+(\d+)", output[0], re.MULTILINE)[-1])


def rows() -> list[Row]:
    table = []
    for of_size, tables in [("ten rows", 10), ("full size", None)]:
        spent, jobs = alone(_dry_run, 3, None, tables)
        what = f"DAG of the paper preset, 3 seeds, {jobs} jobs, tables of {of_size}"
        table += [
            at_most_value(f"{what}: time", spent.seconds, "s", 20),
            at_most_value(f"{what}: memory", spent.megabytes, "MB", 1000),
        ]
    for seeds, shards in [(1, 1), (3, 1), (3, 8), (3, 16)]:
        spent, jobs = alone(_dry_run, seeds, shards, 10)
        table.append(only_shown(f"DAG of {jobs} jobs ({seeds} seeds, {shards} shards): time", f"{spent.seconds:.3g} s"))
    return table
