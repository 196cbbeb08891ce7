"""What rows 16 to 18 of docs/differences.md do to the scores of one model's samples."""

import numpy as np
import pandas as pd
import torch

from tradeoffs.data.image_files import ImageFiles
from tradeoffs.data.tables import read_images, read_samples, write_table
from tradeoffs.evaluation.classifier import load_classifier
from tradeoffs.evaluation.effects import COLUMNS, ScaledTwice, mixed_sets, top1_by_finding
from tradeoffs.evaluation.features import extract
from tradeoffs.evaluation.fidelity import diversity, frechet_distance
from tradeoffs.jobs.job import job
from tradeoffs.randomness import numpy_rng

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    samples = read_samples(inputs.samples)
    once = samples[samples["repeat"] == 0]
    paths = list(once["path"])
    images = read_images(inputs.images).set_index("sample_id")
    with np.load(inputs.real) as stored:
        real_paths = images.loc[stored["id"], "path"]
    here = pd.read_csv(inputs.fidelity).set_index("metric")["value"]

    sets = mixed_sets(paths, int(params.sets), int(params.size), numpy_rng("mixed prompts"))
    mixed = diversity(torch.stack(list(ImageFiles(some, params.resolution))) for some in sets)["ms_ssim"][0]
    twice = ScaledTwice().eval()
    real = extract(twice, ImageFiles(real_paths, params.resolution), params.batch_size)
    fake = extract(twice, ImageFiles(paths, params.resolution), params.batch_size)
    classifier = load_classifier(inputs.classifier)
    logits = extract(classifier, ImageFiles(paths, params.resolution), params.batch_size)
    top1 = top1_by_finding(list(once["Finding Labels"]), logits, classifier.labels)
    with_typo = top1 | {"Pleural Effusion": 0.0}

    records = [
        (16, "ms_ssim", here["ms_ssim"], mixed, len(sets)),
        (17, "fid_general", here["fid_general"], frechet_distance(real, fake), len(paths)),
        (18, "top1_effusion", top1["Pleural Effusion"], 0.0, len(paths)),
        (18, "top1_all", np.mean(list(top1.values())), sum(with_typo.values()), len(paths)),
    ]
    table = pd.DataFrame(records, columns=["row", "score", "here", "original", "n"])
    table = table.assign(dataset=snakemake.wildcards.dataset, text="", variant=snakemake.wildcards.variant)
    write_table(table[list(COLUMNS)], snakemake.output.effects)
