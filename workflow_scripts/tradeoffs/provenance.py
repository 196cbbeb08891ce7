"""What a result was made from: code digests for the rules' params, and the sidecar beside a table."""

import ast
import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tradeoffs.files import atomic_path

PACKAGE = "tradeoffs"
SCRIPTS = Path(__file__).resolve().parent.parent
REPORTED_PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "torchmetrics", "scikit-learn", "numpy", "pandas", "snakemake",
)  # fmt: skip


@cache
def code_digest(script: str) -> str:
    """Digest of a script and of every module of the package that it imports, directly or not.

    As a param of the script's rule it makes the rule run again when, and only when, the content of code that it uses
    has changed; Snakemake's own code trigger sees the script alone, by date.
    script: file name in workflow_scripts/
    """
    files, pending = set(), [SCRIPTS / script]
    while pending:
        file = pending.pop()
        if file not in files:
            files.add(file)
            pending.extend(_imported_files(file))
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(SCRIPTS).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _imported_files(file: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = []
    for name in names:
        if name.split(".")[0] == PACKAGE:
            path = SCRIPTS.joinpath(*name.split("."))
            files += [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()]
    return files


def commit() -> str:
    """The project's git commit, with "-dirty" where tracked files differ from it; "unknown" outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=SCRIPTS, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()


def write_sidecar(path: str | Path, config: dict[str, Any], counts: dict[str, Any]) -> None:
    """Writes the JSON beside a table: resolved config, seeds, commit, versions, counts."""
    content = {
        "config": config,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in REPORTED_PACKAGES},
        "counts": counts,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
