"""The configuration: its layers, what follows from them, and what is said of a wrong one."""

import pytest
import yaml
from configs import DEFAULT_VARIANTS, PRESETS, problems
from snakemake.cli import parse_config
from snakemake.utils import update_config

from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import files_of
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.model import Variant
from tradeoffs.errors import InputError

# Layers


def test_each_layer_overrides_the_one_below(tmp_path):
    (tmp_path / "mine.yaml").write_text("training: {steps: 7, batch_size: 4, micro_batch_size: 2}\nseeds: [1, 2]\n")
    user = {"preset": "mine", "training": {"steps": 9, "learning_rate": 0.5}}
    update_config(user, parse_config(["training={learning_rate: 0.25}"]))  # as snakemake lays --config over the file
    config = resolve(user, tmp_path)
    assert config.training.weight_decay == 0.01  # default
    assert (config.training.batch_size, config.seeds) == (4, [1, 2])  # preset
    assert config.training.steps == 9  # config.yaml over the preset
    assert config.training.learning_rate == 0.25  # --config over config.yaml


def test_values_from_the_command_line_are_typed():
    options = ["seeds=[3,4]", "preset=smoke", "run=try_1", "variants={learnable: false, mine: {finetune: True}}"]
    options += ["data={sets: [cxr]}", "external={biovil: maps.npz}", "training={steps: 9, milestones: [5, 3]}"]
    config = resolve(parse_config(options), PRESETS)
    assert (config.preset, config.run, config.seeds) == ("smoke", "try_1", [3, 4])
    assert list(config.variants) == ["pretrained", "frozen", "sentences_learnable", "mine"]
    assert (config.data.sets, config.external, config.training.milestones) == (["cxr"], {"biovil": "maps.npz"}, [3, 5])


def test_an_average_comes_from_the_fine_tuning_of_the_variant_alike():
    variants = {"labels_ema": {"text": "finding_labels", "weights": "ema", "seeds": [7]}}
    config = resolve({"variants": variants, "training": {"ema_decay": 0.9}}, PRESETS)
    assert config.trained_as("labels_ema") == "labels_frozen"
    trained = [name for name in config.variants if config.has_training(name)]
    assert trained == [name for name in config.variants if name not in ("pretrained", "labels_ema")]


def test_demo_is_the_preset_of_an_empty_configuration_and_names_the_run():
    config = resolve({}, PRESETS)
    assert (config.preset, config.run) == ("demo", "demo")


def test_the_users_mapping_is_left_as_it_is():
    user = {"training": {"milestones": [30, 20]}, "variants": {"learnable": False}}
    resolve(user, PRESETS)
    assert user == {"training": {"milestones": [30, 20]}, "variants": {"learnable": False}}


def test_a_key_without_a_value_hides_nothing():
    user = {"preset": "smoke", "training": None, "seeds": None, "data": {"phantoms": None, "prompts": None}}
    assert resolve(user, PRESETS) == resolve({"preset": "smoke"}, PRESETS)


def test_variants_are_added_changed_and_left_out():
    variants = {"mine": {}, "frozen": {"seeds": [5, 6]}, "pretrained": False, "labels_frozen": {"text": "sentences"}}
    config = resolve({"variants": variants, "seeds": [1]}, PRESETS)
    assert {name: config.seeds_of(name) for name in config.variants} == {
        "frozen": [5, 6],
        "learnable": [1],
        "labels_frozen": [0],  # the demo gives the variants with other texts one seed
        "labels_learnable": [0],
        "sentences_frozen": [0],
        "sentences_learnable": [0],
        "sentence_encoder": [0],
        "mine": [1],
    }
    assert config.variants["mine"] == Variant(finetune=True, text_encoder="frozen", text="impression", seeds=None)
    assert config.variants["learnable"].text_encoder == "learnable"
    assert config.variants["labels_frozen"] == Variant(text="sentences", seeds=[0])


@pytest.mark.parametrize(
    "user",
    [
        {"preset": "smoke", "variants": {"labels_learnable": {"seeds": [3]}}},
        parse_config(["preset=smoke", "variants={labels_learnable: {seeds: [3]}}"]),
    ],
)
def test_a_variant_that_the_preset_leaves_out_can_be_taken_up_again(user):
    config = resolve(user, PRESETS)
    taken_up = Variant(finetune=True, text_encoder="learnable", text="finding_labels", seeds=[3])
    assert config.variants["labels_learnable"] == taken_up
    others = ["pretrained", "frozen", "learnable"]
    assert list(config.variants) == [*others, "labels_learnable", "sentences_learnable"]


