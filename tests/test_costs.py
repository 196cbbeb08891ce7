"""What the target check tells: counts of images and passes, disk space, measured times."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tradeoffs.config import resolve
from tradeoffs.costs import Numbers, count, disk, models, parameters_of, seconds_a_unit, works

PROJECT = Path(__file__).parents[1]
PAPER = {
    "cxr": Numbers({"train": 375_948, "mscxr": 1162}, 1162, ""),
    "coco": Numbers({"train": 118_287, "test": 5000}, 0, ""),
}


def config(**user):
    return resolve({"preset": "paper"} | user, PROJECT / "config" / "presets")


@pytest.mark.parametrize(
    ("rule", "dataset", "number_of_models", "units"),
    [
        ("latents", "cxr", 1, 377_110),
        ("finetune", "cxr", 18, 8_640_000),
        ("finetune", "coco", 6, 7_200_000),
        ("heat_maps", "cxr", 27, 4_183_200),
        ("heat_maps", "coco", 93, 20_400_000),
        ("attention_profile", "cxr", 3, 30_000),
        ("samples", "cxr", 27, 27 * 805_600),
        ("samples", "coco", 93, 93 * 805_600),
    ],
)
def test_the_work_at_paper_scale_is_what_the_document_says(tmp_path, rule, dataset, number_of_models, units):
    [work] = [w for w in works(config(), PAPER, tmp_path) if (w.rule, w.dataset) == (rule, dataset)]
    assert (work.models, work.units) == (number_of_models, units)


def test_the_disk_at_paper_scale_is_what_the_document_says():
    sizes = list(disk(config(), PAPER, 1_289_952_427).values())
    assert sizes[0] == (377_110 + 123_287) * 131_072
    assert sizes[1] == 127 * 1_289_952_427 * 4
    assert sizes[3] == 120 * 5300 * 786_432


def test_variants_and_seeds_that_are_left_out_cost_nothing():
    one = config(
        seeds=[0],
        training={"milestones": []},
        variants={
            name: False
            for name in ("learnable", "labels_frozen", "labels_learnable", "sentences_frozen", "sentences_learnable")
        },
    )
    assert models(one, "cxr") == (2, 1, 0, 2)


def test_times_come_from_the_finished_jobs_of_the_run(tmp_path):
    for path, seconds in (("frozen/seed0", 480), ("learnable/seed1", 960)):
        file = tmp_path / "benchmarks" / "model" / "cxr" / path / "finetune.tsv"
        file.parent.mkdir(parents=True)
        pd.DataFrame({"s": [seconds]}).to_csv(file, sep="\t")
    rates = {(w.rule, w.dataset): seconds_a_unit(w) for w in works(config(), PAPER, tmp_path)}
    assert rates.pop(("finetune", "cxr")) == pytest.approx((480 + 960) / (2 * 480_000))
    assert set(rates.values()) == {None}


def test_heat_maps_of_a_model_on_the_way_are_measured_by_their_own_number(tmp_path):
    folder = tmp_path / "benchmarks" / "attention" / "coco" / "frozen" / "seed0" / "step100"
    folder.mkdir(parents=True)
    pd.DataFrame({"s": [100]}).to_csv(folder / "heat_maps_0.tsv", sep="\t")
    [work] = [w for w in works(config(), PAPER, tmp_path) if (w.rule, w.dataset) == ("heat_maps", "coco")]
    assert seconds_a_unit(work) == pytest.approx(100 / (5000 * 40 / config().heat_maps.shards))


def test_prepared_tables_are_counted_exactly(tmp_path):
    folder = tmp_path / "data" / "cxr"
    folder.mkdir(parents=True)
    pd.DataFrame({"split": ["train", "train", "mscxr"]}).to_csv(folder / "images.csv")
    pd.DataFrame({"phrase_id": ["a-1", "a-2"]}).to_csv(folder / "grounding.csv")
    numbers = count(config(), "cxr", tmp_path)
    assert numbers.images == {"train": 2, "mscxr": 1} and numbers.phrases == 2
    assert numbers.heat_maps("cxr", final=True) == 6 and numbers.heat_maps("cxr", final=False) == 2


def test_phantoms_that_are_not_drawn_yet_are_counted_by_their_configuration(tmp_path):
    demo = resolve({"preset": "demo"}, PROJECT / "config" / "presets")
    assert count(demo, "cxr", tmp_path).images == {"train": 2400, "val": 96, "p19": 400, "mscxr": 120}
    assert count(demo, "coco", tmp_path).images == {"train": 1200, "test": 160}


def test_parameters_are_counted_in_a_folder(tmp_path):
    (tmp_path / "unet").mkdir()
    save_file({"a": np.zeros((2, 3), np.float16), "b": np.zeros(5, np.float32)}, tmp_path / "unet" / "w.safetensors")
    assert parameters_of(str(tmp_path)) == (11, f"counted in {tmp_path}")
    assert parameters_of("owner/name")[0] == 1_289_952_427
