"""What the two data sets are used for: cxr, MIMIC-CXR with MS-CXR, and coco, MS-COCO."""

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

TEXTS = {"cxr": ["phrase", "impression"], "coco": ["caption"]}  # texts of the heat maps, the default one first
GROUNDED = {"cxr": "mscxr", "coco": "test"}  # split of the images with heat maps, on which localisation is scored
POPULATION = {"cxr": "p19", "coco": "test"}  # split of the real images that samples are compared with
