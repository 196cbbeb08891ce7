"""The data sets, and what the code asks of one: its texts, splits and config keys, and whether it has findings."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tradeoffs.data.coco_categories import COCO_NAMES
from tradeoffs.data.findings import MSCXR_FINDINGS

Name = Literal["cxr", "coco"]  # data sets that a run fine-tunes on
SPLIT_OF_SETS = "mscxr"  # the split with heat maps of further sets of boxes


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What the code asks of a data set. A further set of boxes has what has no default here, and `sharing`.

    title, images: its name in tables, and what its images are
    sharing: what figures of its images say of handing them on
    texts: kinds of texts of its heat maps, the default one first
    boxes: split of the images with heat maps, on which localisation is scored
    boxes_of: whose boxes these are, as notes under tables name them
    choices: part of these images on which choices may be made (the attention profile); "test": there is no other part
    population: split of the real images that samples are compared with
    validation: split of the images for the loss beside training; None: there is none
    has_findings: whether its images have reports and finding labels, so that variants by finding, external methods and
        samples and an X-ray network apply
    categories: those with query words of their own in data.query_words
    source: what it is read from, as a reader or licence is looked up
    folders, prepared: keys of the section data with its raw folders, the one with the boxes last, and with the
        original's table that takes the place of some of their files
    splits: the key of data.limit and of data.phantoms that counts each of its splits
    prefix: of its keys of the section training (see `training_key`)
    """

    title: str
    images: str = "images"
    sharing: str = ""
    texts: list[str]
    boxes: str = SPLIT_OF_SETS
    boxes_of: str = ""
    choices: str = "test"
    population: str = ""
    validation: str | None = None
    has_findings: bool = False
    categories: Collection[str] = ()
    source: str = ""
    folders: tuple[str, ...] = ()
    prepared: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""

    @property
    def has_captions(self) -> bool:
        """Whether its images have several texts each, those of the file of captions."""
        return "caption" in self.texts

    def training_key(self, name: str) -> str:
        """The key of the section training that holds its `steps` or `milestones`."""
        return f"{self.prefix}{name}"


LICENSED = "Mind the images' licence before you share."
CXR = DataSet(
    title="MIMIC-CXR",
    images="radiographs",
    sharing="Credentialed data of patients: do not share.",
    texts=["phrase", "impression"],
    boxes="mscxr",
    boxes_of="MS-CXR",
    choices="val",
    population="p19",
    validation="val",
    has_findings=True,
    categories=MSCXR_FINDINGS,
    source="mimic",
    folders=("mimic_cxr_jpg", "mimic_cxr_reports", "ms_cxr"),
    prepared="mimic_prepared",
    splits={name: name for name in ("train", "val", "p19", "mscxr")},
)
OPEN_CXR = replace(  # its boxes have no reports
    CXR,
    title="Open-i and ChestX-ray14",
    sharing=LICENSED,
    texts=["phrase"],
    boxes_of="the box list of ChestX-ray14",
    source="open",
    folders=("open_i", "chestxray14"),
    prepared=None,
)
COCO = DataSet(
    title="MS-COCO",
    images="scenes",
    texts=["caption"],
    boxes="test",
    population="test",
    categories=COCO_NAMES,
    source="coco",
    folders=("coco",),
    prepared="coco_prepared",
    splits={"train": "coco_train", "test": "coco_val"},
    prefix="coco_",
)
DATA_SETS: dict[str, DataSet] = {"cxr": CXR, "coco": COCO}


def data_set(name: str, cxr: str) -> DataSet:
    """A data set of a run by its name. cxr: config data.cxr, what the one of this name is read from"""
    return OPEN_CXR if DATA_SETS[name] is CXR and cxr == OPEN_CXR.source else DATA_SETS[name]


def further_set(title: str, texts: list[str]) -> DataSet:
    """A set of boxes of the user's, on which models of another data set are scored."""
    return DataSet(title=title, texts=texts, sharing=LICENSED)
