"""Fine-tuning: the section `training`, and what a variant may change of it."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt
from pydantic import Field, ValidationInfo, create_model, field_validator

from tradeoffs.config.values import Count, Milestones, Number, Positive, Section, Share, Whole, at_most


class Training(Section):
    """Fine-tuning."""

    steps: Count = Field(60_000, description="optimiser steps on cxr")
    coco_steps: Count = Field(150_000, description="optimiser steps on coco")
    milestones: Milestones = Field([], description="steps on cxr whose models are kept and scored too, for the curves")
    coco_milestones: Milestones = Field([], description="the same on coco")
    batch_size: Count = Field(
        8,
        description="images per optimiser step, over all devices and accumulated passes; 8 in the original's README "
        "configuration, 64 or 256 in its SLURM scripts (preset paper_slurm)",
    )
    micro_batch_size: Count = Field(
        8, description="at most this many images per device in one pass; accumulated passes fill batch_size"
    )
    learning_rate: Positive = Field(5e-5, description="peak learning rate of AdamW")
    text_encoder_learning_rate: Positive | None = Field(
        None, description="peak learning rate of a text encoder that learns; null: learning_rate, as in the original"
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
        None, description="gamma of min-SNR loss weights, 5 in its paper; null: all time steps weigh the same"
    )
    max_grad_norm: Positive | None = Field(
        None, description="gradients of a larger norm, over all weights, are scaled down to it; null: never"
    )
    log_every: Count = Field(50, description="steps between rows of the loss log")
    validation_images: Annotated[Whole, Ge(0)] = Field(
        16, description="images of the split val whose loss is taken at the start and at each checkpoint; 0: none"
    )
    preview_every: Count | None = Field(
        None, description="steps between pictures of samples and heat maps, beside the job's log; null: none"
    )
    log_with: Literal["tensorboard"] | None = Field(
        None, description="tracker that gets the losses too, beside the job's log; null: none"
    )

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


# Every key of the section again, null where the variant has the run's value.
TrainingChanges = create_model(  # type: ignore[call-overload]
    "TrainingChanges",
    __base__=Section,
    __doc__="What a variant changes of the section training.",
    **{
        name: (field.rebuild_annotation() | None, Field(None, description=field.description))
        for name, field in Training.model_fields.items()
    },
)
