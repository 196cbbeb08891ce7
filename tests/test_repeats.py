"""The models, tables and figures that follow from a configuration."""

from types import SimpleNamespace

import pytest

from tradeoffs.config.repeats import checkpoints, entries, fine_tunings, first_repeats, pairs, repeats
from tradeoffs.config.schema import Config
from tradeoffs.config.targets import check_targets, figures_of, tables_of
from tradeoffs.errors import InputError
from tradeoffs.jobs.limits import limit

CONFIG = Config.model_validate(
    {
        "seeds": [3, 4],
        "data": {"sets": ["cxr", "coco"]},
        "variants": {
            "base": {"finetune": False, "seeds": [7]},
            "frozen": {},
            "average": {"weights": "ema"},
            "learnable": {"text_encoder": "learnable", "sets": ["cxr"]},
        },
        "training": {"milestones": [10, 20], "ema_decay": 0.9},
    }
)
SHOWN = {"cxr": ["base", "frozen", "average"], "coco": ["frozen"]}


def short(labels):
    return [f"{label['dataset']}/{label['variant']}/{label['seed']}/{label['checkpoint']}" for label in labels]


def test_a_model_is_repeated_for_each_of_its_variants_seeds():
    assert short(repeats(CONFIG, SHOWN)) == [
        "cxr/base/7/final",
        "cxr/frozen/3/final",
        "cxr/frozen/4/final",
        "cxr/average/3/final",
        "cxr/average/4/final",
        "coco/frozen/3/final",
        "coco/frozen/4/final",
    ]
    first = ["cxr/base/7/final", "cxr/frozen/3/final", "cxr/average/3/final", "coco/frozen/3/final"]
    assert short(first_repeats(CONFIG, SHOWN)) == first
    of_frozen = [f"{dataset}/frozen/{seed}/final" for dataset in ("cxr", "coco") for seed in (3, 4)]
    assert short(fine_tunings(CONFIG, SHOWN)) == of_frozen


def test_checkpoints_are_of_fine_tunings_and_come_before_the_last_model():
    found = short(checkpoints(CONFIG, {"cxr": ["base", "frozen", "average"]}))
    assert found[:4] == ["cxr/base/7/final", "cxr/frozen/3/step10", "cxr/frozen/3/step20", "cxr/frozen/3/final"]
    assert found[7:] == ["cxr/average/3/final", "cxr/average/4/final"]
    assert "coco/frozen/3/step10" not in short(checkpoints(CONFIG, SHOWN))


def test_pairs_and_entries():
    assert pairs(CONFIG, ["cxr"]) == [{"dataset": "cxr", "frozen": "frozen", "learnable": "learnable"}]
    assert entries(CONFIG, SHOWN)["frozen"] == {
        "finetune": True,
        "encoder": None,
        "sampled_from": "impression",
        "text_encoder": "frozen",
        "text": "impression",
        "attention_regularisation": None,
        "sets": ["cxr", "coco"],
    }
    assert list(entries(CONFIG, SHOWN)) == ["base", "frozen", "average"]


def test_the_step_at_which_a_model_is_scored():
    steps = [CONFIG.step_of("cxr", "base"), CONFIG.step_of("cxr", "frozen"), CONFIG.step_of("cxr", "frozen", "step10")]
    assert steps == [0, 60_000, 10]
    assert CONFIG.step_of("coco", "frozen") == 150_000


def test_tables_and_figures_follow_the_data_sets():
    coco = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"sets": ["coco"]})})
    assert tables_of(CONFIG) == [
        "table1",
        "table1_cxr_findings",
        "table2",
        "table3",
        "table7",
        "table1_coco_categories",
        "differences",
    ]
    assert tables_of(coco) == ["table1", "table1_coco_categories", "differences"]
    assert figures_of(coco)[:3] == ["tradeoff", "training_curves", "losses"]  # no pair there
    assert "findings_cxr" in figures_of(CONFIG) and "findings_cxr" not in figures_of(coco)
    check_targets(["--cores", "2", "table2", "results/figures/data_cxr.png"], CONFIG)
    for target in ("table2", "results/table7.csv", "results/figures/data_cxr.png"):
        with pytest.raises(InputError, match="needs cxr, which data.sets leaves out"):
            check_targets([target], coco)


def test_only_what_changes_no_result_is_taken_from_the_whole_configuration():
    config = CONFIG.dump() | {"variants": {"mine": {"training": {"log_every": 7}}, "other": {"training": None}}}
    for variant, expected in (("mine", 7), ("other", 50)):
        job = SimpleNamespace(config=config, wildcards={"variant": variant})
        assert limit(job, "training.log_every") == expected
    with pytest.raises(ValueError, match="training.steps changes results"):
        limit(job, "training.steps")
