"""Phantom chest radiographs: drawings of a chest with findings whose boxes are known.

They are no simulation of X-ray physics and no patient's data. Everything is drawn in a chest frame (u to the image's
right, v down, lungs roughly within -1..1) that a random pose places in the image, so that place alone tells little.
A finding "on the left" is on the patient's left: the image's right.
"""

from dataclasses import dataclass

import numpy as np

from tradeoffs.randomness import numpy_rng

SIZES = ("small", "moderate", "large")
ZONES = ("upper", "mid", "lower")
SEVERITIES = ("mild", "moderate", "severe")
SIDE_SIGN = {"right": -1.0, "left": 1.0}
BOX_LEVEL = 0.3  # a pixel belongs to a finding where its mask exceeds this


@dataclass(frozen=True)
class Finding:
    """One finding of an image; `side` is right, left or bilateral (central for Cardiomegaly)."""

    name: str
    side: str
    size: str
    zone: str
    severity: str


@dataclass(frozen=True)
class Phantom:
    """image: uint8 (height, width); boxes: per finding, a list of integer (x, y, w, h), one per side."""

    image: np.ndarray
    boxes: list[list[tuple[int, int, int, int]]]


def draw_findings(rng: np.random.Generator, names: list[str]) -> list[Finding]:
    """Random attributes for the named findings; two findings come on different sides where they can."""
    sides = list(rng.permutation(["right", "left"]))
    findings = []
    for i, name in enumerate(names):
        side = sides[i % 2]
        if name == "Cardiomegaly":
            side = "central"
        elif name == "Edema":
            side = "bilateral" if rng.random() < 0.35 else side
        elif len(names) == 1 and name not in ("Atelectasis", "Pneumothorax") and rng.random() < 0.2:
            side = "bilateral"
        findings.append(
            Finding(name, side, str(rng.choice(SIZES)), str(rng.choice(ZONES)), str(rng.choice(SEVERITIES)))
        )
    return findings


def render(findings: list[Finding], subject: object, image: object, lateral: bool = False) -> Phantom:
    """Draws one radiograph.

    subject: key of the anatomy (lung and heart shape, ribs), the same for all images of a person
    image: key of pose, image size, noise and the findings' shapes
    lateral: squeeze the chest as a stand-in for a lateral view (used as an image that preparation must drop)
    Returns an image of 136 to 184 px a side, portrait or square.
    """
    anatomy = _Anatomy(numpy_rng("anatomy", subject))
    rng = numpy_rng("image", image)
    width = int(rng.integers(136, 161))
    height = int(width * rng.uniform(1.0, 1.15))
    u, v = _chest_frame(rng, width, height, squeeze=2.0 if lateral else 1.0)

    canvas, lungs = anatomy.draw(u, v, [f for f in findings if f.name == "Cardiomegaly"], rng)
    boxes = []
    for finding in findings:
        masks = _add_finding(canvas, finding, anatomy, lungs, u, v, rng)
        boxes.append([box for mask in masks if (box := _bounding_box(mask)) is not None])

    exposure, contrast = rng.uniform(-0.05, 0.05), rng.uniform(0.85, 1.1)
    canvas = 0.45 + (canvas - 0.45) * contrast + exposure
    canvas += _smooth_noise(rng, canvas.shape, 12) * 0.025
    canvas += 0.012 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return Phantom((np.clip(canvas, 0, 1) * 255).astype(np.uint8), boxes)


def _chest_frame(rng: np.random.Generator, width: int, height: int, squeeze: float) -> tuple[np.ndarray, np.ndarray]:
    """Chest coordinates of every pixel: scale, shift and rotation vary widely."""
    half = rng.uniform(0.36, 0.54) * width  # half-width of the chest in pixels
    slack_x, slack_y = width / 2 - 0.6 * half, height / 2 - 0.6 * half
    centre_x = width / 2 + rng.uniform(-1, 1) * max(slack_x, 0)
    centre_y = height / 2 + rng.uniform(-1, 1) * max(slack_y, 0)
    angle = np.deg2rad(rng.uniform(-14, 14))
    aspect = rng.uniform(0.88, 1.15)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - centre_x) / half * squeeze, (y - centre_y) / half / aspect
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (x * cos + y * sin).astype(np.float32), (y * cos - x * sin).astype(np.float32)


