"""Heat maps."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from tradeoffs.config.values import Count, Number, Section, Share, Whole, at_most, distinct, folder_name


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


class Method(Section):
    """One way to make a heat map of the cross-attention, and the hot part of it."""

    layers: Annotated[list[Literal["down", "mid", "up"]], AfterValidator(distinct)] = Field(
        ["down", "mid", "up"], description="parts of the U-Net whose layers are averaged"
    )
    coarsest: Count | None = Field(
        None, description="only this many of the coarsest resolutions that these layers have; null: all"
    )
    heads: Annotated[list[Annotated[Whole, Ge(1), Le(4)]], AfterValidator(distinct)] = Field(
        [1, 2, 3, 4], description="quarters of each layer's heads, in the layer's own order, that are averaged"
    )
    steps: Annotated[list[Annotated[Whole, Ge(1), Le(5)]], AfterValidator(distinct)] = Field(
        [2, 3, 4, 5], description="fifths of the time steps that are averaged; 1 is the noisiest"
    )
    tokens: Literal["words", "all", "start", "end", "padding"] = Field(
        "words",
        description="the finding's words, or one map for all words: of all tokens of the text, or of the tokens that "
        "start, end or pad the context",
    )
    noise: Literal["fresh", "inversion", "generation"] = Field(
        "fresh",
        description="where noisy latents come from: fresh noise at each step, DDIM inversion of the image, or DDIM "
        "sampling from the text alone, so that the map has not seen the image",
    )
    guidance_difference: bool = Field(
        False, description="subtract the maps of a pass with the empty text at the same tokens; with noise fresh only"
    )
    scale_each: bool = Field(
        False, description="scale the map of each layer group and fifth of the steps to 0..1 before the mean"
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] = Field(
        "nearest", description="how maps are brought to the size of the latent"
    )
    self_attention: Annotated[Whole, Ge(0), Le(16)] = Field(
        0, description="power of the self-attention matrix by which the map is multiplied; 0: none"
    )
    bimodal: bool = Field(
        False, description="bimodal bias merging with the maps of noise generation, so with another noise only"
    )
    smoothing: Annotated[Number, Ge(0)] = Field(0.0, description="sigma of a Gaussian filter in latent pixels; 0: none")
    threshold: Literal["mixture", "otsu", "fixed"] = Field(
        "mixture",
        description="what is hot in a map: what is above the midpoint of a mixture of two Gaussians, Otsu's threshold, "
        "or threshold_at",
    )
    threshold_at: Share = Field(0.5, description="the fixed threshold, as a share of the map's range")

    @field_validator("guidance_difference")
    @classmethod
    def _difference_on_fresh_noise(cls, asked: bool, info: ValidationInfo) -> bool:
        if asked and info.data.get("noise", "fresh") != "fresh":
            raise ValueError(f"has a meaning with noise fresh only, given {info.data['noise']}; remove one of the two")
        return asked

    @field_validator("bimodal")
    @classmethod
    def _merges_with_the_image(cls, asked: bool, info: ValidationInfo) -> bool:
        if asked and info.data.get("noise") == "generation":
            raise ValueError("has no meaning with noise generation, which sees no image; remove one of the two")
        return asked


METHODS = {
    "paper": Method(),
    "daam": Method(steps=[1, 2, 3, 4, 5], interpolation="bicubic"),
    "coarse": Method(coarsest=1),
    "smoothed": Method(smoothing=1.0, threshold="otsu"),
    "phrase_grounding": Method(
        coarsest=1, steps=[3], tokens="all", noise="inversion", scale_each=True, interpolation="bilinear",
        smoothing=2.5, threshold="otsu",
    ),
    "start_token": Method(tokens="start"),
    "first_heads": Method(heads=[1]),
    "guidance_difference": Method(guidance_difference=True),
    "self_attention": Method(self_attention=4),
    "bimodal": Method(bimodal=True),
    "text_alone": Method(noise="generation"),
}  # fmt: skip


class Attention(Section):
    """Other heat-map methods, compared by the target `methods`."""

    patients: Annotated[Whole, Ge(2)] | None = Field(
        None,
        description="patients (COCO: images) on which methods are compared and the mechanism is measured, drawn by "
        "their ids; null: all",
    )
    methods: dict[Annotated[str, AfterValidator(folder_name)], Method] = Field(
        METHODS, description="heat-map methods by name; further ones are added, paper is the one of the other tables"
    )
