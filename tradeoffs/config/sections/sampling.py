"""Synthetic images."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import Field

from tradeoffs.config.values import Count, Number, Section


class Sampling(Section):
    """Synthetic images."""

    images: Count = Field(5000, description="images per variant and seed")
    guidance: Annotated[Number, Ge(1)] = Field(4.0, description="classifier-free guidance scale; 1 means no guidance")
    steps: Annotated[Count, Le(1000)] = Field(75, description="steps of the scheduler")
    scheduler: Literal["plms", "ddim", "dpm"] = Field("plms", description="sampler; dpm is DPM-Solver++")
    text: Literal["impression", "own"] = Field(
        "impression",
        description="texts for samples of variants that were trained on other texts than impressions: the prompts' "
        "impressions as for all other variants, as in the original, or own, texts of the variant's kind made from the "
        "prompts' labels; variants with findings_first, findings_random or finding_tokens always have their own",
    )
    unconditional: Literal["empty", "no_finding"] = Field(
        "empty",
        description="the text that guidance leads away from in variants with finding labels: the empty one, on which "
        "they were trained, or No Finding, as the original intends; in other variants always the empty one",
    )
    batch_size: Count = Field(8, description="images sampled at once")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp16", description="autocast precision")
    shards: Count = Field(10, description="jobs (and folders) into which the images of a variant and seed are divided")
