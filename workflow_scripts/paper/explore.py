"""The explore page: heat maps of test images of every variant side by side, with their scores, in one HTML file."""

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.attention.views import load_views
from tradeoffs.data.tables import read_grounding
from tradeoffs.evaluation.localisation import samples
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.paper.explore import DataSet, render
from tradeoffs.paper.pictures import by_variant
from tradeoffs.paper.results import read_results
from tradeoffs.protocols import PROTOCOLS

with job(snakemake):
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    protocol = PROTOCOLS[params.protocol]
    scores = read_results(inputs.scores)
    scores = scores[scores["protocol"] == params.protocol]
    sets = []
    for dataset, about in params.datasets.items():
        grounding = read_grounding(inputs[f"{dataset}_grounding"])
        heat_maps = by_variant(about["variants"], inputs[f"{dataset}_heat_maps"])
        views = {
            variant: load_views(path, load_heat_maps(files, about["text"]))
            for (variant, files), path in zip(heat_maps, inputs[f"{dataset}_maps"], strict=True)
        }
        sets.append(
            DataSet(
                about["title"],
                about["text"],
                samples(grounding, about["text"], protocol, params.resolution),
                grounding.drop_duplicates("sample_id").set_index("sample_id")["path"].to_dict(),
                scores[(scores["dataset"] == dataset) & (scores["text"] == about["text"])],
                views,
            )
        )
    html = render(params.demo, sets, protocol)
    with atomic_path(output.html) as temporary:
        temporary.write_text(html)
