"""What the benchmarks compare gives equal numbers, and their instruments measure."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import batch_sizes, fine_tuning, localisation, prepare_mimic
from benchmarks.measuring import at_least, at_most, cost, markdown
from tradeoffs.attention.capture import TextOnImage
from tradeoffs.data import mimic, mscxr
from tradeoffs.model.latents import Latents, save_latents
from tradeoffs.randomness import normal

PROJECT = Path(__file__).parents[1]

# Heat maps: test_equivalence.py


def test_localisation_scores_equal_the_plain_ones():
    pairs = localisation.examples(count=8, resolution=128)
    assert localisation.largest_difference(pairs) < 1e-6
    plain = [localisation.plain_scores(*pair) for pair in pairs]
    for name in ("auc_roc", "cnr", "iou", "miou", "box_iou", "box_miou", "distance"):
        assert np.std([scores[name] for scores in plain]) > 1e-3  # the examples differ, so a wrong score would show


def test_plain_fine_tuning_trains_the_unet_only(tiny_model, tmp_path):
    names, shape = list(map(str, range(32))), (32, 4, 8, 8)
    save_latents(tmp_path / "latents.safetensors", names, normal(shape, "mean"), torch.ones(shape))
    before = {name: [p.clone() for p in part.parameters()] for name, part in tiny_model.networks.items()}
    latents = Latents([tmp_path / "latents.safetensors"], 1.0)
    fine_tuning.plain_fine_tune(tiny_model, latents, batch_size=2, steps=2, lr=1e-3, recompute=True)
    same = {
        name: all(torch.equal(old, new) for old, new in zip(before[name], part.parameters(), strict=True))
        for name, part in tiny_model.networks.items()
    }
    assert same == {"unet": False, "vae": True, "text_encoder": True}


def test_batch_sizes_change_roundings_only(tiny_base, tiny_model, tmp_path):
    generator = np.random.default_rng(0)
    pictures = [Image.fromarray(generator.integers(0, 256, (64, 64), dtype=np.uint8)) for _ in range(5)]
    paths = [str(tmp_path / f"{number}.png") for number in range(5)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    difference, deviation = batch_sizes.of_latents(tiny_model.vae, paths, 64, [1, 2, 5])
    assert difference < 1e-5 < deviation
    texts_on_images = [TextOnImage(str(i), str(i), "left pneumonia", normal((4, 8, 8), i)) for i in range(3)]
    assert batch_sizes.of_heat_maps(tiny_model, texts_on_images, 4, 3, [1, 3, 9]) < 1e-5
    grey_levels, share = batch_sizes.of_samples(tiny_base, ["edema"] * 3, "plms", 3, 64, [1, 2])
    assert grey_levels <= 1 and share < 1e-3
    images = torch.from_numpy(generator.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8))
    feature, largest, fid, kid = batch_sizes.of_features(AverageColour(), images, [1, 5])
    assert feature < 1e-5 < largest and fid < 1e-5 and kid < 1e-5


class AverageColour(torch.nn.Module):
    def forward(self, images):
        return images.float().mean(dim=(2, 3))


def test_the_page_on_determinism_has_what_was_measured():
    page = (PROJECT / "docs" / "determinism.md").read_text()
    table = (PROJECT / "benchmarks" / "results" / "batch_sizes.md").read_text()
    measured = [line.split("|")[3].strip() for line in table.splitlines() if line.startswith("|")][2:]
    assert len(measured) == 11
    assert [value for value in measured if not re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.]*\d)", page)] == []


def test_batch_sizes_that_change_something_would_show():
    runs = [np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.array([0.5, 2.0])]
    assert batch_sizes.spread(runs).tolist() == [0.5, 1.0]
    assert batch_sizes.relative_spread([-2.0, -1.0, -3.0]) == 1.0


def test_cost_sees_the_peak_of_what_a_call_takes_and_gives_back():
    spent = cost(lambda: float(torch.ones(50, 2**20).sum()))  # 200 MB
    assert 190 < spent.megabytes < 260 and spent.seconds > 0
    assert cost(lambda: None).megabytes < 10


def test_targets_are_held_against_the_ratio():
    rows = [at_least("a", 8, 2, "s", 4), at_least("b", 8, 2.1, "s", 4), at_most("c", 100, 11, "MB", 0.1)]
    assert [row.met for row in rows] == [True, False, False]
    assert markdown(rows).splitlines()[2:4] == [
        "| a | 8 s | 2 s | 4.00 | at least 4 | yes |",
        "| b | 8 s | 2.1 s | 3.81 | at least 4 | **no** |",
    ]


def test_generated_files_are_prepared_as_mimics_are(tmp_path):
    prepare_mimic.write_files(tmp_path, images=300, studies=180, subjects=90)
    folders = [tmp_path / name for name in ("mimic-cxr-jpg", "mimic-cxr", "ms-cxr")]
    images, counts = mimic.prepare_images(*folders, ["PA", "AP"], 0.0)
    reasons = [reason for reason in counts if reason != "read" and "(kept)" not in reason]
    assert counts["read"] == 300 == sum(counts[reason] for reason in reasons)
    assert set(images["split"]) >= {"mscxr", "p19", "train"} and counts["no impression in the report"] > 0
    grounding, _ = mscxr.prepare_grounding(folders[2], images)
    assert len(grounding) == 30


def test_an_unknown_part_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "dag", "speed"])
    with pytest.raises(SystemExit):
        runpy.run_module("benchmarks", run_name="__main__")
    assert (
        "there is no part speed; choose from localisation, fine_tuning, lora, heat_maps, dag" in capsys.readouterr().err
    )
