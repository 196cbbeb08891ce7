"""What the target check tells: counts of images and passes, disk space, measured times; docs/paper-scale.md too."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tradeoffs.check.account import training_told
from tradeoffs.check.costs import SD2_PARAMETERS, Numbers, count, disk, models, parameters_of, seconds_a_unit, works
from tradeoffs.config.layers import resolve
from tradeoffs.data.sets import COCO, CXR, DATA_SETS

PROJECT = Path(__file__).parents[1]
PAPER = {
    "cxr": Numbers({"train": 375_948, "mscxr": 1162, "p19": 5000}, 1162, ""),  # features take at most 5,000 of p19
    "coco": Numbers({"train": 118_287, "test": 5000}, 25_014, ""),
}


def config(**user):
    return resolve({"preset": "paper"} | user, PROJECT / "config" / "presets")


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


def test_a_further_set_of_boxes_costs_latents_and_heat_maps_of_the_main_models(tmp_path):
    boxes = ["a,1,Edema,1,2,3,4,test", "a,1,Edema,5,6,7,8,test", "b,2,Edema,1,2,3,4,val"]
    (tmp_path / "boxes.csv").write_text("\n".join(["image,subject,category,x,y,w,h,split", *boxes]))
    one = config(seeds=[0, 1], grounding={"mine": {"path": str(tmp_path / "boxes.csv")}})
    numbers = count(one, "mine", tmp_path)
    assert (numbers.images, numbers.texts) == ({"mscxr": 1}, 1)
    assert models(one, "mine") == (6, 0, 0, 0)
    of_set = {work.rule: work.units for work in works(one, {"mine": numbers}, tmp_path) if work.units}
    assert of_set == {"latents": 1, "heat_maps": 6 * 2 * (1 + 1) * one.heat_maps.keep}
    with_set, without = disk(one, PAPER | {"mine": numbers}, 1), disk(one, PAPER, 1)
    assert [what for what in with_set if what.endswith("samples as PNG, at most")][0] in without


@pytest.mark.parametrize(
    ("scheduler", "guidance", "passes"), [("plms", 4, 156), ("ddim", 4, 154), ("dpm", 4, 150), ("dpm", 1, 75)]
)
def test_passes_of_a_sample_follow_from_sampler_and_guidance(tmp_path, scheduler, guidance, passes):
    sampling = {"scheduler": scheduler, "guidance": guidance}
    [work] = [w for w in works(config(sampling=sampling), PAPER, tmp_path) if (w.rule, w.dataset) == ("samples", "cxr")]
    assert work.units == 27 * 5300 * passes


def test_an_average_of_weights_is_scored_and_stored_but_not_trained():
    averaged = config(training={"ema_decay": 0.999}, variants={"average": {"weights": "ema"}})
    assert models(averaged, "cxr") == (24, 18, 6, 4)
    assert [name for name in disk(averaged, PAPER, 1) if f"{126 + 24} fine-tuned ones" in name]


def test_times_come_from_the_finished_jobs_of_the_run(tmp_path):
    for path, seconds in (("frozen/seed0", 480), ("learnable/seed1", 960)):
        file = tmp_path / "benchmarks" / "model" / "cxr" / path / "finetune.tsv"
        file.parent.mkdir(parents=True)
        pd.DataFrame({"s": [seconds]}).to_csv(file, sep="\t")
    found = {(work.rule, work.dataset): work for work in works(config(), PAPER, tmp_path)}
    measured = found.pop(("finetune", "cxr"))
    assert seconds_a_unit(measured) == pytest.approx((480 + 960) / (2 * 480_000))
    assert measured.hours == measured.gpu_hours == pytest.approx(18 * 720 / 3600)
    assert {work.hours for work in found.values()} == {work.gpu_hours for work in found.values()} == {None}


@pytest.mark.parametrize(
    ("rule", "dataset", "benchmark", "units"),
    [
        ("latents", "cxr", "model/cxr/latents/train_3.tsv", 375_948 / 16),
        ("latents", "coco", "model/coco/latents/test_0.tsv", 5000 / 16),
        ("attention_profile", "cxr", "attention/cxr/frozen/seed0/final/attention_profile.tsv", 200 * 50),
        ("faithfulness", "coco", "attention/coco/frozen/seed0/final/faithfulness.tsv", 200 * 40 * 4),
        ("samples", "coco", "sampling/coco/frozen/seed0/step10000/samples_4.tsv", 530 * 78 * 2),
        ("classifier", "cxr", "evaluation/cxr/classifier.tsv", 5 * 375_948),
        ("real_features", "cxr", "evaluation/cxr/real_features.tsv", 2 * 5000),
        ("fidelity", "cxr", "evaluation/cxr/frozen/seed0/final/fidelity.tsv", 2 * 5000),
        ("fidelity", "coco", "evaluation/coco/frozen/seed0/step10000/fidelity.tsv", 5000),
    ],
)
def test_every_stage_that_asks_for_gpus_is_measured(tmp_path, rule, dataset, benchmark, units):
    file = tmp_path / "benchmarks" / benchmark
    file.parent.mkdir(parents=True)
    pd.DataFrame({"s": [10]}).to_csv(file, sep="\t")
    measured = [work for work in works(config(), PAPER, tmp_path) if work.measured]
    assert [(work.rule, work.dataset) for work in measured] == [(rule, dataset)]
    assert seconds_a_unit(measured[0]) == pytest.approx(10 / units)


def test_gpu_hours_are_job_hours_times_the_gpus_of_a_job(tmp_path):
    for name in ("model/cxr/frozen/seed0/finetune.tsv", "model/cxr/latents/train_0.tsv"):
        file = tmp_path / "benchmarks" / name
        file.parent.mkdir(parents=True)
        pd.DataFrame({"s": [100]}).to_csv(file, sep="\t")
    for gpus, expected in ((2, {"finetune": 4, "latents": 2}), (0, {"finetune": 4, "latents": 0})):
        of = config(resources={"gpus": gpus, "training_gpus": 4})
        found = {work.rule: work for work in works(of, PAPER, tmp_path) if work.measured}
        ratios = {rule: work.gpu_hours / work.hours for rule, work in found.items()}
        assert ratios == pytest.approx(expected)


def test_heat_maps_of_a_model_on_the_way_are_measured_by_their_own_number(tmp_path):
    folder = tmp_path / "benchmarks" / "attention" / "coco" / "frozen" / "seed0" / "step100"
    folder.mkdir(parents=True)
    pd.DataFrame({"s": [100]}).to_csv(folder / "heat_maps_0.tsv", sep="\t")
    [work] = [w for w in works(config(), PAPER, tmp_path) if (w.rule, w.dataset) == ("heat_maps", "coco")]
    assert seconds_a_unit(work) == pytest.approx(100 / (25_014 * 40 / config().heat_maps.shards))


def test_prepared_tables_are_counted_exactly(tmp_path):
    folder = tmp_path / "data" / "cxr"
    folder.mkdir(parents=True)
    pd.DataFrame({"split": ["train", "train", "mscxr"]}).to_csv(folder / "images.csv")
    pd.DataFrame({"phrase_id": ["a-1", "a-2"]}).to_csv(folder / "grounding.csv")
    numbers = count(config(), "cxr", tmp_path)
    assert numbers.images == {"train": 2, "mscxr": 1} and numbers.texts == 2
    assert numbers.heat_maps(CXR, final=True) == 6 and numbers.heat_maps(CXR, final=False) == 2


def test_phantoms_that_are_not_drawn_yet_are_counted_by_their_configuration(tmp_path):
    demo = resolve({"preset": "demo"}, PROJECT / "config" / "presets")
    assert count(demo, "cxr", tmp_path).images == {"train": 2400, "val": 96, "p19": 400, "mscxr": 120}
    assert count(demo, "coco", tmp_path).images == {"train": 1200, "test": 160}
    assert count(demo, "coco", tmp_path).texts == 160 * (demo.data.coco_captions or 5)


def test_images_and_epochs_of_a_fine_tuning_are_told():
    of_user = config(training={"steps": 1500, "batch_size": 64, "milestones": []})
    told = list(training_told(of_user, {"cxr": Numbers({"train": 40_000}, 0, "")}))
    assert told == [
        "cxr: a fine-tuning sees 96,000 images (1,500 steps of training.batch_size 64), 2.40 epochs of 40,000"
    ]


def test_parameters_are_counted_in_a_folder(tmp_path):
    (tmp_path / "unet").mkdir()
    save_file({"a": np.zeros((2, 3), np.float16), "b": np.zeros(5, np.float32)}, tmp_path / "unet" / "w.safetensors")
    assert parameters_of(str(tmp_path)) == (11, f"counted in {tmp_path}")
    assert parameters_of("owner/name")[0] == 1_289_952_427


# --- every number of docs/paper-scale.md ------------------------------------------------------------------------------

PAGE = (PROJECT / "docs/paper-scale.md").read_text()
PROSE = " ".join(PAGE.split())
UNET, TEXT_ENCODER, VAE = 865_910_724, 340_387_840, 83_653_863  # tests/test_ldm.py
FROZEN, LEARNABLE = UNET, UNET + TEXT_ENCODER  # parameters that are trained
FLOAT, GB = 4, 1e9


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text)]


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the table under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def table(heading: str) -> dict[str, list[float]]:
    """The numbers in each row of the table under a heading, by the row's first cell."""
    return {first: numbers(" | ".join(others)) for first, *others in rows(heading)}


