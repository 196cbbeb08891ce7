"""What the configuration says of a table's scores; apart from notes.py, so that tables do not depend on the schema."""

from tradeoffs.config.schema import Config


def scope_notes(config: Config) -> dict[str, str]:
    """By data set, of which boxes, texts and part of the images its localisation scores are."""
    boxes = config.set_of("cxr").boxes_of
    of_part = {
        "test": f"Localisation is scored on the test part of {boxes}; its validation part is for choices.",
        "all": f"Localisation is scored on all of {boxes}, its validation part included, as in the original.",
    }
    in_frame = {"crop": "", "image": " What lies outside the models' central square counts as not covered."}
    whole = in_frame[config.evaluation.frame]
    most = config.data.coco_captions
    limit = f"at most {most} of an image (data.coco_captions)" if most else "all of an image"
    return {
        "cxr": of_part[config.evaluation.ms_cxr_part] + whole,
        "coco": f"COCO: each caption that names a class is a text of its own, {limit}; n counts pairs of image and "
        f"class, of which each is the mean over its captions.{whole}",
    }
