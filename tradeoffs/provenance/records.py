"""The record of a finished job: what it was made from, by which code, on what and how long it took."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tradeoffs.files import atomic_path, sha256

REPORTED_PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "peft", "torchmetrics", "scikit-learn", "numpy", "pandas",
    "snakemake",
)  # fmt: skip


def record_job(
    snakemake, folders: Mapping[str, str], device: str, seconds: float, cpu_seconds: dict[str, float]
) -> None:
    """Writes what a finished job was made from: params, the resolved configuration of the run, checksums of input and
    output, commit, versions, device (see `device_name`) and wall time.

    The record is the job's output `provenance`, if its rule has one (beside a model), else it lies in
    results/<run>/provenance as the log lies in logs/<run>.
    folders: where the workflow puts `results` and `logs`
    A table's sidecar takes up what it lacks of it.
    """
    inputs, outputs = inputs_of(snakemake), _by_name(snakemake.output)
    run, *place = Path(snakemake.log[0]).relative_to(folders["logs"]).with_suffix(".json").parts
    path = Path(folders["results"], run, "provenance", *place)
    if "provenance" in outputs:
        path = Path(snakemake.output.provenance)
        del outputs["provenance"]
    record = {
        "rule": snakemake.rule,
        "script": script_name(),
        "wildcards": dict(snakemake.wildcards.items()),
        "params": dict(snakemake.params.items()),
        "config": snakemake.config,
        "input": inputs,
        "output": outputs,
        **code_and_versions(),
        "device": device,
        "seconds": round(seconds, 3),
        "cpu_seconds": {name: round(value, 3) for name, value in cpu_seconds.items()},
        "inputs": checksums(listed(inputs)),
    }
    if "sidecar" in outputs:
        sidecar = Path(snakemake.output.sidecar)
        more = {key: record[key] for key in ("device", "seconds", "inputs")}
        write_json(sidecar, json.loads(sidecar.read_text()) | more)
    write_json(path, record | {"outputs": checksums(_apart(listed(outputs)))})


def records_of(run: Path) -> list[Path]:
    """The files of records of one run's jobs; run: its folder in results."""
    return [*run.glob("provenance/**/*.json"), *run.glob("model/*/*/*/provenance.json")]


def inputs_of(snakemake) -> dict[str, str | list[str]]:
    """A job's input files by name. In place of a folder of intermediate checkpoints, which is 70 GB at the paper's
    scale, stands the one that the job reads (`params.model`)."""
    model = Path(dict(snakemake.params.items()).get("model", ""))
    return {
        name: str(model) if files == str(model.parent) else files for name, files in _by_name(snakemake.input).items()
    }


def script_name() -> str:
    """The script that runs, by its path in workflow_scripts; Snakemake runs a copy with the original's `__file__`."""
    return "/".join(Path(getattr(sys.modules["__main__"], "__file__", "")).parts[-2:])


def commit() -> str:
    """The project's git commit, with "-dirty" where tracked files differ from it; "unknown" outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()


def code_and_versions() -> dict[str, Any]:
    """The project's commit, and the versions of Python and of the packages that matter."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in REPORTED_PACKAGES},
    }


def checksums(paths: Iterable[str]) -> dict[str, str]:
    """Digest (see `sha256`) of each file and folder, by its path."""
    return {path: sha256(path) for path in paths}


def listed(files: Mapping[str, str | list[str]]) -> list[str]:
    """All paths of a job's input or output, where a name stands for one or several."""
    return [path for value in files.values() for path in ([value] if isinstance(value, str) else value)]


def _by_name(files) -> dict[str, str | list[str]]:
    """Snakemake's input or output as plain paths."""
    return {
        name: str(value) if isinstance(value, str | Path) else list(map(str, value)) for name, value in files.items()
    }


def _apart(paths: Iterable[str]) -> list[str]:
    """The paths, where a folder of intermediate checkpoints is replaced by each of them, as `inputs_of` names them."""
    models = {path: sorted(map(str, Path(path).glob("step*/"))) for path in paths}
    return [part for path, parts in models.items() for part in parts or [path]]


def device_name() -> str:
    """The GPU that a job can use, by its name, or the CPU's architecture."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else f"CPU {platform.machine()}"


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Writes content as JSON; the order of keys, which is that of a table's rows in some params, stays."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")
