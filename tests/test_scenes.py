import re

import numpy as np

from tradeoffs.data.findings import QUERY_WORDS
from tradeoffs.demo.scenes import GROUNDS, LOOKS, draw_scene

SCENES = [draw_scene(key, 64) for key in range(60)]


def test_same_key_same_scene():
    image, caption, masks = draw_scene(7, 64)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    assert image.tobytes() == SCENES[7][0].tobytes() and caption == SCENES[7][1]
    assert all(np.array_equal(mask, SCENES[7][2][name]) for name, mask in masks.items())
    assert len({image.tobytes() for image, _, _ in SCENES}) == 60
    assert draw_scene(7)[0].shape == (128, 128, 3)


def test_caption_names_what_is_there():
    for image, caption, masks in SCENES:
        words = set(re.findall("[a-z]+", caption))
        assert {noun for noun in LOOKS if re.search(rf"\b{noun}\b", caption)} == set(masks) and 1 <= len(masks) <= 2
        colourful = np.ptp(image.astype(int), axis=2).mean() > 8  # the noise of three channels alone makes it 6.5
        assert colourful != ("grey" in words or "black" in words), caption
    assert 2 < sum("grey" in caption or "black" in caption for _, caption, _ in SCENES) < 20  # a sixth of 60
    named_grounds = [ground for _, caption, _ in SCENES for ground in GROUNDS if caption.endswith(f", {ground}")]
    assert len(set(named_grounds)) > 3


def test_masks_do_not_overlap_and_things_stand_out():
    distances = []
    for image, caption, masks in SCENES:
        assert sum(mask.astype(int) for mask in masks.values()).max() <= 1
        if "grey" in caption or "black" in caption:
            continue
        for name, mask in masks.items():
            assert mask.shape == (64, 64) and mask.dtype == bool
            if mask.sum() > 50:
                colours = np.mean([[p.looks.colour, p.looks.second] for p in LOOKS[name]], axis=(0, 1))
                distances.append(np.abs(image[mask].mean(0) / 255 - colours).mean())
    assert np.mean(distances) < 0.2  # a thing has its noun's colours


def test_sides_are_the_viewers():
    sides = {"left": [], "right": []}
    for key in range(200):
        _, caption, masks = draw_scene(key, 32)
        for name in LOOKS:
            for side in re.findall(rf"\b{name} on the (left|right)", caption):
                if masks[name].any():
                    sides[side].append(np.flatnonzero(masks[name].any(0)).mean() / 31)
    assert min(map(len, sides.values())) > 20
    assert max(sides["left"]) < 0.5 < min(sides["right"])


def test_words_are_none_of_radiologys():
    assert not set(LOOKS) & {word for words in QUERY_WORDS.values() for word in words}
