"""The text side: tokens with their places in the text, and what the text encoder makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tradeoffs.model.finding_tokens import FindingTokenizer, own_token_only


@dataclass(frozen=True)
class Tokens:
    """A text as the text encoder sees it.

    ids: int64 tensor (L,), padded or cut to the context length L
    mask: int64 tensor (L,), 1 where a token stands, 0 at padding
    positions: where in 0..L-1 the text's own tokens stand (no start, end or padding token), k of them
    strings: the k tokens
    spans: int array (k, 2), start and end character of each, without white space around it
    truncated_at: first character that did not fit, or the text's length
    """

    ids: torch.Tensor
    mask: torch.Tensor
    positions: list[int]
    strings: list[str]
    spans: np.ndarray
    truncated_at: int


def tokenize(tokenizer: PreTrainedTokenizerBase | FindingTokenizer, text: str) -> Tokens:
    """Tokens of one text, padded to the tokenizer's `model_max_length` as in Stable Diffusion."""
    cut = tokenizer(
        text,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    mask = zip(cut["attention_mask"], cut["special_tokens_mask"], strict=True)
    positions = [i for i, (attended, special) in enumerate(mask) if attended and not special]
    spans = [_without_space(text, *cut["offset_mapping"][i]) for i in positions]
    return Tokens(
        ids=torch.tensor(cut["input_ids"]),
        mask=torch.tensor(cut["attention_mask"]),
        positions=positions,
        strings=tokenizer.convert_ids_to_tokens([cut["input_ids"][i] for i in positions]),
        spans=np.array(spans, dtype=np.int64).reshape(-1, 2),
        truncated_at=spans[-1][1] if len(positions) < len(whole) else len(text),
    )


def count_too_long(tokenizer: PreTrainedTokenizerBase | FindingTokenizer, texts: Sequence[str]) -> int:
    """How many of the texts have more tokens than the context takes, so that `tokenize` cuts them."""
    ids = tokenizer(list(texts), verbose=False)["input_ids"]
    return sum(len(of_text) > tokenizer.model_max_length for of_text in ids)


def _without_space(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space at its ends, which some tokenizers count to the word that follows."""
    first = end - len(text[start:end].lstrip())
    return first, first + len(text[first:end].rstrip())


class TextEncoder:
    """From texts to the context of the U-Net's cross-attention.

    network: the text encoder, perhaps wrapped for training on several devices
    projection: a linear layer to the U-Net's width behind a text encoder that is not the base's own
    padding_masked: zeros at padding tokens, which the U-Net then leaves out (see tradeoffs.model.padding)

    The context has all L positions, padding too, as in StableDiffusionPipeline, and the U-Net attends to all of them
    unless padding is masked.
    CLIP reads padding like text, as in Stable Diffusion; other text encoders are told which positions are padding, so
    that there they only say what they make of the text. Tokens of findings are read one by one.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | FindingTokenizer,
        network: PreTrainedModel | torch.nn.Module,
        projection: torch.nn.Module | None = None,
        padding_masked: bool = False,
    ):
        self.tokenizer, self.network, self.projection = tokenizer, network, projection
        self.padding_masked = padding_masked
        config = getattr(network, "module", network).config  # .module: the network within DistributedDataParallel
        self.reads_padding = config.model_type == "clip_text_model"

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, L, d) on the text encoder's device."""
        states = self.states(texts)
        context = states if self.projection is None else self.projection(states)
        if not self.padding_masked:
            return context
        stands = torch.stack([tokenize(self.tokenizer, text).mask for text in texts])
        return context * stands[..., None].to(context)

    def states(self, texts: Sequence[str]) -> torch.Tensor:
        """The text encoder's last hidden states, before the projection, (n, L, d').

        (Stable Diffusion 2 takes the penultimate layer of OpenCLIP; its diffusers layout has one layer less instead.)
        """
        tokens = [tokenize(self.tokenizer, text) for text in texts]
        inputs = {"input_ids": torch.stack([t.ids for t in tokens])}
        if isinstance(self.tokenizer, FindingTokenizer):
            inputs["attention_mask"] = own_token_only(inputs["input_ids"].shape[1])
        elif not self.reads_padding:
            inputs["attention_mask"] = torch.stack([t.mask for t in tokens])
        return self.network(**{name: tensor.to(self.network.device) for name, tensor in inputs.items()})[0]


class CachedTextEncoder(TextEncoder):
    """A frozen text encoder that encodes each text once; its projection, if there is one, may still learn.

    Texts are encoded one by one, so that an embedding does not depend on its batch; up to `max_bytes` are kept.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | FindingTokenizer,
        network: PreTrainedModel,
        projection: torch.nn.Module | None = None,
        padding_masked: bool = False,
        max_bytes: int = 4 << 30,
    ):
        super().__init__(tokenizer, network, projection, padding_masked)
        self.room = max_bytes
        self.cache: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> torch.Tensor:
        embeddings = []
        for text in texts:
            embedding = self.cache.get(text)
            if embedding is None:
                embedding = super().states([text])[0].cpu()
                if self.room >= embedding.nbytes:
                    self.cache[text] = embedding
                    self.room -= embedding.nbytes
            embeddings.append(embedding)
        return torch.stack(embeddings).to(self.network.device)
