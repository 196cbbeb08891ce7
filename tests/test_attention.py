import numpy as np
import pytest
import torch

from tradeoffs.attention.capture import (
    AttentionSums,
    TextOnImage,
    captured_cross_attention,
    cross_attention_layers,
    layer_maps,
    token_heat_maps,
)
from tradeoffs.errors import InputError
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.randomness import normal

SEED, STEPS, KEEP = 5, 10, 4
ALL_TIMES = [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]  # of 1000 steps, 10 evenly spaced
TIMES = [301, 201, 101, 1]  # the last four


def latent(name):
    return normal((4, 8, 8), "latent", name)


TEXTS_ON_IMAGES = [
    TextOnImage("a-1", "a", "left pleural effusion", latent("a")),
    TextOnImage("b-1", "b", "no acute cardiopulmonary process and mild edema", latent("b")),
    TextOnImage("a-2", "a", "pneumonia", latent("a")),
]
TOKENS = {"a-1": 3, "b-1": 7, "a-2": 1}


def run(model, texts_on_images=TEXTS_ON_IMAGES, batch_size=8, seed=SEED, precision="fp32"):
    return list(token_heat_maps(model, texts_on_images, seed, STEPS, KEEP, batch_size, precision))


@torch.no_grad()
def plain_layer_maps(model, one, times):
    """Maps (24 tokens, h, w) of every (time, layer), each the mean over the layer's heads, which are 4 wide."""
    stored = {}
    hooks = []
    for name, module in model.unet.named_modules():
        if name.endswith((".attn2.to_q", ".attn2.to_k")):
            hooks.append(module.register_forward_hook(lambda _m, _i, output, key=name: stored.update({key: output[0]})))
    layers = [name.removesuffix(".to_q") for name, _ in model.unet.named_modules() if name.endswith(".attn2.to_q")]
    ids = model.tokenizer(one.text, padding="max_length", max_length=24)["input_ids"]
    context = model.text_encoder(torch.tensor([ids])).last_hidden_state
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2
    signal = np.cumprod(1 - betas)
    maps = {}
    for time in times:
        noise = normal((4, 8, 8), SEED, one.sample_id, time)
        noisy = float(np.sqrt(signal[time])) * one.latent + float(np.sqrt(1 - signal[time])) * noise
        model.unet(noisy[None], time, context)
        for layer in layers:
            heads = model.unet.get_submodule(layer).heads
            queries, keys = (stored[f"{layer}.to_{x}"].chunk(heads, 1) for x in "qk")
            by_head = [torch.softmax(q @ k.T / np.sqrt(4), 1) for q, k in zip(queries, keys, strict=True)]
            side = int(np.sqrt(len(by_head[0])))
            maps[time, layer] = (sum(by_head) / heads).T.reshape(24, side, side)
    for hook in hooks:
        hook.remove()
    assert len(maps) == len(times) * 4  # layers
    return maps


def at_latent_size(heat):
    """Maps (..., side, side) at 8 x 8 by repetition."""
    times = 8 // heat.shape[-1]
    return heat.repeat_interleave(times, -2).repeat_interleave(times, -1)


def plain_heat_maps(model, one):
    """Keeps the map of every step and layer, then takes the mean."""
    return torch.stack([at_latent_size(heat) for heat in plain_layer_maps(model, one, TIMES).values()]).mean(0)


def test_time_steps_are_the_originals_and_within_the_schedule():
    assert evenly_spaced_steps(1000, 50)[-40:] == list(range(781, 0, -20))
    assert evenly_spaced_steps(1000, 50)[:2] == [981, 961]
    assert evenly_spaced_steps(1000, STEPS)[-KEEP:] == TIMES
    assert evenly_spaced_steps(1000, 75) == [1 + 13 * i for i in range(77)][::-1]  # the original's 77, from 989
    assert evenly_spaced_steps(1000, 1000)[0] == 999  # never beyond the schedule


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])  # 8: two images share a pass, with texts of 3 and 7 tokens
def test_streaming_equals_the_mean_of_all_maps(tiny_model, batch_size):
    for one, maps in zip(TEXTS_ON_IMAGES, run(tiny_model, batch_size=batch_size), strict=True):
        expected = plain_heat_maps(tiny_model, one)[1 : 1 + TOKENS[one.id]].numpy()
        assert (maps.id, maps.text, len(maps.tokens)) == (one.id, one.text, TOKENS[one.id])
        assert maps.heat.shape == (TOKENS[one.id], 8, 8) and maps.heat.dtype == np.float32
        np.testing.assert_allclose(maps.heat, expected, atol=1e-6)
        assert maps.heat.std(axis=(1, 2)).min() > 1e-4  # maps vary, so a wrong place or step would show


