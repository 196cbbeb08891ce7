"""Cross-attention capture, and token heat maps on real images by streaming sums.

The paper's heat maps come from an in-painting run whose mask is all ones: at every step the latent is replaced by a
noised version of the real image's latent. So nothing flows from one step to the next. A step is one U-Net pass on
x_t = sqrt(abar_t) z0 + sqrt(1 - abar_t) eps, the steps that are averaged away need not run, and (image, step) pairs
can be batched freely. Only running sums are kept, so memory grows neither with steps nor with layers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch.nn import functional

from tradeoffs.attention.heat_maps import TokenHeatMaps
from tradeoffs.jobs.devices import autocast
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.padding import PaddingMasked, attended
from tradeoffs.model.text import CachedTextEncoder, Tokens, tokenize
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.progress import Progress
from tradeoffs.randomness import normal


class AttentionSums:
    """Per-token sums of cross-attention probabilities over layers and steps, for a group of images.

    Layers of one resolution share a sum, so that each is brought to latent size only once.
    """

    def __init__(self, images: int, tokens: int, size: tuple[int, int]):
        self.images, self.tokens, self.size = images, tokens, size
        self.sums: dict[int, torch.Tensor] = {}
        self.rows = torch.empty(0, dtype=torch.long)  # which image of the group each row of the current batch is

    def add(self, layer: str, probabilities: torch.Tensor) -> None:
        """Adds one layer's probabilities, float32 (batch, heads, h*w, L)."""
        maps = probabilities[..., : self.tokens].mean(1)
        if maps.shape[1] not in self.sums:
            self.sums[maps.shape[1]] = maps.new_zeros(self.images, *maps.shape[1:])
        self.sums[maps.shape[1]].index_add_(0, self.rows.to(maps.device), maps)

    def mean(self, layers: int, steps: int) -> torch.Tensor:
        """Mean over layers and steps, each with equal weight: (images, tokens, H, W), by nearest repetition."""
        height, width = self.size
        total = torch.zeros(self.images, self.tokens, height, width)
        for pixels, maps in self.sums.items():
            maps = maps.transpose(1, 2).unflatten(2, map_size(pixels, self.size)).cpu()
            total += functional.interpolate(maps, size=self.size, mode="nearest")
        return total / (layers * steps)


class _Recorder:
    """Attention processor that hands on its softmax, taken in float32 (docs/differences.md, row 14)."""

    def __init__(self, layer: str, record: Callable[[str, torch.Tensor], None], padding_masked: bool):
        self.layer, self.record, self.padding_masked = layer, record, padding_masked

    def __call__(self, attn: Attention, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        heads = (attn.heads, -1)
        query = attn.to_q(hidden_states).unflatten(-1, heads).transpose(1, 2)
        key = attn.to_k(encoder_hidden_states).unflatten(-1, heads).permute(0, 2, 3, 1)
        value = attn.to_v(encoder_hidden_states).unflatten(-1, heads).transpose(1, 2)
        with torch.autocast(query.device.type, enabled=False):
            scores = query.float() @ key.float() * attn.scale
            if self.padding_masked:
                scores = scores.masked_fill(~attended(encoder_hidden_states)[:, None, None], -torch.inf)
            probabilities = scores.softmax(-1)
        self.record(self.layer, probabilities)
        values = (probabilities.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](values)) / attn.rescale_output_factor


def cross_attention_layers(unet: UNet2DConditionModel) -> list[str]:
    """Names of the U-Net's cross-attention processors."""
    return [name for name in unet.attn_processors if ".attn2." in name]


