"""Variants that start from other models, change the training for themselves, train by LoRA or are not trained here."""

import json
import shutil
from dataclasses import replace
from itertools import count

import pytest
import torch
from diffusers import StableDiffusionPipeline
from project import PROJECT
from small_training import IDS, SETTINGS, interrupt_at, own_text, same, weights

from tradeoffs.check.costs import Numbers, encoded_images
from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import sources_of
from tradeoffs.config.repeats import checkpoints
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.model import Variant
from tradeoffs.errors import InputError
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load
from tradeoffs.model.lora import adapters, unet_with_adapters
from tradeoffs.model.sources import materialise_base
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.model.variants import model_of_variant, save_variant

CURRICULUM = {
    "then": {
        "from": "frozen@3",
        "text_encoder": "learnable",
        "sets": ["cxr"],
        "training": {"steps": 9, "milestones": [4]},
    },
    "last": {"from": "then", "sets": ["cxr"]},
    "theirs": {"model": "resources/demo_base"},
    "tuned": {"from": "./resources/demo_base", "unet": "lora"},
    "again": {"from": "tuned"},
}


def config(variants, **training) -> Config:
    return resolve({"preset": "smoke", "variants": variants, "training": training}, PROJECT / "config/presets")


def test_steps_are_counted_from_the_base_through_the_variants():
    of_run = config(CURRICULUM, milestones=[3])
    assert of_run.step_of("cxr", "frozen") == 6 and of_run.step_of("cxr", "frozen", "step3") == 3
    assert of_run.step_of("cxr", "then", "step4") == 3 + 4 and of_run.step_of("cxr", "then") == 3 + 9
    assert of_run.step_of("cxr", "last") == 3 + 9 + 6
    assert of_run.step_of("cxr", "theirs") == of_run.step_of("cxr", "pretrained") == 0
    assert [label["checkpoint"] for label in checkpoints(of_run, {"cxr": ["then"]})] == ["step4", "final"]


def test_a_variant_changes_the_training_for_itself_alone():
    of_run = config(CURRICULUM, milestones=[3])
    changed, plain = of_run.training_of("cxr", "then"), of_run.training_of("cxr", "frozen")
    assert changed == plain | {"steps": 9, "milestones": [4]} and plain == of_run.training_of("cxr")


def test_what_a_variant_descends_from_is_known():
    of_run = config(CURRICULUM, milestones=[3])
    origins = {name: of_run.origin_of(name) for name in CURRICULUM}
    assert origins == {"then": None, "last": None, "theirs": "theirs", "tuned": "tuned", "again": "tuned"}
    assert {key: source.path for key, source in sources_of(of_run).items() if key.startswith("variants.")} == {
        "variants.theirs.model": "resources/demo_base",
        "variants.tuned.from": "./resources/demo_base",
    }
    assert Config.model_validate(of_run.dump()) == of_run


def test_what_a_run_will_encode_counts_models_of_the_users():
    of_run = config(CURRICULUM, milestones=[3])
    numbers = Numbers({"train": 100, "mscxr": 7}, 9, "")
    assert sorted(encoded_images(of_run, "cxr", numbers)) == [7, 107, 107]  # theirs, tuned's start, the base


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"from": "nothing"}, "from: there is no variant nothing; name one of .*, or write ./nothing for a folder"),
        ({"from": "mine"}, r"from: goes round in a circle \(mine from mine\)"),
        ({"from": "frozen@5"}, "from: frozen keeps no model at step 5 on cxr; add it to training.milestones"),
        ({"from": "pretrained@3"}, "from: pretrained has no fine-tuning with steps of its own; leave out @3"),
        ({"from": "frozen", "seeds": [4]}, "from: frozen has no seed 4; add it there, or set variants.mine.seeds"),
        ({"from": "sentences_learnable"}, "from: sentences_learnable is not trained on coco; leave coco out of"),
        ({"from": "frozen", "encoder": "other"}, "encoder: from brings its own text encoder"),
        ({"model": "a/b", "finetune": True}, "model: it is scored as it is; set finetune: false"),
        (
            {"model": "a/b", "text_encoder": "lora"},
            "text_encoder: lora has no meaning for a model that is not fine-tuned",
        ),
        ({"finetune": False, "training": {"steps": 3}}, "training: this section has no meaning"),
        ({"training": {"stepz": 3}}, "training.stepz: unknown key; did you mean variants.mine.training.steps?"),
        ({"training": {"steps": 0}}, "training.steps: expected null or a whole number >= 1, given 0"),
        ({"training": {"milestones": [6]}}, r"training.milestones: 6 is not below variants.mine.training.steps \(6\)"),
        ({"weights": "ema"}, "weights: ema needs training.ema_decay"),
    ],
)
def test_a_wrong_start_or_training_is_one_line_with_the_remedy(variant, message):
    with pytest.raises(InputError, match=f"  variants.mine.{message}"):
        config({"mine": variant})


