"""What the documents name is there: config keys, targets, files."""

import re
from pathlib import Path

import pytest
import yaml

from tradeoffs.config import Config, describe, resolve

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md"))]
SECTIONS = "|".join(Config.model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_config_key_that_a_document_names_exists(page):
    keys = re.findall(r"^\| `([^`]+)`", describe(), re.M)
    named = re.findall(rf"`((?!training\.json)(?:{SECTIONS})(?:\.[a-z_<>]+)+)`", page.read_text())
    assert not [name for name in named if not any(key == name or key.startswith(f"{name}.") for key in keys)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_that_a_document_names_exists(page):
    rules = "".join(path.read_text() for path in [PROJECT / "Snakefile", *PROJECT.glob("rules/*.smk")])
    named = re.findall(r"`snakemake(?: --[a-z-]+(?: [a-z0-9=]+)?)* ([a-z_0-9]+)`", page.read_text())
    assert not [name for name in named if f"rule {name}:" not in rules]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_document_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_configuration_that_a_document_shows_is_valid(page):
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S):
        resolve({"preset": "paper"} | yaml.safe_load(block), PROJECT / "config/presets")


def test_the_counts_and_sizes_at_paper_scale_follow_from_the_preset():
    page = (PROJECT / "docs/paper-scale.md").read_text()
    config = resolve({"preset": "paper"}, PROJECT / "config/presets")
    tuned, scored, folders = {}, {}, 0
    for dataset in config.data.sets:
        variants = {name: config.variants[name] for name in config.variants_of(dataset)}
        on_the_way = len(config.training_of(dataset)["milestones"])
        main = sum(len(config.seeds_of(name)) for name, v in variants.items() if v.finetune and v.text == "impression")
        tuned[dataset] = sum(len(config.seeds_of(name)) for name, v in variants.items() if v.finetune)
        scored[dataset] = sum(len(config.seeds_of(name)) for name in variants) + main * on_the_way
        folders += tuned[dataset] * (1 + on_the_way)
    batch, sampling, ms_ssim = config.training.batch_size, config.sampling, config.evaluation.ms_ssim
    images = sampling.images + ms_ssim.prompts * (ms_ssim.repeats - 1)
    passes = images * (sampling.steps + 1) * 2
    unet, text_encoder, vae = 865_910_724, 340_387_840, 83_653_863  # tests/test_ldm.py
    side = config.image.resolution
    latent = 4 * (side // 8) ** 2 * 4
    for number in (
        f"| **{scored['cxr']}** | **{scored['coco']}** |",
        f"x {tuned['cxr']} = {config.training.steps * batch * tuned['cxr']:,}",
        f"x {tuned['coco']} = {config.training.coco_steps * batch * tuned['coco']:,}",
        f"= {passes:,} U-Net passes | x {sum(scored.values())} = {passes * sum(scored.values()):,}",
        f"4 x 1,162 x {config.heat_maps.keep} = {4 * 1162 * config.heat_maps.keep:,}",
        f"x {sum(scored.values())} = {images * sum(scored.values()):,}",
        f"= {2 * latent:,} an image | at most {377_110 * 2 * latent / 1e9:.1f} GB",
        f"= {folders} folders x {unet + text_encoder + vae:,} parameters",
        f"{folders * (unet + text_encoder + vae) * 4 / 1e9:.0f} GB",
        f"**{unet * 16 / 1e9:.2f} GB** | **{(unet + text_encoder) * 16 / 1e9:.2f} GB**",
        f"{unet * 12 / 1e9:.1f} GB frozen, {(unet + text_encoder) * 12 / 1e9:.1f} GB learnable",
        f"at most {sum(scored.values()) * images * side * side * 3 / 1e9:.0f} GB",
    ):
        assert number in page, number


def test_the_demos_preset_makes_the_base_that_ships():
    card = (PROJECT / "resources/demo_base/README.md").read_text()
    settings = resolve({"preset": "demo"}, PROJECT / "config/presets").base_training
    assert f"\nTraining: {', '.join(f'{key} {value}' for key, value in settings)}\n" in card
