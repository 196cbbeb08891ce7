"""What is written down of a data set fits the configuration's keys and the other facts of the same data set."""

from typing import get_args

import pytest
from configs import PRESETS

from tradeoffs.config.layers import resolve
from tradeoffs.config.sections.data import Data, Limit, Phantoms
from tradeoffs.config.sections.training import Training
from tradeoffs.data.sets import COCO, CXR, DATA_SETS, OPEN_CXR, Name, data_set
from tradeoffs.data.text_kinds import TEXT_KINDS
from tradeoffs.paper.model_card import DATA, LICENCE_NAMES, LICENCES


def test_each_name_in_the_configuration_is_a_data_set():
    assert list(DATA_SETS) == list(get_args(Name))
    assert data_set("cxr", "mimic") is CXR and data_set("cxr", "open") is OPEN_CXR
    assert data_set("coco", "open") is COCO


@pytest.mark.parametrize("one", [CXR, OPEN_CXR, COCO], ids=lambda one: one.source)
def test_its_keys_are_in_the_configuration(one):
    assert set(one.splits.values()) <= set(Limit.model_fields) & set(Phantoms.model_fields)
    assert {one.training_key("steps"), one.training_key("milestones")} <= set(Training.model_fields)
    assert set(one.folders) | ({one.prepared} - {None}) <= set(Data.model_fields)
    assert {one.boxes, one.population} <= set(one.splits) and set(one.texts) <= set(TEXT_KINDS)
    assert one.source in DATA and one.source in LICENCES and one.source in LICENCE_NAMES


def test_a_run_knows_its_data_sets_and_further_sets_of_boxes():
    mine = {"path": "boxes.csv", "texts": ["phrase", "impression"]}
    query_words = {"Edema": ["oedema"], "cat": ["kitten"]}
    config = resolve({"preset": "paper", "grounding": {"mine": mine}, "data": {"query_words": query_words}}, PRESETS)
    of_mine = config.set_of("mine")
    assert (of_mine.title, of_mine.texts, of_mine.boxes) == ("mine", ["phrase", "impression"], "mscxr")
    assert not of_mine.has_findings and not of_mine.has_captions
    assert config.data.query_words_of("cxr") == {"Edema": ["oedema"]}
    assert config.data.query_words_of("coco") == {"cat": ["kitten"]}
    cxr, coco = (config.training_of(dataset) for dataset in ("cxr", "coco"))
    assert (cxr["milestones"], coco["milestones"][:2]) == ([30000], [10000, 20000])
    assert list(cxr) == list(coco) and "coco_steps" not in cxr
