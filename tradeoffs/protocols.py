"""The two protocols: what the original code computes, and what mends it, switch by switch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How heat maps are scored. A switch that is on computes what the original does, row by row of docs/differences.md.

    raw_mixture: row 2, the Gaussian mixture is fitted to the raw attention values
    short_boxes: row 3, a predicted bounding box loses its last row and column
    touched_pixels: row 4, every pixel counts that the ground truth touches
    empty_masks: row 5, a finding that was cropped away is scored
    whole_query_inside: row 7, a query that is partly beyond the context is excluded
    all_boxes_first_phrase: row 8, a phrase stands for all boxes of its finding
    words_by_substring: rows 9 and 10, query words are found within any word between spaces, each hit counts
    earlier_classes: row 10, a caption's class is queried by the words of its earlier classes too
    single_precision: row 24, heat maps are scaled and interpolated in float32
    """

    name: str
    raw_mixture: bool = False
    short_boxes: bool = False
    touched_pixels: bool = False
    empty_masks: bool = False
    whole_query_inside: bool = False
    all_boxes_first_phrase: bool = False
    words_by_substring: bool = False
    earlier_classes: bool = False
    single_precision: bool = False


CORRECTED = Protocol("corrected")
PUBLISHED = Protocol(
    "published",
    raw_mixture=True,
    short_boxes=True,
    touched_pixels=True,
    empty_masks=True,
    whole_query_inside=True,
    all_boxes_first_phrase=True,
    words_by_substring=True,
    earlier_classes=True,
    single_precision=True,
)
PROTOCOLS = {protocol.name: protocol for protocol in (CORRECTED, PUBLISHED)}  # by the name that score tables bear
