"""What a run will read and make, told before it starts: numbers of images, texts and passes, disk space, and times.

docs/paper-scale.md has the same arithmetic in words.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tradeoffs.config.schema import Config
from tradeoffs.config.sections.sampling import Sampling
from tradeoffs.data import coco, mimic, open_radiographs
from tradeoffs.data.box_layouts import read_boxes
from tradeoffs.data.grounding_sets import ALL_SPLITS
from tradeoffs.data.mscxr import read_mscxr
from tradeoffs.data.sets import DataSet
from tradeoffs.demo.phantom_coco import CAPTIONS
from tradeoffs.model.timesteps import evenly_spaced_steps

SD2_PARAMETERS = 1_289_952_427  # Stable Diffusion v2: U-Net, text encoder, autoencoder
TRAIN_STEPS = 1000  # of its noise schedule
FLOAT = 4  # bytes
CHANNELS, SHRINKAGE = 4, 8  # of latents against images
BACK_TOO = "images forth and back"


@dataclass(frozen=True)
class Numbers:
    """Images of one data set by split, phrases with boxes or captions of test images that may have heat maps, and where
    they were counted."""

    images: dict[str, int]
    texts: int
    source: str

    def heat_maps(self, of_set: DataSet, final: bool) -> int:
        """Heat maps of one model at most: of phrases or captions; of a final one, impressions and wrong prompts too."""
        texts = [self.texts] if of_set.has_captions else [self.texts, self.images.get(of_set.boxes, 0)]
        return 2 * sum(texts) if final else texts[0]


@dataclass(frozen=True)
class Work:
    """The jobs of one rule on one data set: how many models, units of work in all, units by benchmark file, and GPUs a
    job."""

    rule: str
    dataset: str
    models: int
    units: int
    unit: str
    measured: Mapping[Path, float]
    gpus: int

    @property
    def hours(self) -> float | None:
        """Hours of all jobs, one after the other, at the rate of those that have finished; None without one."""
        rate = seconds_a_unit(self)
        return None if rate is None else rate * self.units / 3600

    @property
    def gpu_hours(self) -> float | None:
        """Hours times GPUs of a job; None where nothing is measured, 0 where no GPU is asked for."""
        if not self.gpus:
            return 0.0
        return None if self.hours is None else self.hours * self.gpus


def count(config: Config, dataset: str, run: Path) -> Numbers:
    """The numbers of one data set: from the run's prepared tables if there are, else from the raw CSV and JSON files
    (reports and images are not opened, so these are upper bounds), else from the phantoms' configuration.

    run: the run's folder. Raises InputError for raw files that are not as they should be.
    """
    tables, of_set = run / "data" / dataset, config.set_of(dataset)
    if (tables / "images.csv").is_file() and (tables / "grounding.csv").is_file():
        images = pd.read_csv(tables / "images.csv", usecols=["split"], dtype=str)["split"].value_counts()
        texts = pd.read_csv(tables / "grounding.csv", usecols=["text_id" if of_set.has_captions else "phrase_id"])
        return Numbers(images.to_dict(), len(texts.drop_duplicates()), "prepared tables of the run")
    if dataset in config.grounding:
        given = config.grounding[dataset]
        rows = read_boxes(given.layout, given.path)
        rows = rows[(rows["split"] == given.split) | (given.split == ALL_SPLITS)]
        phrases = len(rows.drop_duplicates(["image", "phrase", "category"]))
        return Numbers({of_set.boxes: rows["image"].nunique()}, phrases, "its own files, images not opened")
    data, drawn = config.data, config.data.phantoms
    if data.source == "phantoms":
        images_of = {split: getattr(drawn, key) for split, key in of_set.splits.items()}
        if not of_set.has_captions:
            return Numbers(images_of, images_of[of_set.boxes], "configuration; at least one phrase an image")
        captions = images_of[of_set.boxes] * min(CAPTIONS, data.coco_captions or CAPTIONS)
        return Numbers(images_of, captions, "configuration")
    if of_set.source == "coco":
        assert data.coco is not None, "missing_paths has told"
        captions = coco.count_captions(data.coco, "val2017", data.coco_captions)
        images = coco.count_images(data.coco, data.coco_prepared, data.limit.of(dataset))
        return Numbers(images, captions, "annotation files, images not opened")
    if of_set.source == "open":
        assert data.open_i is not None and data.chestxray14 is not None, "missing_paths has told"
        listed, _ = open_radiographs.list_images(data.open_i, data.chestxray14, data.views, data.limit.of(dataset))
        phrases = len(read_boxes("chestxray14", data.chestxray14).drop_duplicates(["image", "category"]))
        return Numbers(listed["split"].value_counts().to_dict(), phrases, "tables and reports, images not opened")
    assert data.mimic_cxr_jpg is not None and data.ms_cxr is not None, "missing_paths has told"
    listed, _ = mimic.list_images(
        data.mimic_cxr_jpg, data.mimic_cxr_reports, data.ms_cxr, data.views, data.mimic_prepared, data.limit.of(dataset)
    )
    phrases = len(read_mscxr(data.ms_cxr).drop_duplicates(["dicom_id", "label_text", "category_name"]))
    return Numbers(listed["split"].value_counts().to_dict(), phrases, "CSV files, reports and images not opened")


def works(config: Config, numbers: Mapping[str, Numbers], run: Path) -> Iterator[Work]:
    """The jobs that run a model, data set by data set. run: the run's folder, for the benchmarks of finished jobs."""
    sampling, ms_ssim, maps = config.sampling, config.evaluation.ms_ssim, config.heat_maps
    samples = sampling.images + ms_ssim.prompts * (ms_ssim.repeats - 1)
    passes = samples * _passes(sampling)
    benchmarks = run / "benchmarks"
    for dataset, of_data in numbers.items():
        final, tuned, on_the_way, shown = models(config, dataset)
        gpus = config.resources.gpus
        measured: dict[Path, float] = {}
        of_set = config.set_of(dataset)
        encoded = {subset: of_data.images.get(subset, 0) for subset in ("train", of_set.boxes)}
        for subset, images in encoded.items():
            files = (benchmarks / "model" / dataset / "latents").glob(f"{subset}_*.tsv")
            measured |= dict.fromkeys(files, images / config.latents.shards)
        units = sum(encoded_images(config, dataset, of_data))
        yield Work("latents", dataset, len(origins(config, dataset)), units, "images", measured, gpus)
        trained = {
            name: len(config.seeds_of(name)) * training["steps"] * training["batch_size"]
            for name, training in trainings(config, dataset).items()
        }
        measured = {
            file: trained[name] / len(config.seeds_of(name))
            for name in trained
            for file in (benchmarks / "model" / dataset).glob(f"{name}/seed*/finetune.tsv")
        }
        yield Work("finetune", dataset, tuned, sum(trained.values()), BACK_TOO, measured, config.training_gpus)
        measured = {}
        total = 0
        for checkpoint, number in (("final", final), ("step*", on_the_way)):
            of_model = of_data.heat_maps(of_set, checkpoint == "final") * maps.keep
            total += number * of_model
            files = (benchmarks / "attention" / dataset).glob(f"*/seed*/{checkpoint}/heat_maps_*.tsv")
            measured |= dict.fromkeys(files, of_model / maps.shards)
        yield Work("heat_maps", dataset, final + on_the_way, total, "U-Net passes at most", measured, gpus)
        if dataset in config.grounding:
            continue
        profile = maps.profile_samples * maps.steps
        files = (benchmarks / "attention" / dataset).glob("*/seed*/final/attention_profile.tsv")
        measured = dict.fromkeys(files, profile)
        yield Work("attention_profile", dataset, shown, shown * profile, "U-Net passes", measured, gpus)
        changed = maps.profile_samples * maps.keep * 4  # its text and the three that take its place
        measured = dict.fromkeys((benchmarks / "attention" / dataset).glob("*/seed*/final/faithfulness.tsv"), changed)
        yield Work("faithfulness", dataset, shown, shown * changed, "U-Net passes at most", measured, gpus)
        files = (benchmarks / "sampling" / dataset).glob("*/seed*/*/samples_*.tsv")
        measured = dict.fromkeys(files, passes / sampling.shards)
        drawn = final + on_the_way
        yield Work("samples", dataset, drawn, drawn * passes, "U-Net passes", measured, gpus)
        yield from _scoring(config, dataset, of_data, drawn, benchmarks / "evaluation" / dataset)


