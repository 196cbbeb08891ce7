import copy

import pytest
import torch

from tradeoffs.model.text import CachedTextEncoder, TextEncoder, count_too_long, tokenize

TEXTS = ["left pleural effusion", "mild edema", ""]


@pytest.fixture
def encoder(tiny_model):
    return CachedTextEncoder(tiny_model.tokenizer, tiny_model.text_encoder)


@pytest.fixture
def encodings(tiny_model):
    """The number of texts in each pass of the text encoder."""
    passes = []
    tiny_model.text_encoder.register_forward_hook(
        lambda _module, _arguments, inputs, _output: passes.append(len(inputs["input_ids"])), with_kwargs=True
    )
    return passes


def test_spans_point_at_the_tokens_characters(tiny_model):
    text = "  Left   pleural effusion and\nEdema."
    tokens = tokenize(tiny_model.tokenizer, text)
    assert tokens.spans.tolist() == [[2, 6], [9, 16], [17, 25], [26, 29], [30, 35], [35, 36]]
    assert tokens.strings == ["left</w>", "pleural</w>", "effusion</w>", "and</w>", "edema</w>", ".</w>"]
    assert tokens.positions == [1, 2, 3, 4, 5, 6]  # after the start token
    assert tokens.ids.shape == (24,) and tokens.truncated_at == len(text)


def test_words_of_several_tokens(tiny_model):
    text = "edema efusio edema"
    tokens = tokenize(tiny_model.tokenizer, text)
    assert len(tokens.strings) > 3
    assert tokens.spans[0].tolist() == [0, 5] and tokens.spans[-1].tolist() == [13, 18]
    pieces = [text[a:b] for a, b in tokens.spans[1:-1]]
    assert "".join(pieces) == "efusio" and pieces == [s.removesuffix("</w>") for s in tokens.strings[1:-1]]


def test_ids_are_those_of_the_pipeline(tiny_model):
    tokenizer = tiny_model.tokenizer
    vocabulary = tokenizer.get_vocab()
    tokens = tokenize(tokenizer, "mild edema")
    names = ["<|startoftext|>", "mild</w>", "edema</w>", "<|endoftext|>"] + ["!"] * 20  # as Stable Diffusion 2 pads
    assert tokens.ids.tolist() == [vocabulary[name] for name in names]
    assert tokenize(tokenizer, "").positions == [] and tokenize(tokenizer, "").spans.shape == (0, 2)


def test_padding_with_a_character_of_the_text(tiny_model):
    """Stable Diffusion 2 pads with "!", which a text may hold."""
    tokenizer = copy.deepcopy(tiny_model.tokenizer)
    tokenizer.pad_token = "!"
    tokens = tokenize(tokenizer, "edema !")
    assert tokens.spans.tolist() == [[0, 5], [6, 7]] and tokens.positions == [1, 2]
    assert tokens.ids[3] == tokenizer.eos_token_id and set(tokens.ids[4:].tolist()) == {tokenizer.pad_token_id}
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("words", "kept", "truncated_at"), [(21, 21, 104), (22, 22, 109), (23, 22, 109), (60, 22, 109)]
)
def test_text_beyond_the_context_is_cut_and_counted(tiny_model, words, kept, truncated_at):
    text = " ".join(["left"] * words)  # 5 * words - 1 characters; 22 of 24 places are the text's
    tokens = tokenize(tiny_model.tokenizer, text)
    assert len(tokens.positions) == len(tokens.strings) == len(tokens.spans) == kept
    assert tokens.truncated_at == truncated_at and tokens.ids.shape == (24,)
    cut = int(truncated_at < len(text))
    assert count_too_long(tiny_model.tokenizer, [text, "left", text]) == 2 * cut


@torch.no_grad()
def test_cache_equals_direct_encoding(tiny_model, encoder):
    for text, embedding in zip(TEXTS, encoder(TEXTS), strict=True):
        ids = torch.tensor([tiny_model.tokenizer(text, padding="max_length", max_length=24)["input_ids"]])
        expected = tiny_model.text_encoder(ids).last_hidden_state[0]
        assert embedding.shape == (24, 16) and torch.equal(embedding, expected)
        assert torch.equal(TextEncoder(*tiny_model.text_side)([text])[0], expected)


def test_embedding_does_not_depend_on_its_batch(tiny_model, encoder):
    together = encoder(TEXTS)
    for text, embedding in zip(TEXTS, together, strict=True):
        alone = CachedTextEncoder(tiny_model.tokenizer, tiny_model.text_encoder)([text])[0]
        assert torch.equal(alone, embedding)
    assert torch.equal(encoder(TEXTS[::-1]), together.flip(0))
    assert not torch.equal(together[0], together[1]) and not together.requires_grad


def test_each_text_is_encoded_once(encoder, encodings):
    encoder(["edema", "mild edema", "edema"])
    encoder(["mild edema", "edema"])
    assert encodings == [1, 1]


def test_cache_has_a_limit(tiny_model, encodings):
    limited = CachedTextEncoder(tiny_model.tokenizer, tiny_model.text_encoder, max_bytes=24 * 16 * 4)  # one embedding
    first = limited(["edema", "mild edema"])
    assert torch.equal(limited(["edema", "mild edema"]), first)
    assert encodings == [1, 1, 1] and list(limited.cache) == ["edema"]
