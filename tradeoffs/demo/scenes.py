"""Generic captioned scenes: what the demo's base is pre-trained on, as Stable Diffusion was on captioned photographs.

The noun alone fixes colour, shape and texture, so that a base must learn which word means which place in the image.
The nouns are everyday things, none of radiology's, and the classes of the phantoms in MS-COCO's layout.
"""

from dataclasses import dataclass

import numpy as np

from tradeoffs.randomness import numpy_rng


@dataclass(frozen=True)
class Looks:
    """Colour, shape, second colour and texture of a part; colours are RGB in [0, 1]."""

    colour: tuple[float, float, float]
    shape: str
    second: tuple[float, float, float]
    texture: str


@dataclass(frozen=True)
class Part:
    """A piece of a thing: its looks, centre and scale in the thing's own coordinates, which run from -1 to 1.

    A negative height turns the shape upside down.
    """

    looks: Looks
    x: float = 0.0
    y: float = 0.0
    width: float = 1.0
    height: float = 1.0


def _plain(shape_name: str, colour: tuple[float, float, float], *place: float) -> Part:
    red, green, blue = colour
    return Part(Looks(colour, shape_name, (0.8 * red, 0.8 * green, 0.8 * blue), "plain"), *place)


_BLACK, _STEEL, _WHITE = (0.08, 0.08, 0.10), (0.55, 0.57, 0.60), (0.95, 0.95, 0.93)
_SKIN, _FUR, _SNOUT = (0.93, 0.74, 0.60), (0.55, 0.34, 0.16), (0.83, 0.66, 0.45)
_WOOD, _WOOL = (0.45, 0.28, 0.12), (0.25, 0.22, 0.20)
LOOKS: dict[str, tuple[Part, ...]] = {
    "person": (
        _plain("tall", (0.12, 0.14, 0.30), -0.19, 0.62, 0.40, 0.38),
        _plain("tall", (0.12, 0.14, 0.30), 0.19, 0.62, 0.40, 0.38),
        _plain("tall", _SKIN, -0.42, -0.02, 0.25, 0.38),
        _plain("tall", _SKIN, 0.42, -0.02, 0.25, 0.38),
        Part(Looks((0.10, 0.60, 0.55), "tall", (0.85, 0.95, 0.90), "waves"), 0.0, -0.05, 0.95, 0.38),
        _plain("disc", _SKIN, 0.0, -0.66, 0.32, 0.34),
        _plain("bowl", (0.25, 0.14, 0.06), 0.0, -0.72, 0.34, -0.32),
    ),
    "car": (
        _plain("bowl", (0.18, 0.36, 0.85), -0.05, 0.02, 0.62, -0.62),
        _plain("bowl", (0.80, 0.92, 0.98), -0.05, 0.0, 0.46, -0.44),
        _plain("wide", (0.18, 0.36, 0.85), 0.0, 0.17, 1.0, 0.46),
        _plain("disc", _BLACK, -0.55, 0.40, 0.28, 0.28),
        _plain("disc", _BLACK, 0.55, 0.40, 0.28, 0.28),
        _plain("disc", _STEEL, -0.55, 0.40, 0.13, 0.13),
        _plain("disc", _STEEL, 0.55, 0.40, 0.13, 0.13),
    ),
    "bus": (
        Part(Looks((0.85, 0.15, 0.10), "wide", (0.70, 0.85, 0.95), "check")),
        _plain("disc", _BLACK, -0.58, 0.50, 0.25, 0.25),
        _plain("disc", _BLACK, 0.58, 0.50, 0.25, 0.25),
    ),
    "airplane": (
        Part(Looks((0.70, 0.73, 0.78), "cross", (0.20, 0.30, 0.60), "stripes")),
        _plain("wide", (0.20, 0.30, 0.60), 0.0, 0.80, 0.42, 0.26),
    ),
    "boat": (
        _plain("tall", _WOOD, 0.0, -0.45, 0.12, 0.50),
        _plain("triangle", _WHITE, 0.36, -0.45, 0.42, 0.50),
        Part(Looks((0.45, 0.25, 0.10), "bowl", (0.75, 0.60, 0.40), "stripes")),
    ),
    "traffic light": (
        _plain("tall", (0.13, 0.14, 0.13), 0.0, 0.0, 1.05, 1.0),
        _plain("disc", (0.98, 0.15, 0.10), 0.0, -0.62, 0.30, 0.30),
        _plain("disc", (1.00, 0.80, 0.15), 0.0, 0.0, 0.30, 0.30),
        _plain("disc", (0.15, 0.90, 0.35), 0.0, 0.62, 0.30, 0.30),
    ),
    "fire hydrant": (
        _plain("wide", (0.98, 0.78, 0.10), 0.0, -0.05, 0.68, 0.34),
        _plain("disc", (0.90, 0.16, 0.08), 0.0, -0.50, 0.45, 0.48),
        _plain("tall", (0.90, 0.16, 0.08), 0.0, 0.20, 0.95, 0.66),
        _plain("wide", (0.98, 0.78, 0.10), 0.0, -0.44, 0.50, 0.16),
        _plain("wide", (0.98, 0.78, 0.10), 0.0, 0.85, 0.55, 0.24),
        _plain("disc", (0.98, 0.78, 0.10), 0.0, 0.10, 0.22, 0.22),
    ),
    "stop sign": (
        _plain("tall", _STEEL, 0.0, 0.50, 0.20, 0.50),
        _plain("disc", _WHITE, 0.0, -0.35, 0.70, 0.70),
        _plain("disc", (0.82, 0.05, 0.10), 0.0, -0.35, 0.60, 0.60),
        _plain("wide", _WHITE, 0.0, -0.35, 0.40, 0.26),
    ),
    "zebra": (
        _plain("tall", _BLACK, -0.78, 0.62, 0.22, 0.36),
        _plain("tall", _BLACK, -0.35, 0.62, 0.22, 0.36),
        _plain("tall", _BLACK, 0.35, 0.62, 0.22, 0.36),
        _plain("tall", _BLACK, 0.70, 0.62, 0.22, 0.36),
        Part(Looks((0.95, 0.95, 0.95), "wide", (0.05, 0.05, 0.05), "stripes"), 0.0, 0.0, 0.92, 0.80),
        Part(Looks((0.95, 0.95, 0.95), "wide", (0.05, 0.05, 0.05), "stripes"), 1.0, -0.50, 0.30, 0.42),
    ),
    "sheep": (
        _plain("tall", _WOOL, -0.35, 0.62, 0.22, 0.32),
        _plain("tall", _WOOL, 0.35, 0.62, 0.22, 0.32),
        Part(Looks((0.88, 0.86, 0.80), "blob", (0.55, 0.52, 0.48), "waves")),
        _plain("disc", _WOOL, 0.72, -0.32, 0.32, 0.28),
    ),
    "bottle": (
        Part(Looks((0.05, 0.40, 0.20), "tall", (0.60, 0.85, 0.65), "plain"), 0.0, 0.25, 1.0, 0.75),
        _plain("tall", (0.05, 0.40, 0.20), 0.0, -0.68, 0.40, 0.32),
        _plain("wide", (0.80, 0.70, 0.20), 0.0, -0.95, 0.20, 0.16),
    ),
    "banana": (Part(Looks((0.95, 0.88, 0.20), "crescent", (0.60, 0.50, 0.05), "plain")),),
    "apple": (
        Part(Looks((0.80, 0.10, 0.12), "disc", (0.95, 0.30, 0.25), "plain")),
        _plain("tall", _WOOD, 0.0, -0.90, 0.16, 0.22),
        _plain("disc", (0.25, 0.60, 0.15), 0.25, -0.95, 0.28, 0.14),
    ),
    "carrot": (
        _plain("star", (0.25, 0.62, 0.18), 0.0, -0.68, 0.42, 0.40),
        Part(Looks((0.96, 0.48, 0.10), "triangle", (0.80, 0.34, 0.05), "waves"), 0.0, 0.15, 0.55, -0.95),
    ),
    "pizza": (
        Part(Looks((0.90, 0.70, 0.35), "triangle", (0.80, 0.15, 0.10), "dots")),
        _plain("wide", (0.68, 0.42, 0.16), 0.0, 0.72, 0.82, 0.22),
    ),
    "teddy bear": (
        _plain("disc", _FUR, -0.38, -0.78, 0.24, 0.24),
        _plain("disc", _FUR, 0.38, -0.78, 0.24, 0.24),
        _plain("disc", _FUR, -0.55, 0.15, 0.28, 0.28),
        _plain("disc", _FUR, 0.55, 0.15, 0.28, 0.28),
        _plain("disc", _FUR, -0.40, 0.75, 0.32, 0.28),
        _plain("disc", _FUR, 0.40, 0.75, 0.32, 0.28),
        _plain("disc", _FUR, 0.0, 0.35, 0.60, 0.62),
        _plain("disc", _SNOUT, 0.0, 0.38, 0.36, 0.40),
        _plain("disc", _FUR, 0.0, -0.45, 0.55, 0.50),
        _plain("disc", _SNOUT, 0.0, -0.30, 0.28, 0.22),
        _plain("disc", _BLACK, 0.0, -0.36, 0.10, 0.08),
        _plain("disc", _BLACK, -0.20, -0.58, 0.08, 0.08),
        _plain("disc", _BLACK, 0.20, -0.58, 0.08, 0.08),
    ),
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

    One or two different things, a sixth to a third of the side in radius, stand anywhere on a shaded ground; the later
    one covers the earlier one. One scene in six is grey, and says so.
    """
    rng = numpy_rng("scene", key)
    half = size / 2
    grid = (np.arange(size, dtype=np.float32) + 0.5) / half - 1
    x, y = np.meshgrid(grid, grid)
    ground = str(rng.choice(list(GROUNDS)))
    image = shaded(rng, np.array(GROUNDS[ground], np.float32), x, y)

    nouns = [str(noun) for noun in rng.permutation(list(LOOKS))[: rng.choice([1, 2], p=[0.4, 0.6])]]
    places = _places(rng, len(nouns))
    owner = np.full((size, size), -1)
    for number, (noun, (cx, cy, radius)) in enumerate(zip(nouns, places, strict=True)):
        draw_thing(rng, image, owner, number, LOOKS[noun], (x, y), (cx, cy, radius, half))
    grey = rng.random() < 1 / 6
    if grey:
        image = np.repeat(image @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
    image += rng.normal(0, 0.015, image.shape)
    masks = {noun: owner == number for number, noun in enumerate(nouns)}
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), _caption(rng, nouns, places, ground, grey), masks


def shaded(rng: np.random.Generator, colours: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A ground of a colour (3,), or of colours (height, width, 3), a little lighter on one side: float32."""
    tilt = rng.uniform(-0.12, 0.12, 2)
    return colours + (tilt[0] * x + tilt[1] * y)[..., None].astype(np.float32)


def draw_thing(
    rng: np.random.Generator,
    image: np.ndarray,
    owner: np.ndarray,
    number: int,
    parts: tuple[Part, ...],
    grid: tuple[np.ndarray, np.ndarray],
    place: tuple[float, float, float, float],
) -> None:
    """Draws a thing, turned a little and perhaps mirrored, into `image` and its number into `owner`, both in place.

    grid: x and y of every pixel in units of half the image's shorter side, from its centre
    place: centre (x, y) and radius in the same units, then pixels per unit
    """
    cx, cy, radius, half = place
    x, y = grid
    reach = 1.6 * radius
    rows = slice(*np.searchsorted(y[:, 0], [cy - reach, cy + reach]))
    columns = slice(*np.searchsorted(x[0], [cx - reach, cx + reach]))
    dx, dy = (x[rows, columns] - cx) / radius, (y[rows, columns] - cy) / radius
    angle, mirrored = rng.uniform(-0.35, 0.35), rng.choice([-1, 1])
    across, down = (dx * np.cos(angle) + dy * np.sin(angle)) * mirrored, dy * np.cos(angle) - dx * np.sin(angle)
    for part in parts:
        u, v = (across - part.x) / part.width, (down - part.y) / part.height
        edge = _shape(part.looks.shape, u, v) * min(part.width, abs(part.height)) * radius * half
        alpha = np.clip(0.5 + edge, 0, 1)[..., None].astype(np.float32)
        image[rows, columns] += alpha * (_surface(part.looks, u, v, rng) - image[rows, columns])
        owner[rows, columns][alpha[..., 0] >= 0.5] = number


def _places(rng: np.random.Generator, n: int) -> list[tuple[float, float, float]]:
    """Centres and radii; of several draws the one whose things overlap least."""
    best, least = [], np.inf
    for _ in range(6):
        places = [(*rng.uniform(-0.7, 0.7, 2), rng.uniform(0.32, 0.65)) for _ in range(n)]
        overlap = sum(
            max(0.0, a[2] + b[2] - np.hypot(a[0] - b[0], a[1] - b[1])) for i, a in enumerate(places) for b in places[:i]
        )
        if overlap < least:
            best, least = places, overlap
    return best


def _shape(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Positive inside the shape, about the distance to its edge in units of its radius."""
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    shapes = {
        "disc": lambda: 0.9 - radius,
        "crescent": lambda: np.minimum(0.95 - radius, np.hypot(u, v + 0.55) - 0.8),
        "wide": lambda: np.minimum(1.0 - np.abs(u), 0.5 - np.abs(v)),
        "tall": lambda: np.minimum(0.4 - np.abs(u), 1.0 - np.abs(v)),
        "triangle": lambda: np.minimum(0.7 - v, (v + 0.95) * 0.45 - np.abs(u) * 0.9),
        "bowl": lambda: np.minimum(0.9 - radius, v + 0.1),
        "star": lambda: 0.62 + 0.28 * np.cos(5 * angle) - radius,
        "blob": lambda: 0.75 + 0.12 * np.cos(3 * angle + 1) + 0.08 * np.cos(7 * angle) - np.hypot(u * 0.85, v * 1.2),
        "cross": lambda: np.maximum(
            np.minimum(0.26 - np.abs(u), 0.9 - np.abs(v)), np.minimum(0.26 - np.abs(v), 0.9 - np.abs(u))
        ),
    }
    return shapes[name]()


def _surface(looks: Looks, u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour of a part at every pixel, (height, width, 3)."""
    waves = {
        "plain": lambda: 0.25 * (u + v),
        "stripes": lambda: np.sign(np.sin(9 * u)),
        "check": lambda: np.sign(np.sin(7 * u) * np.sin(7 * v)),
        "dots": lambda: np.where(np.sin(8 * u) * np.sin(8 * v) > 0.45, 1.0, -0.8),
        "waves": lambda: np.sin(10 * v + 2 * np.sin(5 * u)),
    }
    mix = (0.5 + 0.5 * np.clip(waves[looks.texture](), -1, 1))[..., None].astype(np.float32)
    light = np.float32(rng.uniform(0.88, 1.08))
    return light * (np.array(looks.colour, np.float32) * (1 - mix) + np.array(looks.second, np.float32) * mix)


def _caption(rng, nouns: list[str], places: list[tuple[float, float, float]], ground: str, grey: bool) -> str:
    """A sentence that names every thing, often with its side and size, in random order."""
    parts = []
    for i in rng.permutation(len(nouns)):
        cx, _, radius = places[i]
        size = ("small " if radius < 0.42 else "large " if radius > 0.55 else "") if rng.random() < 0.5 else ""
        side = ""
        if abs(cx) > 0.2 and rng.random() < 0.6:
            side = " on the left" if cx < 0 else " on the right"
        parts.append(f"{'an' if not size and nouns[i][0] in 'aeiou' else 'a'} {size}{nouns[i]}{side}")
    text = " and ".join(parts) if rng.random() < 0.7 else ", ".join(parts)
    opening = str(rng.choice(["", "", "a picture of ", "there is "]))
    if grey:
        opening = str(rng.choice(["a grey picture of ", "black and white photo of "]))
    return f"{opening}{text}" + (f", {ground}" if rng.random() < 0.3 else "")
