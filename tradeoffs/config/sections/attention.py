"""Heat maps."""

from typing import Annotated, Literal

from annotated_types import Le
from pydantic import Field, ValidationInfo, field_validator

from tradeoffs.config.values import Count, Section, at_most


class HeatMaps(Section):
    """Token heat maps on real images."""

    steps: Annotated[Count, Le(1000)] = Field(50, description="evenly spaced time steps")
    keep: Count = Field(40, description="last steps (the least noisy) that are averaged; the others are not computed")
    batch_size: Count = Field(8, description="pairs of image and time step in one U-Net pass")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp16", description="autocast precision")
    shards: Count = Field(2, description="jobs (and files) into which the images are divided")
    profile_samples: Count = Field(
        200,
        description="samples for the profile of the signal by layer and time step, and for faithfulness, where the "
        "finding's words are taken away",
    )

    @field_validator("keep")
    @classmethod
    def _keep_some_of_the_steps(cls, keep: int, info: ValidationInfo) -> int:
        return at_most(keep, info, "steps", "heat_maps.steps")
