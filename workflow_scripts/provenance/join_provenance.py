"""What the tables and figures were made from: the records of all jobs behind them, joined."""

from pathlib import Path

from tradeoffs.jobs.job import job
from tradeoffs.provenance.records import write_json
from tradeoffs.provenance.verification import join, records_of

with job(snakemake):
    records = records_of(Path(snakemake.params.run))
    write_json(snakemake.output.joined, join(snakemake.input.results, records, snakemake.config))
