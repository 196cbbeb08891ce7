"""Which samples a profile is made of, and its means, by hand."""

import numpy as np
import pytest
from small_maps import grounding, maps_of

from tradeoffs.evaluation.localisation import samples
from tradeoffs.evaluation.profile import mean_profile, profiled_samples
from tradeoffs.protocols import CORRECTED


@pytest.fixture
def chosen():
    """Two phrases of Edema on images of 4 px, whose boxes are the left half and the right column."""
    phrases = grounding({"phrase": "left edema"}, {"phrase": "right edema", "boxes": [[3, 0, 1, 4]]})
    maps = maps_of("a-0", "left edema", left=[0, 0, 0, 1], edema=[2, 1, 0, 0])
    maps |= maps_of("a-1", "right edema", right=[0, 0, 0, 1], edema=[1, 0, 0, 0])
    return profiled_samples(samples(phrases, "phrase", CORRECTED, 4), maps, most=5)


def test_samples_are_asked_for_their_findings_words(chosen):
    assert sorted(one.sample.id for one in chosen) == ["a-0", "a-1"]
    assert all(one.weights.tolist() == [0, 1] for one in chosen)


def test_a_profile_is_the_mean_over_samples_per_layer_and_step(chosen):
    left_to_right = np.tile(np.arange(4.0), (4, 1))
    maps = [
        (place, time, layer, heat)
        for place in (0, 1)
        for layer, heat in (("down", left_to_right), ("up", np.ones((2, 2))))
        for time in (1, 101)
    ]
    table = mean_profile(maps, chosen)
    # rising to the right, the map is all wrong about the left box and all right about the right one; constant: no score
    assert table.columns.tolist() == ["layer", "resolution", "step", "auc_roc", "n"]
    assert table[table["layer"] == "down"][["resolution", "step", "auc_roc", "n"]].to_numpy().tolist() == [
        [4, 1, 0.5, 2],
        [4, 101, 0.5, 2],
    ]
    assert table[table["layer"] == "up"]["auc_roc"].isna().all() and set(table["n"]) == {2, 0}
