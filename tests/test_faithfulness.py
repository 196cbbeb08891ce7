"""The finding's words taken away: texts, changes of the predicted image, and their scores, by hand."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch
from small_maps import grounding

from tradeoffs.attention.capture import TextOnImage
from tradeoffs.attention.intervention import changes, predicted_latent
from tradeoffs.evaluation import faithfulness as module
from tradeoffs.evaluation.faithfulness import faithfulness, interventions, on_mask
from tradeoffs.evaluation.localisation import samples
from tradeoffs.evaluation.statistics import summarise_faithfulness
from tradeoffs.metrics import FAITHFULNESS
from tradeoffs.protocols import CORRECTED

LEFT = np.array([[True, True, False, False]] * 4)


def chosen(*phrases: str, **more) -> list:
    table = grounding(*({"phrase": phrase, "sample_id": f"s{i}"} | more for i, phrase in enumerate(phrases)))
    return interventions(samples(table, "phrase", CORRECTED, 4), 10)


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted


def test_the_findings_words_and_as_many_others_are_taken_out():
    one = {name: one for one in chosen("mild edema of edema", "edema") for name in [one.sample.text]}
    assert one["mild edema of edema"].texts == ["mild of", "edema edema", ""]  # two for two: the only others
    assert one["edema"].texts == ["", "", ""]  # there are no others


def test_samples_without_the_word_or_outside_the_crop_are_left_out():
    assert chosen("clear lungs") == []
    assert chosen("edema", image_width=8, boxes=[[0, 0, 2, 4]]) == []
    assert chosen("edema", boxes=[[0, 0, 4, 4]]) == []


def test_the_ratio_is_inside_over_outside():
    change = np.array([[3.0, 3.0, 2.0, 1.0]] * 4)
    assert on_mask(change, LEFT) == (pytest.approx(2), 1)
    assert np.isnan(on_mask(np.zeros((4, 4)), LEFT)).all()
    ratio, auc = on_mask(np.array([[1.0, 1.0, 0.0, 0.0]] * 4), LEFT)
    assert np.isnan(ratio) and auc == 1  # nothing changes outside


def test_scores_with_their_controls():
    own = chosen("mild edema", "edema")
    change = np.array([[3.0, 3.0, 2.0, 1.0]] * 4)
    table = faithfulness(own, [np.stack([change, change[:, ::-1], 4 * change])] * 2, {("s0-0", "Edema"): 0.75})
    table = table.set_index("id")
    assert table.loc["s0-0", "change_ratio"] == pytest.approx(2) and table.loc["s0-0", "prior_auc"] == 0.75
    assert table.loc["s0-0", "other_word_ratio"] == pytest.approx(1.5 / 3) and table.loc["s0-0", "other_word_auc"] == 0
    assert table.loc["s0-0", "text_auc"] == 1 and table.loc["s0-0", "word_share"] == pytest.approx(1 / 4)
    assert table.loc["s1-0", ["other_word_ratio", "other_word_auc", "prior_auc"]].isna().all()  # no other word


def test_the_interval_draws_subjects():
    rows = pd.DataFrame({"dataset": "cxr", "variant": "frozen", "text": "phrase", "subject_id": list("aab")}).assign(
        **dict.fromkeys(FAITHFULNESS, 1.0) | {"change_ratio": [1.0, 1.0, 4.0]}
    )
    (row,) = summarise_faithfulness(rows, 200).to_dict("records")
    assert row["change_ratio"] == 2 and (row["change_ratio_low"], row["change_ratio_high"]) == (1, 4)
    assert (row["n"], row["subjects"], row["text_auc_low"]) == (3, 2, 1)
    (alone,) = summarise_faithfulness(rows[:2], 200).to_dict("records")
    assert np.isnan(alone["change_ratio_low"])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_gives_the_image_back(kind, tiny_model):
    schedule = tiny_model.schedule
    schedule.register_to_config(prediction_type=kind)
    image, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([1, 500, 981])
    noisy = schedule.add_noise(image, noise, times)
    output = noise if kind == "epsilon" else schedule.get_velocity(image, noise, times)
    torch.testing.assert_close(predicted_latent(schedule, noisy, output, times), image, atol=1e-4, rtol=1e-4)


def test_the_same_text_changes_nothing_and_the_batch_size_nothing_much(tiny_model):
    latent = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    texts_on_images = [TextOnImage("a", "a", "mild edema.", latent)]
    others = [["mild edema.", "left pleural effusion", ""]]
    (first,) = changes(tiny_model, texts_on_images, others, seed=0, steps=4, keep=3, batch_size=5)
    (again,) = changes(tiny_model, texts_on_images, others, seed=0, steps=4, keep=3, batch_size=100)
    assert first.shape == (3, 8, 8) and np.abs(first[0]).max() < 1e-4 * first[1].max()
    assert first[1].min() >= 0 and first[1].max() > 0
    np.testing.assert_allclose(first[1:], again[1:], rtol=1e-3, atol=1e-5)