def _scoring(config: Config, dataset: str, numbers: Numbers, models: int, benchmarks: Path) -> Iterator[Work]:
    """The jobs that score samples: the classifier, the features of real images and those of the samples."""
    gpus, extractors = config.resources.gpus, config.extractors_of(dataset)
    if extractors.get("domain") == "own_classifier":
        trained = config.classifier.epochs * numbers.images.get("train", 0)
        measured = dict.fromkeys(benchmarks.glob("classifier.tsv"), trained)
        yield Work("classifier", dataset, 1, trained, f"{BACK_TOO} at most", measured, gpus)
    most = config.evaluation.real_images
    if config.evaluation.reference == "prompts":
        most = min(most, config.sampling.images)
    real = len(extractors) * min(most, numbers.images.get(config.set_of(dataset).population, 0))
    measured = dict.fromkeys(benchmarks.glob("real_features.tsv"), real)
    yield Work("real_features", dataset, 1, real, "images through a network", measured, gpus)
    scored = len(extractors) * config.sampling.images
    measured = dict.fromkeys(benchmarks.glob("*/seed*/*/fidelity.tsv"), scored)
    yield Work("fidelity", dataset, models, models * scored, "images through a network", measured, gpus)


def _passes(sampling: Sampling) -> int:
    """U-Net passes per sample; guidance takes two where else one would do."""
    steps = sampling.steps
    if sampling.scheduler != "dpm":
        steps = len(evenly_spaced_steps(TRAIN_STEPS, steps)) + (sampling.scheduler == "plms")  # its first step: two
    return steps * (2 if sampling.guidance > 1 else 1)


