"""Where the words of a finding or class stand in a text, in both protocols."""

import pandas as pd
import pytest

from tradeoffs.data.words import is_named, places_of, query_words, with_words
from tradeoffs.protocols import CORRECTED, PROTOCOLS, PUBLISHED


def words_at(text: str, words: tuple[str, ...], protocol: str) -> list[str]:
    return [text[start:end] for start, end in places_of(text, words, protocol)]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_words_of_a_finding_are_the_originals(protocol):
    assert query_words("Pleural Effusion", protocol) == ("pleural", "effusion", "effusions")
    assert query_words("Lung Opacity", protocol) == ("opacity", "opacities", "opacification")
    assert query_words("Edema", protocol) == ("edema",)


@pytest.mark.parametrize(
    ("category", "plurals"),
    [
        ("car", ["cars"]),
        ("traffic light", ["traffic lights"]),
        ("wine glass", ["wine glasses"]),
        ("bus", ["buses"]),
        ("sandwich", ["sandwiches"]),
        ("toothbrush", ["toothbrushes"]),
        ("person", ["people", "persons"]),
        ("mouse", ["mice"]),
        ("knife", ["knives"]),
        ("sheep", []),
        ("skis", []),
    ],
)
def test_words_of_a_class_have_plurals_in_corrected_only(category, plurals):
    assert query_words(category, CORRECTED) == (category, *plurals)
    assert query_words(category, PUBLISHED) == (category,)


def test_categories_of_other_sets_are_asked_for_by_their_name():
    assert query_words("Pleural effusion", CORRECTED) == ("pleural", "effusion", "effusions")  # as VinDr-CXR writes it
    assert query_words("Nodule/Mass", CORRECTED) == ("Nodule", "Nodules", "Mass", "Masses")
    assert query_words("Nodule/Mass", PUBLISHED) == ("Nodule", "Mass")


def test_words_of_the_configuration_go_first():
    assert query_words("Edema", PUBLISHED, "edema|congestion") == ("edema", "congestion")
    assert is_named("vascular congestion", "Edema", CORRECTED, "edema|congestion")
    grounding = with_words(pd.DataFrame({"category": ["Edema", "Mass"]}), {"Edema": ["edema", "congestion"]})
    assert grounding["words"].tolist() == ["edema|congestion", ""]


CARS = "Car, carrot and cars; the CAR.\nmotorcars"


def test_corrected_finds_whole_words_of_any_case_word_by_word():
    assert places_of(CARS, ("cars", "car"), CORRECTED) == [(16, 20), (0, 3), (26, 29)]
    assert words_at(CARS, ("cars", "car"), CORRECTED) == ["cars", "Car", "CAR"]


def test_published_finds_space_separated_words_that_contain_the_word():
    # a full stop and a line's end belong to the word, and "cars;" is found for both words
    assert words_at(CARS, ("cars", "car"), PUBLISHED) == [
        *("cars;", "CAR.\nmotorcars"),
        *("Car,", "carrot", "cars;", "CAR.\nmotorcars"),
    ]
    assert places_of(CARS, ("carrot",), PUBLISHED) == [(5, 11)]


def test_corrected_knows_no_other_spellings_and_no_meanings():
    """As the caption of the table by class says."""
    assert not is_named("a man with a cellphone", "cell phone", CORRECTED)
    assert is_named("she ties a knot", "tie", CORRECTED)


def test_a_name_of_two_words_is_found_in_corrected_only():
    text = "two Traffic Lights and a traffic light"
    words = ("traffic light", "traffic lights")
    assert words_at(text, words, CORRECTED) == ["traffic light", "Traffic Lights"]
    assert words_at(text, words, PUBLISHED) == []


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_no_word_and_no_text(protocol):
    assert places_of("", ("car",), protocol) == []
    assert places_of("a car", (), protocol) == []
    assert places_of("a cart", ("c.rt",), protocol) == []  # words are no patterns


@pytest.mark.parametrize(
    ("text", "category", "corrected", "published"),
    [
        ("A car on the road", "car", True, True),
        ("Cars on the road", "car", True, True),
        ("a bunch of carrots", "car", False, True),
        ("a man on a motorcycle", "person", False, False),  # no synonyms
        ("three people and a motorcycle", "person", True, False),
        ("a red stop sign", "stop sign", True, False),
        ("mild EDEMA.", "Edema", True, True),
        ("effusion", "Pleural Effusion", True, True),
        ("hydropneumothorax", "Pneumothorax", False, True),
        ("", "Edema", False, False),
    ],
)
def test_a_text_names_a_class_by_whole_words_or_as_published_by_substrings(text, category, corrected, published):
    assert is_named(text, category, CORRECTED) is corrected
    assert is_named(text, category, PUBLISHED) is published
