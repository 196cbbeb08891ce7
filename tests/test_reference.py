"""The real side of FID: which images, how often, in which order."""

import numpy as np
import pandas as pd
import pytest

from tradeoffs.data.tables import read_prompts
from tradeoffs.errors import InputError
from tradeoffs.evaluation.reference import ImageFeatures, images_of_population, images_of_prompts, load_features

IMAGES = pd.DataFrame(
    {"sample_id": list("abcdef"), "split": ["p19"] * 5 + ["train"], "Finding Labels": list("LMNOPQ"), "path": "x"}
)
PROMPTS = pd.DataFrame({"prompt_id": list("1234"), "sample_id": list("cacf")})


def test_the_real_images_are_those_of_the_prompts_as_often_as_these_come():
    chosen = images_of_prompts(IMAGES, PROMPTS, 3)
    assert chosen["sample_id"].tolist() == ["c", "a", "c"] and chosen["Finding Labels"].tolist() == ["N", "L", "N"]
    assert images_of_prompts(IMAGES, PROMPTS, 9)["sample_id"].tolist() == ["c", "a", "c", "f"]


def test_a_prompt_without_an_image_is_named_with_the_remedy():
    prompts = PROMPTS.assign(sample_id=["c", "", "z", "f"])
    message = r"prompt 2: its sample_id '' is none .*such prompts: 2.*evaluation.reference to population"
    with pytest.raises(InputError, match=message):
        images_of_prompts(IMAGES, prompts, 4)


def test_the_population_is_a_draw_in_which_an_image_keeps_its_place():
    drawn = [images_of_population(IMAGES, "p19", n, seed=0)["sample_id"].tolist() for n in range(1, 7)]
    assert [len(some) for some in drawn] == [1, 2, 3, 4, 5, 5] and drawn[-1] == list("abcde")
    assert all(set(some) < set(more) and more == sorted(more) for some, more in zip(drawn[:4], drawn[1:5], strict=True))
    with pytest.raises(InputError, match="no image of the table has split 'val'"):
        images_of_population(IMAGES, "val", 3, seed=0)


def test_features_are_read_as_they_were_written(tmp_path):
    written = ImageFeatures(["a", "b"], ["Edema|Pneumonia", ""], {"general": np.eye(2, 3, dtype=np.float32)})
    written.save(tmp_path / "x.npz")
    read = load_features(tmp_path / "x.npz")
    assert (read.ids, read.labels) == (["a", "b"], ["Edema|Pneumonia", ""])
    np.testing.assert_array_equal(read.features["general"], written.features["general"])
    assert read.of_label("Pneumonia").ids == ["a"] and read.of_label("Edema|").ids == []


@pytest.mark.parametrize("column", ["sample_id", "dicom_id"])
def test_a_list_names_the_images_of_its_texts(tmp_path, column):
    file = tmp_path / "prompts.csv"
    pd.DataFrame({"impression": ["x"], "Finding Labels": ["Edema"], column: ["i1"]}).to_csv(file, index=False)
    assert read_prompts(file)["sample_id"].tolist() == ["i1"]
