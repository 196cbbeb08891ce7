"""What a configuration points to, opened before a run as the run will open it, so that all that is wrong shows at once.

Images, reports, the outlines of MS-COCO and the weights of a base in a folder are left to the first jobs.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from tradeoffs.config.faults import Fault
from tradeoffs.config.paths import REMEDY_OF_LOCKED, files_of, folders_of, images_of_set, sources_of
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.data import Data, GroundingSet
from tradeoffs.data import coco, mimic, open_i
from tradeoffs.data.box_layouts import read_boxes
from tradeoffs.data.conditioning import read_sentences
from tradeoffs.data.grounding_sets import check_prior, image_paths, read_rows
from tradeoffs.data.images import check_some
from tradeoffs.data.mscxr import read_mscxr
from tradeoffs.data.open_radiographs import read_entries
from tradeoffs.data.tables import read_prompts, reject_rows
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import load_classifier
from tradeoffs.evaluation.external import read_external
from tradeoffs.evaluation.features import Inception
from tradeoffs.evaluation.image_sets import read_image_set
from tradeoffs.evaluation.vision_transformer import VisionTransformer
from tradeoffs.evaluation.xray_densenet import load_xray_densenet
from tradeoffs.model import ldm
from tradeoffs.model.checkpoints import check_built, check_folder
from tradeoffs.model.encoders import load_encoder
from tradeoffs.model.sources import told_of
from tradeoffs.packages import package_folder

Reader = Callable[[str], object]

FILE_READERS: dict[str, Sequence[Reader]] = {
    "data.mimic_prepared": [mimic.read_prepared],
    "data.coco_prepared": [coco.read_prepared],
    "data.sentences": [read_sentences],
    "evaluation.extractors.inception": [Inception],
    "evaluation.extractors.xrv_densenet121_all": [load_xray_densenet],
    "evaluation.extractors.findings_classifier": [load_classifier],
    "evaluation.extractors.dinov2": [VisionTransformer],
}
ENCODER_READERS: dict[str, Sequence[Reader]] = {  # by kind of source
    "folder": [load_encoder],
    "package": [lambda source: load_encoder(package_folder(source))],
    "hub": [],
}


@dataclass(frozen=True)
class Given:
    """Something that the configuration points to: its dotted key, the path or id there, what opens it (nothing where it
    is only looked for), and what to say of it if nothing is wrong."""

    key: str
    value: str
    readers: Sequence[Reader] = ()
    state: str = "read"

    def faults(self) -> Iterator[Fault]:
        """What is wrong with it, reader by reader."""
        for read in self.readers:
            try:
                read(self.value)
            except InputError as error:
                told = told_of(self.key, error) if self.key.startswith("variants.") else str(error)
                yield Fault(self.key, told.removeprefix(f"{self.key}: "))
            except PermissionError as error:
                yield Fault(self.key, f"you may not read {error.filename}", REMEDY_OF_LOCKED)


def given(config: Config, faults: Collection[Fault], grounding: pd.DataFrame | None) -> Iterator[Given]:
    """All that the run reads of the user's.

    faults: what is not there (see `missing_paths`), where there is nothing to open
    grounding: the run's grounding table of cxr, if it is made, with whose ids those of external heat maps are compared
    """
    missing = {fault.key for fault in faults}
    paths = {f"data.{key}": folder for key, folder in folders_of(config.data).items() if folder} | files_of(config)
    paths |= {f"grounding.{name}.path": of_set.path for name, of_set in config.grounding.items()}
    for key, path in paths.items():
        if key in missing:
            yield Given(key, path, state="missing")
        elif key.startswith("grounding."):
            of_set, max_excluded = config.grounding[key.split(".")[1]], config.evaluation.max_excluded
            yield Given(key, path, [partial(_read_set, of_set=of_set, key=key, max_excluded=max_excluded)])
        elif key.startswith("external."):
            state = "read" if grounding is not None else "read; its ids are compared once the run's boxes are prepared"
            yield Given(key, path, [partial(read_external, grounding=grounding)], state)
        elif key.startswith("external_samples."):
            yield Given(key, path, [read_image_set])
        elif key == "data.prompts":
            yield Given(key, path, [partial(_read_prompts, with_images=config.evaluation.reference == "prompts")])
        else:
            of_table = (_table_readers(config.data) | FILE_READERS)[key]
            yield Given(key, path, of_table, "there" if key == "data.mimic_cxr_reports" or not of_table else "read")
    for key, source in sources_of(config).items():
        if key in missing:
            yield Given(key, source.path, state="missing")
        else:
            kind = source.kind_of(source.path)
            state = "hub id, not looked up" if kind == "hub" else "read"
            prediction_type = config.base.prediction_type if key == "base.source" else None
            of_encoder = key.startswith("encoders.")
            readers = ENCODER_READERS[kind] if of_encoder else _model_readers(kind, prediction_type)
            yield Given(key, source.path, readers, state)


def _read_prompts(file: str, with_images: bool) -> None:
    prompts = read_prompts(file)
    if with_images:
        remedy = (
            "evaluation.reference is prompts, which compares samples with their images: name them, or set population"
        )
        reject_rows(file, prompts["sample_id"] == "", f"sample_id (or dicom_id) is empty, but {remedy}")


def _model_readers(kind: str, prediction_type: str | None) -> Sequence[Reader]:
    """What opens a base or another whole model, of a kind of source."""
    if kind == "hub":
        return []
    if kind == "file":
        return [lambda file: ldm.read_model(Path(file), prediction_type)]
    return [partial(_check_model, prediction_type=prediction_type)]


def _check_model(folder: str, prediction_type: str | None) -> None:
    check_folder(folder, prediction_type)
    check_built(folder)


def _table_readers(data: Data) -> dict[str, Sequence[Reader]]:
    """What opens the tables in the folders of raw data, and looks for some of the files that they list."""
    of_mimic = (mimic.read_metadata, mimic.read_chexpert, mimic.read_split, _check_ids)
    mimic_tables = () if data.mimic_prepared else of_mimic
    coco_parts = ["val2017"] if data.coco_prepared else ["train2017", "val2017"]
    return {
        "data.mimic_cxr_jpg": (*mimic_tables, partial(_find_some, data=data, kind="images")),
        "data.mimic_cxr_reports": (partial(_find_some, data=data, kind="reports"),),
        "data.ms_cxr": (read_mscxr,),
        "data.open_i": (partial(open_i.list_images, views=data.views),),
        "data.chestxray14": (partial(read_boxes, "chestxray14"), read_entries),
        "data.coco": [partial(_read_coco, part=part) for part in coco_parts],
    }


def _check_ids(folder: str) -> None:
    """As `mimic.check_ids`; a table that cannot be read is told of by its own reader."""
    try:
        tables = mimic.read_metadata(folder), mimic.read_split(folder), mimic.read_chexpert(folder)
    except InputError:
        return
    mimic.check_ids(folder, *tables)


def _find_some(folder: str, data: Data, kind: str) -> None:
    """Raises InputError if MIMIC-CXR's listed images or reports are not in the folder; a list that cannot be read is
    told of by its own reader."""
    try:
        table = (
            mimic.read_prepared(data.mimic_prepared)
            if data.mimic_prepared
            else mimic.read_metadata(data.mimic_cxr_jpg or folder)
        )
    except InputError:
        return
    study = "files/p" + table["subject_id"].str[:2] + "/p" + table["subject_id"] + "/s" + table["study_id"]
    if kind == "reports":
        check_some(folder, (study + ".txt").tolist(), kind, "data.mimic_cxr_reports")
    else:
        names = table["path"] if data.mimic_prepared else study + "/" + table["dicom_id"] + ".jpg"
        check_some(folder, names.tolist(), kind, "data.mimic_cxr_jpg")


def _read_coco(folder: str, part: str) -> None:
    check_some(folder, coco.listed_images(folder, part), "images", "data.coco")


def _read_set(path: str, of_set: GroundingSet, key: str, max_excluded: float) -> None:
    settings = of_set.model_dump(include={"layout", "split", "texts", "categories", "query_words"})
    rows = read_rows(key.removesuffix(".path"), path=path, **settings)
    folder = images_of_set(of_set)
    images = image_paths(rows["image"].drop_duplicates(), Path(folder))
    check_some(folder, list(map(os.path.abspath, images)), "images", key.replace(".path", ".images"))
    check_prior(rows, path, of_set.split, of_set.categories, max_excluded)
