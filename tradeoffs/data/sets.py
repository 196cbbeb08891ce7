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
        """Whether such a text speaks of all findings or classes of its image, not of one."""
        return self.id == "text_id"


TEXT_KINDS = {
    "phrase": TextKind("phrase_id", "phrase"),
    "impression": TextKind("text_id", "text"),
    "caption": TextKind("text_id", "text"),
}


def texts_in(texts: Iterable[str]) -> list[str]:
    """The kinds of texts among those of some rows, the default one first."""
    found = set(texts)
    return [kind for kind in TEXT_KINDS if kind in found]


TEXTS = {"cxr": ["phrase", "impression"], "coco": ["caption"]}  # texts of the heat maps, the default one first
GROUNDED = {"cxr": "mscxr", "coco": "test"}  # split of the images with heat maps, on which localisation is scored
# part of these images on which choices may be made (the attention profile); COCO has no other part than that of tables
CHOICES = {"cxr": "val", "coco": "test"}
SPLIT_OF_SETS = "mscxr"  # the split with heat maps of further sets of boxes
POPULATION = {"cxr": "p19", "coco": "test"}  # split of the real images that samples are compared with
VALIDATION = {"cxr": "val"}  # split of the images for the loss beside training; COCO is trained on or tested on whole
