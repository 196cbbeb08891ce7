"""What jobs may use."""

from typing import Annotated

from annotated_types import Ge
from pydantic import Field

from tradeoffs.config.values import Count, Section, Whole


class Resources(Section):
    """What a job may use; memory and time grow when a job is tried again."""

    threads: Count = Field(8, description="threads per job")
    gpus: Annotated[Whole, Ge(0)] = Field(1, description="GPUs of a job that runs a model; 0: CPU only")
    training_gpus: Annotated[Whole, Ge(0)] | None = Field(
        None, description="GPUs of a fine-tuning job, each with a process of its own; null: as gpus"
    )
    mem_mb: Count = Field(64_000, description="memory of a job that runs a model, in MB")
    runtime_minutes: Count = Field(2880, description="time of a job that runs a model, in minutes")
    max_runtime_minutes: Count = Field(
        4320, description="longest time that a job that runs a model may ask for when it is tried again, in minutes"
    )