def models(config: Config, dataset: str) -> tuple[int, int, int, int]:
    """Numbers of models of one data set: final ones, those of them that are fine-tuned, those kept and scored on the
    way, and those with an attention profile. On a further set of boxes, those of the main variants are only scored."""
    if dataset in config.grounding:
        return sum(len(config.seeds_of(name)) for name in config.main_variants_of(dataset)), 0, 0, 0
    seeds = {name: len(config.seeds_of(name)) for name in config.variants_of(dataset)}
    main = config.main_variants_of(dataset)
    milestones = {name: len(training["milestones"]) for name, training in trainings(config, dataset).items()}
    tuned = sum(seeds[name] for name in milestones)
    on_the_way = sum(seeds[name] * milestones.get(name, 0) for name in main)
    return sum(seeds.values()), tuned, on_the_way, len(main)


def trainings(config: Config, dataset: str) -> dict[str, dict[str, Any]]:
    """The settings of each fine-tuning of one data set, by its variant; on a further set of boxes there is none."""
    if dataset in config.grounding:
        return {}
    names = [name for name in config.variants_of(dataset) if config.has_training(name)]
    return {name: config.training_of(dataset, name) for name in names}


def origins(config: Config, dataset: str) -> set[str | None]:
    """The models that encode the images of one data set: the base (None), and those of the user's, by their variant."""
    return {None} | {config.origin_of(name) for name in config.variants_of(dataset)}


def encoded_images(config: Config, dataset: str, numbers: Numbers) -> list[int]:
    """Images that each of `origins` encodes: those with heat maps, and those to fine-tune on where it is a start."""
    trained = {None} | {config.origin_of(name) for name in trainings(config, dataset)}
    heat_maps, train = (numbers.images.get(subset, 0) for subset in (config.set_of(dataset).boxes, "train"))
    return [heat_maps + (train if origin in trained else 0) for origin in origins(config, dataset)]


def seconds_a_unit(work: Work) -> float | None:
    """Seconds a unit in the finished jobs of this run; None without one.

    A job that was stopped and resumed counts with its last part only, so such a rate is too low.
    """
    times = {path: pd.read_csv(path, sep="\t")["s"].sum() for path in work.measured}
    return sum(times.values()) / sum(work.measured.values()) if times else None


def disk(config: Config, numbers: Mapping[str, Numbers], parameters: int) -> dict[str, float]:
    """Bytes of what the run will keep, by what it is. parameters: of the base model (see `parameters_of`)."""
    side = config.image.resolution
    latent = CHANNELS * (side // SHRINKAGE) ** 2 * FLOAT
    ms_ssim = config.evaluation.ms_ssim
    samples = config.sampling.images + ms_ssim.prompts * (ms_ssim.repeats - 1)
    encoded = folders = drawn = texts = 0
    given: set[str | None] = set()
    for dataset, of_data in numbers.items():
        final, _, on_the_way, _ = models(config, dataset)
        of_set = config.set_of(dataset)
        encoded += sum(encoded_images(config, dataset, of_data))
        given |= origins(config, dataset) - {None}
        for name, training in trainings(config, dataset).items():
            averages = training["ema_decay"] is not None
            folders += len(config.seeds_of(name)) * (1 + len(training["milestones"]) + averages)
        drawn += 0 if dataset in config.grounding else final + on_the_way
        texts += final * of_data.heat_maps(of_set, True) + on_the_way * of_data.heat_maps(of_set, False)
    return {
        "latents (mean and standard deviation)": encoded * 2 * latent,
        f"base model and {folders} fine-tuned ones, float32": (1 + folders) * parameters * FLOAT,
        **(
            {f"{len(given)} models of variants.<name>.model and from": len(given) * parameters * FLOAT} if given else {}
        ),
        "checkpoint of each fine-tuning while it runs, at most": parameters * FLOAT * 3 * 2,
        f"{drawn * samples} samples as PNG, at most": drawn * samples * 3 * side**2,
        f"{texts} heat maps of 20 tokens": texts * 20 * latent / CHANNELS,
    }


def parameters_of(base: str | None) -> tuple[int, str]:
    """Parameters of the base model and how they are known: counted in a folder, else those of Stable Diffusion v2."""
    weights = [*Path(base).glob("*/*.safetensors")] if base and Path(base).is_dir() else []
    if not weights:
        return SD2_PARAMETERS, "as Stable Diffusion v2"
    return sum(map(_numbers_in, weights)), f"counted in {base}"


def _numbers_in(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
