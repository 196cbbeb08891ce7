"""Generic captioned scenes: what the demo's base is pre-trained on, as Stable Diffusion was on captioned photographs.

The noun alone fixes colour, shape and texture, so that a base must learn which word means which place in the image.
The nouns are everyday things, none of radiology's.
"""

from dataclasses import dataclass

import numpy as np

from tradeoffs.randomness import numpy_rng


@dataclass(frozen=True)
class Thing:
    """Looks of a noun: RGB colour, shape, second colour and texture."""

    colour: tuple[float, float, float]
    shape: str
    second: tuple[float, float, float]
    texture: str


THINGS = {
    "apple": Thing((0.80, 0.10, 0.12), "disc", (0.95, 0.30, 0.25), "plain"),
    "orange": Thing((0.95, 0.55, 0.08), "disc", (0.80, 0.40, 0.05), "dots"),
    "ball": Thing((0.95, 0.95, 0.95), "disc", (0.10, 0.10, 0.10), "check"),
    "banana": Thing((0.95, 0.88, 0.20), "crescent", (0.60, 0.50, 0.05), "plain"),
    "moon": Thing((0.85, 0.85, 0.70), "crescent", (0.60, 0.60, 0.55), "dots"),
    "book": Thing((0.15, 0.25, 0.70), "square", (0.90, 0.90, 0.90), "stripes"),
    "clock": Thing((0.90, 0.85, 0.75), "ring", (0.25, 0.20, 0.15), "plain"),
    "tyre": Thing((0.10, 0.10, 0.12), "ring", (0.35, 0.35, 0.35), "waves"),
    "kite": Thing((0.90, 0.20, 0.60), "diamond", (0.20, 0.80, 0.80), "check"),
    "tent": Thing((0.20, 0.55, 0.25), "triangle", (0.10, 0.30, 0.15), "stripes"),
    "pizza": Thing((0.90, 0.70, 0.35), "triangle", (0.80, 0.15, 0.10), "dots"),
    "zebra": Thing((0.95, 0.95, 0.95), "wide", (0.05, 0.05, 0.05), "stripes"),
    "bus": Thing((0.85, 0.15, 0.10), "wide", (0.70, 0.85, 0.95), "check"),
    "boat": Thing((0.45, 0.25, 0.10), "bowl", (0.75, 0.60, 0.40), "stripes"),
    "cup": Thing((0.30, 0.75, 0.85), "bowl", (0.95, 0.95, 0.95), "plain"),
    "bottle": Thing((0.05, 0.40, 0.20), "tall", (0.60, 0.85, 0.65), "plain"),
    "tower": Thing((0.55, 0.52, 0.50), "tall", (0.25, 0.22, 0.20), "check"),
    "flower": Thing((0.65, 0.25, 0.80), "star", (0.98, 0.85, 0.20), "dots"),
    "lamp": Thing((1.00, 0.98, 0.75), "star", (0.95, 0.80, 0.30), "plain"),
    "cloud": Thing((0.92, 0.94, 0.97), "blob", (0.75, 0.78, 0.82), "haze"),
    "bush": Thing((0.15, 0.45, 0.12), "blob", (0.30, 0.65, 0.20), "dots"),
    "sheep": Thing((0.88, 0.86, 0.80), "blob", (0.55, 0.52, 0.48), "waves"),
    "cross": Thing((0.75, 0.05, 0.10), "cross", (0.95, 0.95, 0.95), "plain"),
    "plane": Thing((0.70, 0.73, 0.78), "cross", (0.20, 0.30, 0.60), "stripes"),
}
GROUNDS = {
    "grass": (0.35, 0.60, 0.25),
    "sand": (0.85, 0.77, 0.55),
    "snow": (0.93, 0.95, 0.98),
    "water": (0.15, 0.40, 0.65),
    "road": (0.38, 0.38, 0.40),
    "night": (0.04, 0.04, 0.09),
}


