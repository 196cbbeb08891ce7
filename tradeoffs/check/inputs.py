"""What a configuration points to, opened before a run as the run will open it, so that all that is wrong shows at once.

Images, reports, the outlines of MS-COCO and the weights of a base in a folder are left to the first jobs.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from tradeoffs.config.faults import Fault
from tradeoffs.config.paths import files_of, folders_of, sources_of
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.data import Data, GroundingSet
from tradeoffs.config.sections.model import Base
from tradeoffs.data import coco, mimic, open_i
from tradeoffs.data.box_layouts import read_boxes
from tradeoffs.data.conditioning import read_sentences
from tradeoffs.data.grounding_sets import read_rows
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
from tradeoffs.model.checkpoints import check_folder
from tradeoffs.model.encoders import load_encoder
from tradeoffs.model.weights import check_headers
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
                yield Fault(self.key, str(error).removeprefix(f"{self.key}: "))


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
            yield Given(key, path, [partial(_read_set, of_set=config.grounding[key.split(".")[1]], key=key)])
        elif key.startswith("external."):
            yield Given(key, path, [partial(read_external, grounding=grounding)])
        elif key.startswith("external_samples."):
            yield Given(key, path, [read_image_set])
        elif key == "data.prompts":
            yield Given(key, path, [partial(_read_prompts, with_images=config.evaluation.reference == "prompts")])
        else:
            of_table = (_table_readers(config.data) | FILE_READERS)[key]
            yield Given(key, path, of_table, "there" if key == "data.mimic_cxr_reports" or not of_table else "read")
    for key, (section, kind_of) in sources_of(config).items():
        if f"{key}.source" in missing:
            yield Given(f"{key}.source", section.source, state="missing")
        else:
            kind = kind_of(section.source)
            state = "hub id, not looked up" if kind == "hub" else "read"
            readers = _base_readers(config.base, kind) if section is config.base else ENCODER_READERS[kind]
            yield Given(f"{key}.source", section.source, readers, state)


def _read_prompts(file: str, with_images: bool) -> None:
    prompts = read_prompts(file)
    if with_images:
        remedy = (
            "evaluation.reference is prompts, which compares samples with their images: name them, or set population"
        )
        reject_rows(file, prompts["sample_id"] == "", f"sample_id (or dicom_id) is empty, but {remedy}")


def _base_readers(base: Base, kind: str) -> Sequence[Reader]:
    """What opens the base, of a kind of source."""
    if kind == "hub":
        return []
    if kind == "file":
        return [lambda file: ldm.read_model(Path(file), base.prediction_type)]
    return [partial(check_folder, prediction_type=base.prediction_type), check_headers]


def _table_readers(data: Data) -> dict[str, Sequence[Reader]]:
    """What opens the tables in the folders of raw data."""
    mimic_tables = () if data.mimic_prepared else (mimic.read_metadata, mimic.read_chexpert, mimic.read_split)
    coco_parts = ["val2017"] if data.coco_prepared else ["train2017", "val2017"]
    return {
        "data.mimic_cxr_jpg": mimic_tables,
        "data.mimic_cxr_reports": (_find_a_report,),
        "data.ms_cxr": (read_mscxr,),
        "data.open_i": (partial(open_i.list_images, views=data.views),),
        "data.chestxray14": (partial(read_boxes, "chestxray14"), read_entries),
        "data.coco": [
            partial(read, part=part) for read in (coco.count_listed, coco.count_objects) for part in coco_parts
        ],
    }


def _read_set(path: str, of_set: GroundingSet, key: str) -> None:
    settings = of_set.model_dump(include={"layout", "split", "texts", "categories", "query_words"})
    read_rows(key.removesuffix(".path"), path=path, **settings)


def _find_a_report(folder: str) -> None:
    if next(Path(folder).glob("files/*/*/*.txt"), None) is None:
        raise InputError(f"{folder} holds no report (files/p10/p10000032/s50414267.txt); give the folder that does")
