"""Heat maps over test images: one row a finding or class, one column a variant."""

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import read_grounding
from tradeoffs.jobs.job import job
from tradeoffs.paper.pictures import by_variant, overlay_ids, overlay_rows, overlays
from tradeoffs.paper.style import save
from tradeoffs.protocols import PROTOCOLS

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    grounding, protocol = read_grounding(inputs.grounding), PROTOCOLS[params.protocol]
    ids = overlay_ids(grounding, params.text, protocol, params.resolution)
    dumps = {
        variant: load_heat_maps(paths, params.text, ids)
        for variant, paths in by_variant(params.variants, inputs.heat_maps)
    }
    rows = overlay_rows(grounding, dumps, params.text, protocol, params.resolution)
    save(overlays(rows, params.variants, params.text, params.note), output.pdf, output.png)
