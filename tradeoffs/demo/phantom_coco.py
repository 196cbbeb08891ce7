"""Phantoms in the layout of MS-COCO 2017: one code path reads demo and real data.

Pictures of coloured, textured things that carry COCO class names. They show what the captioned scenes show that the
demo's base was pre-trained on, in another style: with a sky, occlusion, several things of a class and crowds, in
rectangular images, with five longer captions each.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_fill_holes
from skimage.measure import find_contours, label
from skimage.morphology import remove_small_objects
from tqdm import tqdm

from tradeoffs.data.coco_categories import COCO_CATEGORIES, query_words
from tradeoffs.demo.scenes import GROUNDS, LOOKS, draw_thing, shaded
from tradeoffs.randomness import numpy_rng

LARGEST_IMAGE_ID = 581_929
CAPTIONS = 5  # of an image
SIDES = 128, 200  # smallest and largest side of an image in pixels
SMALLEST_PART, SMALLEST_THING = 8, 40  # visible pixels; what is smaller is not annotated


IDS = {name: number for number, name in COCO_CATEGORIES.items()}
PLACES_IN_WORDS = {
    "grass": "on the grass",
    "sand": "on the sand",
    "snow": "in the snow",
    "water": "on the water",
    "road": "on a road",
    "night": "at night",
}
SKY = (0.62, 0.78, 0.92)


@dataclass(frozen=True)
class Seen:
    """A thing, or a crowd of things, and its visible pixels: bool (height, width)."""

    name: str
    mask: np.ndarray
    crowd: bool


@dataclass(frozen=True)
class Picture:
    """image: uint8 (height, width, 3), or (height, width) for a grey one; captions: the first names most classes."""

    image: np.ndarray
    seen: list[Seen]
    captions: list[str]


@dataclass(frozen=True)
class _Placed:
    """Things of one class: centres (n, 2) and radius in units of half the shorter side, from the image's centre."""

    name: str
    centres: np.ndarray
    radius: float
    crowd: bool


def write_phantom_coco(folder: str | Path, seed: int, train: int, val: int, workers: int = 1) -> dict[str, int]:
    """Writes `folder`/annotations, train2017 and val2017 as MS-COCO 2017 has them, with so many images.

    The same seed writes the same bytes, whatever the number of workers.
    Returns the number of images, objects and crowds.
    """
    folder = Path(folder)
    ids = numpy_rng(seed, "coco ids").permutation(LARGEST_IMAGE_ID) + 1
    written = {"images": 0, "objects": 0, "crowds": 0}
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for part, chosen in (("train2017", ids[:train]), ("val2017", ids[train:][:val])):
        (folder / part).mkdir(exist_ok=True)
        write = partial(_write_image, folder / part, seed)
        image_ids = np.sort(chosen).tolist()
        if workers > 1:
            with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
                rows = list(tqdm(pool.map(write, image_ids, chunksize=32), total=len(image_ids), desc=part))
        else:
            rows = [write(image_id) for image_id in tqdm(image_ids, desc=part)]
        images = [image for image, _, _ in rows]
        objects = [annotation for _, annotations, _ in rows for annotation in annotations]
        for number, annotation in enumerate((a for a in objects if not a["iscrowd"]), start=1):
            annotation["id"] = number
        captions = _caption_annotations(numpy_rng(seed, part, "captions"), image_ids, [texts for _, _, texts in rows])
        head = {"info": _INFO, "licenses": _LICENSES, "images": images}
        instances = head | {"annotations": sorted(objects, key=lambda a: a["id"]), "categories": _categories()}
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(instances))
        (folder / "annotations" / f"captions_{part}.json").write_text(json.dumps(head | {"annotations": captions}))
        written["images"] += len(images)
        written["objects"] += len(objects)
        written["crowds"] += sum(annotation["iscrowd"] for annotation in objects)
    return written


