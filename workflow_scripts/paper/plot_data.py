"""Sheet of the data: test images of each finding or class with their texts and outlines."""

from tradeoffs.data.tables import read_grounding
from tradeoffs.jobs.job import job
from tradeoffs.paper.pictures import data_rows, data_sheet
from tradeoffs.paper.style import save

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    grounding = read_grounding(snakemake.input.grounding)
    rows = data_rows(grounding, params.text, params.resolution, columns=4, most=params.rows)
    save(data_sheet(rows, params.text, params.note), output.pdf, output.png)
