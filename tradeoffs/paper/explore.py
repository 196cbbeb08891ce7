"""The explore page: heat maps of test images of every variant side by side, to choose, sort and compare in a browser.

One HTML file that needs nothing beside it. Images and maps take the most; what they may take is bounded, and samples
that do not fit are left out, category by category in turn, which the page says.
"""

import base64
import io
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import colormaps
from PIL import Image

from tradeoffs.attention.views import TokenViews, View
from tradeoffs.evaluation.localisation import Sample, words_of_samples
from tradeoffs.evaluation.queries import Excluded, token_weights
from tradeoffs.metrics import METRICS
from tradeoffs.paper.formatting import readable
from tradeoffs.paper.pictures import picture
from tradeoffs.paper.style import HEAT
from tradeoffs.protocols import Protocol

TEMPLATE = "explore.html.j2"
BUDGET = 23_000_000  # bytes of a page's samples; the page itself takes some kB more
LARGEST = 256  # pixels of an image's side; what is larger is reduced
SHOWN = ("auc_roc", "specificity", "wrong_word_auc", "wrong_prompt_auc", "bare_auc", "top1", "cnr", "iou")


@dataclass(frozen=True)
class DataSet:
    """What the page shows of one data set.

    samples: in the order of the test set; paths: image file of each sample_id
    scores: rows of localisation.csv of the variants and of the location prior, of one text and protocol, ids as text
    views: per variant, its maps by the sample's id
    """

    title: str
    text: str
    samples: Sequence[Sample]
    paths: Mapping[str, str]
    scores: pd.DataFrame
    views: Mapping[str, Mapping[str, TokenViews]]


def render(demo: bool, sets: Sequence[DataSet], protocol: Protocol, budget: int = BUDGET) -> str:
    """The page as HTML. demo: whether the data are phantoms; else it says that it was made from credentialed data

    budget: bytes that the samples of all data sets may take together, shared evenly
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    data = {
        "colours": _base64(np.round(255 * colormaps[HEAT](np.arange(256))[:, :3]).astype(np.uint8).tobytes()),
        "metrics": [{"name": name, "title": METRICS[name].heading} for name in SHOWN],
        "sets": [_content(one, protocol, budget // len(sets)) for one in sets],
    }
    # nothing in it may look like the end of its script element
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return environment.get_template(TEMPLATE).render(demo=demo, data=text)


def _content(data: DataSet, protocol: Protocol, budget: int) -> dict[str, Any]:
    words = words_of_samples(list(data.samples), data.text, protocol)
    scores = data.scores.set_index(["variant", "id", "category"]).sort_index()
    samples, spent = {}, 0
    for place in _in_turn(data.samples):
        sample = data.samples[place]
        content = _sample(sample, data, scores, words[sample.id, sample.category], protocol)
        spent += len(json.dumps(content))
        if spent > budget:
            break
        samples[place] = content
    return {
        "title": data.title,
        "text": data.text,
        "of": len(data.samples),
        "variants": [{"name": name, "title": readable(name)} for name in data.views],
        "samples": [samples[place] for place in sorted(samples)],
    }


def _in_turn(samples: Sequence[Sample]) -> Iterator[int]:
    """Places of the samples: the first of each category, then the second of each, and so on."""
    seen: dict[str, int] = defaultdict(int)
    turns = []
    for place, sample in enumerate(samples):
        turns.append((seen[sample.category], place))
        seen[sample.category] += 1
    return (place for _, place in sorted(turns))


def _sample(
    sample: Sample, data: DataSet, scores: pd.DataFrame, words: Sequence[str], protocol: Protocol
) -> dict[str, Any]:
    resolution = sample.geometry.resolution
    size = (min(resolution, LARGEST),) * 2
    image = Image.fromarray(np.round(255 * picture(data.paths[sample.sample_id], resolution)).astype(np.uint8))
    outline = Image.fromarray(sample.mask(protocol))
    return {
        "id": sample.id,
        "category": sample.category,
        "text": sample.text,
        "image": _uri(image.resize(size), "jpeg", quality=85),
        "mask": _uri(outline.resize(size), "png"),
        "prior": _scores(scores, "location_prior", sample),
        "models": [
            _scores(scores, variant, sample) | _maps(maps.get(sample.id), words, protocol)
            for variant, maps in data.views.items()
        ],
    }


def _scores(scores: pd.DataFrame, variant: str, sample: Sample) -> dict[str, Any]:
    """A model's scores of a sample, in the order of SHOWN, null where there is none; or why it has none."""
    key = (variant, sample.id, sample.category)
    if key not in scores.index:
        return {"scores": [None] * len(SHOWN), "excluded": "not scored"}
    row = scores.loc[key]
    numbers = [None if pd.isna(row[name]) else round(float(row[name]), 4) for name in SHOWN]
    return {"scores": numbers, "excluded": "" if pd.isna(row["excluded"]) else row["excluded"]}


def _maps(views: TokenViews | None, words: Sequence[str], protocol: Protocol) -> dict[str, Any]:
    """The maps of a model on a sample: of the query words, then of each token, in each view, packed into `maps`.

    weights: how much each token counts in the query's map
    """
    if views is None:
        return {"tokens": [], "weights": [], "views": [], "maps": ""}
    try:
        weights, _ = token_weights(views.tokens, words, protocol)
    except Excluded:
        weights = np.zeros(len(views.tokens.tokens))
    packed = b"".join(_packed(view, weights) for view in views.views)
    return {
        "tokens": [*views.tokens.tokens, *views.others],
        "weights": [round(float(weight), 3) for weight in weights],
        "views": [{"name": view.name, "kind": view.kind, "size": list(view.maps.shape[1:])} for view in views.views],
        "maps": _base64(zlib.compress(packed, 9)),
    }


def _packed(view: View, weights: np.ndarray) -> bytes:
    """The query's map and each token's, from its lowest to its highest value as 0 to 255, (1 + k) * h * w bytes."""
    query = np.tensordot(weights, view.maps[: len(weights)], axes=1)
    maps = np.concatenate([query[None], view.maps]).astype(float)
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return np.round(255 * (maps - low) / np.where(high > low, high - low, 1)).astype(np.uint8).tobytes()


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{_base64(buffer.getvalue())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
