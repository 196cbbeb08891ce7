"""Before a run: what is there, missing or wrong, how much there will be to do and to store."""

import shutil
from pathlib import Path

import pandas as pd

from tradeoffs.check.costs import Numbers, count, disk, parameters_of, works
from tradeoffs.check.inputs import given
from tradeoffs.config.schema import Config
from tradeoffs.data.tables import read_grounding
from tradeoffs.errors import InputError
from tradeoffs.jobs.job import job, logger

GB = 1e9

with job(snakemake):
    params, run = snakemake.params, Path(snakemake.params.run)
    config = Config.model_validate(params.config)
    logger.info("Run %s in %s\n", config.run, run)
    boxes = run / "data" / "cxr" / "grounding.csv"
    grounding = read_grounding(boxes) if config.external and boxes.is_file() else None
    wrong: list[str] = []
    for entry in given(config, [problem.partition(":")[0] for problem in params.missing], grounding):
        found = list(entry.problems())
        wrong += found
        logger.info("  %s: %s (%s)", entry.key, entry.value, "wrong" if found else entry.state)
    for dataset in config.data.sets:
        logger.info("  features of %s: %s", dataset, ", ".join(config.extractors_of(dataset).values()))
    for problem in params.missing:
        logger.info("  MISSING %s", problem)
    for problem in wrong:
        logger.info("  WRONG %s", problem)

    numbers = {}
    problems = [*params.missing, *wrong]
    for dataset in config.data.sets:
        if any(problem.startswith(tuple(params.folders[dataset])) for problem in problems):
            numbers[dataset] = Numbers({}, 0, "")
            logger.info(
                "\n%s: images not counted, they cannot be read; latents and heat maps are missing below", dataset
            )
            continue
        numbers[dataset] = count(config, dataset, run)
        images = ", ".join(f"{split} {n}" for split, n in sorted(numbers[dataset].images.items()))
        phrases = f"; {numbers[dataset].phrases} phrases with boxes" if dataset == "cxr" else ""
        logger.info("\n%s: images %s%s (%s)", dataset, images, phrases, numbers[dataset].source)

    rows, gpu_hours = [], []
    for work in filter(lambda work: work.units, works(config, numbers, run)):
        hours = ["unknown until measured" if time is None else f"{time:.2f}" for time in (work.hours, work.gpu_hours)]
        rows.append((work.rule, work.dataset, work.models, f"{work.units:,} {work.unit}", len(work.measured), *hours))
        gpu_hours.append(work.gpu_hours)
    columns = ["rule", "data", "models", "work in all", "finished jobs", "job hours in all", "GPU hours in all"]
    table = pd.DataFrame(rows, columns=columns).to_markdown(index=False, disable_numparse=True)
    logger.info("\n%s", table)
    logger.info("Hours come from the benchmarks of finished jobs of this run.")
    known = [hours for hours in gpu_hours if hours is not None]
    logger.info("GPU hours in all: %.2f, and those of %d unmeasured rows", sum(known), len(gpu_hours) - len(known))

    readable = not any(problem.startswith("base.") for problem in problems)
    parameters, known = parameters_of(config.base.source if readable else None)
    sizes = disk(config, numbers, parameters)
    logger.info("\nDisk space; the base has %s parameters (%s):", f"{parameters:,}", known)
    for what, size in sizes.items():
        logger.info("  %10.3f GB  %s", size / GB, what)
    free = shutil.disk_usage(run if run.exists() else ".").free
    logger.info("  %10.3f GB  in all; %.3f GB are free here", sum(sizes.values()) / GB, free / GB)
    if problems:
        raise InputError(
            f"the run cannot start: missing {len(params.missing)}, wrong {len(wrong)}; see MISSING and WRONG above"
        )