def draw_scene(key: object, size: int = 128) -> tuple[np.ndarray, str, dict[str, np.ndarray]]:
    """One scene for a key: uint8 image (size, size, 3), caption, and per noun its visible mask (bool, size x size).

    One to three different things of varied size stand anywhere, on a shaded ground; later ones cover earlier ones. One
    scene in three is grey, and says so.
    """
    rng = numpy_rng("scene", key)
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(grid, grid)
    ground = str(rng.choice(list(GROUNDS)))
    tilt = rng.uniform(-0.12, 0.12, 2)
    image = np.array(GROUNDS[ground], np.float32) + (tilt[0] * x + tilt[1] * y)[..., None].astype(np.float32)

    nouns = [str(n) for n in rng.permutation(list(THINGS))[: rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25])]]
    masks: dict[str, np.ndarray] = {}
    places = _places(rng, len(nouns))
    for noun, (cx, cy, radius) in zip(nouns, places, strict=True):
        angle = rng.uniform(-0.35, 0.35)
        u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / radius
        v = (-(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)) / radius
        alpha = np.clip(0.5 + shape(THINGS[noun].shape, u, v) * radius * size / 4, 0, 1)
        image += alpha[..., None] * (surface(THINGS[noun], u, v, rng) - image)
        masks = {name: mask & (alpha < 0.5) for name, mask in masks.items()}
        masks[noun] = alpha >= 0.5
    grey = rng.random() < 1 / 3
    if grey:
        image = np.repeat(image @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
    image += rng.normal(0, 0.015, image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), _caption(rng, nouns, places, ground, grey), masks


def _places(rng: np.random.Generator, n: int) -> list[tuple[float, float, float]]:
    """Centres and radii; of several draws the one whose things overlap least."""
    best, least = [], np.inf
    for _ in range(6):
        places = [(*rng.uniform(-0.75, 0.75, 2), rng.uniform(0.2, 0.5)) for _ in range(n)]
        overlap = sum(
            max(0.0, a[2] + b[2] - np.hypot(a[0] - b[0], a[1] - b[1])) for i, a in enumerate(places) for b in places[:i]
        )
        if overlap < least:
            best, least = places, overlap
    return best


def shape(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Positive inside the shape, about the distance to its edge in units of its radius."""
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    shapes = {
        "disc": lambda: 0.9 - radius,
        "ring": lambda: 0.28 - np.abs(radius - 0.68),
        "crescent": lambda: np.minimum(0.95 - radius, np.hypot(u, v + 0.55) - 0.8),
        "square": lambda: 0.75 - np.maximum(np.abs(u), np.abs(v)),
        "wide": lambda: np.minimum(1.0 - np.abs(u), 0.5 - np.abs(v)),
        "tall": lambda: np.minimum(0.4 - np.abs(u), 1.0 - np.abs(v)),
        "diamond": lambda: (0.95 - np.abs(u) * 1.3 - np.abs(v)) * 0.6,
        "triangle": lambda: np.minimum(0.7 - v, (v + 0.95) * 0.45 - np.abs(u) * 0.9),
        "bowl": lambda: np.minimum(0.9 - radius, v + 0.1),
        "star": lambda: 0.62 + 0.28 * np.cos(5 * angle) - radius,
        "blob": lambda: 0.75 + 0.12 * np.cos(3 * angle + 1) + 0.08 * np.cos(7 * angle) - np.hypot(u * 0.85, v * 1.2),
        "cross": lambda: np.maximum(
            np.minimum(0.26 - np.abs(u), 0.9 - np.abs(v)), np.minimum(0.26 - np.abs(v), 0.9 - np.abs(u))
        ),
    }
    return shapes[name]()


def surface(thing: Thing, u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour of the thing at every pixel, (size, size, 3)."""
    waves = {
        "plain": lambda: 0.25 * (u + v),
        "stripes": lambda: np.sign(np.sin(9 * u)),
        "check": lambda: np.sign(np.sin(7 * u) * np.sin(7 * v)),
        "dots": lambda: np.where(np.sin(8 * u) * np.sin(8 * v) > 0.45, 1.0, -0.8),
        "waves": lambda: np.sin(10 * v + 2 * np.sin(5 * u)),
        "haze": lambda: np.sin(3 * u) * np.cos(3 * v),
    }
    mix = (0.5 + 0.5 * np.clip(waves[thing.texture](), -1, 1))[..., None].astype(np.float32)
    light = np.float32(rng.uniform(0.88, 1.08))
    return light * (np.array(thing.colour, np.float32) * (1 - mix) + np.array(thing.second, np.float32) * mix)


def _caption(rng, nouns: list[str], places: list[tuple[float, float, float]], ground: str, grey: bool) -> str:
    """A sentence that names every thing, sometimes with its side and size, in random order."""
    parts = []
    for i in rng.permutation(len(nouns)):
        cx, _, radius = places[i]
        size = ("small " if radius < 0.3 else "large " if radius > 0.4 else "") if rng.random() < 0.4 else ""
        side = ""
        if abs(cx) > 0.25 and rng.random() < 0.5:
            side = " on the left" if cx < 0 else " on the right"
        parts.append(f"{'an' if not size and nouns[i][0] in 'aeiou' else 'a'} {size}{nouns[i]}{side}")
    text = " and ".join(parts) if rng.random() < 0.7 else ", ".join(parts)
    opening = str(rng.choice(["", "", "a picture of ", "there is "]))
    if grey:
        opening = str(rng.choice(["a grey picture of ", "black and white photo of "]))
    return f"{opening}{text}" + (f", {ground}" if rng.random() < 0.3 else "")
