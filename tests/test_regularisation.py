import pytest
import torch

from tradeoffs.attention.regularisation import EPSILON, AttentionRegularisation, attention_losses
from tradeoffs.model.text import tokenize

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