_INFO = {
    "description": "Phantoms in the layout of MS-COCO 2017",
    "url": "",
    "version": "1.0",
    "year": 2017,
    "contributor": "",
    "date_created": "2017/09/01",
}
_LICENSES = [{"url": "", "id": 1, "name": "Phantoms, free of rights"}]
_SUPERCATEGORIES = {  # by the largest class id
    1: "person",
    9: "vehicle",
    15: "outdoor",
    25: "animal",
    33: "accessory",
    43: "sports",
    51: "kitchen",
    61: "food",
    70: "furniture",
    77: "electronic",
    83: "appliance",
    90: "indoor",
}


def draw_picture(key: object) -> Picture:
    """One picture for a key: one to three classes, mostly in the central square, later things covering earlier ones.

    One class may have two or three things, or be a crowd. Sides measure `SIDES` pixels; one picture in 25 is grey.
    """
    rng = numpy_rng("coco picture", key)
    width, height = (int(side) for side in rng.integers(SIDES[0], SIDES[1] + 1, 2))
    half = min(width, height) / 2
    x, y = np.meshgrid(
        (np.arange(width) + 0.5 - width / 2).astype(np.float32) / half,
        (np.arange(height) + 0.5 - height / 2).astype(np.float32) / half,
    )
    ground = str(rng.choice(list(GROUNDS)))
    image = _background(rng, ground, x, y)
    owner = np.full((height, width), -1)  # number of the thing that is seen at a pixel
    groups, drawn = [], 0
    for group in _placed(rng, width / 2 / half, height / 2 / half):
        for number, (cx, cy) in enumerate(group.centres, start=drawn):
            draw_thing(rng, image, owner, number, LOOKS[group.name], (x, y), (cx, cy, group.radius, half))
        groups.append((group, range(drawn, drawn + len(group.centres))))
        drawn += len(group.centres)
    seen = []
    for group, numbers in groups:
        for things in [numbers] if group.crowd else [[number] for number in numbers]:
            mask = remove_small_objects(np.isin(owner, things), max_size=SMALLEST_PART - 1, connectivity=1)
            if mask.sum() >= SMALLEST_THING:
                seen.append(Seen(group.name, mask, group.crowd))
    grey = bool(rng.random() < 0.04)
    if grey:
        image = image @ np.array([0.3, 0.59, 0.11], np.float32)
    image = image + rng.normal(0, 0.015, image.shape)
    captions = [_caption(rng, seen, (x, y), ground, grey, first=i == 0) for i in range(CAPTIONS)]
    return Picture((np.clip(image, 0, 1) * 255).astype(np.uint8), seen, captions)


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines of a mask (bool, height x width) as COCO has them: one list x1, y1, x2, y2, ... for each part.

    Pixel i covers [i, i + 1). A part with a hole is cut through the hole, because a polygon has none.
    """
    left, top, width, height = _box(mask)
    outlines = []
    for part in _parts_without_holes(mask[top : top + height, left : left + width]):
        (contour,) = find_contours(np.pad(part, 1).astype(float), 0.5)
        points = contour[:-1, ::-1] + [left - 0.5, top - 0.5]  # less the padding, plus half a pixel
        turns = (points - np.roll(points, 1, axis=0) != np.roll(points, -1, axis=0) - points).any(axis=1)
        outlines.append(points[turns].ravel().tolist())
    return outlines


def run_lengths(mask: np.ndarray) -> dict:
    """COCO's uncompressed encoding of a mask: lengths of the runs of 0, 1, 0, ... down the columns."""
    pixels = mask.ravel(order="F")
    starts = np.flatnonzero(np.diff(pixels, prepend=False))
    return {"counts": np.diff(starts, prepend=0, append=pixels.size).tolist(), "size": list(mask.shape)}


