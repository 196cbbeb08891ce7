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


def test_the_demos_preset_makes_the_base_that_ships():
    card = (PROJECT / "resources/demo_base/README.md").read_text()
    settings = resolve({"preset": "demo"}, PROJECT / "config/presets").base_training
    assert f"\nTraining: {', '.join(f'{key} {value}' for key, value in settings)}\n" in card
