import numpy as np
import pytest

from tradeoffs.data.findings_in_text import places_of_findings, text_with_findings

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


def test_without_a_finding_the_name_is_no_finding():
    assert texts("findings_first", "Clear.", []) == {"No Finding Clear."}
    assert texts("finding_tokens", "Clear.", []) == {"No Finding"}


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
