"""Heat-map methods from grouped sums of cross-attention, their scores, and the choice on validation patients."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_maps import grounding

from tradeoffs.attention import methods as heat_map_methods
from tradeoffs.attention.capture import TextOnImage, captured_cross_attention, noised, token_heat_maps
from tradeoffs.attention.grouped import grouped_sums, quarter_of_heads
from tradeoffs.attention.methods import chosen_groups, method_maps
from tradeoffs.attention.passes import asked_of, passes_of
from tradeoffs.attention.sums import GroupedSums, load_sums, save_sums
from tradeoffs.config.sections.attention import Method
from tradeoffs.errors import InputError
from tradeoffs.evaluation.map_scores import Threshold, binary_map
from tradeoffs.evaluation.methods import score_methods
from tradeoffs.evaluation.splits import (
    TEST,
    VALIDATION,
    chosen,
    of_patients,
    split_of,
    splits_of,
    validation_means,
)
from tradeoffs.metrics import METRICS
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.paper.methods import methods_table
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal

SEED, STEPS = 5, 10


def latent(name):
    return normal((4, 8, 8), "latent", name)


TEXTS_ON_IMAGES = [
    TextOnImage("a-1", "a", "left pleural effusion", latent("a")),
    TextOnImage("b-1", "b", "no acute cardiopulmonary process and mild edema", latent("b")),
    TextOnImage("a-2", "a", "pneumonia", latent("a")),
]


def sums_of(model, texts_on_images=TEXTS_ON_IMAGES, batch_size=8, **kept):
    return list(grouped_sums(model, texts_on_images, SEED, STEPS, batch_size, **kept))


def method(**settings):
    return Method(**settings).model_dump()


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_the_papers_method_is_the_token_heat_map(tiny_model, batch_size):
    expected = list(
        token_heat_maps(tiny_model, TEXTS_ON_IMAGES, SEED, STEPS, 8, 8)
    )  # the last 8 of 10 steps: four fifths
    found = sums_of(tiny_model, batch_size=batch_size, heads=[2], self_attention=True)
    for one, maps in zip(found, expected, strict=True):
        found = method_maps({"fresh": one}, heat_map_methods.PAPER, 8)
        np.testing.assert_allclose(found.heat, maps.heat, atol=1e-6)
        assert (found.id, found.tokens, found.truncated_at) == (maps.id, maps.tokens, maps.truncated_at)
        np.testing.assert_array_equal(found.spans, maps.spans)


def test_every_token_is_in_the_sums(tiny_model):
    for one, own in zip(sums_of(tiny_model), (3, 7, 1), strict=True):
        assert set(one.layers) == {"down_8", "up_8", "mid_4"} or sum(one.layers.values()) == 4
        assert list(one.steps) == [2, 2, 2, 2, 2]
        for group, maps in one.sums.items():
            assert maps.shape[:2] == (5, own + 3)
            padding = 24 - own - 2  # start and end stand once
            total = maps[:, : own + 2].sum(1) + padding * maps[:, own + 2]
            np.testing.assert_allclose(total, 2 * one.layers[group], rtol=1e-5)


@torch.no_grad()
def test_inversion_follows_what_the_model_predicts_without_text(tiny_model):
    one = TextOnImage("a-1", "a", "left pleural effusion", latent("a"))
    [one] = grouped_sums(tiny_model, [one], SEED, 5, 8, "inversion")
    encoder = CachedTextEncoder(*tiny_model.text_side)
    x, seen = latent("a")[None].double(), []
    signal = np.cumprod(1 - np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2)
    for time, following in zip([1, 201, 401, 601, 801], [201, 401, 601, 801, None], strict=True):
        maps = []
        with captured_cross_attention(tiny_model.unet, lambda _layer, p, maps=maps: maps.append(p.mean(1)[0, :, 1:4])):
            tiny_model.unet(x.float(), time, encoder([one.text]))
        seen.append(sum(m.sum() for m in maps))
        eps = tiny_model.unet(x.float(), time, encoder([""])).sample.double()
        if following:
            clean = (x - np.sqrt(1 - signal[time]) * eps) / np.sqrt(signal[time])
            x = np.sqrt(signal[following]) * clean + np.sqrt(1 - signal[following]) * eps
    found = sum(maps[:, :3].sum((1, 2, 3)) for maps in one.sums.values())
    np.testing.assert_allclose(found, [float(total) for total in reversed(seen)], rtol=1e-4)


@torch.no_grad()
def test_generation_never_sees_the_image(tiny_model):
    one = TextOnImage("a-1", "a", "left pleural effusion", latent("a"))
    one, other = (
        list(grouped_sums(tiny_model, [given], SEED, 5, 8, "generation", guidance=3.0))[0]
        for given in (one, replace(one, latent=latent("b")))
    )
    encoder = CachedTextEncoder(*tiny_model.text_side)
    x, seen = normal((4, 8, 8), SEED, "generation", "a-1")[None].double(), []
    signal = np.cumprod(1 - np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2)
    for time, following in zip([801, 601, 401, 201, 1], [601, 401, 201, 1, None], strict=True):
        maps = []
        with captured_cross_attention(tiny_model.unet, lambda _layer, p, maps=maps: maps.append(p.mean(1)[0, :, 1:4])):
            text = tiny_model.unet(x.float(), time, encoder([one.text])).sample.double()
        seen.append(sum(float(m.sum()) for m in maps))
        without = tiny_model.unet(x.float(), time, encoder([""])).sample.double()
        eps = without + 3 * (text - without)
        if following:
            clean = (x - np.sqrt(1 - signal[time]) * eps) / np.sqrt(signal[time])
            x = np.sqrt(signal[following]) * clean + np.sqrt(1 - signal[following]) * eps
    np.testing.assert_allclose(sum(maps[:, :3].sum((1, 2, 3)) for maps in one.sums.values()), seen, rtol=1e-4)
    for group in one.sums:
        np.testing.assert_array_equal(one.sums[group], other.sums[group])


@torch.no_grad()
def test_the_empty_text_is_looked_at_where_the_texts_tokens_are(tiny_model):
    [one] = grouped_sums(tiny_model, TEXTS_ON_IMAGES[:1], SEED, 5, 8, "empty")
    encoder, seen = CachedTextEncoder(*tiny_model.text_side), []
    for time in (801, 601, 401, 201, 1):
        maps = []
        with captured_cross_attention(tiny_model.unet, lambda _layer, p, maps=maps: maps.append(p.mean(1)[0, :, 1:4])):
            tiny_model.unet(noised(tiny_model, TEXTS_ON_IMAGES[0], time, SEED)[None], time, encoder([""]))
        seen.append(sum(m.sum(0).numpy() for m in maps))
    np.testing.assert_allclose(sum(maps[:, :3].sum((2, 3)) for maps in one.sums.values()), seen, rtol=1e-4)
    assert one.text == TEXTS_ON_IMAGES[0].text and len(one.tokens) == 3


@torch.no_grad()
def test_self_attention_is_the_mean_of_the_finest_layers(tiny_model):
    [one] = grouped_sums(tiny_model, TEXTS_ON_IMAGES[:1], SEED, 5, 8, self_attention=True)
    seen = []

    def look(attn, inputs, _):
        query, key = (attn.head_to_batch_dim(to(inputs[0])) for to in (attn.to_q, attn.to_k))
        seen.append(attn.get_attention_scores(query, key).mean(0))

    layers = [module for name, module in tiny_model.unet.named_modules() if name.endswith(".attn1")]
    hooks = [module.register_forward_pre_hook(look, with_kwargs=True) for module in layers]
    context = CachedTextEncoder(*tiny_model.text_side)([TEXTS_ON_IMAGES[0].text])
    tiny_model.unet(noised(tiny_model, TEXTS_ON_IMAGES[0], 801, SEED)[None], 801, context)
    for hook in hooks:
        hook.remove()
    finest = torch.stack([probabilities for probabilities in seen if len(probabilities) == 64])
    assert one.self_attention.shape == (5, 64, 64) and 0 < len(finest) < len(seen)
    np.testing.assert_allclose(one.self_attention[0], finest.mean(0), rtol=2e-3)  # float16
    assert not any(module._forward_pre_hooks for module in layers)


def test_quarters_of_heads_are_disjoint_from_four_heads_on():
    def heads(count):
        numbers = torch.arange(count).view(1, count, 1, 1)
        return [quarter_of_heads(numbers, quarter).flatten().tolist() for quarter in (1, 2, 3, 4)]

    assert heads(8) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert heads(5) == [[0], [1], [2], [3, 4]]
    assert heads(2) == [[0], [0], [1], [1]]
    assert heads(1) == [[0]] * 4


def test_quarters_of_heads_have_the_mean_of_all(tiny_model):
    for one in sums_of(tiny_model, TEXTS_ON_IMAGES[:1], heads=[1, 2, 3, 4]):  # layers of 2 and of 4 heads
        for group, maps in one.sums.items():
            np.testing.assert_allclose(np.mean([one.heads[q][group] for q in (1, 2, 3, 4)], 0), maps, rtol=1e-4)
            assert np.abs(one.heads[1][group] - maps).max() > 1e-3


def test_only_what_methods_ask_for_is_kept():
    asked = asked_of([method(), method(heads=[4, 3, 2, 1]), method(heads=[3]), method(heads=[1, 3], bimodal=True)])
    every = [1, 2, 3, 4, 5]
    assert asked["fresh"] == asked["generation"] == {"heads": [1, 3], "self_attention": False, "fifths": every}
    assert set(asked) == {"fresh", "generation"}
    asked = asked_of([method(noise="inversion", self_attention=1, steps=[3]), method(noise="inversion", steps=[1, 3])])
    assert asked == {
        "fresh": {"heads": [], "self_attention": False, "fifths": every},
        "inversion": {"heads": [], "self_attention": True, "fifths": [1, 3]},
    }
    asked = asked_of([method(guidance_difference=True, steps=[2])])
    assert asked["empty"]["fifths"] == [2] and asked["fresh"]["fifths"] == every
    asked = asked_of([method(guidance_difference=True, steps=[2], bimodal=True)])
    assert asked["empty"]["fifths"] == asked["generation"]["fifths"] == every
    assert passes_of(method(guidance_difference=True)) == ["fresh", "empty"]


@pytest.mark.parametrize(
    "noise, fifths, passes",  # of 10 steps, two a fifth
    [
        ("empty", [2, 4], 4),
        ("inversion", [3], 2 + 5),  # with the text; without, from the last step to the first of the fifth
        ("inversion", [1, 5], 4 + 9),
        ("generation", [2], 4 + 3),  # with and without, up to the last of the fifth, after which nothing follows
    ],
)
def test_fifths_that_no_method_asks_for_take_no_pass(tiny_model, monkeypatch, noise, fifths, passes):
    [one] = TEXTS_ON_IMAGES[:1]
    [whole] = grouped_sums(tiny_model, [one], SEED, 10, 1, noise, self_attention=True, guidance=3.0)
    forward, rows = tiny_model.unet.forward, []

    def counted(latents, *given, **named):
        rows.append(len(latents))
        return forward(latents, *given, **named)

    monkeypatch.setattr(tiny_model.unet, "forward", counted)
    [part] = grouped_sums(tiny_model, [one], SEED, 10, 1, noise, self_attention=True, fifths=fifths, guidance=3.0)
    kept = [fifth in fifths for fifth in (1, 2, 3, 4, 5)]
    assert sum(rows) == passes and part.steps.tolist() == [2 * asked for asked in kept]
    for group, maps in whole.sums.items():
        np.testing.assert_allclose(part.sums[group][kept], maps[kept], rtol=1e-4, atol=1e-6)
        assert not part.sums[group][np.invert(kept)].any()
    np.testing.assert_allclose(part.self_attention[kept], whole.self_attention[kept], atol=1e-3)


def test_the_file_knows_which_steps_each_noise_has(tiny_model, tmp_path):
    [one] = TEXTS_ON_IMAGES[:1]
    noises = {"fresh": [1, 2, 3, 4, 5], "inversion": [3]}
    sums = {noise: list(grouped_sums(tiny_model, [one], SEED, 10, 1, noise, fifths=f)) for noise, f in noises.items()}
    save_sums(tmp_path / "sums.npz", sums)
    assert [load_sums(tmp_path / "sums.npz", noise)[0].steps.tolist() for noise in noises] == [[2] * 5, [0, 0, 2, 0, 0]]


def hand_made() -> GroupedSums:
    """Two tokens; one layer at 2 x 2 in "down", two at 1 x 1 in "mid"; two time steps in each fifth."""
    down = np.zeros((5, 5, 2, 2), np.float32)
    down[:, 0] = [[0, 0], [0, 8]]
    down[:, 1] = [[4, 0], [0, 0]]
    down[4, 0] = [[0, 0], [16, 0]]
    down[:, 2] = [[1, 1], [1, 3]]  # start
    mid = np.full((5, 5, 1, 1), 4, np.float32)
    spans = np.array([[0, 4], [5, 13]])
    return GroupedSums(
        "a-0", "left effusion", ["left", "effusion"], spans, 13, {"down_2": down, "mid_1": mid},
        {"down_2": 1, "mid_1": 2}, np.full(5, 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # fifths 1 and 2, 4 steps: (2 * [0 0 0 8] + 2 * 4) / (4 steps * 3 layers)
        ({"steps": [1, 2]}, [[8 / 12, 8 / 12], [8 / 12, 24 / 12]]),
        ({"steps": [5], "layers": ["down"]}, [[0, 0], [8, 0]]),
        ({"steps": [1], "coarsest": 1}, [[1, 1], [1, 1]]),
        ({"steps": [1], "layers": ["down"], "tokens": "all"}, [[1, 0], [0, 2]]),
        ({"steps": [1], "layers": ["down"], "tokens": "start"}, [[0.5, 0.5], [0.5, 1.5]]),
        ({"steps": [1, 5], "layers": ["down"], "scale_each": True}, [[0, 0], [0.5, 0.5]]),
    ],
)
def test_methods_by_hand(settings, expected):
    found = method_maps({"fresh": hand_made()}, method(**settings), 2)
    np.testing.assert_allclose(found.heat[0], expected, rtol=1e-6)
    if settings.get("tokens"):
        np.testing.assert_array_equal(found.heat[0], found.heat[1])


FIRST = {"steps": [1], "layers": ["down"]}  # the first token's map of the hand-made sums is 0 0 0 4


def test_heads_by_hand():
    one = hand_made()
    heads = {1: {"down_2": 2 * one.sums["down_2"]}, 4: {"down_2": 4 * one.sums["down_2"]}}
    passes = {"fresh": replace(one, heads=heads)}
    np.testing.assert_allclose(method_maps(passes, method(**FIRST, heads=[4]), 2).heat[0], [[0, 0], [0, 16]])
    np.testing.assert_allclose(method_maps(passes, method(**FIRST, heads=[1, 4]), 2).heat[0], [[0, 0], [0, 12]])


def test_the_guidance_difference_by_hand():
    empty = hand_made()
    empty.sums["down_2"][:, 0] = [[2, 0], [0, 2]]  # sums of two time steps
    passes = {"fresh": hand_made(), "empty": empty}
    found = method_maps(passes, method(**FIRST, guidance_difference=True), 2)
    np.testing.assert_allclose(found.heat, [[[-1, 0], [0, 3]], [[0, 0], [0, 0]]])


def test_self_attention_by_hand():
    attention = np.tile(np.eye(4, dtype=np.float16), (5, 1, 1))
    attention[0, 0] = [0.5, 0, 0, 0.5]  # in the first fifth the first pixel attends to the last one too
    passes = {"fresh": replace(hand_made(), self_attention=attention)}
    once = method_maps(passes, method(**FIRST, self_attention=1), 2).heat[0]
    np.testing.assert_allclose(once, [[2, 0], [0, 4]])
    twice = method_maps(passes, method(**FIRST, self_attention=2), 4).heat[0]
    np.testing.assert_allclose(twice, np.kron([[3, 0], [0, 4]], np.ones((2, 2))))
    half = {**FIRST, "steps": [1, 2]}  # the mean matrix has 0.75 and 0.25
    np.testing.assert_allclose(method_maps(passes, method(**half, self_attention=1), 2).heat[0], [[1, 0], [0, 4]])


def test_a_unet_without_such_self_attention_is_told():
    with pytest.raises(InputError, match="at most 16 latent pixels, which this U-Net has not; set it to 0$"):
        method_maps({"fresh": hand_made()}, method(self_attention=1), 2)


def bimodal_passes() -> dict[str, GroupedSums]:
    seen, generated = hand_made(), hand_made()
    seen.sums["down_2"][:, 0] = [[0, 2], [0, 4]]
    seen.sums["down_2"][:, 2] = [[1, 0], [0, 0]]  # start: the image bias
    generated.sums["down_2"][:, 0] = [[0, 3], [0, 0]]  # the text bias
    return {"fresh": seen, "generation": generated}


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        (0.0, [[0, 0.5], [0, 1]]),  # the method's own map
        (1.0, [[0, 1], [0, 0]]),  # the biases' product, [1 0; 0 0] [0 1; 0 0]
        # 0.25 * 0.5 + 0.25 * (0.5 + 1 + 0.5 * 1) + 0.25 * 1 above, 0.25 * 1 + 0.25 * (1 + 0 + 0) below
        (0.5, [[0, 0.875], [0, 0.5]]),
    ],
)
def test_bimodal_bias_merging_by_hand(monkeypatch, similarity, expected):
    biases = []
    monkeypatch.setattr(heat_map_methods, "_similarity", lambda *maps: biases.append(maps) or similarity)
    found = method_maps(bimodal_passes(), method(layers=["down"], steps=[1], bimodal=True), 2)
    np.testing.assert_allclose(found.heat[0], expected)
    np.testing.assert_array_equal(biases[0], [[[1, 0], [0, 0]], [[0, 1], [0, 0]]])


def test_similarity_is_never_negative():
    maps = torch.linspace(0, 1, 64).view(8, 8).numpy()
    assert heat_map_methods._similarity(maps, maps) == pytest.approx(1)
    assert heat_map_methods._similarity(maps, 1 - maps) == 0


def test_maps_are_brought_to_size_smoothed_and_never_negative():
    down = {"steps": [1], "layers": ["down"]}
    bicubic = method_maps({"fresh": hand_made()}, method(**down, interpolation="bicubic"), 8).heat
    assert bicubic.min() == 0 and bicubic[0].argmax() == 63
    smooth = method_maps({"fresh": hand_made()}, method(**down, smoothing=1.0), 2).heat
    assert smooth[0].sum() == pytest.approx(4) and 0 < smooth[0, 0, 0] < smooth[0, 1, 1] < 4
    assert smooth[0, 1, 1] != smooth[1, 1, 1]  # tokens are not smoothed into one another


def test_a_part_without_cross_attention_gives_way_to_all():
    assert chosen_groups(hand_made(), method(layers=["up"])) == ["down_2", "mid_1"]


def test_sums_survive_writing(tmp_path):
    other = hand_made()
    attention = np.arange(80, dtype=np.float16).reshape(5, 4, 4)
    heads = {3: {group: 3 * maps for group, maps in other.sums.items()}}
    kept = replace(other, heads=heads, self_attention=attention)
    save_sums(tmp_path / "sums.npz", {"fresh": [replace(kept, id="a-9"), kept], "inversion": [other]})
    read = load_sums(tmp_path / "sums.npz", "fresh")
    assert len(read) == 2 and load_sums(tmp_path / "sums.npz", "none") == []
    for name in ("down_2", "mid_1"):
        np.testing.assert_array_equal(read[1].sums[name], other.sums[name])
        np.testing.assert_array_equal(read[1].heads[3][name], 3 * other.sums[name])
    np.testing.assert_array_equal(read[1].self_attention, attention)
    [inverted] = load_sums(tmp_path / "sums.npz", "inversion")
    assert inverted.heads == {} and inverted.self_attention is None
    assert (read[1].id, read[1].tokens, read[1].layers) == ("a-0", ["left", "effusion"], {"down_2": 1, "mid_1": 2})
    (tmp_path / "sums.npz").write_text("rubbish")
    with pytest.raises(InputError, match="sums.npz: not a file of grouped attention sums"):
        load_sums(tmp_path / "sums.npz", "fresh")


@pytest.mark.parametrize(
    ("threshold", "hot"),
    [(Threshold("fixed", 0.5), 6), (Threshold("fixed", 0.9), 4), (Threshold("otsu"), 6)],  # Otsu: 0 against 0.6 and 1
)
def test_thresholds(threshold, hot):
    heat = np.zeros((4, 4))
    heat[2:, 1:] = [0.6, 1.0, 1.0]
    binary, converged = binary_map(heat, 4, CORRECTED, threshold)
    corner = int(hot == 4)  # the majority filter takes the inner pixels with less than 5 hot neighbours away
    assert converged and binary.sum() == hot - 1
    assert binary[2, 2] == (not corner) and not binary[2, 1] and binary[2, 3]


def test_a_subject_is_in_one_part_only_and_always_in_the_same():
    parts = pd.Series({f"p{i}": split_of(f"p{i}") for i in range(1000)})
    assert set(parts) == {VALIDATION, TEST} and 250 < (parts == VALIDATION).sum() < 350
    assert split_of("p1") == parts["p1"]


def test_the_validation_part_of_the_boxes_chooses_where_there_is_one():
    rows = [("p1", "val"), ("p1", "val"), ("p2", "test"), ("p3", "val"), ("p3", "test")]
    grounding = pd.DataFrame(rows, columns=["subject_id", "part"])
    assert splits_of(grounding) == {"p1": VALIDATION, "p2": TEST, "p3": TEST}
    without = grounding.assign(part="test")
    assert splits_of(without) == {name: split_of(name) for name in ("p1", "p2", "p3")}


def test_the_choice_looks_at_validation_patients_only():
    rows = [
        ("good", "Edema", VALIDATION, 0.8), ("good", "Pneumonia", VALIDATION, 0.6), ("good", "Edema", TEST, 0.1),
        ("bad", "Edema", VALIDATION, 0.9), ("bad", "Edema", VALIDATION, 0.7), ("bad", "Pneumonia", VALIDATION, 0.5),
        ("bad", "Edema", TEST, 1.0),
    ]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["method", "category", "split", "auc_roc"]).assign(excluded="")
    means = validation_means(scores)
    assert means.to_dict() == pytest.approx({"good": 0.7, "bad": 0.65})
    assert chosen(means, ["bad", "good"]) == "good"
    assert chosen(pd.Series(dtype=float), ["bad", "good"]) == "bad"


def test_methods_are_scored_and_tabled():
    names = [f"p{i}" for i in range(8)]
    rows = [
        {"sample_id": name, "subject_id": name, "category": "Pleural Effusion", "phrase": "left effusion"}
        for name in names
    ]
    table = grounding(*rows)
    one = hand_made()
    sums = [GroupedSums(row, *list(vars(one).values())[1:]) for row in table["phrase_id"]]
    methods = {"paper": method(layers=["down"], steps=[1]), "start": method(tokens="start")}
    scores = score_methods(table, {"fresh": sums}.__getitem__, methods, "phrase", 4, 4)
    assert len(scores) == 16 and set(scores["split"]) == {VALIDATION, TEST}
    paper = scores[scores["method"] == "paper"]
    assert (paper["auc_roc"] > 0.5).all() and (paper["query"] == "matched").all()
    assert (scores.loc[scores["method"] == "start", "auc_roc"] < 0.5).all()  # hottest at the lower right

    scores = scores.assign(dataset="cxr", variant="frozen", seed=0)
    prior = paper.assign(dataset="cxr", protocol="corrected", text="phrase", seed=np.nan)
    prior = prior.drop(columns=["method", "split"])
    texts = {"cxr": "phrase"}
    shown = methods_table("Methods.", scores, prior, list(methods), texts, 10, {"cxr": "Data"})
    assert list(shown.rows["method"]) == ["paper", "start", ""]
    assert list(shown.rows["chosen"]) == ["yes", "", ""]
    tested = (paper["split"] == TEST).sum()
    assert list(shown.rows["n_samples"]) == [tested] * 3 and list(shown.rows["n_validation"]) == [8 - tested] * 3
    assert {f"{metric}_low" for metric in METRICS} <= set(shown.rows)
    assert shown.rows["auc_roc"][0] == pytest.approx(paper.loc[paper["split"] == TEST, "auc_roc"].mean())


def test_some_patients_are_drawn_by_their_ids_with_all_their_rows():
    table = pd.DataFrame({"subject_id": list("abcdefgh") * 2, "sample_id": range(16)})
    some = of_patients(table, 3)
    assert len(some) == 6 and some["subject_id"].nunique() == 3
    assert some["subject_id"].isin(of_patients(table, 4)["subject_id"]).all()
    other_order = of_patients(table[::-1], 3)
    assert set(other_order["subject_id"]) == set(some["subject_id"])
    pd.testing.assert_frame_equal(of_patients(table, None), table)
