"""The text side: tokens with their places in the text, and what the text encoder makes of them."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """A text as the text encoder sees it.

    ids: int64 tensor (L,), padded or cut to the context length L
    positions: where in 0..L-1 the text's own tokens stand (no start, end or padding token), k of them
    strings: the k tokens
    spans: int array (k, 2), start and end character of each
    truncated_at: first character that did not fit, or the text's length
    """

    ids: torch.Tensor
    positions: list[int]
    strings: list[str]
    spans: np.ndarray
    truncated_at: int


def tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> Tokens:
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
    spans = np.array([cut["offset_mapping"][i] for i in positions], dtype=np.int64).reshape(-1, 2)
    return Tokens(
        ids=torch.tensor(cut["input_ids"]),
        positions=positions,
        strings=tokenizer.convert_ids_to_tokens([cut["input_ids"][i] for i in positions]),
        spans=spans,
        truncated_at=int(spans[-1, 1]) if len(positions) < len(whole) else len(text),
    )


def encode(text_encoder: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Context for the U-Net's cross-attention, (n, L, d), from token ids (n, L).

    As in StableDiffusionPipeline: the encoder's last hidden state, padding attended like text. (Stable Diffusion 2
    takes the penultimate layer of OpenCLIP; its diffusers layout has one layer less instead.)
    """
    return text_encoder(ids.to(text_encoder.device))[0]


class CachedTextEncoder:
    """A frozen text encoder that encodes each text once.

    Texts are encoded one by one, so that an embedding does not depend on its batch; up to `max_bytes` are kept.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text_encoder: PreTrainedModel, max_bytes: int = 4 << 30):
        self.tokenizer, self.text_encoder, self.room = tokenizer, text_encoder, max_bytes
        self.cache: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> torch.Tensor:
        """(n, L, d) on the text encoder's device."""
        embeddings = []
        for text in texts:
            embedding = self.cache.get(text)
            if embedding is None:
                embedding = encode(self.text_encoder, tokenize(self.tokenizer, text).ids[None])[0].cpu()
                if self.room >= embedding.nbytes:
                    self.cache[text] = embedding
                    self.room -= embedding.nbytes
            embeddings.append(embedding)
        return torch.stack(embeddings).to(self.text_encoder.device)
