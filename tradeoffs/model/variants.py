"""From the base to the model that a variant of the study fine-tunes, and back to a folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tradeoffs.data.findings_in_text import TOKENS
from tradeoffs.model.checkpoints import LatentDiffusion, load, save_with, with_encoder
from tradeoffs.model.finding_tokens import FindingTokenizer, finding_tokenizer, without_positions
from tradeoffs.model.lora import merged, with_adapters


def model_of_variant(
    base: str | Path, encoder: str | Path | None, variant: Mapping[str, Any], seed: int
) -> LatentDiffusion:
    """The base with the text side that the variant trains: its own, another text encoder, one with adapters, or its
    own with tokens of findings.

    base, encoder: folders, the encoder's None for the base's own; variant: its entry in the configuration
    """
    model = load(base)
    if encoder:
        model = with_encoder(model, encoder, seed)
    if variant["text"] == TOKENS:
        tokens = finding_tokenizer(model.tokenizer, seed, **variant["finding_tokens"])
        model = replace(model, tokenizer=tokens, text_encoder=without_positions(model.text_encoder))
    if variant["text_encoder"] == "lora":
        model = replace(model, text_encoder=with_adapters(model.text_encoder, variant["lora_rank"], seed))
    return model


def save_variant(
    model: LatentDiffusion,
    base: str | Path,
    encoder: str | Path | None,
    variant: Mapping[str, Any],
    folder: str | Path,
) -> None:
    """Writes the fine-tuned model as a diffusers folder: the base's parts but for those that training or another
    encoder changed. Arguments as of `model_of_variant`."""
    parts: dict[str, Any] = {"unet": model.unet}
    if isinstance(model.tokenizer, FindingTokenizer):
        parts |= {"text_encoder": merged(model.text_encoder), "finding_tokens": model.tokenizer}
    elif encoder or variant["text_encoder"] != "frozen":
        parts |= {"text_encoder": merged(model.text_encoder), "tokenizer": model.tokenizer}
        parts["projection"] = model.projection
    save_with(base, folder, parts)