def _step(distance: np.ndarray, softness: float) -> np.ndarray:
    """0 to 1 as `distance` goes from negative to positive, over about `softness`."""
    return 0.5 + 0.5 * np.clip(distance / (1.5 * softness), -1, 1)


def _ellipse(u: np.ndarray, v: np.ndarray, cu: float, cv: float, ru: float, rv: float) -> np.ndarray:
    """Positive inside an ellipse, about the distance to its edge in chest units."""
    return (1 - np.sqrt(((u - cu) / ru) ** 2 + ((v - cv) / rv) ** 2)) * min(ru, rv)


def _squircle(u: np.ndarray, v: np.ndarray, cu: float, cv: float, ru: float, rv: float) -> np.ndarray:
    """Like `_ellipse` with the fourth power instead of the second: between an ellipse and a rectangle."""
    a, b = ((u - cu) / ru) ** 2, ((v - cv) / rv) ** 2
    return (1 - np.sqrt(np.sqrt(a * a + b * b))) * min(ru, rv)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Noise of unit scale with about `cells` bumps a side, by bilinear interpolation of a coarse grid."""
    coarse = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    y = np.linspace(0, cells, shape[0], endpoint=False, dtype=np.float32)[:, None]
    x = np.linspace(0, cells, shape[1], endpoint=False, dtype=np.float32)[None]
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = y - y0, x - x0
    top = coarse[y0, x0] * (1 - fx) + coarse[y0, x0 + 1] * fx
    bottom = coarse[y0 + 1, x0] * (1 - fx) + coarse[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def _bounding_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero((mask > BOX_LEVEL).any(1)), np.flatnonzero((mask > BOX_LEVEL).any(0))
    if len(rows) < 6 or len(columns) < 6:  # slivers at the border are no box a reader would draw
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


class _Anatomy:
    """One person's chest: shapes of lungs, heart, ribs and diaphragm."""

    def __init__(self, rng: np.random.Generator):
        self.lung_u = rng.uniform(0.40, 0.46)
        self.lung_width = rng.uniform(0.29, 0.34)
        self.lung_top = rng.uniform(-0.92, -0.78)
        self.dome = {"right": rng.uniform(0.42, 0.58), "left": rng.uniform(0.50, 0.66)}
        self.dome_curve = rng.uniform(0.9, 1.4)
        self.heart = (
            rng.uniform(0.10, 0.16),
            rng.uniform(0.24, 0.34),
            rng.uniform(0.29, 0.34),
            rng.uniform(0.26, 0.31),
        )
        self.rib_first, self.rib_gap = rng.uniform(-0.85, -0.78), rng.uniform(0.17, 0.20)
        self.rib_slope = rng.uniform(0.30, 0.5)
        self.stomach = rng.random() < 0.4
        self.density = rng.uniform(0.9, 1.1)

    def lung(self, side: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Soft mask of one lung, 0 to 1."""
        sign = SIDE_SIGN[side]
        middle = (self.lung_top + self.dome[side]) / 2
        height = (self.dome[side] - self.lung_top) / 2 + 0.12
        inside = _squircle(u, v, sign * self.lung_u, middle + 0.1, self.lung_width, height)
        above_dome = self.floor(side, u) - v
        return _step(np.minimum(inside, above_dome), 0.03)

    def floor(self, side: str, u: np.ndarray) -> np.ndarray:
        """Height v of the diaphragm's dome."""
        return self.dome[side] + np.minimum(self.dome_curve * (u - SIDE_SIGN[side] * (self.lung_u - 0.03)) ** 2, 0.16)

    def draw(self, u, v, cardiomegaly: list[Finding], rng) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Image without findings other than the heart's size, and the two lung masks."""
        trunk = _squircle(u, v, 0, 2.0, 1.05, 3.1)
        neck = 0.27 + 0.5 * np.clip(v + 1.15, 0, None) - np.abs(u)
        body = _step(np.maximum(trunk, neck), 0.04)
        lungs = {side: self.lung(side, u, v) for side in SIDE_SIGN}
        both = np.maximum(lungs["right"], lungs["left"])

        image = 0.02 + 0.5 * self.density * body
        image += 0.2 * body * _step(v - np.where(u < 0, self.floor("right", u), self.floor("left", u)), 0.03)
        if self.stomach:
            image -= 0.3 * _step(_ellipse(u, v, 0.42, self.dome["left"] + 0.2, 0.15, 0.09), 0.02)
        image = image * (1 - both) + (0.17 + 0.03 * _smooth_noise(rng, u.shape, 16)) * both
        image += 0.12 * body * _step(0.12 - np.abs(u), 0.03)
        image += 0.02 * body * _step(0.08 - np.abs(u), 0.02) * np.sin(v * 28)
        image += 0.10 * both * _step(_ellipse(u, v, -0.2, -0.02, 0.1, 0.2), 0.05)
        image += 0.10 * both * _step(_ellipse(u, v, 0.2, -0.06, 0.1, 0.2), 0.05)
        for i in range(9):
            arc = v - (self.rib_first + i * self.rib_gap + self.rib_slope * (np.abs(u) - 0.45) ** 2 * 3)
            ribs = _step(0.022 - np.abs(arc), 0.012) * _step(np.abs(u) - 0.12, 0.03) * _step(0.86 - np.abs(u), 0.03)
            image += 0.075 * ribs * body * (0.35 + 0.65 * both)
        clavicles = _step(0.028 - np.abs(v + 0.80 - 0.25 * np.abs(u)), 0.012) * _step(np.abs(u) - 0.1, 0.03)
        image += 0.13 * clavicles * _step(0.75 - np.abs(u), 0.03) * body

        heart = self.heart_mask(u, v, cardiomegaly)
        image = np.maximum(image, heart * (0.66 + 0.02 * _smooth_noise(rng, u.shape, 10)))
        aorta = _step(_ellipse(u, v, 0.13, -0.33, 0.11, 0.12), 0.02)
        return np.maximum(image, 0.55 * aorta), lungs

    def heart_mask(self, u, v, cardiomegaly: list[Finding]) -> np.ndarray:
        """Soft mask of the heart, enlarged by 1.4 to 1.75 with cardiomegaly."""
        cu, cv, ru, rv = self.heart
        grow = 1.4 + 0.175 * SIZES.index(cardiomegaly[0].size) if cardiomegaly else 1.0
        tilt = 0.45  # the apex points down and to the patient's left
        du, dv = (u - cu) * np.cos(tilt) + (v - cv) * np.sin(tilt), -(u - cu) * np.sin(tilt) + (v - cv) * np.cos(tilt)
        return _step(_ellipse(du, dv, 0, 0, ru * grow, 0.78 * rv * (1 + (grow - 1) * 0.75)), 0.03)


def _add_finding(canvas, finding: Finding, anatomy: _Anatomy, lungs, u, v, rng) -> list[np.ndarray]:
    """Draws the finding into `canvas` (in place) and returns one mask per side."""
    if finding.name == "Cardiomegaly":
        return [anatomy.heart_mask(u, v, [finding])]
    sides = ("right", "left") if finding.side == "bilateral" else (finding.side,)
    strength = 0.85 + 0.15 * SEVERITIES.index(finding.severity)
    masks = []
    for side in sides:
        masks.append(_DRAW[finding.name](canvas, finding, anatomy, lungs[side], side, strength, u, v, rng))
    return masks


def _region(
    finding: Finding, anatomy: _Anatomy, side: str, u, v, rng, scale: float = 1.0
) -> tuple[np.ndarray, float, float]:
    """Distance-like field of a roundish region in the finding's zone, and its centre."""
    radius = scale * (0.21 + 0.05 * SIZES.index(finding.size))
    floor = anatomy.dome[side]
    fraction = {"upper": 0.22, "mid": 0.5, "lower": 0.8}[finding.zone] + rng.uniform(-0.06, 0.06)
    cv = anatomy.lung_top + 0.1 + fraction * (floor - anatomy.lung_top - 0.15)
    cu = SIDE_SIGN[side] * (anatomy.lung_u + rng.uniform(-0.06, 0.06))
    return _ellipse(u, v, cu, cv, radius, radius * rng.uniform(0.85, 1.2)), cu, cv


def _consolidation(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """Dense and sharply bordered along a fissure, with a dark air bronchogram."""
    field, cu, cv = _region(finding, anatomy, side, u, v, rng, 1.1)
    tilt = rng.uniform(-0.3, 0.3)
    fissure = (v - cv) - tilt * (u - cu) + 0.12
    mask = _step(np.minimum(field, fissure), 0.015) * lung
    angle = rng.uniform(-0.6, 0.6)
    across = (u - cu) * np.cos(angle) + (v - cv) * np.sin(angle)
    bronchus = _step(0.028 - np.abs(across), 0.012)
    canvas += mask * (0.84 - 0.38 * bronchus - canvas) * min(strength, 0.95)
    return mask


def _lung_opacity(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """Hazy and soft-edged; ribs stay visible through it."""
    field, _, _ = _region(finding, anatomy, side, u, v, rng, 1.15)
    mask = _step(field, 0.09) * lung
    canvas += 0.55 * strength * mask * (0.9 - canvas)
    return mask


def _pneumonia(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """Patchy: a cluster of small bright nodules."""
    field, cu, cv = _region(finding, anatomy, side, u, v, rng, 1.15)
    mask = _step(field, 0.03) * lung
    nodules = np.zeros_like(u)
    spread = 0.18 + 0.05 * SIZES.index(finding.size)
    for _ in range(10 + 4 * SIZES.index(finding.size)):
        du, dv = rng.uniform(-1.2, 1.2, 2) * spread
        nodules = np.maximum(nodules, _step(_ellipse(u, v, cu + du, cv + dv, 0.062, 0.062), 0.02))
    canvas += strength * (0.55 * nodules + 0.06) * mask
    return mask


def _atelectasis(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """Plate-like: two or three thick oblique bands."""
    field, cu, cv = _region(finding, anatomy, side, u, v, rng, 1.0)
    angle = SIDE_SIGN[side] * rng.uniform(0.35, 0.7)
    along = (u - cu) * np.cos(angle) + (v - cv) * np.sin(angle)
    across = -(u - cu) * np.sin(angle) + (v - cv) * np.cos(angle)
    length = 0.22 + 0.05 * SIZES.index(finding.size)
    bands = np.zeros_like(u)
    offsets = (-0.13, 0.0, 0.13) if finding.size == "large" else (-0.075, 0.075)
    for offset in offsets:
        bands = np.maximum(bands, _step(np.minimum(0.040 - np.abs(across - offset), length - np.abs(along)), 0.012))
    bands *= lung
    canvas += 0.55 * strength * bands
    return bands


def _edema(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """Bat-wing haze around the hilum with fine radiating lines."""
    sign = SIDE_SIGN[side]
    size = 0.85 + 0.15 * SIZES.index(finding.size)
    wing = _step(_ellipse(u, v, sign * 0.36, -0.06, 0.30 * size, 0.42 * size), 0.05) * lung
    theta = np.arctan2(v + 0.04, u - sign * 0.12)
    lines = 0.5 + 0.5 * np.sin(theta * 18 + rng.uniform(0, 6))
    canvas += 1.2 * strength * wing * (0.16 + 0.22 * lines) * (1 - canvas)
    return wing


def _pleural_effusion(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """Fluid at the base with a meniscus that climbs laterally."""
    sign = SIDE_SIGN[side]
    depth = 0.20 + 0.16 * SIZES.index(finding.size)
    lateral = np.clip(sign * u - anatomy.lung_u + 0.1, 0, None)
    surface = anatomy.dome[side] - depth - 1.8 * lateral**2 + 0.12
    mask = _step(v - surface, 0.02) * lung
    canvas += mask * (0.74 - canvas) * min(strength, 0.95)
    return mask


def _pneumothorax(canvas, finding, anatomy, lung, side, strength, u, v, rng):
    """A black apical and lateral crescent without markings, bordered by a thin white pleural line."""
    sign = SIDE_SIGN[side]
    shift = 0.17 + 0.07 * SIZES.index(finding.size)
    collapsed = _ellipse(u, v, sign * (anatomy.lung_u - shift * 0.75), 0.14 + shift, anatomy.lung_width, 0.80)
    mask = _step(-collapsed, 0.012) * lung * _step(0.25 + shift - v, 0.05)
    line = _step(0.014 - np.abs(collapsed), 0.008) * lung * _step(0.25 + shift - v, 0.05)
    canvas += mask * (0.02 - canvas) * 0.92 + 0.45 * line
    return mask


_DRAW = {
    "Atelectasis": _atelectasis,
    "Consolidation": _consolidation,
    "Edema": _edema,
    "Lung Opacity": _lung_opacity,
    "Pleural Effusion": _pleural_effusion,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
}
