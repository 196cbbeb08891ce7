"""What the tables and figures were made from: the records of all jobs behind them, joined."""

from pathlib import Path

from tradeoffs.jobs import job
from tradeoffs.records import write_json
from tradeoffs.verification import join, records_of

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    write_json(snakemake.output.joined, join(inputs.results, records_of(Path(params.run)), params.config))
