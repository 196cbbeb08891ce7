"""Before a run: what is there, what is missing, how much there will be to do and to store."""

import shutil
from pathlib import Path

import pandas as pd

from tradeoffs.config import Config
from tradeoffs.costs import Numbers, count, disk, parameters_of, seconds_a_unit, works
from tradeoffs.errors import InputError
from tradeoffs.jobs import job, logger

GB = 1e9

with job(snakemake):
    params, run = snakemake.params, Path(snakemake.params.run)
    config = Config.model_validate(params.config)
    logger.info("Run %s in %s\n", config.run, run)
    for key, value in config.data:
        if isinstance(value, str) and key != "source":
            state = "" if any(problem.startswith(f"data.{key}:") for problem in params.missing) else "there"
            logger.info("  %-18s %s %s", key, value, state and f"({state})")
    for problem in params.missing:
        logger.info("  MISSING %s", problem)

    numbers = {}
    for dataset in config.data.sets:
        if any(problem.startswith(tuple(params.folders[dataset])) for problem in params.missing):
            numbers[dataset] = Numbers({}, 0, "")
            logger.info(
                "\n%s: images not counted, they are not there; latents and heat maps are missing below", dataset
            )
            continue
        numbers[dataset] = count(config, dataset, run)
        images = ", ".join(f"{split} {n}" for split, n in sorted(numbers[dataset].images.items()))
        phrases = f"; {numbers[dataset].phrases} phrases with boxes" if dataset == "cxr" else ""
        logger.info("\n%s: images %s%s (%s)", dataset, images, phrases, numbers[dataset].source)

    rows = []
    for work in works(config, numbers, run):
        rate = seconds_a_unit(work)
        hours = "" if rate is None else f"{rate * work.units / 3600:.2f}"
        cells = (work.rule, work.dataset, work.models, f"{work.units:,} {work.unit}", len(work.measured), hours)
        if work.units:
            rows.append(cells)
    columns = ["rule", "data", "models", "work in all", "finished jobs", "job hours in all"]
    table = pd.DataFrame(rows, columns=columns).to_markdown(index=False, disable_numparse=True)
    logger.info("\n%s", table)
    logger.info("Hours come from the benchmarks of finished jobs of this run; without one there is no time to tell.")

    parameters, known = parameters_of(config.base.source)
    sizes = disk(config, numbers, parameters)
    logger.info("\nDisk space; the base has %s parameters (%s):", f"{parameters:,}", known)
    for what, size in sizes.items():
        logger.info("  %10.3f GB  %s", size / GB, what)
    free = shutil.disk_usage(run if run.exists() else ".").free
    logger.info("  %10.3f GB  in all; %.3f GB are free here", sum(sizes.values()) / GB, free / GB)
    if params.missing:
        raise InputError(f"the run cannot start, {len(params.missing)} things are missing (see above)")
