"""Scores and the networks behind them."""

from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import Field, ValidationInfo, field_validator

from tradeoffs.config.values import Count, PathText, Positive, Section, Share, Whole, at_most


class MsSsim(Section):
    """Diversity: MS-SSIM between images of the same prompt."""

    prompts: Count = Field(100, description="prompts whose images are compared")
    repeats: Annotated[Whole, Ge(2)] = Field(4, description="images per prompt, compared in pairs")


class Extractors(Section):
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
        "used if there is no X-ray network; null: one is trained on the run's own images, so that its FID and label "
        "AUC compare within the run only",
    )
    dinov2: PathText | None = Field(
        None,
        description="folder of a Dinov2Model in transformers' layout (DINOv2, RAD-DINO) with its "
        "preprocessor_config.json, for FID and the like with a self-supervised ViT's features too; null: none",
    )


class Evaluation(Section):
    """Scores."""

    protocol: Literal["corrected", "published"] = Field(
        "corrected", description="protocol of the tables; published computes what the original code computes"
    )
    ms_cxr_part: Literal["test", "all"] = Field(
        "test",
        description="the boxes of MS-CXR that tables show: its test part, or all as in the original; its validation "
        "part is for choices, such as those that the attention profile may suggest",
    )
    frame: Literal["crop", "image"] = Field(
        "crop",
        description="where localisation is scored: crop is the central square that the model sees, as in the original; "
        "image is the whole image, where a finding's part outside the crop counts as not covered",
    )
    bootstrap: Count = Field(1000, description="draws of the bootstrap behind the 95 % intervals")
    permutations: Count = Field(2000, description="permutations behind the p values of differences")
    max_excluded: Share = Field(0.5, description="share of the rows that may be excluded before a rule fails")
    ms_ssim: MsSsim = Field(MsSsim(), description="diversity")
    extractors: Extractors = Field(Extractors(), description="feature extractors")
    reference: Literal["prompts", "population"] = Field(
        "prompts",
        description="real images for FID and the like: prompts are those whose texts are the prompts, as in the "
        "original; population is a random draw of the test population, whose mix of labels is not that of the prompts",
    )
    real_images: Count = Field(5000, description="at most this many real images for FID and the like")
    kid_subset: Annotated[Whole, Ge(2)] = Field(1000, description="images in each subset of KID")
    batch_size: Count = Field(32, description="images in one pass of a feature extractor")

    @field_validator("kid_subset")
    @classmethod
    def _within_the_real_images(cls, size: int, info: ValidationInfo) -> int:
        return at_most(size, info, "real_images", "evaluation.real_images")


class Classifier(Section):
    """The findings classifier: domain features and label consistency."""

    epochs: Count = Field(5, description="passes over the training images")
    batch_size: Count = Field(32, description="images per step")
    learning_rate: Positive = Field(1e-4, description="learning rate")
