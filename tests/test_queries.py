"""Words of a query to tokens to one map; every expectation worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.evaluation.queries import Excluded, query_map, token_weights
from tradeoffs.protocols import CORRECTED, PROTOCOLS, PUBLISHED, Protocol

EFFUSION = ("pleural", "effusion", "effusions")


def maps_of(text: str, *tokens: str) -> TokenHeatMaps:
    """Maps whose tokens are found in `text` one after the other; text after the last one did not fit."""
    spans, end = [], 0
    for token in tokens:
        start = text.lower().index(token, end)
        end = start + len(token)
        spans.append((start, end))
    heat = np.arange(len(tokens), dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    return TokenHeatMaps("i", text, list(tokens), np.array(spans).reshape(-1, 2), heat, end)


def test_corrected_weighs_each_token_under_a_whole_word_equally():
    maps = maps_of("Small PLEURAL effusion.", "small", "pleu", "ral", "effusion", ".")
    weights, query = token_weights(maps, EFFUSION, CORRECTED)
    assert query == "matched"
    np.testing.assert_allclose(weights, [0, 1 / 3, 1 / 3, 1 / 3, 0])  # the full stop is outside the word


def test_published_means_over_hits_of_means_over_the_words_tokens():
    maps = maps_of("Small PLEURAL effusion.", "small", "pleu", "ral", "effusion", ".")
    weights, query = token_weights(maps, EFFUSION, PUBLISHED)
    assert query == "matched"
    # hits: "pleural" in PLEURAL (2 tokens of 1/2), "effusion" in "effusion." (2 tokens of 1/2, with the full stop)
    np.testing.assert_allclose(weights, [0, 0.25, 0.25, 0.25, 0.25])


def test_published_counts_a_word_hit_by_two_query_words_twice():
    maps = maps_of("pleural effusions", "pleural", "effusions")
    # hits: pleural -> token 0; effusion -> token 1; effusions -> token 1
    np.testing.assert_allclose(token_weights(maps, EFFUSION, PUBLISHED)[0], [1 / 3, 2 / 3])
    np.testing.assert_allclose(token_weights(maps, EFFUSION, CORRECTED)[0], [1 / 2, 1 / 2])


def test_a_token_that_touches_the_word_is_not_under_it():
    maps = maps_of("clear.edema:no", "clear", ".", "edema", ":", "no")
    np.testing.assert_allclose(token_weights(maps, ("edema",), CORRECTED)[0], [0, 0, 1, 0, 0])


def test_only_published_matches_inside_a_longer_word():
    maps = maps_of("hydropneumothorax seen", "hydro", "pneumothorax", "seen")
    weights, query = token_weights(maps, ("pneumothorax",), PUBLISHED)
    assert query == "matched"
    np.testing.assert_allclose(weights, [1 / 2, 1 / 2, 0])
    weights, query = token_weights(maps, ("pneumothorax",), CORRECTED)
    assert query == "all tokens"
    np.testing.assert_allclose(weights, [1 / 3] * 3)


def test_corrected_takes_every_occurrence_and_each_token_once():
    maps = maps_of("edema, no edema left", "edema", ",", "no", "edema", "left")
    np.testing.assert_allclose(token_weights(maps, ("edema",), CORRECTED)[0], [1 / 2, 0, 0, 1 / 2, 0])
    # the second "edema" lies under both query words
    weights, _ = token_weights(maps, ("edema", "edema left"), CORRECTED)
    np.testing.assert_allclose(weights, [1 / 3, 0, 0, 1 / 3, 1 / 3])


def test_published_splits_at_spaces_only():
    maps = maps_of("No.\nEdema resolved", "no", ".", "edema", "resolved")
    np.testing.assert_allclose(token_weights(maps, ("edema",), PUBLISHED)[0], [1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(token_weights(maps, ("edema",), CORRECTED)[0], [0, 0, 1, 0])


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_text_without_the_word_is_queried_by_all_tokens(protocol):
    weights, query = token_weights(maps_of("the heart is large", "the", "heart", "is", "large"), ("edema",), protocol)
    assert query == "all tokens"
    np.testing.assert_allclose(weights, [0.25] * 4)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_query_beyond_the_context_is_excluded(protocol):
    maps = maps_of("heart large and then edema", "heart", "large")
    with pytest.raises(Excluded, match="query beyond the text encoder's context"):
        token_weights(maps, ("edema",), protocol)


def test_one_hit_beyond_the_context_makes_published_nan_but_not_corrected():
    maps = maps_of("edema then less edema", "edema", "then")
    with pytest.raises(Excluded, match="beyond"):
        token_weights(maps, ("edema",), PUBLISHED)
    np.testing.assert_allclose(token_weights(maps, ("edema",), CORRECTED)[0], [1, 0])


def test_each_switch_of_a_query_works_alone():
    maps = maps_of("edemas then edema, less edema", "edema", "s", "then", "edema", ",")
    only_row_7, only_row_9 = Protocol("7", whole_query_inside=True), Protocol("9", words_by_substring=True)
    with pytest.raises(Excluded, match="beyond"):
        token_weights(maps, ("edema",), only_row_7)
    np.testing.assert_allclose(token_weights(maps, ("edema",), only_row_9)[0], [1 / 4, 1 / 4, 0, 1 / 4, 1 / 4])


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_word_cut_in_two_by_the_context_keeps_its_first_tokens(protocol):
    weights, _ = token_weights(maps_of("no pneumothorax", "no", "pneumo"), ("pneumothorax",), protocol)
    np.testing.assert_allclose(weights, [0, 1])


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_text_without_tokens_is_excluded(protocol):
    with pytest.raises(Excluded, match="no text"):
        token_weights(maps_of(""), ("edema",), protocol)


def test_query_map_is_the_weighted_mean():
    maps = maps_of("a b c", "a", "b", "c")  # token maps are 0, 1 and 2 everywhere
    np.testing.assert_allclose(query_map(maps, np.array([0.5, 0.25, 0.25])), np.full((2, 2), 0.75))


@pytest.mark.parametrize("protocol", [CORRECTED, PUBLISHED])
def test_a_name_that_was_put_into_the_text_is_asked_for_as_a_whole_and_no_other_word(protocol):
    maps = maps_of("lung opacity with opacity", "lung", "opacity", "with", "opacity")
    assert token_weights(maps, ("opacity",), CORRECTED)[0].tolist() == [0, 1 / 2, 0, 1 / 2]
    named = replace(maps, names=np.array([[0, 12]]))
    weights, query = token_weights(named, ("opacity",), protocol)
    assert weights.tolist() == [1 / 2, 1 / 2, 0, 0]
    assert query == "matched"
