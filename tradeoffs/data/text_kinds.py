"""The kinds of texts on images, and the columns of the grounding table that hold them."""

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
