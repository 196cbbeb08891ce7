"""The report: the conclusion, every table and figure, and how they were made, in one HTML file."""

import json
from pathlib import Path

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.paper.conclusion import conclusions
from tradeoffs.paper.report import (
    Making,
    counts_block,
    exclusions_block,
    read_captions,
    read_figure,
    read_table,
    render,
    times_block,
)
from tradeoffs.paper.results import read_differences, read_results

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    captions = read_captions(inputs.captions)
    # of a table that shows nothing of a changed key the configuration is an older one
    sidecar = json.loads(Path(inputs.tables[0]).read_text()) | {"config": snakemake.config}
    summaries = read_results(inputs.summaries)
    fidelity = read_results(inputs.fidelity)
    differences = read_differences(inputs.differences)
    scores = read_results(inputs.scores)

    making = Making(
        sidecar,
        times_block(params.benchmarks),
        [counts_block(path, params.titles) for path in inputs.counts],
        exclusions_block(scores, params.datasets),
    )
    html = render(
        params.demo,
        conclusions(params.datasets, summaries, fidelity, differences),
        [read_table(path, captions, output.html) for path in inputs.tables],
        [read_figure(path, captions, params.titles) for path in inputs.figures],
        making,
    )
    with atomic_path(output.html) as temporary:
        temporary.write_text(html)
