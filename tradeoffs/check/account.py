"""What the target check reports, in words: what is there, how much a run will do and store, whether it can start."""

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from tradeoffs.check.costs import Numbers, Work, count, disk, parameters_of
from tradeoffs.check.inputs import Given
from tradeoffs.config.faults import Fault
from tradeoffs.config.schema import Config

GB = 1e9


def inputs_told(
    opened: Iterable[tuple[Given, list[Fault]]], config: Config, missing: Collection[Fault], wrong: Collection[Fault]
) -> Iterator[str]:
    """A line for each thing that the configuration points to, for each data set's networks, and for each fault."""
    for entry, faults in opened:
        yield f"  {entry.key}: {entry.value} ({'wrong' if faults else entry.state})"
    for dataset in config.data.sets:
        yield f"  features of {dataset}: {', '.join(config.extractors_of(dataset).values())}"
    yield from (f"  MISSING {fault}" for fault in missing)
    yield from (f"  WRONG {fault}" for fault in wrong)


def numbers_of(config: Config, run: Path, faults: Collection[Fault]) -> dict[str, Numbers]:
    """The numbers of each data set (see `count`), none where its raw data has a fault. run: the run's folder."""
    faulty = {fault.key for fault in faults}
    raw_data = {name: {f"grounding.{name}.path"} for name in config.grounding}
    for name in config.data.sets:
        of_set = config.set_of(name)
        raw_data[name] = {f"data.{key}" for key in (*of_set.folders, of_set.prepared)}
    return {
        dataset: Numbers({}, 0, "") if faulty & raw_data[dataset] else count(config, dataset, run)
        for dataset in [*config.data.sets, *config.grounding]
    }


def numbers_told(config: Config, numbers: Mapping[str, Numbers]) -> Iterator[str]:
    """A line for each data set."""
    for dataset, of_data in numbers.items():
        if not of_data.source:
            yield f"{dataset}: images not counted, they cannot be read; latents and heat maps are missing below"
            continue
        images = ", ".join(f"{split} {n}" for split, n in sorted(of_data.images.items()))
        what = "phrases with boxes"
        if config.set_of(dataset).has_captions:
            what = "captions of test images, each with a heat map at most"
        yield f"{dataset}: images {images}; {of_data.texts} {what} ({of_data.source})"


def training_told(config: Config, numbers: Mapping[str, Numbers]) -> Iterator[str]:
    """A line for each data set: how many images one fine-tuning sees."""
    for dataset, of_data in numbers.items():
        if dataset in config.grounding:
            continue
        training, images = config.training_of(dataset), of_data.images.get("train", 0)
        seen = training["steps"] * training["batch_size"]
        epochs = f"{seen / images:.2f} epochs of {images:,}" if images else "of an unknown number"
        yield (
            f"{dataset}: a fine-tuning sees {seen:,} images ({training['steps']:,} steps of training.batch_size "
            f"{training['batch_size']}), {epochs}"
        )


def work_told(works: Iterable[Work]) -> Iterator[str]:
    """A table of the jobs that run a model, and their hours in all."""
    works = [work for work in works if work.units]
    rows = []
    for work in works:
        hours = ["unknown until measured" if time is None else f"{time:.2f}" for time in (work.hours, work.gpu_hours)]
        rows.append((work.rule, work.dataset, work.models, f"{work.units:,} {work.unit}", len(work.measured), *hours))
    columns = ["rule", "data", "models", "work in all", "finished jobs", "job hours in all", "GPU hours in all"]
    yield pd.DataFrame(rows, columns=columns).to_markdown(index=False, disable_numparse=True)
    known = [work.gpu_hours for work in works if work.gpu_hours is not None]
    yield "Hours come from the benchmarks of finished jobs of this run."
    yield f"GPU hours in all: {sum(known):.2f}, and those of {len(works) - len(known)} unmeasured rows"


def disk_told(config: Config, numbers: Mapping[str, Numbers], run: Path, faults: Collection[Fault]) -> Iterator[str]:
    """What the run will keep, by what it is, and what is free where it will be kept."""
    readable = not any(fault.key.startswith("base.") for fault in faults)
    parameters, known = parameters_of(config.base.source if readable else None)
    yield f"Disk space; the base has {parameters:,} parameters ({known}):"
    sizes = disk(config, numbers, parameters)
    yield from (f"  {size / GB:10.3f} GB  {what}" for what, size in sizes.items())
    free = shutil.disk_usage(run if run.exists() else ".").free
    yield f"  {sum(sizes.values()) / GB:10.3f} GB  in all; {free / GB:.3f} GB are free here"