@contextmanager
def captured_cross_attention(unet: UNet2DConditionModel, record: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """Within the block, `record` gets each cross-attention layer's name and probabilities, float32 (batch, heads, h*w,
    L); the U-Net is as before afterwards."""
    before = unet.attn_processors
    recorders = {
        name: _Recorder(name, record, isinstance(before[name], PaddingMasked)) for name in cross_attention_layers(unet)
    }
    unet.set_attn_processor(before | recorders)
    try:
        yield
    finally:
        unet.set_attn_processor(before)


@dataclass(frozen=True)
class TextOnImage:
    """A text on an image: `id` names it, `sample_id` the image (and with it the noise), `latent` is z0 (c, h, w).

    names: places of the findings' names that were put into the text, or none
    """

    id: str
    sample_id: str
    text: str
    latent: torch.Tensor
    names: Sequence[tuple[int, int]] = ()


def texts_at_once(keep: int, batch_size: int) -> int:
    """How many texts share U-Net passes, given steps per text and (image, step) pairs per pass."""
    return max(1, batch_size // keep)


@torch.no_grad()
def token_heat_maps(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    seed: int,
    steps: int,
    keep: int,
    batch_size: int,
    precision: str = "fp32",
) -> Iterator[TokenHeatMaps]:
    """Yields the heat maps of every token of each text on its image (original: `compute_masks`, as a running
    mean), in order.

    batch_size: (image, step) pairs per U-Net pass. Noise depends on (seed, sample id, step) only (row 1). Each
    `texts_at_once` texts are computed together, so the same group gives the same bits.
    precision: of autocast, fp32, fp16 or bf16, for the text encoder too, as in fine-tuning; probabilities and sums are
    float32 (row 14)
    Raises InputError if the device does not have it.
    """
    times = evenly_spaced_steps(model.schedule.config.num_train_timesteps, steps)[-keep:]
    encoder = CachedTextEncoder(*model.text_side)
    group_size = texts_at_once(keep, batch_size)
    progress = Progress(total=len(texts_on_images) * keep, desc="heat maps", unit="step")
    for start in range(0, len(texts_on_images), group_size):
        group = texts_on_images[start : start + group_size]
        tokens = [tokenize(model.tokenizer, one.text) for one in group]
        context = context_of(encoder, [one.text for one in group], precision)
        columns = max((t.positions[-1] + 1 for t in tokens if t.positions), default=1)
        sums = AttentionSums(len(group), columns, tuple(group[0].latent.shape[1:]))
        pairs = [(row, time) for row in range(len(group)) for time in times]
        with captured_cross_attention(model.unet, sums.add):
            for first in range(0, len(pairs), batch_size):
                batch = pairs[first : first + batch_size]
                sums.rows = torch.tensor([row for row, _ in batch])
                of_batch = [(group[row], time) for row, time in batch]
                _forward(model, of_batch, context[sums.rows.to(context.device)], seed, precision)
                progress.update(len(batch))
        heat = sums.mean(len(cross_attention_layers(model.unet)), len(times))
        for one, of_one, maps in zip(group, tokens, heat, strict=True):
            yield token_maps(one.id, one.text, of_one, maps, one.names)
    progress.close()


@torch.no_grad()
def layer_maps(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    weights: Sequence[np.ndarray],
    seed: int,
    steps: int,
    batch_size: int,
    precision: str = "fp32",
) -> Iterator[tuple[int, int, str, np.ndarray]]:
    """Each layer's map of each text at each of `steps` evenly spaced time steps, before any mean over them.

    weights: for each text, how much each token of its text counts, (k,) with sum 1
    Yields the text's place in `texts_on_images`, the time, the layer's name and its map (h, w) at the layer's own size.
    Queries, noise, steps and precision are those of `token_heat_maps`.
    """
    times = evenly_spaced_steps(model.schedule.config.num_train_timesteps, steps)[-steps:]
    columns = np.zeros((len(texts_on_images), model.tokenizer.model_max_length), np.float32)
    for row, (one, of_tokens) in enumerate(zip(texts_on_images, weights, strict=True)):
        columns[row, tokenize(model.tokenizer, one.text).positions] = of_tokens
    for row, time, name, of_image, size in attention_of_layers(
        model, texts_on_images, times, seed, batch_size, precision
    ):
        yield row, time, name, (of_image @ torch.from_numpy(columns[row])).view(size).numpy()


@torch.no_grad()
def attention_of_layers(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    times: Sequence[int],
    seed: int,
    batch_size: int,
    precision: str,
) -> Iterator[tuple[int, int, str, torch.Tensor, tuple[int, int]]]:
    """Yields, for each text, time and layer: the text's place in `texts_on_images`, the time, the layer's name, the
    probabilities (h * w, L) as the mean over heads, on the CPU, and (h, w). Parameters: see `token_heat_maps`"""
    encoder = CachedTextEncoder(*model.text_side)
    pairs = [(row, time) for row in range(len(texts_on_images)) for time in times]
    for first in Progress(range(0, len(pairs), batch_size), desc="layer maps", unit="batch"):
        batch = pairs[first : first + batch_size]
        layers: dict[str, torch.Tensor] = {}

        def keep(name: str, probabilities: torch.Tensor, layers: dict[str, torch.Tensor] = layers) -> None:
            layers[name] = probabilities.mean(1)

        with captured_cross_attention(model.unet, keep):
            context = context_of(encoder, [texts_on_images[row].text for row, _ in batch], precision)
            _forward(model, [(texts_on_images[row], time) for row, time in batch], context, seed, precision)
        for name, probabilities in layers.items():
            size = map_size(probabilities.shape[1], texts_on_images[0].latent.shape[1:])
            for (row, time), of_image in zip(batch, probabilities.cpu(), strict=True):
                yield row, time, name, of_image, size


def map_size(pixels: int, latent: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a layer with so many pixels: the latent's, halved (rounding up) some times."""
    height, width = latent
    while height * width > pixels:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def context_of(encoder: CachedTextEncoder, texts: Sequence[str], precision: str) -> torch.Tensor:
    with autocast("heat_maps.precision", precision):
        return encoder(texts)


def _forward(
    model: LatentDiffusion, pairs: Sequence[tuple[TextOnImage, int]], context: torch.Tensor, seed: int, precision: str
) -> None:
    """One U-Net pass over (text, time) pairs; its output is of no use here."""
    noisy = torch.stack([noised(model, one, time, seed) for one, time in pairs])
    device = model.unet.device
    times = torch.tensor([time for _, time in pairs], device=device)
    with autocast("heat_maps.precision", precision):
        model.unet(noisy.to(device), times, context)


def noised(model: LatentDiffusion, one: TextOnImage, time: int, seed: int) -> torch.Tensor:
    noise = normal(tuple(one.latent.shape), seed, one.sample_id, time)
    return model.schedule.add_noise(one.latent[None], noise[None], torch.tensor([time]))[0]


def token_maps(
    name: str, text: str, tokens: Tokens, heat: torch.Tensor, names: Sequence[tuple[int, int]] = ()
) -> TokenHeatMaps:
    """Of the maps (L', h, w) of a context's positions those of the text's own tokens; names: see `TextOnImage`."""
    places = np.array(names, dtype=np.int64).reshape(-1, 2)
    heat = heat[tokens.positions].numpy()
    return TokenHeatMaps(name, text, tokens.strings, tokens.spans, heat, tokens.truncated_at, places)