def test_sums_by_hand():
    sums = AttentionSums(images=2, tokens=1, size=(4, 4))
    sums.rows = torch.tensor([1, 1])  # two steps of the second image
    coarse = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    layer = torch.zeros(2, 2, 4, 3)  # batch, heads, pixels, L
    layer[0, 0, :, 0], layer[0, 1, :, 0] = coarse.flatten(), coarse.flatten() + 0.2  # heads: mean coarse + 0.1
    layer[1, :, :, 0] = 0.5
    layer[..., 1:] = 9.0  # beyond the text's tokens
    sums.add("coarse", layer)
    sums.add("fine", torch.full((2, 2, 16, 3), 0.6))
    mean = sums.mean(layers=2, steps=2)
    assert mean.shape == (2, 1, 4, 4)
    assert mean[0].abs().max() == 0
    # top left block: (0.1 + 0.1 + 0.5 + 0.6 + 0.6) / 4
    expected = torch.tensor([[1.9, 2.0], [2.1, 2.2]]).repeat_interleave(2, 0).repeat_interleave(2, 1) / 4
    torch.testing.assert_close(mean[1, 0], expected)


@torch.no_grad()
def test_capture_changes_nothing_and_leaves_nothing(tiny_model):
    unet = tiny_model.unet
    context = normal((2, 24, 16), "context")
    noisy, times = torch.stack([latent("a"), latent("b")]), torch.tensor([1, 900])
    before, plain = dict(unet.attn_processors), unet(noisy, times, context).sample
    sums = AttentionSums(2, 24, (8, 8))
    sums.rows = torch.tensor([0, 1])
    seen = {}

    def record(layer, probabilities):
        seen[layer] = probabilities
        sums.add(layer, probabilities)

    with captured_cross_attention(unet, record):
        captured = unet(noisy, times, context).sample
    torch.testing.assert_close(captured, plain, atol=1e-5, rtol=0)
    assert sorted(seen) == sorted(cross_attention_layers(unet))
    for layer, probabilities in seen.items():
        heads = unet.get_submodule(layer.removesuffix(".processor")).heads
        assert probabilities.shape in ((2, heads, 64, 24), (2, heads, 16, 24))
        assert probabilities.dtype == torch.float32
    # Each layer's probabilities of a pixel sum to one over all 24 tokens
    torch.testing.assert_close(sums.mean(layers=4, steps=1).sum(1), torch.ones(2, 8, 8))
    assert set(sums.sums) == {64, 16}  # one sum per resolution, not one per layer
    assert unet.attn_processors == before

    with pytest.raises(KeyError), captured_cross_attention(unet, record):
        assert unet.attn_processors != before
        raise KeyError
    assert unet.attn_processors == before
    assert len(cross_attention_layers(unet)) == 4


def test_noise_belongs_to_seed_sample_and_step(tiny_model):
    alone = {one.id: run(tiny_model, [one], batch_size=1)[0].heat for one in TEXTS_ON_IMAGES}
    for maps in run(tiny_model, TEXTS_ON_IMAGES[::-1], batch_size=1):
        np.testing.assert_array_equal(maps.heat, alone[maps.id])
    renamed = TextOnImage("other", "a", TEXTS_ON_IMAGES[0].text, latent("a"))
    np.testing.assert_array_equal(run(tiny_model, [renamed], batch_size=1)[0].heat, alone["a-1"])
    other_sample = TextOnImage("a-1", "c", TEXTS_ON_IMAGES[0].text, latent("a"))
    assert np.abs(run(tiny_model, [other_sample], batch_size=1)[0].heat - alone["a-1"]).max() > 1e-5
    assert np.abs(run(tiny_model, TEXTS_ON_IMAGES[:1], batch_size=1, seed=6)[0].heat - alone["a-1"]).max() > 1e-5