def test_a_variant_of_its_own_name_that_a_preset_leaves_out_has_no_default(tmp_path):
    (tmp_path / "mine.yaml").write_text("variants: {my_labels: false}\n")
    assert list(resolve({"preset": "mine"}, tmp_path).variants) == DEFAULT_VARIANTS
    user = {"preset": "mine", "variants": {"my_labels": {"text": "finding_labels"}}}
    assert resolve(user, tmp_path).variants["my_labels"] == Variant(text="finding_labels")


def test_variants_of_a_data_set():
    variants = {"mine": {}, "my_labels": {"text": "finding_labels"}, "frozen": False, "sentences_frozen": False}
    config = resolve({"preset": "paper", "variants": variants}, PRESETS)
    with_impressions, others = ["pretrained", "learnable"], ["labels_frozen", "labels_learnable", "sentences_learnable"]
    assert config.variants_of("cxr") == [*with_impressions, *others, "mine", "my_labels"]
    assert config.variants_of("coco") == [*with_impressions, "mine"]


def test_main_variants_have_the_data_sets_own_texts_fine_tuned_or_not():
    variants = {"base_labels": {"finetune": False, "text": "finding_labels"}, "ours": {"sets": ["coco"]}}
    config = resolve({"preset": "paper", "variants": variants}, PRESETS)
    assert "base_labels" in config.variants_of("cxr")
    assert config.main_variants_of("cxr") == ["pretrained", "frozen", "learnable"]
    assert config.main_variants_of("coco") == ["pretrained", "frozen", "learnable", "ours"]


def test_pairs_differ_in_the_text_encoder_alone():
    variants = {"adapted": {"text_encoder": "lora"}, "average": {"text_encoder": "learnable", "weights": "ema"}}
    config = resolve({"preset": "paper", "training": {"ema_decay": 0.9}, "variants": variants}, PRESETS)
    of_own_texts = [("frozen", "learnable"), ("frozen", "adapted")]
    assert config.pairs_of("coco") == of_own_texts
    others = [(f"{text}_frozen", f"{text}_learnable") for text in ("labels", "sentences")]
    assert config.pairs_of("cxr") == [*of_own_texts, *others]


def test_variants_with_other_texts_are_enough_for_cxr_alone():
    variants = {"pretrained": False, "frozen": False, "learnable": False}
    config = resolve({"preset": "paper", "variants": variants, "data": {"sets": ["cxr"]}}, PRESETS)
    assert config.variants_of("cxr") == DEFAULT_VARIANTS[3:]


def test_training_of_a_data_set():
    lengths = {"steps": 50, "milestones": [30, 10], "coco_steps": 40, "coco_milestones": [20]}
    config = resolve({"preset": "smoke", "training": lengths}, PRESETS)
    cxr, coco = config.training_of("cxr"), config.training_of("coco")
    assert (cxr["steps"], cxr["milestones"]) == (50, [10, 30])  # in order
    assert (coco["steps"], coco["milestones"]) == (40, [20])
    assert {key for key in cxr if cxr[key] != coco.get(key)} == {"steps", "milestones"}
    assert set(cxr) == set(coco) == set(config.dump()["training"]) - {"coco_steps", "coco_milestones"}


def test_extractors_of_a_data_set_follow_the_weights_that_are_given():
    assert Config().extractors_of("cxr") == {"general": "efficientnet_lite0", "domain": "own_classifier"}
    assert Config().extractors_of("coco") == {"general": "efficientnet_lite0"}
    given = {"evaluation": {"extractors": {"inception": "a.pt", "xrv_densenet121_all": "b.pt"}}}
    config = resolve(given, PRESETS)
    assert config.extractors_of("cxr") == {"general": "inception", "domain": "xrv_densenet121_all"}
    assert config.extractors_of("coco") == {"general": "inception"}


