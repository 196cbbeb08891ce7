"""Heat maps to look at one by one: each token's, start, end and padding too, by layer and by diffusion time."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from tradeoffs.attention.capture import TextOnImage, attention_of_layers
from tradeoffs.attention.views import ALL, View, small
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.text import Tokens, tokenize
from tradeoffs.model.timesteps import evenly_spaced_steps

MOST_TIMES = 8  # views by time; neighbouring times are averaged where there are more


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
        views = [View(ALL, "mean", small(sum(of_times.values()) / (len(times) * len(of_layers))))]
        views += [View(name, "layer", small(maps)) for name, maps in of_layers.items()]
        views += [
            View(_name_of(group), "time", small(of_times[g] / (len(group) * len(of_layers))))
            for g, group in enumerate(groups)
        ]
        yield one.id, others, tuple(views)


def _add(sums: dict, key: str | int, maps: torch.Tensor) -> None:
    sums[key] = sums[key] + maps if key in sums else maps


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


def _name_of(times: Sequence[int]) -> str:
    return f"t = {times[0]}" if len(times) == 1 else f"t = {min(times)} to {max(times)}"
