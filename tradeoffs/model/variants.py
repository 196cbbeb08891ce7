"""From the model that a variant's fine-tuning starts from to the one that learns, and back to a folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tradeoffs.data.findings import TOKENS
from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import LatentDiffusion, load, save_with, with_encoder
from tradeoffs.model.finding_tokens import FindingTokenizer, finding_tokenizer, without_positions
from tradeoffs.model.lora import merged, unet_with_adapters, with_adapters


def model_of_variant(
    start: str | Path, encoder: str | Path | None, variant: Mapping[str, Any], seed: int
) -> LatentDiffusion:
    """The start with the networks that the variant trains: its text encoder or another one, with or without adapters,
    or its own with tokens of findings; with padding masked if the variant or the start has it so.

    start, encoder: folders, the encoder's None for the start's own; variant: its entry in the configuration
    Raises InputError if the start reads tokens of findings and the variant gives texts.
    """
    model = load(start)
    if encoder:
        model = with_encoder(model, encoder, seed)
    if variant["text"] == TOKENS:
        tokens = model.tokenizer
        if not isinstance(tokens, FindingTokenizer):
            tokens = finding_tokenizer(tokens, seed, **variant["finding_tokens"])
        model = replace(model, tokenizer=tokens, text_encoder=without_positions(model.text_encoder))
    elif isinstance(model.tokenizer, FindingTokenizer):
        raise InputError(
            f"{start}: reads tokens of findings, no texts; give the variant text: {TOKENS} or another from"
        )
    if variant["text_encoder"] == "lora":
        model = replace(model, text_encoder=with_adapters(model.text_encoder, variant["lora_rank"], seed))
    if variant["unet"] == "lora":
        unet_with_adapters(model.unet, variant["unet_lora_rank"], variant["unet_lora_targets"], seed)
    return replace(model, padding_masked=model.padding_masked or variant["padding"] == "masked")


def save_variant(
    model: LatentDiffusion,
    start: str | Path,
    encoder: str | Path | None,
    variant: Mapping[str, Any],
    folder: str | Path,
) -> None:
    """Writes the fine-tuned model as a diffusers folder: the start's parts but for those that training or another
    encoder changed. Arguments as of `model_of_variant`."""
    parts: dict[str, Any] = {"unet": merged(model.unet), "padding_masked": model.padding_masked}
    if isinstance(model.tokenizer, FindingTokenizer):
        parts |= {"text_encoder": merged(model.text_encoder), "finding_tokens": model.tokenizer}
    elif model.projection is not None or variant["text_encoder"] != "frozen":
        parts |= {"text_encoder": merged(model.text_encoder), "tokenizer": model.tokenizer}
        parts["projection"] = model.projection
    save_with(start, folder, parts)