def _box(mask: np.ndarray) -> list[int]:
    """Left, top, width and height."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def _parts_without_holes(mask: np.ndarray) -> Iterator[np.ndarray]:
    parts, count = label(mask, connectivity=1, return_num=True)
    for number in range(1, count + 1):
        part = parts == number
        holes = binary_fill_holes(part, structure=np.ones((3, 3))) & ~part
        if not holes.any():
            yield part
            continue
        hole_columns = np.flatnonzero(holes.any(axis=0))
        left = np.arange(mask.shape[1]) <= hole_columns[len(hole_columns) // 2]
        yield from _parts_without_holes(part & left)
        yield from _parts_without_holes(part & ~left)


def _background(rng: np.random.Generator, ground: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A shaded ground, half of the time with sky above it: float32 (height, width, 3)."""
    colours = np.broadcast_to(np.array(GROUNDS[ground], np.float32), (*x.shape, 3))
    if rng.random() < 0.5 and ground != "night":
        colours = np.where((y < rng.uniform(-0.6, 0.0))[..., None], np.array(SKY, np.float32), colours)
    return shaded(rng, colours, x, y)


def _placed(rng: np.random.Generator, right: float, bottom: float) -> list[_Placed]:
    """What stands where; of two draws the one whose classes overlap least, so that most stay visible.

    right, bottom: the image's borders in units of half its shorter side
    """
    names = rng.permutation(list(LOOKS))[: rng.choice([1, 2, 3], p=[0.2, 0.6, 0.2])]
    share = rng.random()
    crowd = bool(share < 0.04)
    number = int(rng.integers(8, 13)) if crowd else int(rng.integers(2, 4)) if share < 0.2 else 1
    best, least = [], np.inf
    for _ in range(2):
        groups = []
        for name, n in zip(names, [number] + [1] * (len(names) - 1), strict=True):
            inside = rng.random() < 0.88  # of the central square, which is what a model sees
            reach = (0.75, 0.75) if inside else (right - 0.25, bottom - 0.25)
            radius = rng.uniform(*((0.35, 0.70) if n == 1 else (0.28, 0.42) if n < 4 else (0.15, 0.22)))
            centres = np.clip(rng.uniform(-1, 1, 2) * reach + _offsets(rng, n) * radius, [-r for r in reach], reach)
            groups.append(_Placed(str(name), centres, radius, crowd=n > 3))
        overlap = sum(_overlap(a, b) for i, a in enumerate(groups) for b in groups[:i])
        if overlap < least:
            best, least = groups, overlap
    return [best[i] for i in rng.permutation(len(best))]


def _offsets(rng: np.random.Generator, n: int) -> np.ndarray:
    """Places of n things of a class around their common centre in units of their radius, (n, 2)."""
    if n == 1:
        return np.zeros((1, 2))
    if n > 3:
        return rng.normal(0, 1.5, (n, 2))
    direction = rng.uniform(-0.9, 0.9)
    row = (np.arange(n) - (n - 1) / 2)[:, None] * rng.uniform(1.5, 2.3)
    return row * [np.cos(direction), np.sin(direction)] + rng.normal(0, 0.2, (n, 2))


def _overlap(a: _Placed, b: _Placed) -> float:
    distances = np.linalg.norm(a.centres[:, None] - b.centres[None], axis=-1)
    return float(np.maximum(0, a.radius + b.radius - distances).sum())


def _caption(
    rng: np.random.Generator,
    seen: list[Seen],
    grid: tuple[np.ndarray, np.ndarray],
    ground: str,
    grey: bool,
    first: bool,
) -> str:
    """A sentence that names the classes that are seen, or some of them; the first caption leaves out at most one."""
    names = [str(name) for name in rng.permutation(sorted({thing.name for thing in seen}))]
    if len(names) > 2 and rng.random() < (0.15 if first else 0.5):
        names = names[: -1 if first else -int(rng.integers(1, len(names) - 1))]
    phrases = [_noun_phrase(rng, [thing for thing in seen if thing.name == name], grid) for name in names]
    leading = [thing for thing in seen if thing.name == names[0]]
    several = len(leading) > 1 or leading[0].crowd
    openings = ["", "", "", "A picture of ", "A photo of ", "There are " if several else "There is "]
    opening = str(rng.choice(["A black and white photo of ", "A grey picture of "] if grey else openings))
    if len(phrases) > 2:
        text = ", ".join(phrases[:-1]) + " and " + phrases[-1]
    else:
        text = str(rng.choice([" and ", " and ", " next to ", " near ", " with "])).join(phrases)
    ending = f" {PLACES_IN_WORDS[ground]}" if rng.random() < 0.35 else ""
    sentence = opening + text + ending
    return sentence[0].upper() + sentence[1:] + ("." if rng.random() < 0.8 else "")


