"""One of the paper's figures that are made of images, as PDF and PNG."""

from functools import partial

from tradeoffs.data.tables import read_grounding, read_images
from tradeoffs.jobs.job import job
from tradeoffs.paper import pictures
from tradeoffs.paper.results import read_results
from tradeoffs.paper.style import save

READERS = {
    "grounding": partial(read_grounding, part="test"),
    "images": read_images,
    "scores": read_results,
}  # of the other files each figure needs a part

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    sources = {name: READERS[name](files) if name in READERS else files for name, files in snakemake.input.items()}
    function = getattr(pictures, params.picture)
    save(function(**sources, **params.arguments), output.pdf, output.png)
