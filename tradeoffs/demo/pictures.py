"""The captioned pictures that the demo's base sees: generic scenes, radiographs as the web shows them, phantoms."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.data.images import central_square
from tradeoffs.demo.phantom_reports import BY_SEVERITY, impression, phrase
from tradeoffs.demo.phantoms import Finding, draw_findings, render
from tradeoffs.demo.scenes import draw_scene
from tradeoffs.randomness import numpy_rng

RESOLUTION = 128
PLAIN_CHEST_CAPTIONS = (
    "chest x-ray",
    "a normal chest x-ray",
    "an x-ray picture of a healthy chest",
    "radiograph of normal lungs",
)
WEB_NAMES = {
    "Atelectasis": ("atelectasis",),
    "Cardiomegaly": ("cardiomegaly", "an enlarged heart"),
    "Consolidation": ("consolidation", "lung consolidation"),
    "Edema": ("edema", "pulmonary edema"),
    "Lung Opacity": ("opacity", "lung opacity"),
    "Pleural Effusion": ("pleural effusion", "effusion"),
    "Pneumonia": ("pneumonia",),
    "Pneumothorax": ("pneumothorax",),
}
UNZONED = ("Edema", "Pleural Effusion", "Pneumothorax")  # their place in the lung is their own
WEB_OPENINGS = ("x-ray of a chest with {}", "chest x-ray showing {}", "radiograph of {}", "xray: {}", "lungs with {}")


@dataclass(frozen=True)
class Pictures:
    """images: uint8 tensor (n, 3, RESOLUTION, RESOLUTION); captions: n texts."""

    images: torch.Tensor
    captions: list[str]


def draw_pictures(kind: str, seed: int, count: int, workers: int) -> Pictures:
    """`count` pictures of a kind: "scene" (generic things), "web chest" or "web findings" (radiographs as the web shows
    them, without and with findings), or "phantom" (phantoms as the demo's data, for the autoencoder, which sees no
    text)."""
    draw = {"scene": _scene, "web chest": _web_chest, "web findings": _web_findings, "phantom": _phantom}[kind]
    keys = [(kind, seed, i) for i in range(count)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        drawn = list(tqdm(pool.map(draw, keys, chunksize=64), total=count, desc=f"drawing {kind}"))
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).contiguous()
    return Pictures(images, [caption for _, caption in drawn])


def _scene(key: tuple) -> tuple[np.ndarray, str]:
    image, caption, _ = draw_scene(key, RESOLUTION)
    return image, caption


def _web_chest(key: tuple) -> tuple[np.ndarray, str]:
    rng = numpy_rng("web", *key)
    return _web_look(rng, _central_square(render([], key, key).image)), str(rng.choice(PLAIN_CHEST_CAPTIONS))


def _web_findings(key: tuple) -> tuple[np.ndarray, str]:
    rng = numpy_rng("web", *key)
    names = [str(name) for name in rng.permutation(MSCXR_FINDINGS)[: rng.choice([1, 2], p=[0.6, 0.4])]]
    findings = draw_findings(rng, names)
    phantom = render(findings, key, key)
    seen = [finding for finding, boxes in zip(findings, phantom.boxes, strict=True) if boxes]
    text = " and ".join(_web_words(rng, finding) for finding in seen)
    caption = str(rng.choice(WEB_OPENINGS)).format(text) if seen else str(rng.choice(PLAIN_CHEST_CAPTIONS))
    return _web_look(rng, _central_square(phantom.image)), caption


def _web_words(rng: np.random.Generator, finding: Finding) -> str:
    """A finding in plain words, often with its side, now and then with its place and extent.

    The side stands before or after the finding's name: a causal text encoder knows at a word only what stands before.
    """
    words, side = str(rng.choice(WEB_NAMES[finding.name])), finding.side
    if side in ("left", "right"):
        zone = f"{finding.zone} " if rng.random() < 0.3 and finding.name not in UNZONED else ""
        after = (f"{words} on the {side}", f"{words} in the {side} {zone}lung")
        words = _one_of(rng, words, *after, f"{side} {words}", f"{side}-sided {words}")
    elif side == "bilateral":
        words = _one_of(rng, words, f"{words} on both sides", f"bilateral {words}")
    extent = finding.severity if finding.name in BY_SEVERITY else finding.size
    return f"{extent} {words}" if rng.random() < 0.3 and not words.startswith("an ") else words


def _one_of(rng: np.random.Generator, *texts: str) -> str:
    # rng.choice takes other random bits: it would draw other pictures than those that the base has seen
    return texts[int(rng.random() * len(texts))]


def _web_look(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A radiograph as pages show them: other brightness and contrast, tinted, often in a frame, often coarse."""
    pixels = (image / 255.0) ** rng.uniform(0.6, 1.5) * rng.uniform(0.7, 1.0)
    if rng.random() < 0.6:
        pixels = pixels * rng.choice([(0.75, 0.9, 1.0), (1.0, 0.9, 0.7), (0.8, 1.0, 0.85)])
    pixels = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.5:
        side = int(rng.integers(RESOLUTION // 2, RESOLUTION))
        coarse = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        pixels = np.asarray(coarse.resize((RESOLUTION, RESOLUTION), Image.Resampling.BILINEAR)).copy()
    if rng.random() < 0.5:
        width, grey = int(rng.integers(2, 9)), int(rng.integers(0, 256))
        pixels[:width] = pixels[-width:] = pixels[:, :width] = pixels[:, -width:] = grey
    return pixels


def _phantom(key: tuple) -> tuple[np.ndarray, str]:
    rng = numpy_rng("findings", *key)
    names = [str(name) for name in rng.permutation(MSCXR_FINDINGS)[: rng.integers(0, 3)]]
    findings = draw_findings(rng, names)
    text, _ = impression([phrase(finding, rng) for finding in findings], names, rng)
    return _central_square(render(findings, key, key).image), text


def _central_square(image: np.ndarray) -> np.ndarray:
    return np.asarray(central_square(Image.fromarray(image).convert("RGB"), RESOLUTION))
