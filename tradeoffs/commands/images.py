"""The commands fidelity and classify: scores of any folders or lists of images.

They are the original's calc_fid.py and classify_chest_xray.py.
"""

import argparse
from pathlib import Path

import pandas as pd
from torch import nn

from tradeoffs.data.tables import write_table
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import table_of
from tradeoffs.evaluation.features import CLASSIFIERS, FindingsFeatures
from tradeoffs.evaluation.image_sets import (
    build_extractors,
    diversity_within,
    features_of,
    fidelity_scores,
    read_image_set,
)
from tradeoffs.evaluation.label_consistency import label_consistency
from tradeoffs.metrics import FIDELITY

KID_SUBSETS = 100


def run_fidelity(arguments: argparse.Namespace) -> str:
    """Writes the fidelity of the images in one place against those in another as a CSV; returns what to print."""
    sets = [read_image_set(source) for source in (arguments.source, arguments.target)]
    extractors = _extractors(arguments)
    fake, real = (features_of(table, extractors, arguments.resolution, arguments.batch_size) for table in sets)
    kid = {"kid_subsets": KID_SUBSETS, "kid_subset_size": arguments.kid_subset}
    scores = fidelity_scores(real, fake, extractors.get("domain"), seed=0, **kid)
    scores |= diversity_within(sets[0]["prompt"], sets[0]["path"], arguments.resolution)
    write_table(table_of(scores), arguments.out)
    shown = [f"  {name} {value:z.4f} (n {n})" for name, (value, n) in scores.items() if name in FIDELITY]
    return "\n".join([f"{arguments.source} against {arguments.target}, in {arguments.out}:", *shown])


def run_classify(arguments: argparse.Namespace) -> str:
    """Writes what an X-ray network says of images, and whether their labels say so, as two CSV files; returns what to
    print."""
    network = _xray_network(arguments)
    if network is None:
        raise InputError("classify: needs --classifier or --xrv, the network that names findings")
    table = read_image_set(arguments.images)
    features = features_of(table, {"domain": network}, arguments.resolution, arguments.batch_size)
    logits, labels = network.logits(features.features["domain"]), network.classifier.labels
    scores = Path(arguments.out).with_suffix(".scores.csv")
    write_table(table.drop(columns="prompt").join(pd.DataFrame(logits, columns=labels)), arguments.out)
    write_table(table_of(label_consistency(features.labels, logits, labels)), scores)
    return f"{arguments.images}: logits of {len(table)} images in {arguments.out}, label consistency in {scores}"


def _extractors(arguments: argparse.Namespace) -> dict[str, nn.Module]:
    """The networks that a command line names, by kind of features."""
    names, weights = {"general": "efficientnet_lite0"}, {}
    if arguments.inception:
        names["general"], weights["general"] = "inception", arguments.inception
    if arguments.dinov2:
        names["vit"], weights["vit"] = "dinov2", arguments.dinov2
    network = _xray_network(arguments)
    return build_extractors(names, weights) | ({"domain": network} if network else {})


def _xray_network(arguments: argparse.Namespace) -> FindingsFeatures | None:
    """The network that names findings: torchxrayvision's, or a classifier's folder."""
    given = {"xrv_densenet121_all": arguments.xrv, "findings_classifier": arguments.classifier}
    for name, weights in given.items():
        if weights:
            return FindingsFeatures(CLASSIFIERS[name](weights)).eval()
    return None