def _noun_phrase(rng: np.random.Generator, things: list[Seen], grid: tuple[np.ndarray, np.ndarray]) -> str:
    """The things of a class in words: "a small teddy bear on the left", "three zebras", "a crowd of people"."""
    name, n = things[0].name, len(things)
    plural = query_words(name)[1] if len(query_words(name)) > 1 else name
    mask = np.any([thing.mask for thing in things], axis=0)
    cx, cy = (float(values[mask].mean()) for values in grid)
    if things[0].crowd:
        many = "a crowd of" if name == "person" else "many"
        phrase = f"{rng.choice(['a group of', 'lots of', many])} {plural}"
    elif n > 1:
        phrase = f"{rng.choice({2: ['two', 'two', 'a couple of'], 3: ['three', 'three', 'several']}[n])} {plural}"
    else:
        extent = np.sqrt(mask.sum()) / min(mask.shape)
        size = "small" if extent < 0.2 else "large" if extent > 0.35 else ""
        words = f"{size} {name}".strip() if rng.random() < 0.3 else name
        phrase = f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
    sides = {" on the left": cx < -0.3, " on the right": cx > 0.3, " at the top": cy < -0.4, " at the bottom": cy > 0.4}
    true = [side for side, holds in sides.items() if holds]
    return phrase + (str(rng.choice(true)) if true and rng.random() < 0.25 else "")


def _write_image(folder: Path, seed: int, image_id: int) -> tuple[dict, list[dict], list[str]]:
    """Writes an image; returns its entry, its annotations (ids of other than crowds still to come) and captions."""
    picture = draw_picture((seed, image_id))
    file_name = f"{image_id:012d}.jpg"
    Image.fromarray(picture.image).save(folder / file_name, quality=92)
    height, width = picture.image.shape[:2]
    entry = {
        "license": 1,
        "file_name": file_name,
        "coco_url": "",
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": "",
        "id": image_id,
    }
    return entry, [_annotation(thing, image_id) for thing in picture.seen], picture.captions


def _annotation(thing: Seen, image_id: int) -> dict:
    category = IDS[thing.name]
    return {
        "segmentation": run_lengths(thing.mask) if thing.crowd else polygons(thing.mask),
        "area": int(thing.mask.sum()),
        "iscrowd": int(thing.crowd),
        "image_id": image_id,
        "bbox": _box(thing.mask),
        "category_id": category,
        "id": 900_000_000_000 + category * 100_000_000 + image_id,  # COCO's numbers of crowds
    }


def _caption_annotations(rng: np.random.Generator, image_ids: list[int], texts: list[list[str]]) -> list[dict]:
    """As in COCO, ids do not follow the images; an image's captions keep their order."""
    ids = np.sort(rng.permutation(len(image_ids) * CAPTIONS).reshape(-1, CAPTIONS) + 1, axis=1)
    entries = [
        {"image_id": image_id, "id": int(number), "caption": text}
        for image_id, numbers, captions in zip(image_ids, ids, texts, strict=True)
        for number, text in zip(numbers, captions, strict=True)
    ]
    return sorted(entries, key=lambda entry: entry["id"])


def _categories() -> list[dict]:
    last = np.array(list(_SUPERCATEGORIES))
    return [
        {"supercategory": _SUPERCATEGORIES[int(last[np.searchsorted(last, number)])], "id": number, "name": name}
        for number, name in COCO_CATEGORIES.items()
    ]
