"""The demo's base: parts of its training on tiny inputs, and the folder that ships."""

import re

import numpy as np
import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline
from project import PROJECT, copy_project, snakemake

from tradeoffs.demo.base import build_tokenizer, build_unet, text_use, train_text_encoder
from tradeoffs.demo.pictures import WEB_NAMES, draw_pictures
from tradeoffs.evaluation.classifier import LABELS, load_classifier
from tradeoffs.model.text import tokenize

SHIPPED = PROJECT / "resources" / "demo_base"


@pytest.mark.parametrize("kind", ["scene", "web chest", "web findings", "phantom"])
def test_pictures_belong_to_their_seed(kind):
    first, again, other = (draw_pictures(kind, seed, 4, 1) for seed in (0, 0, 1))
    assert first.images.shape == (4, 3, 128, 128) and first.images.dtype == torch.uint8
    assert torch.equal(first.images, again.images) and first.captions == again.captions
    assert not torch.equal(first.images, other.images)


def test_captions_of_the_web_name_findings_in_plain_words():
    captions = draw_pictures("web findings", 3, 60, 1).captions
    names = {name for names in WEB_NAMES.values() for name in names}
    named = [[name for name in names if name in caption] for caption in captions]
    assert np.mean([bool(found) for found in named]) > 0.9  # now and then a pose cuts the finding off
    for side in ("left", "right"):  # before the finding's name and after it
        assert any(f"{side}-sided " in caption for caption in captions)
        assert any(f" on the {side}" in caption for caption in captions)


def test_text_encoder_learns_which_caption_belongs_to_which_latent():
    captions = [f"{noun} {side}" for noun in ("apple", "zebra") for side in ("left", "right")] * 50
    latents = torch.zeros(200, 8, 16, 16)
    for row, caption in enumerate(captions):
        columns = slice(0, 8) if "left" in caption else slice(8, 16)
        latents[row, 0 if "apple" in caption else 1, :, columns] = 3.0
    _, first = train_text_encoder(latents, captions, build_tokenizer(captions), 60, 32, 1e-3, seed=0)
    assert first > 0.9


def test_text_use_is_zero_where_all_texts_are_alike(tiny_model):
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    loss, use = text_use(tiny_model, latents, ["mild edema"] * 3, seed=0)
    assert loss > 0 and use == 0
    assert text_use(tiny_model, latents, ["mild edema", "pneumonia", "left"], seed=0)[1] != 0


def test_unet_has_cross_attention_on_all_levels_but_the_lowest_and_in_the_middle():
    layers = [name for name in build_unet(0).attn_processors if ".attn2." in name]
    assert [name.split(".")[0] for name in layers].count("mid_block") == 1
    assert {".".join(name.split(".")[:2]) for name in layers if "mid" not in name} == {
        *("down_blocks.0", "down_blocks.1", "up_blocks.1", "up_blocks.2")
    }


def test_the_shipped_base_opens_without_further_arguments_and_is_small():
    pipeline = StableDiffusionPipeline.from_pretrained(SHIPPED)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a large apple on the left", num_inference_steps=2).images[0]
    assert image.size == (128, 128) and np.asarray(image).std() > 0
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) <= 16e6


def test_the_shipped_classifier_knows_the_findings():
    assert load_classifier(SHIPPED / "classifier").labels == list(LABELS)


def test_the_tokenizer_that_ships_has_no_unknown_character():
    tokenizer = StableDiffusionPipeline.from_pretrained(SHIPPED).tokenizer
    assert tokenize(tokenizer, "ill-defined opacity, 3 cm").positions


def test_demo_base_makes_a_base_from_start_to_end(tmp_path):
    """The whole chain of rules at tiny sizes makes the files of the base that ships, and they open as a pipeline."""
    folder = copy_project(tmp_path / "project")
    settings = folder / "rules/upkeep/demo_base.yaml"
    making = yaml.safe_load(settings.read_text())
    making["pictures"] = {"scene": 60, "web chest": 20, "web findings": 40}
    making["autoencoder"] |= {"steps": 4, "decoder_steps": 4, "batch_size": 2}
    making["text_encoder"] |= {"steps": 3, "batch_size": 8}
    making["unet"]["training"] |= {"steps": 4, "milestones": [2], "checkpoint_every": 2, "warmup_steps": 1}
    making["learning_curve"] |= {"pictures": {"web findings": 8}, "scenes": 2, "prompts": ["a large apple"]}
    making["selection"] |= {"train": 16, "images": 12, "population": 10}
    making["classifier"] |= {"train": 40, "val": 20, "epochs": 1}
    settings.write_text(yaml.safe_dump(making, sort_keys=False))
    done = snakemake(folder, "--cores", "1", "demo_base")
    assert done.returncode == 0, done.stdout + done.stderr
    chosen = folder / "results/demo_base/chosen"
    assert {file.name for file in chosen.iterdir()} - {".snakemake_timestamp"} == {
        file.name for file in SHIPPED.iterdir()
    }
    assert (chosen / "unet/config.json").read_text() == (SHIPPED / "unet/config.json").read_text()
    StableDiffusionPipeline.from_pretrained(chosen)
    rows = re.findall(r"^\| +(\d+) \|", (chosen / "README.md").read_text(), re.M)
    assert rows == ["2", "4"]  # the learning curve's milestones
