"""Heat maps of one image, images of one text: the commands heatmap and generate, and their Python functions."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from project import PROJECT
from small_maps import maps_of

from tradeoffs.__main__ import main
from tradeoffs.attention.capture import AttentionSums, TextOnImage, captured_cross_attention, token_heat_maps
from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.commands.box_scores import box_scores, category_of, exchange
from tradeoffs.commands.generate import generate
from tradeoffs.commands.heat_map import ImageHeatMap, heat_map
from tradeoffs.data.tables import GROUNDING_COLUMNS, write_table
from tradeoffs.errors import InputError
from tradeoffs.model.latents import encode_images
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.randomness import normal
from tradeoffs.sampling import draw_samples, sampler

TEXT = "left pleural effusion"


@pytest.fixture
def image(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "s1.png")
    return tmp_path / "s1.png"


def test_the_map_is_that_of_a_run(tiny_model, image):
    found = heat_map(tiny_model, image, TEXT, ["effusion"], seed=3, steps=10, keep=4)
    mean, std, _ = encode_images(tiny_model.vae, [str(image)], 64, batch_size=1)
    latent = (mean[0] + std[0] * normal((4, 8, 8), 3, "s1")) * 0.5
    [maps] = token_heat_maps(tiny_model, [TextOnImage("s1", "s1", TEXT, latent)], 3, 10, 4, 8)
    np.testing.assert_array_equal(found.maps.heat, maps.heat)
    np.testing.assert_array_equal(found.heat, maps.heat[2])
    assert found.pixels.shape == (64, 64, 3)
    whole = heat_map(tiny_model, image, TEXT, seed=3, steps=10, keep=4)
    np.testing.assert_allclose(whole.heat, maps.heat.mean(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": " "}, "text: it is empty"),
        ({"words": ["edema"]}, "words: 'edema' is no word of the text"),
        ({"text": "left " * 30 + "edema", "words": ["edema"]}, "words: edema: query beyond the text encoder's context"),
        ({"keep": 11}, r"keep: 11 is more than steps \(10\)"),
        ({"resolution": 60}, "60 is not a multiple of 8"),
    ],
)
def test_what_cannot_be_done_is_said(tiny_model, image, changes, message):
    with pytest.raises(InputError, match=message):
        heat_map(tiny_model, image, **({"text": TEXT, "words": ["effusion"], "steps": 10, "keep": 2} | changes))


def hand_made(path, words=("effusion",)) -> ImageHeatMap:
    """A map of 4 x 4 whose columns rise to the right for "effusion", to the left for "left"."""
    maps = maps_of("s1", "left effusion", left=[3.0, 2.0, 1.0, 0.0], effusion=[0.0, 1.0, 2.0, 3.0])["s1"]
    return ImageHeatMap(str(path), np.zeros((4, 4, 3)), maps, words, maps.heat[1])


def test_scores_stand_beside_their_controls(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "s1.png")
    rows = [("s1-0", "s1", "p1", [[4, 0, 4, 8]]), ("s2-0", "s2", "p2", [[0, 0, 4, 8]])]
    table = pd.DataFrame(rows, columns=["phrase_id", "sample_id", "subject_id", "boxes"])
    table = table.assign(
        path=table["sample_id"] + ".png", category="Pleural Effusion", phrase="effusion", text="", mask="", words=""
    ).assign(text_id=table["sample_id"], part="test")
    write_table(table.assign(image_width=8, image_height=8)[GROUNDING_COLUMNS], tmp_path / "grounding.csv")
    found = hand_made(tmp_path / "s1.png")
    other = hand_made(tmp_path / "s1.png", ("edema",))
    scores = box_scores(found, (4, 0, 4, 8), exchanged=other, grounding=tmp_path / "grounding.csv").set_index("kind")
    assert scores["of"].to_dict() == {
        "words": "effusion",
        "another word of the text": "left",
        "all tokens": "left effusion",
        "another word in their place": "edema",
        "location prior": "Pleural Effusion",
    }
    # the box is the right half: hottest for "effusion", coldest for "left" and for the other patient's box
    expected = {
        "words": 1.0,
        "another word of the text": 0.0,
        "another word in their place": 1.0,
        "location prior": 0.0,
    }
    assert scores["auc_roc"].drop("all tokens").to_dict() == expected
    assert scores.loc["all tokens", "excluded"] == "constant heat map"  # 1.5 everywhere


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, 0, 0, 2), (4, 4, 5, 2)])
def test_a_box_outside_of_the_image_is_refused(tmp_path, box):
    Image.new("L", (8, 8)).save(tmp_path / "s1.png")
    with pytest.raises(InputError, match="is not x, y, w, h within .*8 x 8 pixels"):
        box_scores(hand_made(tmp_path / "s1.png"), box)


def test_a_box_that_the_crop_loses_is_refused(tmp_path):
    Image.new("L", (8, 32)).save(tmp_path / "s1.png")
    with pytest.raises(InputError, match="is outside of the central square"):
        box_scores(hand_made(tmp_path / "s1.png"), (0, 0, 8, 4))


def test_words_are_exchanged_and_name_their_finding():
    assert exchange("Small effusion, no other effusions", ["effusion"], "edema") == "Small edema, no other effusions"
    assert category_of(["Effusion"]) == "Pleural Effusion" and category_of(["dogs"]) == "dog"
    with pytest.raises(InputError, match="category: the words small ask for no finding"):
        category_of(["small"])


def test_generated_images_are_a_runs_and_their_maps_those_of_the_passes_with_the_text(tiny_base, tiny_model):
    drawn = generate(tiny_model, TEXT, count=3, steps=4, scheduler="ddim", batch_size=2, guidance=2.0)
    rows = pd.DataFrame({"image_id": ["00000-0", "00000-1"], "text": [TEXT] * 2})
    expected = list(draw_samples(tiny_base, rows, 0, 2.0, 4, "ddim", 2, 64))
    for one, (_, image) in zip(drawn, expected, strict=False):
        # the pass that keeps its attention computes it by another kernel, so a value may round to its neighbour
        np.testing.assert_allclose(np.asarray(one.image, dtype=int), np.asarray(image, dtype=int), rtol=0, atol=1)
    assert [one.maps.heat.shape for one in drawn] == [(3, 8, 8)] * 3
    assert [one.maps.id for one in drawn] == ["00000-0", "00000-1", "00000-2"]


def test_the_map_while_drawing_is_the_mean_over_all_steps(tiny_model):
    """Without guidance and from the first step's latent on, the sums of a plain DDIM loop are the maps."""
    [one] = generate(tiny_model, TEXT, count=1, steps=5, scheduler="ddim", guidance=1.0)
    scheduler = sampler("ddim", tiny_model.schedule.config)
    scheduler.set_timesteps(5)
    context = CachedTextEncoder(*tiny_model.text_side)([TEXT])
    latent = normal((4, 8, 8), 0, "sample", "00000-0")[None]
    sums = AttentionSums(1, 4, (8, 8))
    sums.rows = torch.tensor([0])
    with torch.no_grad(), captured_cross_attention(tiny_model.unet, sums.add):
        for time in scheduler.timesteps:
            latent = scheduler.step(tiny_model.unet(latent, time, context).sample, time, latent).prev_sample
    np.testing.assert_allclose(one.maps.heat, sums.mean(4, 5)[0, 1:4].numpy(), atol=1e-6)


