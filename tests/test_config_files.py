"""The files in config/ agree with the schema."""

import re

import pytest
import yaml
from configs import CONFIG, DEFAULT_VARIANTS, PRESETS

from tradeoffs.config.faults import describe
from tradeoffs.config.layers import resolve
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.attention import Method
from tradeoffs.config.sections.data import GroundingSet
from tradeoffs.config.sections.model import Encoder, Variant

NAMED_BY_USER = ("encoders", "variants", "external", "external_samples", "grounding", "query_words", "methods")


def test_there_are_seven_variants_by_default():
    variants = Config().variants
    assert {name: (v.finetune, v.text_encoder, v.text, v.seeds) for name, v in variants.items()} == {
        "pretrained": (False, "frozen", "impression", None),
        "frozen": (True, "frozen", "impression", None),
        "learnable": (True, "learnable", "impression", None),
        "labels_frozen": (True, "frozen", "finding_labels", None),
        "labels_learnable": (True, "learnable", "finding_labels", None),
        "sentences_frozen": (True, "frozen", "sentences", None),
        "sentences_learnable": (True, "learnable", "sentences", None),
    }
    assert list(variants) == DEFAULT_VARIANTS  # the order of the tables' rows


@pytest.mark.parametrize(
    ("preset", "seeds"),
    [
        (
            "demo",
            dict.fromkeys([*DEFAULT_VARIANTS, "sentence_encoder"], [0]),
        ),
        ("paper", dict.fromkeys(DEFAULT_VARIANTS, [0, 1, 2])),
        ("paper_slurm", dict.fromkeys(DEFAULT_VARIANTS, [0, 1, 2])),
        ("smoke", dict.fromkeys(["pretrained", "frozen", "learnable", "sentences_learnable"], [0])),
    ],
)
def test_presets_resolve(preset, seeds):
    config = resolve({"preset": preset}, PRESETS)
    assert (config.preset, config.run, config.data.sets) == (preset, preset, ["cxr", "coco"])
    assert {name: config.seeds_of(name) for name in config.variants} == seeds
    encoder = {"sentence_encoder": Variant(encoder="minilm", sets=["cxr"], main=False)}
    for name, variant in config.variants.items():
        assert variant.model_copy(update={"seeds": None}) == (Config().variants | encoder)[name]


def test_the_paper_preset_has_the_papers_numbers():
    config = resolve({"preset": "paper"}, PRESETS)
    training, sampling = config.training, config.sampling
    assert (config.image.resolution, training.steps, training.batch_size) == (512, 60_000, 8)
    assert (training.learning_rate, training.schedule, training.warmup_steps) == (5e-5, "constant", 0)
    assert (training.weight_decay, training.text_dropout, training.precision) == (0.01, 0.3, "fp16")
    # the original keeps checkpoints at 30,000 and 60,000 steps on MIMIC, and every 10,000 on COCO
    assert (training.milestones, training.coco_steps) == ([30_000], 150_000)
    assert training.coco_milestones == list(range(10_000, 150_000, 10_000))
    assert (sampling.images, sampling.guidance, sampling.steps, sampling.scheduler) == (5000, 4, 75, "plms")
    assert (config.heat_maps.steps, config.heat_maps.keep) == (50, 40)
    assert (config.evaluation.ms_ssim.prompts, config.evaluation.ms_ssim.repeats) == (100, 4)


def test_the_slurm_preset_differs_from_the_papers_in_its_batch_alone():
    slurm, paper = (resolve({"preset": name}, PRESETS).dump() for name in ("paper_slurm", "paper"))
    assert (slurm["training"]["batch_size"], slurm["training"]["micro_batch_size"]) == (2 * 8 * 16, 16)
    assert slurm["training"] | {"batch_size": 8, "micro_batch_size": 8} == paper["training"]
    own = ("preset", "run", "training")
    assert {key: slurm[key] for key in slurm if key not in own} == {key: paper[key] for key in paper if key not in own}


def test_the_defaults_are_the_papers_with_one_seed_and_no_milestones():
    changed = {"preset": True, "run": True, "seeds": True, "training": {"milestones", "coco_milestones"}}
    assert resolve({"preset": "paper"}, PRESETS).model_dump(exclude=changed) == Config().model_dump(exclude=changed)
    assert Config().seeds == [0]
    assert Config().training.milestones == Config().training.coco_milestones == []


def test_config_yaml_overrides_nothing_but_the_preset():
    assert yaml.safe_load((CONFIG / "config.yaml").read_text()) == {"preset": "demo"}


def test_the_examples_in_config_yaml_are_valid():
    lines = (CONFIG / "config.yaml").read_text().splitlines()
    examples = [line.removeprefix("# ") for line in lines if re.match(r"# +[a-z_]+:", line)]
    user = yaml.safe_load("\n".join(examples))
    assert set(user) == {"run", "seeds", "data", "base", "encoders", "variants", "evaluation", "external", "grounding"}
    config = resolve(user, PRESETS)
    assert config.variants["my_variant"].text == "finding_labels" and config.external and config.data.coco


def test_the_readme_holds_the_table_of_keys():
    _, _, table = (CONFIG / "README.md").read_text().partition("print(describe(), end='')\"`.\n\n")
    assert table == describe(), "run the command in config/README.md and replace the table"


def test_the_table_describes_every_key():
    def leaves(value: dict, prefix: str = ""):
        for key, below in value.items():
            if isinstance(below, dict) and key not in NAMED_BY_USER:
                yield from leaves(below, f"{prefix}{key}.")
            else:
                yield prefix + key

    rows = [
        re.fullmatch(r"\| `(.+?)` \| (.+) \| (`.+`|needed) \| (.+) \|", line) for line in describe().splitlines()[2:]
    ]
    variant = Variant().model_dump(by_alias=True)
    named = [f"variants.<name>.{key}" for key in leaves(variant)]
    named += [f"encoders.<name>.{key}" for key in Encoder.model_fields]
    named += [f"grounding.<name>.{key}" for key in GroundingSet.model_fields]
    named += [f"attention.methods.<name>.{key}" for key in Method.model_fields]
    assert sorted(row[1] for row in rows) == sorted([*leaves(Config().dump()), *named])
    assert "| `training.learning_rate` | a number > 0 | `5e-05` | peak learning rate of AdamW |" in describe()
