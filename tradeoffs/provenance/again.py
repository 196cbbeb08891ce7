"""Runs a job's script once more without Snakemake: in a debugger, in `verify`, in tests."""

import json
import runpy
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.iocontainers import Namedlist

from tradeoffs.errors import InputError
from tradeoffs.provenance.code import SCRIPTS
from tradeoffs.provenance.records import listed, records_of

Files = Mapping[str, str | list[str]]
IN_BETWEEN = ("checkpoints", "unfinished")  # params that name a folder in which a job keeps what it has so far


def mock_snakemake(
    rule: str,
    log: str | Path,
    *,
    wildcards: Mapping[str, str] | None = None,
    input: Files | None = None,
    output: Files | None = None,
    params: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> SimpleNamespace:
    """An object with what scripts read of Snakemake's: `snakemake.input.images`, `snakemake.output[0]` and so on."""
    return SimpleNamespace(
        rule=rule,
        threads=1,
        log=[str(log)],
        config=config or {},
        resources=resources or {},
        wildcards=_named(wildcards or {}),
        input=_named(input or {}, flat=True),
        output=_named(output or {}, flat=True),
        params=_named(params or {}),
    )


def run_script(script: str | Path, snakemake: SimpleNamespace) -> None:
    """Runs a script of `workflow_scripts`, such as evaluation/localise.py, as Snakemake would."""
    runpy.run_path(str(SCRIPTS / script), init_globals={"snakemake": snakemake})


def debug(file: str, folder: str | Path = "debug", gpus: int = 0) -> list[str]:
    """Runs the job again that made `file`, with what it read then but the code of today; returns what it wrote.

    Its files go to `folder`, under the names they have in results/; nothing in results/ or logs/ changes.
    Raises InputError if no finished job has a record of the file.
    """
    record = record_of(file)
    moved = {
        name: [str(Path(folder, path)) for path in paths] if isinstance(paths, list) else str(Path(folder, paths))
        for name, paths in record["output"].items()
    }
    params = record["params"] | {
        key: str(Path(folder, record["params"][key])) for key in IN_BETWEEN & record["params"].keys()
    }
    for path in listed(moved):
        shutil.rmtree(path, ignore_errors=True)  # a folder of a run before
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    snakemake = mock_snakemake(
        record["rule"],
        Path(folder, "log"),
        wildcards=record["wildcards"],
        input=record["input"],
        output=moved,
        params=params,
        config=record["config"],
        resources={"gpu": gpus},
    )
    run_script(record["script"], snakemake)
    return listed(moved)


def record_of(file: str) -> dict[str, Any]:
    """The record of the job that made a file of results/. Raises InputError if there is none."""
    for run in Path("results").glob("*"):
        for path in records_of(run):
            record = json.loads(path.read_text())
            if file in listed(record["output"]):
                return record
    raise InputError(
        f"{file}: no finished job has made it; of one that fails, `snakemake --skip-script-cleanup {file}` leaves the "
        "script with its values in .snakemake/scripts"
    )


def _named(values: Mapping[str, Any], flat: bool = False) -> Namedlist:
    """Values by name and, in a row, by number; with `flat` the files of a list are in the row."""
    part = Namedlist()
    for name, value in values.items():
        several = flat and isinstance(value, list)
        first = len(part)
        part.extend(value if several else [value])
        part._set_name(name, first, end=len(part) if several else None)
    return part
