"""Parts of a model as diffusers' pipeline."""

from typing import Any

from diffusers import StableDiffusionPipeline


def stable_diffusion(vae: Any, text_encoder: Any, tokenizer: Any, unet: Any, scheduler: Any) -> StableDiffusionPipeline:
    """The parts as a Stable Diffusion pipeline without a safety checker, to sample with or to save.

    text_encoder, tokenizer: None where texts are given as embeddings
    """
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
