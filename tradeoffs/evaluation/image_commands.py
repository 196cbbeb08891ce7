"""The commands `tradeoffs fidelity SRC TGT` and `tradeoffs classify IMAGES`: scores of any folders of images.

They are the original's calc_fid.py and classify_chest_xray.py. What loads torch is imported where it is used, so that
the other commands start at once.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tradeoffs.errors import InputError


def _several(text: str) -> int:
    """A whole number of at least 2; argparse says what is wrong of another."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} is no whole number of at least 2")
    return int(text)


def add_to(command: Callable[[str, Callable, str], argparse.ArgumentParser]) -> None:
    """Adds the two by what adds a command: its name, function and explanation."""
    of_images = command("fidelity", score_images, "score images against others: FID, KID, precision and the like")
    of_images.add_argument("source", help="the images to score: a folder, or a CSV with path, prompt, Finding Labels")
    of_images.add_argument("target", help="the real images, likewise")
    of_images.add_argument(
        "--kid-subset", type=_several, default=1000, help="images in each subset of KID (default: 1000)"
    )
    of_images.add_argument("--inception", help="StyleGAN's inception-2015-12-05.pt, for published FIDs")
    of_images.add_argument("--dinov2", help="folder of a Dinov2Model, for distances with its features too")
    of_labels = command("classify", classify_images, "let an X-ray network name the findings in images")
    of_labels.add_argument("images", help="a folder, where images lie in folders named after their finding, or a CSV")
    of_labels.set_defaults(inception=None, dinov2=None)
    for one, out in ((of_images, "fidelity.csv"), (of_labels, "classification.csv")):
        one.add_argument("--classifier", help="folder of a findings classifier, such as resources/demo_base/classifier")
        one.add_argument("--xrv", help="weights of torchxrayvision's densenet121-res224-all, in its place")
        one.add_argument(
            "--resolution", type=_several, default=512, help="side to which images are brought (default: 512)"
        )
        one.add_argument(
            "--batch-size", type=_several, default=32, help="images in one pass of a network (default: 32)"
        )
        one.add_argument("--out", default=out, help=f"the CSV to write (default: {out})")


def score_images(arguments: argparse.Namespace) -> str:
    """The fidelity of the images in one place against those in another, written as a CSV."""
    from tradeoffs.data.tables import write_table
    from tradeoffs.evaluation.classifier import table_of
    from tradeoffs.evaluation.image_sets import diversity_within, features_of, fidelity_scores, read_image_set

    sets = [read_image_set(source) for source in (arguments.source, arguments.target)]
    extractors = _extractors(arguments, ["general", "domain", "vit"])
    fake, real = (features_of(table, extractors, arguments.resolution, arguments.batch_size) for table in sets)
    kid = {"kid_subsets": 100, "kid_subset_size": arguments.kid_subset}
    scores = fidelity_scores(real, fake, extractors.get("domain"), seed=0, **kid)
    scores |= diversity_within(sets[0]["prompt"], sets[0]["path"], arguments.resolution)
    write_table(table_of(scores), arguments.out)
    shown = [f"  {name} {value:.4f} (n {n})" for name, (value, n) in scores.items() if name.count("_") < 2]
    return "\n".join([f"{arguments.source} against {arguments.target}, in {arguments.out}:", *shown])


def classify_images(arguments: argparse.Namespace) -> str:
    """What an X-ray network says of images, and whether it is what their labels say, as two CSV files."""
    import pandas as pd

    from tradeoffs.data.tables import write_table
    from tradeoffs.evaluation.classifier import table_of
    from tradeoffs.evaluation.image_sets import features_of, read_image_set
    from tradeoffs.evaluation.label_consistency import label_consistency

    table = read_image_set(arguments.images)
    if not (arguments.classifier or arguments.xrv):
        raise InputError("classify: needs --classifier or --xrv, the network that names findings")
    network = _extractors(arguments, ["domain"])["domain"]
    features = features_of(table, {"domain": network}, arguments.resolution, arguments.batch_size)
    logits, labels = network.logits(features.features["domain"]), network.classifier.labels
    scores = Path(arguments.out).with_suffix(".scores.csv")
    write_table(table.drop(columns="prompt").join(pd.DataFrame(logits, columns=labels)), arguments.out)
    write_table(table_of(label_consistency(features.labels, logits, labels)), scores)
    return f"{arguments.images}: logits of {len(table)} images in {arguments.out}, label consistency in {scores}"


def _extractors(arguments: argparse.Namespace, kinds: Sequence[str]) -> dict:
    """The networks that a command line names, by kind of features, of those kinds."""
    from tradeoffs.evaluation.features import build_extractor

    given = {"xrv_densenet121_all": arguments.xrv, "findings_classifier": arguments.classifier}
    networks = {"general": ("inception", arguments.inception) if arguments.inception else ("efficientnet_lite0", "")}
    for name, weights in given.items():
        if weights:
            networks["domain"] = (name, weights)
    if arguments.dinov2:
        networks["vit"] = ("dinov2", arguments.dinov2)
    return {kind: build_extractor(name, weights) for kind, (name, weights) in networks.items() if kind in kinds}
