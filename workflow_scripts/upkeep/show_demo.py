"""What the demo gave, as a page in Markdown with its tables and figures: docs/demo, which the README shows."""

import json
import shutil
from pathlib import Path

from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.paper.conclusion import conclusions, headline
from tradeoffs.paper.report import read_captions, times_block
from tradeoffs.paper.results import read_differences, read_results

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    sidecars = [json.loads(Path(path).read_text()) for path in inputs.tables]
    first = sidecars[0]
    found = conclusions(
        params.datasets,
        read_results(inputs.summaries),
        read_results(inputs.fidelity),
        read_differences(inputs.differences),
    )
    captions = read_captions(inputs.captions)
    times = times_block(params.benchmarks)
    pages, figures = [Path(path) for path in inputs.pages], [Path(path) for path in inputs.figures]
    parts = [
        "# What the demo gave",
        f"Made by `snakemake --cores 8 demo_docs` at commit {first['commit']}; nothing here was typed. {params.note}",
        f"**{headline(found)}**",
        *(f"**{one.title}.** {' '.join(one.sentences)}" for one in found),
        "## Tables",
        "\n".join(f"- [{one['table']['title']}]({page.name})" for one, page in zip(sidecars, pages, strict=True)),
        "## Figures",
    ]
    for path in figures:
        name = path.stem if path.stem in captions else path.stem.rpartition("_")[0]
        title, caption = captions[name]
        parts.append(f"![{title}]({path.name})\n\n{title}. {caption}")
    parts += ["## Times", times.cells.to_markdown(index=False)]
    with atomic_path(snakemake.output.folder) as temporary:
        temporary.mkdir()
        for path in [*pages, *figures]:
            shutil.copyfile(path, temporary / path.name)
        (temporary / "README.md").write_text("\n\n".join(parts) + "\n")
