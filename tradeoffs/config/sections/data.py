"""Images, texts, boxes and masks; the images' geometry."""

from typing import Annotated, Literal

from annotated_types import Ge, MultipleOf
from pydantic import AfterValidator, Field, field_validator

from tradeoffs.config.values import Count, PathText, Section, Seed, Sets, Share, Whole, distinct

MSCXR_PHRASES = "mscxr"  # in place of a file of prompts
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


class Limit(Section):
    """A pilot: at most so many images of a split, in whole subjects."""

    train: Count | None = Field(None, description="at most so many images of cxr to fine-tune on; null: all")
    val: Count | None = Field(None, description="the same of those on which the findings classifier is validated")
    p19: Count | None = Field(None, description="the same of the test population: prompts, real images for FID")
    mscxr: Count | None = Field(None, description="the same of those with boxes")
    coco_train: Count | None = Field(None, description="the same of coco to fine-tune on")
    coco_val: Count | None = Field(None, description="the same of coco for prompts, FID and localisation")

    def of(self, dataset: str) -> dict[str, int]:
        """The limits of a data set by the names of its splits, where there are some."""
        names = {"train": "coco_train", "test": "coco_val"}
        if dataset == "cxr":
            names = {name: name for name in ("train", "val", "p19", "mscxr")}
        limits = {split: getattr(self, name) for split, name in names.items()}
        return {split: limit for split, limit in limits.items() if limit is not None}


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
    coco_captions: Count | None = Field(
        None,
        description="at most so many captions of a test image of coco, those of the lowest ids, have heat maps; null: "
        "every caption that names a class, as in the original",
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
    limit: Limit = Field(Limit(), description="a pilot on a part of the images")
    prompts: PathText | None = Field(
        None,
        description="null: cxr's list of p19 impressions, balanced over the findings; mscxr: MS-CXR's phrases (the "
        "original's --use_mscxrlabels); else a CSV of your own prompts (prompt_id, text, Finding Labels)",
    )
    phantoms: Phantoms = Field(Phantoms(), description="the demo's phantoms, used with source phantoms")

    @property
    def prompts_file(self) -> str | None:
        """The user's own prompts, if there are any."""
        return None if self.prompts == MSCXR_PHRASES else self.prompts


class Image(Section):
    """Image geometry."""

    resolution: Annotated[Whole, Ge(32), MultipleOf(8)] = Field(
        512, description="side in pixels of the square images that the model sees"
    )
