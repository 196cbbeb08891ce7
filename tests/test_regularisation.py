from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from small_training import IDS, SETTINGS

from tradeoffs.attention.regularisation import EPSILON, AttentionRegularisation, attention_losses
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load
from tradeoffs.model.text import TextEncoder, tokenize
from tradeoffs.model.training import Pairs, fine_tune

TEXT = "edema and pneumonia"


def test_the_loss_is_the_originals():
    # 1 / target.sum() * ((1 / (attention + eps) - 1) * target).sum() * eps, with attention 0.25 and 0.5
    attention, asked = torch.tensor([[0.25, 0.5, 0.25]]), torch.tensor([[True, True, False]])
    expected = EPSILON * ((1 / (0.25 + EPSILON) - 1) + (1 / (0.5 + EPSILON) - 1)) / 2
    assert attention_losses(attention, asked).mean().item() == pytest.approx(expected, rel=1e-5)


def test_passes_add_up_to_the_mean_over_the_batch():
    arm = AttentionRegularisation(2.0, lambda row, text: [])
    attention = torch.rand(4, 6)
    asked = torch.rand(4, 6) > 0.5
    shares = []
    for part in (slice(0, 1), slice(1, 4)):
        arm.layers = [attention[part], attention[part]]
        shares.append(arm.share(asked[part], int(asked.sum())))
    assert sum(shares).item() == pytest.approx(2 * attention_losses(attention, asked).mean().item())


def test_without_an_asked_token_there_is_no_loss():
    arm = AttentionRegularisation(2.0, lambda row, text: [])
    arm.layers = [torch.rand(2, 6)]
    assert arm.share(torch.zeros(2, 6, dtype=torch.bool), 0).item() == 0


def test_tokens_of_the_places_are_asked_for(tiny_model):
    arm = AttentionRegularisation(1.0, lambda row, text: [(10, 19)] if row else [])
    asked = arm.asked(tiny_model.tokenizer, [0, 1, 1], [TEXT, TEXT, ""])
    tokens = tokenize(tiny_model.tokenizer, TEXT)
    of_pneumonia = [p for p, (start, _) in zip(tokens.positions, tokens.spans, strict=True) if start >= 10]
    assert of_pneumonia
    assert torch.nonzero(asked).tolist() == [[1, place] for place in of_pneumonia]


def test_attention_of_a_pass_is_captured_with_its_gradient(tiny_model):
    unet = tiny_model.unet
    unet.requires_grad_(True)
    arm = AttentionRegularisation(1.0, lambda row, text: [])
    context = torch.randn(2, 24, unet.config.cross_attention_dim)
    latents = torch.randn(2, unet.config.in_channels, 8, 8)
    with arm.captured(unet):
        unet(latents, torch.tensor([5, 9]), context)
    asked = torch.zeros(2, 24, dtype=torch.bool)
    asked[0, 3] = True
    arm.share(asked, 1).backward()
    gradients = [p.grad for name, p in unet.named_parameters() if "attn2.to_k" in name]
    assert gradients
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    unet.zero_grad()
    unet.requires_grad_(False)


@pytest.fixture
def attention_on_pneumonia(tiny_base, tiny_latents, tmp_path):
    """Trains the tiny base with a weight of the loss; returns the weights and the attention on the word at the end."""

    def train(weight, **settings):
        AcceleratorState._reset_state(reset_partial_state=True)
        model = load(tiny_base)
        arm = AttentionRegularisation(weight, lambda row, text: [(0, 9)])
        run = RunFolder(tmp_path / f"{weight}{sorted(settings.items())}", "one run")
        settings = replace(SETTINGS, steps=6, warmup_steps=0, text_dropout=0.0, learning_rate=1e-2, **settings)
        pairs = Pairs(IDS, lambda row, rng: "pneumonia left")
        fine_tune(model, pairs, tiny_latents, False, settings, 0, run, lambda step: None, arm)
        model.unet.eval()
        asked = arm.asked(model.tokenizer, [0], ["pneumonia left"])
        context = TextEncoder(*model.text_side)(["pneumonia left"])
        with torch.no_grad(), arm.captured(model.unet):
            model.unet(tiny_latents.sample(IDS[0], torch.zeros(tiny_latents.shape))[None], torch.tensor([500]), context)
        return model.unet.state_dict(), torch.stack(arm.layers).mean(0)[asked].mean().item()

    yield train
    AcceleratorState._reset_state(reset_partial_state=True)


def test_training_with_it_draws_attention_to_the_words(attention_on_pneumonia):
    (_, without), (_, with_it) = attention_on_pneumonia(1e-9), attention_on_pneumonia(5.0)
    assert with_it > 1.2 * without


def test_neither_passes_nor_gradient_checkpointing_change_it(attention_on_pneumonia):
    one, _ = attention_on_pneumonia(5.0)
    for settings in ({"micro_batch_size": 1}, {"gradient_checkpointing": True}):
        other, _ = attention_on_pneumonia(5.0, **settings)
        for name, weight in one.items():
            torch.testing.assert_close(weight, other[name], rtol=1e-3, atol=2e-3, msg=name)
