"""Before a run: what is there, missing or wrong, how much there will be to do and to store."""

from pathlib import Path

from tradeoffs.check.account import disk_told, inputs_told, numbers_of, numbers_told, training_told, work_told
from tradeoffs.check.costs import works
from tradeoffs.check.inputs import given
from tradeoffs.config.paths import missing_paths
from tradeoffs.config.schema import Config
from tradeoffs.data.tables import read_grounding
from tradeoffs.errors import InputError
from tradeoffs.jobs.job import job, logger

with job(snakemake):
    config, run = Config.model_validate(snakemake.params.config), Path(snakemake.params.run)
    logger.info("Run %s in %s\n", config.run, run)
    boxes = run / "data" / "cxr" / "grounding.csv"
    grounding = read_grounding(boxes) if config.external and boxes.is_file() else None
    missing = missing_paths(config)
    opened = [(entry, list(entry.faults())) for entry in given(config, missing, grounding)]
    wrong = [fault for _, faults in opened for fault in faults]
    faults = [*missing, *wrong]
    logger.info("\n".join(inputs_told(opened, config, missing, wrong)))
    numbers = numbers_of(config, run, faults)
    for lines in (
        numbers_told(config, numbers),
        training_told(config, numbers),
        work_told(works(config, numbers, run)),
        disk_told(config, numbers, run, faults),
    ):
        logger.info("\n%s", "\n".join(lines))
    if faults:
        raise InputError(
            f"the run cannot start: missing {len(missing)}, wrong {len(wrong)}; see MISSING and WRONG above"
        )
    logger.info("\nNothing is missing and nothing wrong: the run can start.")
