"""What the benchmarks compare gives equal numbers, and their instruments measure."""

import runpy

import numpy as np
import pytest
import torch

from benchmarks import fine_tuning, localisation, prepare_mimic
from benchmarks.measuring import at_least, at_most, cost, markdown
from tradeoffs.data import mimic, mscxr
from tradeoffs.models.latents import Latents, save_latents
from tradeoffs.randomness import normal

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
    assert counts["read"] == 300 == sum(counts.values()) - counts["read"]
    assert set(images["split"]) >= {"mscxr", "p19", "train"} and counts["no impression in the report"] > 0
    grounding, _ = mscxr.prepare_grounding(folders[2], images)
    assert len(grounding) == 30


def test_an_unknown_part_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "dag", "speed"])
    with pytest.raises(SystemExit):
        runpy.run_module("benchmarks", run_name="__main__")
    assert "there is no part speed; choose from localisation, fine_tuning, heat_maps, dag" in capsys.readouterr().err
