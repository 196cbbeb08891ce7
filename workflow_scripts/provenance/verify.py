"""Whether the tables in results/ still follow from the files beside them."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from tradeoffs.errors import InputError
from tradeoffs.jobs.job import job, logger
from tradeoffs.provenance.records import records_of
from tradeoffs.provenance.verification import MADE_AGAIN, changed_files, lineage, made_again

with job(snakemake):
    tables = [path for path in sorted(Path(snakemake.params.results).glob("*.json")) if path.name != "provenance.json"]
    if not tables:
        raise InputError(f"{snakemake.params.results}: holds no table with its JSON; make one first")
    problems = []
    for path in tables:
        run = json.loads(path.read_text())["config"]["run"]
        jobs = lineage([str(path.with_suffix(".csv"))], records_of(path.parent / run))
        found = list(changed_files(jobs))
        for record in jobs:
            if record["rule"] in MADE_AGAIN and not found:
                with TemporaryDirectory() as folder:
                    found += made_again(record, Path(folder))
        verdict = "; ".join(found) or f"follows from the files of {len(jobs)} jobs"
        logger.info("%s, of run %s: %s", path.with_suffix(".csv"), run, verdict)
        problems += found
    if problems:
        raise InputError(f"{len(set(problems))} problems (see above); delete the files that are named and run again")
    logger.info("All %d tables follow from the files beside them.", len(tables))
