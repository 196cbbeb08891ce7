"""Whether results still follow from the files beside them: records of jobs, checksums, tables made again."""

import json
import os
import runpy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.iocontainers import Namedlist

from tradeoffs.errors import InputError
from tradeoffs.files import sha256
from tradeoffs.provenance.code import SCRIPTS, code_digest
from tradeoffs.provenance.records import code_and_versions, listed

Record = dict[str, Any]
MADE_AGAIN = {  # rules that compute from score files alone, in seconds, and their scripts
    "localisation_summary": "evaluation/summarise_localisation.py",
    "differences": "evaluation/compare_variants.py",
    **dict.fromkeys(("table1", "category_table", "table2", "table3", "table7"), "paper/table.py"),
    **dict.fromkeys(("grounding_sets_table", "differences_table"), "paper/table.py"),
}


def records_of(run: Path) -> list[Path]:
    """The files of records of one run's jobs; run: its folder in results."""
    return [*run.glob("provenance/**/*.json"), *run.glob("model/*/*/*/provenance.json")]


def lineage(targets: Iterable[str], records: Iterable[str | Path]) -> list[Record]:
    """The records of the jobs that made the targets and, one after the other, their inputs; the first jobs first.

    records: files that `record_job` wrote, perhaps of other jobs too
    Raises InputError for a target without a record.
    """
    by_output: dict[str, Record] = {}
    for path in records:
        record = json.loads(Path(path).read_text())
        by_output |= dict.fromkeys(record["outputs"], record)
    for target in targets:
        if target not in by_output:
            raise InputError(f"{target}: there is no record of how it was made; delete it and run again")
    found: dict[int, Record] = {}
    pending = list(targets)
    while pending:
        record = by_output.get(pending.pop())
        if record and id(record) not in found:
            found[id(record)] = record
            pending.extend(record["inputs"])
    return list(reversed(found.values()))


def join(targets: Iterable[str], records: Iterable[str | Path], config: Mapping[str, Any]) -> dict[str, Any]:
    """One account of all jobs behind the targets: their files, what they read that none of them made, wall times."""
    jobs = lineage(targets, records)
    made = {path for record in jobs for path in record["outputs"]}
    seconds: Counter[str] = Counter()
    for record in jobs:
        seconds[record["rule"]] += record["seconds"]
    return {
        "config": config,
        **code_and_versions(),
        "commits": sorted({record["commit"] for record in jobs}),
        "devices": sorted({record["device"] for record in jobs}),
        "wall_seconds": {rule: round(total, 1) for rule, total in seconds.items()},
        "sources": {path: digest for r in jobs for path, digest in r["inputs"].items() if path not in made},
        "files": {path: digest for record in jobs for path, digest in record["outputs"].items()},
    }


def changed_files(jobs: Iterable[Record]) -> Iterator[str]:
    """Files that are missing or not as their job wrote them, or that a job read otherwise than they are now."""
    today: dict[str, str | None] = {}
    for record in jobs:
        for kind, verb in (("outputs", "wrote"), ("inputs", "read")):
            for path, digest in record[kind].items():
                if path not in today:
                    today[path] = sha256(path) if os.path.exists(path) else None
                if today[path] is None:
                    yield f"{path}: is missing"
                elif today[path] != digest:
                    yield f"{path}: is not what rule {record['rule']} {verb}"


def made_again(record: Record, folder: Path) -> list[str]:
    """Runs a job of MADE_AGAIN once more, writing to `folder`; returns what came out otherwise.

    A sidecar, which holds wall times, is not compared.
    """
    script = MADE_AGAIN[record["rule"]]
    if code_digest(script) != record["params"]["code"]:
        return [f"{path}: the code that made it has changed since" for path in record["outputs"]]
    output = {name: folder / Path(path).name for name, path in record["output"].items()}
    snakemake = SimpleNamespace(
        rule=record["rule"],
        threads=1,
        log=[str(folder / "log")],
        resources={},
        config=record["config"],
        wildcards=Namedlist(fromdict=record["wildcards"]),
        input=Namedlist(fromdict=record["input"]),
        output=Namedlist(fromdict=output),
        params=Namedlist(fromdict=record["params"]),
    )
    runpy.run_path(str(SCRIPTS / script), init_globals={"snakemake": snakemake})
    return [
        f"{path}: made again from {', '.join(listed(record['input']))} it comes out otherwise"
        for name, path in record["output"].items()
        if name != "sidecar" and output[name].read_bytes() != Path(path).read_bytes()
    ]