def test_half_precision_computes_the_unet_but_not_the_probabilities(tiny_model):
    """Row 14: the softmax is taken in float32 under autocast too."""
    exact, half = run(tiny_model)[1].heat, run(tiny_model, precision="bf16")[1].heat
    scale = np.ptp(exact)
    assert 1e-4 * scale < np.abs(half - exact).max() < 0.1 * scale
    seen = []
    context = normal((1, 24, 16), "context")
    captured = captured_cross_attention(tiny_model.unet, lambda _layer, probabilities: seen.append(probabilities))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), captured:
        tiny_model.unet(latent("a")[None], 1, context)
    assert len(seen) == 4
    for probabilities in seen:
        assert probabilities.dtype == torch.float32
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(probabilities.shape[:-1]), rtol=0, atol=1e-6)
        assert not torch.equal(probabilities, probabilities.bfloat16().float())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_text_encoder_has_the_precision_too_as_in_fine_tuning(tiny_model, precision):
    seen = []
    look = tiny_model.text_encoder.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    run(tiny_model, TEXTS_ON_IMAGES[:1], precision=precision)
    list(layer_maps(tiny_model, TEXTS_ON_IMAGES[:1], [np.ones(3)], SEED, 1, 1, precision))
    look.remove()
    assert seen == [precision == "bf16"] * 2


def test_a_precision_that_the_device_lacks_is_an_error(tiny_model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="heat_maps.precision: fp16 needs a GPU"):
        run(tiny_model, precision="fp16")


def test_texts_without_tokens_and_beyond_the_context(tiny_model):
    empty, long = run(
        tiny_model, [TextOnImage("e", "a", "", latent("a")), TextOnImage("l", "a", "left pneumonia " * 20, latent("a"))]
    )
    assert empty.tokens == [] and empty.spans.shape == (0, 2) and empty.heat.shape == (0, 8, 8)
    assert empty.truncated_at == 0
    # 24 places, 22 without start and end: 11 times "left pneumonia ", the last blank did not fit
    assert len(long.tokens) == 22 and long.heat.shape == (22, 8, 8) and long.truncated_at == 11 * 15 - 1


WEIGHTS = {"a-1": [0.5, 0.25, 0.25], "b-1": [0, 0, 0, 0, 0, 0.5, 0.5], "a-2": [1]}


def profile(model, batch_size=8):
    """The map of each (text, time, layer), which come once each."""
    weights = [np.array(WEIGHTS[one.id]) for one in TEXTS_ON_IMAGES]
    found = list(layer_maps(model, TEXTS_ON_IMAGES, weights, SEED, STEPS, batch_size))
    maps = {(TEXTS_ON_IMAGES[row].id, time, layer): heat for row, time, layer, heat in found}
    assert len(maps) == len(found) == 3 * 10 * 4
    return maps


@pytest.mark.parametrize("batch_size", [1, 7, 100])  # 7: two images share a pass, with texts of 3 and 7 tokens
def test_layer_maps_are_those_of_each_layer_and_step(tiny_model, batch_size):
    found = profile(tiny_model, batch_size)
    assert {layer for _, _, layer in found} == set(cross_attention_layers(tiny_model.unet))
    assert {heat.shape for heat in found.values()} == {(8, 8), (4, 4)}
    for one in TEXTS_ON_IMAGES:
        for (time, layer), heat in plain_layer_maps(tiny_model, one, ALL_TIMES).items():
            of_tokens = heat[1 : 1 + TOKENS[one.id]].numpy()
            expected = sum(w * m for w, m in zip(WEIGHTS[one.id], of_tokens, strict=True))
            np.testing.assert_allclose(found[one.id, time, f"{layer}.processor"], expected, atol=1e-6)


def test_the_mean_of_the_layer_maps_is_the_querys_heat_map(tiny_model):
    found = profile(tiny_model)
    for one, maps in zip(TEXTS_ON_IMAGES, run(tiny_model), strict=True):
        kept = [heat for (name, time, _), heat in found.items() if name == one.id and time in TIMES]
        mean = torch.stack([at_latent_size(torch.from_numpy(heat)) for heat in kept]).mean(0)
        expected = sum(w * m for w, m in zip(WEIGHTS[one.id], maps.heat, strict=True))
        np.testing.assert_allclose(mean, expected, atol=1e-6)
