"""Images, texts, boxes and masks; the images' geometry."""

from typing import Annotated, Literal

from annotated_types import Ge, MultipleOf
from pydantic import AfterValidator, Field, field_validator

from tradeoffs.config.values import Count, PathText, Section, Seed, Sets, Share, Whole, distinct

SEEN_PHANTOMS = {1000: "the demo's base was chosen", 2000: "its findings classifier was trained"}


class Phantoms(Section):
    """The demo's phantom chest radiographs and phantom scenes."""

    seed: Seed = Field(0, description="seed of the phantoms")
    train: Count = Field(2400, description="images to fine-tune on")
    val: Count = Field(96, description="images on which the findings classifier is validated")
    p19: Count = Field(400, description="images of the test population: prompts for sampling, real images for FID")
    mscxr: Count = Field(120, description="images with boxes, on which localisation is scored")
    coco_train: Count = Field(1200, description="scenes to fine-tune on")
    coco_val: Count = Field(240, description="scenes for prompts, FID and localisation")

    @field_validator("seed")
    @classmethod
    def _not_seen_before(cls, seed: int) -> int:
        if seed in SEEN_PHANTOMS:
            raise ValueError(
                f"{seed} is that of phantoms on which {SEEN_PHANTOMS[seed]}, which tables must not score; choose "
                "another"
            )
        return seed


class Data(Section):
    """Where the images, texts, boxes and masks come from."""

    source: Literal["phantoms", "files"] = Field(
        "files", description="phantoms are generated in the same layouts; files reads the folders below"
    )
    sets: Sets = Field(
        ["cxr", "coco"], description="data sets of the run: cxr is MIMIC-CXR with MS-CXR, coco is MS-COCO 2017"
    )
    mimic_cxr_jpg: PathText | None = Field(
        None, description="folder of MIMIC-CXR-JPG (PhysioNet), needed for cxr with source files"
    )
    mimic_cxr_reports: PathText | None = Field(
        None, description="folder of MIMIC-CXR with the reports (files/p10/...), needed for cxr with source files"
    )
    ms_cxr: PathText | None = Field(
        None, description="folder of MS-CXR with its MS_CXR_Local_Alignment CSV, needed for cxr with source files"
    )
    coco: PathText | None = Field(
        None, description="folder of MS-COCO 2017 (annotations, train2017, val2017), needed for coco with source files"
    )
    mimic_prepared: PathText | None = Field(
        None,
        description="the original's mimic_metadata_preprocessed.csv in place of MIMIC's CSV files and reports; images "
        "are still those in mimic_cxr_jpg, and mimic_cxr_reports is not read",
    )
    coco_prepared: PathText | None = Field(
        None, description="the original's train2017_meta.csv in place of train2017's annotations"
    )
    sentences: PathText = Field(
        "resources/sentences.csv", description="CSV of language-model sentences, one column per finding"
    )
    views: Annotated[list[Literal["PA", "AP"]], AfterValidator(distinct)] = Field(
        ["PA", "AP"], description="view positions that are kept"
    )
    max_missing: Share = Field(
        0.01, description="share of the listed image or report files that may be missing or damaged"
    )
    prompts: PathText | None = Field(
        None, description="CSV of your own prompts (prompt_id, text, Finding Labels) instead of cxr's balanced list"
    )
    phantoms: Phantoms = Field(Phantoms(), description="the demo's phantoms, used with source phantoms")


class Image(Section):
    """Image geometry."""

    resolution: Annotated[Whole, Ge(32), MultipleOf(8)] = Field(
        512, description="side in pixels of the square images that the model sees"
    )
