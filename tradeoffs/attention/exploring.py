"""Heat maps to look at one by one: each token's, start, end and padding too, by layer and by diffusion time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from tradeoffs.attention.capture import TextOnImage, attention_of_layers
from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_NPZ, atomic_path
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.text import Tokens, tokenize
from tradeoffs.model.timesteps import evenly_spaced_steps

ALL = "all layers and times"
LARGEST = 32  # latent pixels of a view's side; what is larger is averaged down to it
MOST_TIMES = 8  # views by time; neighbouring times are averaged where there are more


@dataclass(frozen=True)
class View:
    """One way to average. kind: mean, layer or time; maps: float (k, h, w), one map a token"""

    name: str
    kind: str
    maps: np.ndarray


@dataclass(frozen=True)
class TokenViews:
    """All views of one text on one image. tokens: those of the text, with their mean maps; others: names of the tokens
    (start, end, padding) whose maps follow theirs in each view"""

    tokens: TokenHeatMaps
    others: tuple[str, ...]
    views: tuple[View, ...]


def from_heat_maps(maps: TokenHeatMaps) -> TokenViews:
    """The one view that a file of heat maps holds, the mean over layers and times; it does not keep the maps alive."""
    small = _small(torch.from_numpy(maps.heat))
    return TokenViews(replace(maps, heat=small), (), (View(ALL, "mean", small),))


def token_views(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    seed: int,
    steps: int,
    keep: int,
    batch_size: int,
    precision: str = "fp32",
) -> Iterator[tuple[str, tuple[str, ...], tuple[View, ...]]]:
    """Yields each text's id, the tokens besides its own (of padding the mean map) and its views.

    Passes, noise, steps and precision are those of `capture.token_heat_maps`, whose means the first view holds.
    """
    times = evenly_spaced_steps(model.schedule.config.num_train_timesteps, steps)[-keep:]
    groups = [group.tolist() for group in np.array_split(times, min(MOST_TIMES, len(times)))]
    group_of = {time: g for g, group in enumerate(groups) for time in group}
    columns = [_columns(tokenize(model.tokenizer, one.text)) for one in texts_on_images]
    size = tuple(texts_on_images[0].latent.shape[1:]) if texts_on_images else (1, 1)
    layers: list[dict[str, torch.Tensor]] = [{} for _ in texts_on_images]
    at_times: list[dict[int, torch.Tensor]] = [{} for _ in texts_on_images]
    stream = attention_of_layers(model, texts_on_images, times, seed, batch_size, precision)
    for row, time, name, probabilities, shape in stream:
        maps = (probabilities @ columns[row][0]).T.unflatten(1, shape)
        _add(layers[row], name, maps / len(times))
        _add(at_times[row], group_of[time], interpolate(maps[None], size=size, mode="nearest")[0])
    for one, (_, others), of_layers, of_times in zip(texts_on_images, columns, layers, at_times, strict=True):
        views = [View(ALL, "mean", _small(sum(of_times.values()) / (len(times) * len(of_layers))))]
        views += [View(name, "layer", _small(maps)) for name, maps in of_layers.items()]
        views += [
            View(_name_of(group), "time", _small(of_times[g] / (len(group) * len(of_layers))))
            for g, group in enumerate(groups)
        ]
        yield one.id, others, tuple(views)


def _add(sums: dict, key: str | int, maps: torch.Tensor) -> None:
    sums[key] = sums[key] + maps if key in sums else maps


def save_views(path: str | Path, views: Iterable[tuple[str, tuple[str, ...], tuple[View, ...]]]) -> None:
    """Writes what `token_views` yields: `id`, `others` and `count` (maps in a view) one entry a text, `name` and `kind`
    one a view, and `view_<number>`, the maps of all texts in float16."""
    ids, others, of_texts = zip(*views, strict=True) if (views := list(views)) else ((), (), ())
    first = of_texts[0] if of_texts else ()
    maps: dict[str, Any] = {
        f"view_{k}": np.concatenate([of_text[k].maps for of_text in of_texts]).astype(np.float16)
        for k in range(len(first))
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            id=np.array(ids, dtype=np.str_),
            others=np.array([" ".join(names) for names in others], dtype=np.str_),
            count=np.array([len(of_text[0].maps) for of_text in of_texts], dtype=np.int64),
            name=np.array([view.name for view in first], dtype=np.str_),
            kind=np.array([view.kind for view in first], dtype=np.str_),
            **maps,
        )


def load_views(path: str | Path, maps: Mapping[str, TokenHeatMaps]) -> dict[str, TokenViews]:
    """The views of each of the maps, by id; of a text that the file lacks only its mean maps.

    Raises InputError if it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            data = dict(stored)
            described = list(zip(data["name"].tolist(), data["kind"].tolist(), strict=True))
            ends = np.cumsum(data["count"])
    except UNREADABLE_NPZ as error:
        raise InputError(f"{path}: not a file of maps to explore ({error}); delete it and run again") from error
    found = {name: from_heat_maps(own) for name, own in maps.items()}
    for name, others, count, end in zip(data["id"].tolist(), data["others"].tolist(), data["count"], ends, strict=True):
        views = [View(*about, data[f"view_{k}"][end - count : end]) for k, about in enumerate(described)]
        found[name] = TokenViews(found[name].tokens, tuple(others.split()), tuple(views))
    return found


def _columns(tokens: Tokens) -> tuple[torch.Tensor, tuple[str, ...]]:
    """From the context's L positions to maps, float (L, k): each token of the text, then the others, as far as there
    are any; and the others' names."""
    places = np.arange(len(tokens.ids))
    attended = tokens.mask.numpy() == 1
    first, last = min(tokens.positions, default=1), max(tokens.positions, default=0)
    others = {"start": places[places < first], "end": places[attended & (places > last)], "padding": places[~attended]}
    others = {name: where for name, where in others.items() if len(where)}
    groups = [[place] for place in tokens.positions] + list(others.values())
    columns = torch.zeros(len(places), len(groups))
    for k, where in enumerate(groups):
        columns[where, k] = 1 / len(where)
    return columns, tuple(others)


def _small(maps: torch.Tensor) -> np.ndarray:
    height, width = maps.shape[1:]
    return adaptive_avg_pool2d(maps, (min(height, LARGEST), min(width, LARGEST))).numpy()


def _name_of(times: Sequence[int]) -> str:
    return f"t = {times[0]}" if len(times) == 1 else f"t = {min(times)} to {max(times)}"
