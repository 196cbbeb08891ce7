import numpy as np
import pandas as pd
import pytest

from tradeoffs.data.findings_in_text import (
    findings_of,
    places_of_findings,
    places_to_attend,
    text_with_findings,
    with_names,
)

BOTH = ["Edema", "Pleural Effusion"]


def rng(seed=0):
    return np.random.default_rng(seed)


def texts(kind, text, findings, draws=200):
    return {text_with_findings(kind, text, findings, rng(seed)) for seed in range(draws)}


def test_names_stand_before_the_text_in_either_order():
    assert texts("findings_first", "No change.", BOTH) == {
        "Edema Pleural Effusion No change.",
        "Pleural Effusion Edema No change.",
    }


def test_names_stand_before_one_of_the_first_six_words():
    assert texts("findings_random", "a b c d e f g", ["Edema"]) == {
        "Edema a b c d e f g",
        "a Edema b c d e f g",
        "a b Edema c d e f g",
        "a b c Edema d e f g",
        "a b c d Edema e f g",
        "a b c d e Edema f g",
    }


def test_names_stand_at_the_end_of_a_text_that_is_too_short():
    assert texts("findings_random", "a", ["Edema"]) == {"Edema a", "a Edema"}


def test_an_image_without_labels_shows_no_finding_and_other_labels_are_left_unsaid():
    assert findings_of("") == ["No Finding"]
    assert findings_of("Fracture|Edema") == ["Edema"]
    assert findings_of("Fracture") == []


def test_without_a_finding_the_text_stays_and_all_tokens_are_absent():
    assert texts("findings_first", "Clear.", []) == {"Clear."}
    assert texts("finding_tokens", "Clear.", []) == {"|"}
    assert places_of_findings("findings_first", "Clear.", []) == {}


def test_tokens_are_the_names_only():
    assert texts("finding_tokens", "Clear.", BOTH) == {"Edema|Pleural Effusion", "Pleural Effusion|Edema"}


@pytest.mark.parametrize("kind", ["findings_first", "findings_random", "finding_tokens"])
@pytest.mark.parametrize("seed", range(20))
def test_each_name_is_found_where_it_was_put(kind, seed):
    text = text_with_findings(kind, "Edema and pneumonia, Pleural fluid.", BOTH, rng(seed))
    places = places_of_findings(kind, text, BOTH)
    assert {name: text[start:end] for name, (start, end) in places.items()} == {name: name for name in BOTH}
    first, last = min(start for start, _ in places.values()), max(end for _, end in places.values())
    assert last - first == len("Edema") + 1 + len("Pleural Effusion")


def test_a_word_of_the_report_is_not_taken_for_the_name():
    assert places_of_findings("findings_random", "Edema of Edema Pneumonia lungs", ["Edema", "Pneumonia"]) == {
        "Edema": (9, 14),
        "Pneumonia": (15, 24),
    }


def test_a_text_without_the_names_is_refused():
    with pytest.raises(ValueError, match="does not carry Edema"):
        places_of_findings("findings_first", "clear lungs", ["Edema"])


def test_names_are_attended_to_and_no_finding_is_not():
    text = "Edema Pneumonia no pleural effusion"
    assert places_to_attend("findings_first", text, "Edema|Pneumonia|Fracture") == [(0, 5), (6, 15)]
    assert places_to_attend("findings_first", "No Finding clear", "") == []


def test_in_an_impression_the_query_words_of_its_labels_are_attended_to():
    text = "Opacities, pleural effusion"
    assert places_to_attend("impression", text, "Pleural Effusion|No Finding") == [(11, 18), (19, 27)]


def test_heat_maps_have_the_names_of_their_own_rows():
    rows = pd.DataFrame(
        {
            "sample_id": ["i1", "i1", "i2"],
            "text_id": ["t1", "t1", "t2"],
            "text": ["Wet lungs.", "Wet lungs.", "Large heart."],
            "category": ["Edema", "Pleural Effusion", "Cardiomegaly"],
        }
    )
    first, second = with_names("findings_first", rows, "text_id", "text").to_dict("records")
    assert first["text"] in ("Edema Pleural Effusion Wet lungs.", "Pleural Effusion Edema Wet lungs.")
    assert {first["text"][start:end] for start, end in first["names"]} == {"Edema", "Pleural Effusion"}
    assert second == {"id": "t2", "sample_id": "i2", "text": "Cardiomegaly Large heart.", "names": [(0, 12)]}
    plain = with_names("impression", rows, "text_id", "text")
    assert plain["text"].tolist() == ["Wet lungs.", "Large heart."]
    assert plain["names"].tolist() == [[], []]