def test_heatmap_writes_overlay_maps_and_scores(capsys, tiny_base, image, tmp_path):
    out = tmp_path / "out"
    words = ["heatmap", "--model", str(tiny_base), "--image", str(image), "--text", TEXT, "--words", "effusion"]
    words += ["--steps", "4", "--keep", "2", "--out", str(out)]
    main([*words, "--box", "4,10,20,20", "--exchange", "edema"])
    printed = capsys.readouterr().out
    assert "location prior" in printed and "AUC-ROC" in printed and "wrote" in printed
    tokens = ["00_left.png", "01_pleural.png", "02_effusion.png"]
    assert sorted(path.name for path in (out / "tokens").iterdir()) == tokens
    assert Image.open(out / "tokens/00_left.png").size == (64, 64) and (out / "overlay.png").is_file()
    assert load_heat_maps(out / "token_maps.npz", "text")["s1"].heat.shape == (3, 8, 8)
    scores = pd.read_csv(out / "scores.csv")
    assert list(scores["of"]) == ["effusion", "left", "pleural", TEXT, "edema"]
    with pytest.raises(SystemExit, match="--exchange: is of scores against a box; give --box too"):
        main([*words, "--exchange", "edema"])


def test_generate_writes_images_and_maps(capsys, tiny_base, tmp_path):
    main(
        ["generate", "--model", str(tiny_base), "--text", TEXT, "--words", "effusion", "-n", "2", "--steps", "2"]
        + ["--scheduler", "ddim", "--out", str(tmp_path)]
    )
    assert Image.open(tmp_path / "1.png").size == (64, 64) and (tmp_path / "overlay.png").is_file()
    assert len(list((tmp_path / "tokens_1").iterdir())) == 3
    assert len(load_heat_maps(tmp_path / "token_maps.npz", "text")) == 2


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    page = (PROJECT / "docs/tools.md").read_text()
    examples = re.findall(r"^```python\n(.*?)```", page, re.M | re.S)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "resources").symlink_to(PROJECT / "resources")
    monkeypatch.chdir(tmp_path)
    for example in examples:
        exec(example, {})
    printed = capsys.readouterr().out
    assert len(examples) == 2 and "another word of the text" in printed and "(128, 128) (4, 16, 16)" in printed


@pytest.mark.parametrize("words", [["heatmap", "--image", "IMAGE"], ["generate", "-n", "1"]])
def test_a_folder_that_is_no_whole_model_is_one_line_without_a_key(tiny_base, image, tmp_path, words):
    shutil.rmtree(shutil.copytree(tiny_base, tmp_path / "model") / "vae")
    words = [str(image) if word == "IMAGE" else word for word in words]
    given = [*words, "--model", str(tmp_path / "model"), "--text", TEXT, "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="model: without vae; give a complete diffusers folder as the model$"):
        main(given)
