"""What a result was made from: code digests for the rules' params, and the sidecar beside a table."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from tradeoffs.provenance.records import code_and_versions, write_json

PACKAGE = "tradeoffs"
ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow_scripts"
# An import of the package, however deep in the code: package and names, or module
IMPORT = rf"^[ \t]*(?:from ({PACKAGE}[\w.]*) import (\([^)]*\)|.*)|import ({PACKAGE}[\w.]*))"


@cache
def code_digest(script: str) -> str:
    """Digest of a script and of every module of the package that it imports, directly or not.

    As a param of the script's rule it makes the rule run again when, and only when, the content of code that it uses
    has changed; Snakemake's own code trigger sees the script alone, by date.
    script: path in workflow_scripts/
    """
    digest = hashlib.sha256()
    for file in sorted(files_of(script)):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def files_of(script: str) -> set[Path]:
    """A script of workflow_scripts/ and every module of the package that it imports, directly or not."""
    files, pending = set(), [SCRIPTS / script]
    while pending:
        file = pending.pop()
        if file not in files:
            files.add(file)
            pending.extend(_imported_files(file))
    return files


@cache
def _imported_files(file: Path) -> list[Path]:
    # Parsing every module as Python took a third of Snakemake's start, and of that of each of its jobs.
    names: set[str] = set()
    for package, imported, module in re.findall(IMPORT, file.read_text(), re.M):
        names |= {module} if module else {package} | {f"{package}.{name}" for name in re.findall(r"\w+", imported)}
    files = []
    for name in names:
        path = ROOT.joinpath(*name.split("."))
        files += [p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()]
    return files


def write_sidecar(path: str | Path, table: dict[str, Any], config: dict[str, Any], counts: dict[str, Any]) -> None:
    """Writes the JSON beside a table: what a page shows of it (see `tradeoffs.paper.blocks.to_json`), commit,
    versions, counts (see `record_job` too), and the resolved configuration under which it was made, with its seeds.

    A table is made again where something changes that it shows; of other keys its configuration may be an older one.
    """
    content = {
        "table": table,
        "config": config,
        "seeds": {name: variant["seeds"] or config["seeds"] for name, variant in config["variants"].items()},
        **code_and_versions(),
        "counts": counts,
    }
    write_json(path, content)
