"""Images, texts, boxes and masks; the images' geometry."""

from typing import Annotated, Literal

from annotated_types import Ge, MultipleOf
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from tradeoffs.config.values import Count, PathText, Section, Seed, Sets, Share, Text, Whole, distinct
from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.data.sets import DATA_SETS, Name

Words = Annotated[list[Text], AfterValidator(distinct)]

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
    """A pilot: at most this many images of a split, in whole subjects."""

    train: Count | None = Field(None, description="at most this many images of cxr to fine-tune on; null: all")
    val: Count | None = Field(None, description="the same of those on which the findings classifier is validated")
    p19: Count | None = Field(None, description="the same of the test population: prompts, real images for FID")
    mscxr: Count | None = Field(None, description="the same of those with boxes")
    coco_train: Count | None = Field(None, description="the same of coco to fine-tune on")
    coco_val: Count | None = Field(None, description="the same of coco for prompts, FID and localisation")

    def of(self, dataset: str) -> dict[str, int]:
        """The limits of a data set by the names of its splits, where there are some."""
        limits = {split: getattr(self, key) for split, key in DATA_SETS[dataset].splits.items()}
        return {split: limit for split, limit in limits.items() if limit is not None}


class Data(Section):
    """Where the images, texts, boxes and masks come from."""

    source: Literal["phantoms", "files"] = Field(
        "files", description="phantoms are generated in the same layouts; files reads the folders below"
    )
    sets: Sets = Field(
        ["cxr", "coco"], description="data sets of the run: cxr is MIMIC-CXR with MS-CXR, coco is MS-COCO 2017"
    )
    cxr: Literal["mimic", "open"] = Field(
        "mimic",
        description="what cxr is read from: MIMIC-CXR with MS-CXR, or open data, Open-i's images and reports with "
        "ChestX-ray14's boxes (source files only)",
    )
    open_i: PathText | None = Field(None, description="folder of Open-i, needed for cxr from open data")
    chestxray14: PathText | None = Field(None, description="folder of ChestX-ray14, needed for cxr from open data")
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
        description="at most this many captions of a test image of coco, those of the lowest ids, have heat maps; "
        "null: every caption that names a class, as in the original",
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
    query_words: dict[Text, Words] = Field(
        {},
        description="query words of a finding of MS-CXR or a class of MS-COCO, by its name, in place of its default "
        "ones",
    )
    phantoms: Phantoms = Field(Phantoms(), description="the demo's phantoms, used with source phantoms")

    @property
    def prompts_file(self) -> str | None:
        """The user's own prompts, if there are any."""
        return None if self.prompts == MSCXR_PHRASES else self.prompts

    def query_words_of(self, dataset: str) -> dict[str, list[str]]:
        """The query words of categories of a data set in place of their default ones."""
        return {name: words for name, words in self.query_words.items() if name in DATA_SETS[dataset].categories}

    @field_validator("cxr")
    @classmethod
    def _no_phantoms_in_open_layouts(cls, cxr: str, info: ValidationInfo) -> str:
        if cxr == "open" and info.data.get("source") == "phantoms":
            raise ValueError("phantoms are drawn in the layouts of mimic; set data.source to files, or leave this out")
        return cxr

    @field_validator("query_words")
    @classmethod
    def _of_known_categories(cls, words: dict[str, list[str]]) -> dict[str, list[str]]:
        known = {name for one in DATA_SETS.values() for name in one.categories}
        unknown = [name for name in words if name not in known]
        if unknown:
            raise ValueError(
                f"{unknown[0]} is none of {', '.join(MSCXR_FINDINGS)}, and no class of MS-COCO; correct the name"
            )
        return words


class GroundingSet(Section):
    """A further set of boxes or masks, on which the models of one of the run's data sets are scored."""

    models: Name = Field("cxr", description="data set of the run whose models are scored on it")
    layout: Literal["csv", "vindr_cxr", "chestx_det", "chexlocalize", "padchest_gr", "chestxray14"] = Field(
        "csv", description="layout of its files; csv is a file of your own, see docs/your-own.md"
    )
    path: PathText = Field(description="the CSV, or the folder of the set as it is downloaded")
    images: PathText | None = Field(
        None, description="folder of its images, if it is not that of the CSV or of the set"
    )
    split: Text = Field("test", description="rows of this split are scored; all: every row")
    categories: Words | None = Field(None, description="categories that are scored; null: all that have a box")
    query_words: dict[Text, Words] = Field(
        {}, description="query words of a category, by its name; without an entry its default ones, or its name"
    )
    texts: Annotated[list[Literal["phrase", "impression"]], AfterValidator(distinct)] = Field(
        ["phrase"], description="texts of its heat maps; impression is the text of a whole image, where the set has one"
    )
    title: Text | None = Field(None, description="its name in tables; null: its name here")


class Image(Section):
    """Image geometry."""

    resolution: Annotated[Whole, Ge(32), MultipleOf(8)] = Field(
        512, description="side in pixels of the square images that the model sees"
    )