@pytest.fixture
def train(tiny_base, tiny_latents, tmp_path):
    """Trains a variant for three steps and saves it; returns the model as it was before, the folder and the model."""
    numbers = count()

    def run(variant, start=tiny_base, checkpoints=None, **changes):
        number = next(numbers)
        entry = Variant(**variant).model_dump()
        model = model_of_variant(start, None, entry, seed=0)
        before = weights(model)
        fine_tune(
            model,
            Pairs(IDS, own_text),
            tiny_latents,
            entry["text_encoder"] != "frozen",
            replace(SETTINGS, steps=3, batch_size=2, micro_batch_size=2, **changes),
            0,
            RunFolder(checkpoints or tmp_path / f"checkpoint{number}", "this run"),
            lambda step: None,
        )
        save_variant(model, start, None, entry, tmp_path / f"model{number}")
        return before, tmp_path / f"model{number}", model

    return run


@pytest.mark.parametrize("text_encoder", ["frozen", "lora"])
def test_only_the_adapters_of_the_unet_learn_and_the_folder_opens_as_before(train, tiny_base, text_encoder):
    before, folder, model = train({"unet": "lora", "unet_lora_rank": 2, "text_encoder": text_encoder})
    changed = {name for name, value in weights(model).items() if not value.equal(before[name])}
    assert changed and all("lora_" in name for name in changed)
    assert {name.split(".")[0] for name in changed} == {"unet"} | (
        {"text_encoder"} if text_encoder == "lora" else set()
    )
    plain, base = load(folder), load(tiny_base)
    assert weights(plain).keys() == weights(base).keys() and not adapters(plain.unet)
    moved = {name for name, value in weights(plain, "unet").items() if not value.equal(weights(base, "unet")[name])}
    assert moved and all(".to_" in name and name.endswith(".weight") for name in moved)
    noise, times, context = torch.randn(1, 4, 8, 8), torch.tensor([5]), torch.randn(1, 24, 16)
    with torch.no_grad():
        torch.testing.assert_close(plain.unet(noise, times, context).sample, model.unet(noise, times, context).sample)
    StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)


def test_a_stopped_training_of_the_units_adapters_ends_as_an_undisturbed_one(train, tmp_path, monkeypatch):
    variant = {"unet": "lora", "unet_lora_rank": 2, "unet_lora_targets": ["attn2.to_k", "conv1"]}
    _, _, undisturbed = train(variant, ema_decay=0.5, gradient_checkpointing=True)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_at(patched, 2)
        train(variant, checkpoints=tmp_path / "stopped", ema_decay=0.5, gradient_checkpointing=True)
    _, _, resumed = train(variant, checkpoints=tmp_path / "stopped", ema_decay=0.5, gradient_checkpointing=True)
    assert same(weights(resumed), weights(undisturbed))


def test_a_target_that_no_layer_has_is_an_error(tiny_base):
    with pytest.raises(InputError, match="unet_lora_targets: no layer of the U-Net has a name that ends in to_p"):
        unet_with_adapters(load(tiny_base).unet, 2, ["to_q", "to_p"], seed=0)


def test_a_folder_that_names_classes_of_another_library_loads_if_its_parts_are_known(tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "theirs")
    file = tmp_path / "theirs" / "model_index.json"
    index = json.loads(file.read_text())
    foreign = {"_class_name": "TheirPipeline", "unet": ["theirs.unet", "TheirUNet"], "tokenizer": ["theirs", "Words"]}
    file.write_text(json.dumps(index | foreign))
    materialise_base("folder", str(tmp_path / "theirs"), None, tmp_path / "ours")
    assert same(weights(load(tmp_path / "ours")), weights(load(tiny_base)))
    saved = json.loads((tmp_path / "ours" / "model_index.json").read_text())
    assert all(saved[key] == index[key] for key in foreign)
    config = tmp_path / "theirs" / "unet" / "config.json"
    config.write_text(config.read_text().replace("UNet2DConditionModel", "TheirUNet"))
    with pytest.raises(InputError, match=r"unet is \['theirs.unet', 'TheirUNet'\], which is no class .* names none"):
        materialise_base("folder", str(tmp_path / "theirs"), None, tmp_path / "none")


def test_a_second_fine_tuning_starts_where_the_first_one_ended(train):
    _, first, model = train({})
    before, second, _ = train({"text_encoder": "learnable"}, start=first)
    assert same(before, weights(model))
    assert not same(weights(load(second), "text_encoder"), weights(load(first), "text_encoder"))
