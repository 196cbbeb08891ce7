"""What the two data sets are used for: cxr, MIMIC-CXR with MS-CXR, and coco, MS-COCO."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class TextKind:
    """A kind of text on an image: the columns of the grounding table with its id (which names its heat maps) and with
    the text itself; "" is no text."""

    id: str
    text: str

    @property
    def per_image(self) -> bool:
        """Whether an image has one such text, for all its findings or classes."""
        return self.id == "sample_id"


TEXT_KINDS = {
    "phrase": TextKind("phrase_id", "phrase"),
    "impression": TextKind("sample_id", "text"),
    "caption": TextKind("sample_id", "text"),
}


def texts_in(texts: Iterable[str]) -> list[str]:
    """The kinds of texts among those of some rows, the default one first."""
    found = set(texts)
    return [kind for kind in TEXT_KINDS if kind in found]


TEXTS = {"cxr": ["phrase", "impression"], "coco": ["caption"]}  # texts of the heat maps, the default one first
GROUNDED = {"cxr": "mscxr", "coco": "test"}  # split of the images with heat maps, on which localisation is scored
SPLIT_OF_SETS = "mscxr"  # the same of further sets of boxes
POPULATION = {"cxr": "p19", "coco": "test"}  # split of the real images that samples are compared with