def test_the_dump_is_plain_and_resolves_to_the_same_configuration():
    config = resolve({"preset": "paper"}, PRESETS)
    dumped = yaml.safe_load(yaml.safe_dump(config.dump()))
    assert dumped["data"]["views"] == ["PA", "AP"]
    assert Config.model_validate(dumped) == config


def test_variants_may_stand_in_some_data_sets_only():
    config = resolve({"variants": {"chest": {"encoder": "minilm", "sets": ["cxr"]}}}, PRESETS)
    assert "chest" in config.variants_of("cxr") and "chest" not in config.variants_of("coco")
    assert "frozen" in config.variants_of("coco")


# Errors


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"training": {"stepps": 3}}, "training.stepps: unknown key; did you mean training.steps?"),
        ({"tarining": None}, "tarining: unknown key; did you mean training?"),
        ({"keep": 3}, "keep: unknown key; did you mean heat_maps.keep?"),
        (
            {"variants": {"mine": {"text_encodr": "frozen"}}},
            "variants.mine.text_encodr: unknown key; did you mean variants.mine.text_encoder?",
        ),
        ({"image": {"zoom": 2}}, "image.zoom: unknown key; known here: image.resolution"),
        ({"training": {"steps": "many"}}, 'training.steps: expected a whole number >= 1, given "many"'),
        ({"training": {"steps": 2.5}}, "training.steps: expected a whole number >= 1, given 2.5"),
        ({"training": {"steps": True}}, "training.steps: expected a number, given true"),
        ({"training": {"precision": "fp8"}}, 'training.precision: expected one of fp32, fp16, bf16, given "fp8"'),
        (
            {"training": {"text_dropout": 1.01}},
            "training.text_dropout: expected a number >= 0 and <= 1, given 1.01",
        ),
        ({"training": {"learning_rate": 0}}, "training.learning_rate: expected a number > 0, given 0"),
        (
            {"training": {"gradient_checkpointing": "perhaps"}},
            'training.gradient_checkpointing: expected true or false, given "perhaps"',
        ),
        (
            {"image": {"resolution": 100}},
            "image.resolution: expected a whole number >= 32 and a multiple of 8, given 100",
        ),
        ({"image": 128}, "image: expected a section with the keys resolution, given 128"),
        ({"variants": ["frozen"]}, 'variants: expected for each name a section, given ["frozen"]'),
        (  # a preset that leaves variants out
            {"preset": "smoke", "variants": ["frozen"]},
            'variants: expected for each name a section, given ["frozen"]',
        ),
        (
            {"variants": {"lernable": False}},
            "variants.lernable: there is no variant of this name to leave out; did you mean learnable?",
        ),
        ({"run": 2024}, "run: expected null or text, given 2024; put it in quotes"),
        (
            {"run": "../elsewhere"},
            'run: "../elsewhere" cannot name a folder; use lower-case letters, digits, _ and - only',
        ),
        ({"preset": "dmo"}, 'preset: there is no preset "dmo"; choose one of demo, open, paper, paper_slurm, smoke'),
        (
            {"preset": ["demo"]},
            'preset: there is no preset ["demo"]; choose one of demo, open, paper, paper_slurm, smoke',
        ),
        ({"seeds": []}, "seeds: the list is empty; give at least one value"),
        ({"seeds": [1, 2, 1]}, "seeds: the list [1, 2, 1] repeats a value; give each once"),
        ({"seeds": 3}, "seeds: expected a list, each a whole number >= 0, given 3; write a list, such as [0, 1, 2]"),
        (
            {"data": {"query_words": {"Edema": "oedema"}}},
            'data.query_words.Edema: expected a list, each text, given "oedema"; write a list, such as [oedema]',
        ),
        (
            {"data": {"sets": "cxr"}},
            'data.sets: expected a list, each one of cxr, coco, given "cxr"; write a list, such as [cxr, coco]',
        ),
        (
            {"variants": {"frosen": "false"}},
            "variants.frosen: there is no variant of this name to leave out; did you mean frozen?",
        ),
        ({"seeds": [0, -1]}, "seeds.1: expected a whole number >= 0, given -1"),
        ({"variants": {"frozen": {"seeds": []}}}, "variants.frozen.seeds: the list is empty; give at least one value"),
        ({"data": {"views": ["LL"]}}, 'data.views.0: expected one of PA, AP, given "LL"'),
        ({"data": {"ms_cxr": ""}}, "data.ms_cxr: the text is empty; give a value or leave the key out"),
        (
            {"data": {"query_words": {"Edemas": ["edema"]}}},
            "data.query_words: Edemas is none of Atelectasis, Cardiomegaly, Consolidation, Edema, Lung Opacity, "
            "Pleural Effusion, Pneumonia, Pneumothorax, and no class of MS-COCO; correct the name",
        ),
        (
            {"data": {"source": "phantoms", "cxr": "open"}},
            "data.cxr: phantoms are drawn in the layouts of mimic; set data.source to files, or leave this out",
        ),
        (
            {"grounding": {"coco": {"path": "boxes.csv"}}},
            "grounding.coco: this name is that of a data set of the run; choose another",
        ),
        (
            {"grounding": {"my_set": {"path": "boxes.csv"}}},
            "grounding.my_set: use lower-case letters and digits in this name, a letter first",
        ),
        (
            {"grounding": {"mine": {"path": "boxes.csv", "layout": "vindr"}}},
            "grounding.mine.layout: expected one of csv, vindr_cxr, chestx_det, chexlocalize, padchest_gr, "
            'chestxray14, given "vindr"',
        ),
        (
            {"data": {"sets": ["coco"]}, "grounding": {"mine": {"path": "boxes.csv"}}},
            "grounding.mine.models: cxr is not in data.sets; add it there or remove the set",
        ),
        ({"data": {"source": "mimic"}}, 'data.source: expected one of phantoms, files, given "mimic"'),
        ({"data": {"sets": ["mimic"]}}, 'data.sets.0: expected one of cxr, coco, given "mimic"'),
        ({"data": {"sets": []}}, "data.sets: the list is empty; give at least one value"),
        ({"data": {"sets": ["coco", "coco"]}}, 'data.sets: the list ["coco", "coco"] repeats a value; give each once'),
        (
            {"variants": {"mine": {"text": "labels"}}},
            "variants.mine.text: expected one of impression, finding_labels, sentences, findings_first, "
            'findings_random, finding_tokens, given "labels"',
        ),
        (
            {"variants": {"mine": {"text": "finding_tokens", "finetune": False}}},
            "variants.mine.text: finding_tokens have no meaning before they are learnt; remove finetune: false or take "
            "another",
        ),
        (
            {"variants": {"mine": {"text": "finding_tokens", "encoder": "other"}}},
            "variants.mine.text: finding_tokens are read by the base's own text encoder; remove encoder or take "
            "another text",
        ),
        (
            {"variants": {"mine": {"finding_tokens": {"one_absent": True}}}},
            "variants.mine.finding_tokens: has a meaning with text finding_tokens only; set it or remove this section",
        ),
        (
            {"variants": {"frozen": {"lora_rank": 8}}},
            "variants.frozen.lora_rank: has a meaning with text_encoder: lora only; set it or remove this key",
        ),
        (
            {"variants": {"frozen": {"text_encoder": "lora", "unet_lora_targets": ["to_k"]}}},
            "variants.frozen.unet_lora_targets: has a meaning with unet: lora only; set it or remove this key",
        ),
        (
            {"data": {"sets": ["coco"], "prompts": "mscxr"}},
            "data.prompts: its texts are for radiographs; add cxr to data.sets or remove it",
        ),
        (
            {"variants": {"mine": {"attention_regularisation": 1, "sets": ["coco"]}}},
            "variants.mine.sets: attention_regularisation needs findings, which coco has not; leave coco out or remove "
            "it",
        ),
        (
            {"external_samples": {"frozen": "images"}},
            "external_samples.frozen: a variant has this name too; choose another",
        ),
        (
            {"attention": {"methods": {"mine": {"noise": "inversion", "guidance_difference": True}}}},
            "attention.methods.mine.guidance_difference: has a meaning with noise fresh only, given inversion; remove "
            "one of the two",
        ),
        (
            {"attention": {"methods": {"mine": {"noise": "generation", "bimodal": True}}}},
            "attention.methods.mine.bimodal: has no meaning with noise generation, which sees no image; remove one of "
            "the two",
        ),
        (
            {"attention": {"methods": {"mine": {"heads": [5]}}}},
            "attention.methods.mine.heads.0: expected a whole number >= 1 and <= 4, given 5",
        ),
        (
            {"external": {"mine": "maps.npz"}, "data": {"sets": ["coco"]}},
            "external.mine: stands beside radiographs; add cxr to data.sets or remove it",
        ),
        (
            {"external_samples": {"mine": "images"}, "data": {"sets": ["coco"]}},
            "external_samples.mine: stands beside radiographs; add cxr to data.sets or remove it",
        ),
        ({"external": {"frozen": "maps.npz"}}, "external.frozen: a variant has this name too; choose another"),
        (
            {"external": {"location_prior": "maps.npz"}},
            "external.location_prior: this name is reserved for rows of the tables that need no model; choose another",
        ),
        (
            {"external": {"BioViL": "maps.npz"}},
            "external.BioViL: use lower-case letters, digits and _ in this name, a letter first",
        ),
        ({"external": {"biovil": ""}}, "external.biovil: the text is empty; give a value or leave the key out"),
        ({"external": {"biovil": 3}}, "external.biovil: expected text, given 3; put it in quotes"),
        ({"external": ["maps.npz"]}, 'external: expected for each name text, given ["maps.npz"]'),
        (
            {"variants": {"location_prior": {}}},
            "variants.location_prior: this name is reserved for rows of the tables that need no model; choose another",
        ),
        (
            {"variants": {"2nd": {}}},
            "variants.2nd: use lower-case letters, digits and _ in this name, a letter first",
        ),
        (
            {"variants": {"pretrained": {"text_encoder": "learnable"}}},
            "variants.pretrained.text_encoder: learnable has no meaning for a model that is not fine-tuned; remove "
            "one of the two",
        ),
        (
            {"variants": dict.fromkeys(DEFAULT_VARIANTS, False)},
            "variants: no variant is left; keep at least one",
        ),
        (
            {"variants": {"pretrained": False, "frozen": False, "learnable": False}},
            "variants: none is left for coco; keep one with text impression",
        ),
        (
            {"heat_maps": {"keep": 51}},
            "heat_maps.keep: 51 is more than heat_maps.steps (50); lower it or raise the other",
        ),
        (
            {"training": {"warmup_steps": 60_001}},
            "training.warmup_steps: 60001 is more than training.steps (60000); lower it or raise the other",
        ),
        (
            {"training": {"warmup_steps": 60_000, "coco_steps": 50_000, "coco_milestones": []}},
            "training.warmup_steps: 60000 is more than training.coco_steps (50000); lower it or raise the other",
        ),
        (
            {"training": {"milestones": [60_000, 100]}},
            "training.milestones: 60000 is not below training.steps (60000); give lower ones, or [] for none",
        ),
        (
            {"training": {"coco_steps": 20_000}},  # the preset's are every 10,000 steps up to 140,000
            "training.coco_milestones: 140000 is not below training.coco_steps (20000); give lower ones, or [] for "
            "none",
        ),
        ({"training": {"milestones": [5, 5]}}, "training.milestones: the list [5, 5] repeats a value; give each once"),
        ({"training": {"milestones": [5, 0]}}, "training.milestones.1: expected a whole number >= 1, given 0"),
        (
            {"training": {"milestones": 5}},
            "training.milestones: expected a list, each a whole number >= 1, given 5; write a list, such as "
            "[1000, 2000]",
        ),
        (
            {"variants": {"frozen_ema": {"weights": "ema"}}},
            "variants.frozen_ema.weights: ema needs training.ema_decay, such as 0.999; set it",
        ),
        (
            {"training": {"ema_decay": 0.9}, "variants": {"mine": {"weights": "ema"}, "frozen": False}},
            "variants.mine.weights: ema needs a variant that is alike but for `weights: raw`, whose fine-tuning keeps "
            "the average; add one",
        ),
        (
            {"variants": {"pretrained": {"weights": "ema"}}},
            "variants.pretrained.weights: ema has no meaning for a model that is not fine-tuned; remove one of the two",
        ),
        ({"training": {"ema_decay": 1}}, "training.ema_decay: expected null or a number > 0 and < 1, given 1"),
        (
            {"evaluation": {"kid_subset": 5001}},
            "evaluation.kid_subset: 5001 is more than evaluation.real_images (5000); lower it or raise the other",
        ),
        (
            {"sampling": {"images": 999}},
            "evaluation.kid_subset: 1000 is more than sampling.images (999); lower it or sample more",
        ),
        (
            {"sampling": {"images": 99}, "evaluation": {"kid_subset": 9}},
            "evaluation.ms_ssim.prompts: 100 is more than sampling.images (99); lower it or sample more",
        ),
        ({"sampling": {"guidance": 0.5}}, "sampling.guidance: expected a number >= 1, given 0.5"),
        (
            {"resources": {"runtime_minutes": 4321}},
            "resources.runtime_minutes: 4321 is more than resources.max_runtime_minutes (4320); lower it or raise the "
            "other",
        ),
        (
            {"data": {"phantoms": {"seed": 1000}}},
            "data.phantoms.seed: 1000 is that of phantoms on which the demo's base was chosen, which tables must not "
            "score; choose another",
        ),
    ],
)
def test_a_problem_names_key_and_remedy(user, expected):
    assert problems({"preset": "paper"} | user) == [expected]


