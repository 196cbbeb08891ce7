from collections import Counter

import pandas as pd
import pytest

from tradeoffs.data.prompts import balanced_prompts, label_counts, repeated_prompts
from tradeoffs.errors import InputError


def image(sample_id, labels, split="p19", text=None):
    text = f"text of {sample_id}" if text is None else text
    return {"sample_id": sample_id, "split": split, "text": text, "Finding Labels": labels}


@pytest.fixture
def images():
    rows = [image(f"e{i}", "Edema") for i in range(50)]
    rows += [image(f"n{i}", "No Finding") for i in range(3)]
    rows += [image("both", "Pneumonia|Support Devices")]
    rows += [image("train", "Atelectasis", split="train"), image("silent", "Cardiomegaly", text="")]
    rows += [image("device", "Support Devices"), image("unlabelled", "")]
    return pd.DataFrame(rows)


def test_labels_take_turns(images):
    prompts, counts = balanced_prompts(images, 30, 0)
    assert prompts.columns.tolist() == ["prompt_id", "text", "Finding Labels", "sample_id"]
    assert ("text of " + prompts["sample_id"]).equals(prompts["text"])
    assert prompts["prompt_id"].tolist() == [f"{i:05d}" for i in range(30)]
    # three labels are there, so each comes up 30 / 3 times although 50 of 54 images show edema
    assert Counter(prompts["Finding Labels"]) == {"Edema": 10, "No Finding": 10, "Pneumonia|Support Devices": 10}
    assert label_counts(prompts) == dict.fromkeys(
        ["Atelectasis", "Cardiomegaly", "Consolidation", "Lung Opacity", "Pleural Effusion", "Pneumothorax"], 0
    ) | {"Edema": 10, "No Finding": 10, "Pneumonia": 10}
    # of 58: 1 of another split, 1 silent, 2 without one of the nine labels
    assert counts == {
        "read": 58,
        "not in the p19 split": 1,
        "no impression": 1,
        "none of the nine labels": 2,
        "kept": 54,
    }


def test_images_come_back_only_when_all_were_drawn(images):
    prompts, _ = balanced_prompts(images, 30, 0)
    texts = prompts.groupby("Finding Labels")["text"].agg(list)
    assert len(set(texts["Edema"])) == 10
    normal = texts["No Finding"]  # 10 draws from 3 images: three whole rounds and one draw more
    for start in (0, 3, 6):
        assert sorted(normal[start : start + 3]) == ["text of n0", "text of n1", "text of n2"]
    longer, _ = balanced_prompts(images, 300, 0)
    edema = longer.loc[longer["Finding Labels"] == "Edema", "text"].tolist()  # two rounds of 50
    assert sorted(edema[:50]) == sorted(edema[50:])
    assert edema[:50] != edema[50:]


def test_the_list_depends_on_the_seed_only(images):
    prompts, _ = balanced_prompts(images, 30, 0)
    shuffled, _ = balanced_prompts(images.sample(frac=1, random_state=1), 30, 0)
    pd.testing.assert_frame_equal(shuffled, prompts)
    longer, _ = balanced_prompts(images, 40, 0)
    pd.testing.assert_frame_equal(longer.head(30), prompts)
    other, _ = balanced_prompts(images, 30, 1)
    assert other["text"].tolist() != prompts["text"].tolist()


def test_an_image_can_be_drawn_for_each_of_its_labels():
    prompts, _ = balanced_prompts(pd.DataFrame([image("a", "Edema|Pneumonia")]), 2, 0)
    assert prompts["text"].tolist() == ["text of a", "text of a"]
    assert label_counts(prompts)["Edema"] == label_counts(prompts)["Pneumonia"] == 2


def test_no_image_to_draw_from_is_an_error(images):
    with pytest.raises(InputError, match="no p19 image"):
        balanced_prompts(images[images["split"] == "train"], 3, 0)


def test_a_users_list_is_cut_or_repeated():
    mine = pd.DataFrame({"prompt_id": ["a", "b"], "text": ["x", "y"], "Finding Labels": ["Edema", ""]})
    prompts, counts = repeated_prompts(mine, 5)
    assert prompts["prompt_id"].tolist() == ["a", "b", "a-2", "b-2", "a-3"]
    assert prompts["text"].tolist() == ["x", "y", "x", "y", "x"]
    assert prompts["Finding Labels"].tolist() == ["Edema", "", "Edema", "", "Edema"]
    assert counts == {"read": 2, "beyond the number of samples": 0, "kept": 2}
    prompts, counts = repeated_prompts(mine, 1)
    assert prompts["prompt_id"].tolist() == ["a"]
    assert counts == {"read": 2, "beyond the number of samples": 1, "kept": 1}
