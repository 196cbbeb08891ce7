"""Attention regularisation: a loss that draws cross-attention to the tokens of an image's findings while training.

The original's (`LatentDiffusion.p_losses` with `attention_regularization`), there on its label tokens and on the names
that it inserts into impressions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from tradeoffs.attention.capture import captured_cross_attention
from tradeoffs.model.text import tokenize
from tradeoffs.model.training import NoAttentionLoss

EPSILON = float(torch.finfo(torch.float16).eps)  # the original's
Place = tuple[int, int]  # start and end character


def attention_losses(attention: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Loss of each asked token, from 0 (all attention is on it) to 1 (none): eps (1 / (a + eps) - 1).

    attention: probability a of each token, (n, L), between 0 and 1; asked: bool (n, L)
    Returns (m,) for the m asked tokens; the original's loss is the mean over all of a batch.

    >>> attention_losses(torch.tensor([[1.0, 0.0, 0.5]]), torch.tensor([[False, True, False]]))
    tensor([0.9990])
    """
    return EPSILON * (1 / (attention[asked] + EPSILON) - 1)


class AttentionRegularisation(NoAttentionLoss):
    """The loss of one fine-tuning.

    weight: of the loss, beside the diffusion loss's 1
    places: from a row of the training pairs and its text to the places of the findings' names in it, [] for none
    """

    def __init__(self, weight: float, places: Callable[[int, str], Sequence[Place]]):
        self.weight, self.places = weight, places
        self.layers: list[torch.Tensor] = []

    def asked(self, tokenizer, rows: Sequence[int], texts: Sequence[str]) -> torch.Tensor:
        """Which tokens of the texts' contexts are asked for, bool (n, L); none of a dropped (empty) text."""
        asked = torch.zeros(len(texts), tokenizer.model_max_length, dtype=torch.bool)
        for of_text, row, text in zip(asked, rows, texts, strict=True):
            places = self.places(row, text) if text else []
            tokens = tokenize(tokenizer, text)
            spans, positions = tokens.spans, np.array(tokens.positions, dtype=np.int64)
            for start, end in places:
                of_text[positions[(spans[:, 0] < end) & (spans[:, 1] > start)]] = True
        return asked

    @contextmanager
    def captured(self, unet) -> Iterator[None]:
        """A block around one pass of the U-Net, in which `share` has its attention.

        The backward pass belongs into it: with gradient checkpointing it computes the forward pass again.
        """
        self.layers = []
        with captured_cross_attention(unet, lambda _, probabilities: self.layers.append(probabilities.mean((1, 2)))):
            yield

    def share(self, asked: torch.Tensor, of_batch: int) -> torch.Tensor:
        """The weighted loss of a pass as its share of the effective batch's mean over asked tokens.

        asked: of the pass's texts, bool (n, L); of_batch: asked tokens of the whole batch
        Attention is the mean over layers, heads and pixels, each with equal weight.
        """
        attention = torch.stack(self.layers).mean(0)
        return self.weight * attention_losses(attention, asked.to(attention.device)).sum() / max(1, of_batch)