def test_all_problems_are_listed_at_once():
    found = problems({"training": {"steps": "many"}, "sampling": {"guidence": 4}})
    assert [line.split(":")[0] for line in found] == ["training.steps", "sampling.guidence"]


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("training", {"text_dropout": 0, "weight_decay": 0, "warmup_steps": 60_000}),
        ("training", {"text_dropout": 1, "micro_batch_size": 1, "learning_rate": "1e-3"}),
        ("heat_maps", {"steps": 40, "keep": 40}),
        ("evaluation", {"max_excluded": 1, "kid_subset": 5000}),
        ("image", {"resolution": 32}),
        ("resources", {"gpus": 0}),
    ],
)
def test_bounds_are_within_the_schema(section, values):
    config = resolve({"preset": "paper", section: values}, PRESETS).dump()
    assert {key: config[section][key] for key in values} == {key: float(value) for key, value in values.items()}


def test_milestones_may_be_any_step_before_the_last_or_none():
    training = {"milestones": [59_999, 1], "coco_milestones": []}
    config = resolve({"preset": "paper", "training": training}, PRESETS)
    assert (config.training.milestones, config.training.coco_milestones) == ([1, 59_999], [])


@pytest.mark.parametrize("content", ["training: [", "just words"])
def test_a_broken_preset_file_is_named(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(InputError, match=r"mine\.yaml: .*correct it"):
        resolve({"preset": "mine"}, tmp_path)


@pytest.mark.parametrize(
    ("variant", "problem"),
    [
        (
            {"encoder": "bert"},
            "variants.mine.encoder: there is no encoder bert; add it to the section encoders (there: ",
        ),
        (
            {"encoder": "minilm", "finetune": False},
            "variants.mine.encoder: minilm has no meaning for a model that is not",
        ),
        ({"text_encoder": "lora", "finetune": False}, "variants.mine.text_encoder: lora has no meaning for a model"),
        (
            {"text": "sentences", "sets": ["cxr", "coco"]},
            "variants.mine.sets: coco has no sentences; leave coco out or",
        ),
        ({"sets": []}, "variants.mine.sets: the list is empty"),
    ],
)
def test_variants_that_cannot_be(variant, problem):
    (found,) = problems({"variants": {"mine": variant}})
    assert found.startswith(problem)


def test_what_samples_are_drawn_from():
    default, changed = (
        resolve({"preset": "paper", "sampling": sampling}, PRESETS)
        for sampling in ({}, {"text": "own", "unconditional": "no_finding"})
    )
    names = ("frozen", "labels_frozen", "sentences_frozen")
    assert [default.sampled_from(name) for name in names] == ["impression"] * 3  # as the original
    assert [default.unconditional_text(name) for name in names] == [""] * 3
    assert [changed.sampled_from(name) for name in names] == ["impression", "finding_labels", "sentences"]
    assert [changed.unconditional_text(name) for name in names] == ["", "No Finding", ""]
    assert default.data.prompts_file is None
    prompts = [resolve({"preset": "paper", "data": {"prompts": given}}, PRESETS) for given in ("mscxr", "mine.csv")]
    assert [config.data.prompts_file for config in prompts] == [None, "mine.csv"]
    assert "data.prompts" not in files_of(prompts[0]) and files_of(prompts[1])["data.prompts"] == "mine.csv"