def gigabytes(size: float) -> float:
    return round(size / GB, 2)


def test_the_numbers_of_models_follow_from_the_preset():
    preset = config()
    seeds = len(preset.seeds)
    tuned, on_the_way, base, scored = [], [], [], []
    for dataset in preset.data.sets:
        finals, fine_tuned, kept, main = models(preset, dataset)
        tuned += [fine_tuned / seeds, seeds, fine_tuned]
        on_the_way += [main - 1, seeds, len(preset.training_of(dataset)["milestones"]), kept]
        base.append(finals - fine_tuned)
        scored.append(finals + kept)
    assert list(table("How many models").values()) == [tuned, on_the_way, base, scored]
    of_coco = on_the_way[-1]
    assert f"{of_coco} of the {sum(scored)} models. `training: {{coco_milestones: []}}` leaves" in PROSE
    assert f"leaves {scored[1] - of_coco} there" in PROSE
    fine_tunings = tuned[2] + tuned[5]
    assert f"The {fine_tunings} fine-tunings fill eight cards three times" in PROSE and fine_tunings == 8 * 3


def test_the_work_of_each_stage_follows_from_the_preset(tmp_path):
    preset = config()
    training, maps, sampling, ms_ssim = preset.training, preset.heat_maps, preset.sampling, preset.evaluation.ms_ssim
    work = {(work.rule, work.dataset): work for work in works(preset, PAPER, tmp_path)}
    finals = {dataset: models(preset, dataset)[0] for dataset in PAPER}

    def both(rule: str) -> list[int]:
        of_rule = [work[rule, dataset] for dataset in PAPER]
        return [sum(one.models for one in of_rule), sum(one.units for one in of_rule)]

    def fine_tuned(dataset: str, steps: int) -> list[int]:
        of_model = steps * training.batch_size
        return [steps, training.batch_size, of_model, work["finetune", dataset].models, work["finetune", dataset].units]

    def heat_maps(dataset: str) -> list[float]:
        final, on_the_way = (
            PAPER[dataset].heat_maps(DATA_SETS[dataset], final=final) * maps.keep for final in (True, False)
        )
        kept = work["heat_maps", dataset].models - finals[dataset]
        return [final, on_the_way, finals[dataset], kept, work["heat_maps", dataset].units]

    def scores(dataset: str) -> list[int]:
        of_rule = work["fidelity", dataset]
        return [of_rule.units // of_rule.models, of_rule.models, of_rule.units]

    images = sampling.images + ms_ssim.prompts * (ms_ssim.repeats - 1)
    passes = 77 + 1  # of PLMS, see tests/test_sampling.py
    profile = maps.profile_samples * maps.steps
    scored, drawn = both("samples")
    phrases, captions = PAPER["cxr"].texts, PAPER["coco"].texts
    assert table("What each stage does") == {
        "`latents`": [work["latents", dataset].units for dataset in PAPER],
        "`finetune`, radiographs": fine_tuned("cxr", training.steps),
        "`finetune`, MS-COCO": fine_tuned("coco", training.coco_steps),
        "`samples`": [
            *(2, ms_ssim.prompts, ms_ssim.repeats - 1, passes, sampling.steps),
            *(images, passes, 2, images * passes * 2, scored, drawn),
        ],
        "`heat_maps`, radiographs": [phrases, 4, phrases, maps.keep, *heat_maps("cxr")],
        "`heat_maps`, MS-COCO": [captions, *heat_maps("coco")],
        "`attention_profile`": [maps.profile_samples, maps.steps, profile, *both("attention_profile")],
        "`faithfulness`": [
            maps.profile_samples,
            maps.keep,
            4,
            profile // maps.steps * maps.keep * 4,
            *both("faithfulness"),
        ],
        "`classifier`": [preset.classifier.epochs, PAPER["cxr"].images["train"], work["classifier", "cxr"].units],
        "`real_features`": [2, *(work["real_features", dataset].units for dataset in PAPER)],
        "`fidelity`, radiographs": [2, *scores("cxr")],
        "`fidelity`, MS-COCO": [*scores("coco")],
    }
    assert f"{training.steps * training.batch_size:,} / r / 3600 hours" in PROSE


def test_the_memory_of_a_gpu_follows_from_the_numbers_of_parameters():
    assert UNET + TEXT_ENCODER + VAE == SD2_PARAMETERS

    def trained(bytes_each: int) -> list[float]:
        return [bytes_each, gigabytes(FROZEN * bytes_each), gigabytes(LEARNABLE * bytes_each)]

    others = [(SD2_PARAMETERS - parameters) * FLOAT for parameters in (FROZEN, LEARNABLE)]
    weights = gradients = average = trained(FLOAT)
    moments, together = trained(2 * FLOAT), trained(4 * FLOAT)
    not_trained = [FLOAT, *map(gigabytes, others)]
    expected = [weights, gradients, moments, together, not_trained, average]
    assert list(table("Memory of a GPU").values()) == expected
    taken = [parameters * 4 * FLOAT + other for parameters, other in zip((FROZEN, LEARNABLE), others, strict=True)]
    for sentence in (
        f"The U-Net has {UNET:,} parameters, the text encoder {TEXT_ENCODER:,}, the VAE {VAE:,}.",
        f"the text encoder's {TEXT_ENCODER / 1e6:.0f} million parameters",
        f"all three parts in float32, {gigabytes(SD2_PARAMETERS * FLOAT)} GB",
        f"Before any activation {gigabytes(taken[0])} GB (frozen) or {gigabytes(taken[1])} GB (learnable)",
    ):
        assert sentence in PROSE


def test_the_disk_space_follows_from_the_preset():
    preset = config()
    sizes = disk(preset, PAPER, SD2_PARAMETERS)
    latents, folders_and_base, _, samples, heat_maps = sizes.values()
    tokens = int(re.search(r"heat maps of (\d+) tokens", " ".join(sizes)).group(1))
    side, latent = preset.image.resolution, preset.image.resolution // 8
    of_image = 2 * 4 * latent**2 * FLOAT
    of_coco = sum(PAPER["coco"].images.values()) * of_image
    tuned = {dataset: models(preset, dataset)[1] for dataset in PAPER}
    kept = {dataset: 1 + len(preset.training_of(dataset)["milestones"]) for dataset in PAPER}
    folders = sum(tuned[dataset] * kept[dataset] for dataset in PAPER)
    model = SD2_PARAMETERS * FLOAT
    assert folders_and_base == (folders + 1) * model
    images = preset.sampling.images + preset.evaluation.ms_ssim.prompts * (preset.evaluation.ms_ssim.repeats - 1)
    scored = sum(models(preset, dataset)[0] + models(preset, dataset)[2] for dataset in PAPER)
    captions = PAPER["coco"].heat_maps(COCO, final=True)
    assert table("Disk") == {
        "latents": [
            *(2, 4, latent, latent, FLOAT, of_image),
            *(round((latents - of_coco) / GB, 1), round(of_coco / GB, 1)),
        ],
        "fine-tuned models": [
            *(tuned["cxr"], kept["cxr"], tuned["coco"], kept["coco"], folders, SD2_PARAMETERS, FLOAT, gigabytes(model)),
            *(round(folders * model / GB), round((folders - tuned["coco"] * (kept["coco"] - 1)) * model / GB)),
        ],
        "checkpoint of a running fine-tuning": [
            *(3 * FLOAT, round(FROZEN * 3 * FLOAT / GB, 1), round(LEARNABLE * 3 * FLOAT / GB, 1)),
        ],
        "samples": [scored, images, side, side, side**2 * 3, round(samples / GB)],
        "heat maps": [
            *(latent, latent, FLOAT, latent**2 * FLOAT, round(latent**2 * FLOAT / 1e3, 1)),
            *(tokens, round(captions * tokens * latent**2 * FLOAT / GB, 1), captions, round(heat_maps / GB)),
        ],
        "the base model": [gigabytes(model)],
    }


def test_what_less_costs_follows_from_the_preset():
    fewer = dict.fromkeys(("labels_frozen", "labels_learnable", "sentences_frozen", "sentences_learnable"), False)
    radiographs = {"data": {"sets": ["cxr"]}, "training": {"milestones": []}}
    settings = {
        "the paper's main comparison on radiographs": radiographs | {"variants": fewer},
        "the same with one seed": radiographs | {"variants": fewer, "seeds": [0]},
        "Table 3 as well": radiographs,
        "MS-COCO without curves": {"data": {"sets": ["coco"]}, "training": {"coco_milestones": []}},
        "everything": {},
    }
    expected = {}
    for name, user in settings.items():
        preset = config(**user)
        expected[name] = sum(models(preset, dataset)[0] + models(preset, dataset)[2] for dataset in preset.data.sets)
    assert {name: float(scored) for name, _, scored in rows("What it costs to do less")} == expected
