"""Texts of the control "wrong prompt": of another subject, naming what the image does not show and nothing it shows."""

import pandas as pd
import pytest

from tradeoffs.data.wrong_prompts import COLUMNS, wrong_prompts

SEEDS = range(30)


def grounding(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """A grounding table from subject, image, category and text (as phrase and as the image's text)."""
    table = pd.DataFrame(rows, columns=["subject_id", "sample_id", "category", "phrase"])
    number = table.groupby("sample_id").cumcount().astype(str)
    return table.assign(text=table["phrase"], phrase_id=table["sample_id"] + "-" + number, text_id=table["sample_id"])


def images(table: pd.DataFrame, **labels: str) -> pd.DataFrame:
    """The image table of a grounding table, with the Finding Labels of some images."""
    names = table["sample_id"].unique()
    return pd.DataFrame({"sample_id": names, "Finding Labels": [labels.get(name, "") for name in names]})


def donors(table: pd.DataFrame, name: str, text_kind: str = "phrase", **labels: str) -> set[tuple[str, str]]:
    """Text and category that the control may get, over many seeds."""
    drawn = pd.concat([wrong_prompts(table, images(table, **labels), text_kind, seed) for seed in SEEDS])
    return set(drawn.loc[drawn["id"] == name, ["text", "category"]].itertuples(index=False, name=None))


def test_the_control_is_the_text_of_another_finding():
    table = grounding(
        ("p1", "a", "Edema", "mild edema"),
        ("p2", "b", "Pneumonia", "left pneumonia"),
        ("p3", "c", "Edema", "severe edema"),
    )
    prompts = wrong_prompts(table, images(table), "phrase", seed=0)
    assert prompts.columns.tolist() == COLUMNS == ["text_kind", "id", "sample_id", "text", "category"]
    assert prompts["text_kind"].tolist() == ["phrase"] * 3
    assert prompts[["id", "sample_id"]].to_numpy().tolist() == [["a-0", "a"], ["b-0", "b"], ["c-0", "c"]]
    assert donors(table, "a-0") == donors(table, "c-0") == {("left pneumonia", "Pneumonia")}
    assert donors(table, "b-0") == {("mild edema", "Edema"), ("severe edema", "Edema")}


def test_the_text_names_nothing_that_the_image_shows():
    table = grounding(
        ("p1", "a", "Edema", "edema"),
        ("p1", "a", "Pneumonia", "pneumonia"),
        ("p2", "b", "Atelectasis", "atelectasis in edema"),  # names Edema, which a shows
        ("p3", "c", "Pneumonia", "pneumonia and effusion"),  # Pneumonia is shown in a
        ("p4", "d", "Cardiomegaly", "cardiomegaly without pneumothorax"),
    )
    only_d = {("cardiomegaly without pneumothorax", "Cardiomegaly")}
    assert donors(table, "a-0") == donors(table, "a-1") == only_d
    # b shows Atelectasis alone: of a's phrases both fit, c's and d's too
    assert donors(table, "b-0") == only_d | {
        ("edema", "Edema"),
        ("pneumonia", "Pneumonia"),
        ("pneumonia and effusion", "Pneumonia"),
    }


def test_an_image_shows_its_finding_labels_and_its_grounded_categories():
    table = grounding(
        ("p1", "a", "Edema", "edema"),
        ("p2", "b", "Pneumonia", "left pneumonia"),
        ("p3", "c", "Edema", "more edema"),
        ("p4", "d", "Cardiomegaly", "cardiomegaly and pneumonia"),
        ("p5", "e", "Atelectasis", "atelectasis"),
    )
    expected = {("left pneumonia", "Pneumonia"), ("atelectasis", "Atelectasis")}
    assert donors(table, "a-0") == expected | {("cardiomegaly and pneumonia", "Cardiomegaly")}
    # a label without a box: neither its own texts fit nor one that names it beside another finding;
    # Edema, which the boxes show and the labels lack, does not fit either
    assert donors(table, "a-0", a="Support Devices|Pneumonia") == {("atelectasis", "Atelectasis")}
    assert donors(table, "a-0", a="Cardiomegaly", e="Pneumonia") == expected  # another image's labels do not matter


def test_an_image_without_a_text_of_its_own_has_no_row():
    table = grounding(
        ("p1", "a", "Edema", "edema"),
        ("p2", "b", "Pneumonia", "left pneumonia"),
        ("p3", "c", "Atelectasis", "atelectasis"),
    )
    table.loc[table["sample_id"] == "a", "text"] = ""  # an image without impression, which heat maps leave out
    prompts = [wrong_prompts(table, images(table), kind, seed=0) for kind in ("impression", "phrase")]
    assert [rows["id"].tolist() for rows in prompts] == [["b", "c"], ["a-0", "b-0", "c-0"]]
    assert donors(table, "b", "impression") == {("atelectasis", "Atelectasis")}


def test_the_text_is_never_of_the_same_subject():
    table = grounding(
        ("p1", "a", "Edema", "edema"),
        ("p1", "b", "Pneumonia", "pneumonia"),
        ("p2", "c", "Edema", "more edema"),
    )
    assert donors(table, "a-0") == set()  # Pneumonia is named in a text of its own subject only
    assert donors(table, "b-0") == {("more edema", "Edema")}
    assert donors(table, "c-0") == {("pneumonia", "Pneumonia")}


def test_the_text_must_name_its_finding_as_a_word():
    table = grounding(
        ("p1", "a", "Edema", "edema"),
        ("p2", "b", "Pneumonia", "infection"),
        ("p3", "c", "Pneumothorax", "hydropneumothorax"),
        ("p4", "d", "Pleural Effusion", "EFFUSIONS on both sides"),
    )
    assert donors(table, "a-0") == {("EFFUSIONS on both sides", "Pleural Effusion")}


def test_a_text_without_a_fitting_other_text_has_no_row():
    table = grounding(("p1", "a", "Edema", "edema"), ("p2", "b", "Edema", "more edema"))
    prompts = wrong_prompts(table, images(table), "phrase", seed=0)
    assert prompts.empty and prompts.columns.tolist() == COLUMNS


@pytest.mark.parametrize(("text_kind", "ids"), [("phrase", ["a-0", "a-1", "b-0"]), ("impression", ["a", "b"])])
def test_one_row_per_text(text_kind, ids):
    table = grounding(
        ("p1", "a", "Edema", "edema"),
        ("p1", "a", "Pneumonia", "pneumonia"),
        ("p2", "b", "Atelectasis", "atelectasis"),
    )
    table.loc[table["sample_id"] == "a", "text"] = "Edema, pneumonia."
    prompts = wrong_prompts(table, images(table), text_kind, seed=0)
    assert prompts["id"].tolist() == ids
    assert prompts["text_kind"].unique().tolist() == [text_kind]
    if text_kind == "impression":
        assert prompts.loc[0, ["sample_id", "text", "category"]].tolist() == ["a", "atelectasis", "Atelectasis"]
        # b may get the impression of a for either of the findings that it names
        names = {("Edema, pneumonia.", "Edema"), ("Edema, pneumonia.", "Pneumonia")}
        assert donors(table, "b", "impression") == names


def test_captions_name_classes_by_whole_words_and_plurals():
    table = grounding(
        ("a", "a", "car", "two cars in a street"),
        ("b", "b", "carrot", "a bunch of carrots"),
        ("c", "c", "traffic light", "traffic lights above a car"),
        ("d", "d", "person", "a man"),
    )
    assert donors(table, "a", "caption") == {("a bunch of carrots", "carrot")}  # c's caption names the car
    assert donors(table, "b", "caption") == {
        ("two cars in a street", "car"),
        ("traffic lights above a car", "traffic light"),
    }


def test_the_choice_belongs_to_table_seed_and_id():
    findings = ["Edema", "Pneumonia", "Atelectasis", "Consolidation"]
    rows = [(f"p{i}", f"i{i:02}", findings[i % 4], f"{findings[i % 4].lower()} {i}") for i in range(40)]
    table = grounding(*rows)
    first = wrong_prompts(table, images(table), "phrase", seed=0)
    pd.testing.assert_frame_equal(wrong_prompts(table, images(table), "phrase", seed=0), first)
    assert (wrong_prompts(table, images(table), "phrase", seed=1)["text"] != first["text"]).sum() > 20
    assert first["text"].nunique() > 15  # not one text for all
    # a further image whose phrase names nothing is no donor, so no other row's text changes
    longer = grounding(("p", "new", "Edema", "fluid"), *rows)
    further = wrong_prompts(longer, images(longer), "phrase", seed=0)
    pd.testing.assert_frame_equal(further[further["id"] != "new-0"].reset_index(drop=True), first)
