"""The demo's base model: a small one of Stable Diffusion v2's own classes, pre-trained on generic captioned scenes.

As in Stable Diffusion, the autoencoder comes first and sees images only, the U-Net learns on its latents with captions,
and the text encoder stays frozen throughout. Its weights are random: token embeddings are scaled so that a token's
identity survives the causal mixing, which is all that a frozen encoder must offer here.
"""

import json
import string
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from tokenizers.trainers import BpeTrainer
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tradeoffs.data.findings import MSCXR_FINDINGS
from tradeoffs.data.images import central_square
from tradeoffs.demo.phantom_reports import impression, phrase
from tradeoffs.demo.phantoms import draw_findings, render
from tradeoffs.demo.scenes import draw_scene
from tradeoffs.model.checkpoints import noise_schedule
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.randomness import numpy_rng, torch_rng

RESOLUTION = 128
FACTOR = 8  # pixels per latent pixel, as in Stable Diffusion
LATENT_CHANNELS = 8  # twice Stable Diffusion's: thin ribs need them at 128 px
POSTERIOR_LOG_VARIANCE = -5.0
CONTEXT_TOKENS = 40
CONTEXT_WIDTH = 64
PLAIN_CHEST_CAPTIONS = ("chest x-ray", "frontal chest radiograph", "an x-ray picture of a chest", "radiograph")


def build_vae() -> AutoencoderKL:
    """Autoencoder with 8 px per latent pixel."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=RESOLUTION,
        mid_block_add_attention=False,
    )


def build_unet() -> UNet2DConditionModel:
    """U-Net with cross-attention where its latents are largest, 16 x 16, in the down and the up path (3 layers).

    Stable Diffusion 2 has it on two more levels and in the middle too. At this size those levels have 8 and 4 pixels a
    side, and what their attention points at was measured to be random from seed to seed.
    """
    return UNet2DConditionModel(
        sample_size=RESOLUTION // FACTOR,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(32, 64, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(2, 4, 4),  # diffusers' name for the number of heads
        norm_num_groups=8,
        cross_attention_dim=CONTEXT_WIDTH,
        use_linear_projection=True,
    )


def build_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """A CLIP tokenizer whose byte-pair merges are learnt from the texts (ids differ from training to training)."""
    backend = CLIPTokenizer().backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=1000,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=list(string.ascii_lowercase + string.digits + string.punctuation),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    model = json.loads(backend.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=CONTEXT_TOKENS)


def build_text_encoder(tokenizer: CLIPTokenizer, seed: int) -> CLIPTextModel:
    """A small CLIP text encoder with random weights, token embeddings scaled by 50 and positions by 15."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CONTEXT_WIDTH,
        intermediate_size=4 * CONTEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    encoder = CLIPTextModel(config).eval()
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(50)
        for name, weight in encoder.named_parameters():
            if "position_embedding" in name:
                weight.mul_(15)
    return encoder


@dataclass(frozen=True)
class Pictures:
    """images: uint8 tensor (n, 3, RESOLUTION, RESOLUTION); captions: n texts."""

    images: torch.Tensor
    captions: list[str]


def draw_pictures(kind: str, seed: int, count: int, workers: int) -> Pictures:
    """`count` pictures of a kind: "scene" (generic things), "chest" (plain phantoms) or "findings" (phantoms with
    findings, for the autoencoder, which sees no text)."""
    draw = {"scene": _scene, "chest": _plain_chest, "findings": _chest_with_findings}[kind]
    keys = [(kind, seed, i) for i in range(count)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        drawn = list(tqdm(pool.map(draw, keys, chunksize=64), total=count, desc=f"drawing {kind}"))
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).contiguous()
    return Pictures(images, [caption for _, caption in drawn])


def _scene(key: tuple) -> tuple[np.ndarray, str]:
    image, caption, _ = draw_scene(key, RESOLUTION)
    return image, caption


def _plain_chest(key: tuple) -> tuple[np.ndarray, str]:
    caption = str(numpy_rng("caption", *key).choice(PLAIN_CHEST_CAPTIONS))
    return _central_square(render([], key, key).image), caption


def _chest_with_findings(key: tuple) -> tuple[np.ndarray, str]:
    rng = numpy_rng("findings", *key)
    names = [str(name) for name in rng.permutation(MSCXR_FINDINGS)[: rng.integers(0, 3)]]
    findings = draw_findings(rng, names)
    text, _ = impression([phrase(finding, rng) for finding in findings], names, rng)
    return _central_square(render(findings, key, key).image), text


def _central_square(image: np.ndarray) -> np.ndarray:
    return np.asarray(central_square(Image.fromarray(image).convert("RGB"), RESOLUTION))


def train_vae(
    pictures: torch.Tensor, steps: int, decoder_steps: int, batch_size: int, rate: float, seed: int
) -> AutoencoderKL:
    """Trains the autoencoder: the encoder on whitened principal components of patches, the decoder on absolute error.

    pictures: uint8 (n, 3, RESOLUTION, RESOLUTION). A fixed target makes both halves converge in minutes, and latents of
    unit variance need no scaling. Most of the `steps` see crops of half the side, which costs a quarter; the last ones
    see whole images, so that group normalisation meets what it will be used on. Then `decoder_steps` of the decoder.
    """
    torch.manual_seed(seed)
    components = patch_components(pictures[:: max(1, len(pictures) // 800)])
    vae = build_vae().train()
    rng = torch_rng(seed, "vae")
    half = RESOLUTION // 2

    def batch(cropped: bool) -> torch.Tensor:
        images = pictures[torch.randint(len(pictures), (batch_size,), generator=rng)].float() / 127.5 - 1
        top, left = torch.randint(0, half + 1, (2,), generator=rng).tolist()
        return images[:, :, top : top + half, left : left + half] if cropped else images

    def decoding_error(images: torch.Tensor, posterior) -> torch.Tensor:
        drawn = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=rng)
        return (vae.decode(drawn).sample - images).abs().mean()

    def joint_loss(step: int) -> torch.Tensor:
        images = batch(cropped=step < 0.9 * steps)
        posterior = vae.encode(images).latent_dist
        anchor = functional.mse_loss(posterior.mean, components(images))
        narrow = functional.mse_loss(posterior.logvar, torch.full_like(posterior.logvar, POSTERIOR_LOG_VARIANCE))
        return decoding_error(images, posterior) + anchor + 0.01 * narrow

    def decoder_loss(step: int) -> torch.Tensor:
        images = batch(cropped=False)
        with torch.no_grad():
            posterior = vae.encode(images).latent_dist
        return decoding_error(images, posterior)

    _minimise(joint_loss, list(vae.parameters()), steps, rate, 0.0, "autoencoder")
    decoder = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    _minimise(decoder_loss, decoder, decoder_steps, rate / 2, 0.0, "decoder")
    vae.register_to_config(scaling_factor=1.0)
    return vae.eval()


def _minimise(
    loss_of: Callable[[int], torch.Tensor], parameters: list, steps: int, rate: float, weight_decay: float, name: str
) -> None:
    """AdamW on `loss_of(step)` with a warm-up over the first 5 % of the steps, then a cosine down to nothing."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    progress = tqdm(range(steps), desc=name, unit="step")
    for step in progress:
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")


def patch_components(pictures: torch.Tensor) -> torch.nn.Conv2d:
    """The whitened leading principal components of 8x8 px patches as a convolution, (n, 3, H, W) -> (n, c, H/8, W/8).

    pictures: uint8 (n, 3, H, W), the convolution takes values in [-1, 1].
    """
    patches = functional.unfold(pictures.float() / 127.5 - 1, FACTOR, stride=FACTOR).transpose(1, 2).flatten(0, 1)
    centre = patches.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov((patches - centre).T.double()))
    leading = (directions / variances.sqrt())[:, -LATENT_CHANNELS:].flip(1).T.float()
    convolution = torch.nn.Conv2d(3, LATENT_CHANNELS, FACTOR, FACTOR).requires_grad_(False)
    convolution.weight.copy_(leading.view(LATENT_CHANNELS, 3, FACTOR, FACTOR))
    convolution.bias.copy_(-leading @ centre)
    return convolution


@torch.no_grad()
def latent_means(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) latents (posterior means) of uint8 pictures (n, 3, H, W), scaled for the U-Net."""
    means = [vae.encode(part.float() / 127.5 - 1).latent_dist.mean for part in pictures.split(32)]
    return torch.cat(means) * vae.config.scaling_factor


def train_unet(
    latents: torch.Tensor,
    captions: list[str],
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    steps: int,
    batch_size: int,
    rate: float,
    unconditional: float,
    seed: int,
) -> UNet2DConditionModel:
    """Trains a U-Net on captioned latents (n, c, h, w) by noise prediction; a share `unconditional` gets no text."""
    torch.manual_seed(seed)
    unet = build_unet().train()
    encoder = CachedTextEncoder(tokenizer, text_encoder)
    noising = noise_schedule()
    rng = torch_rng(seed, "unet")

    def loss_of(step: int) -> torch.Tensor:
        rows = torch.randint(len(latents), (batch_size,), generator=rng)
        empty = torch.rand(batch_size, generator=rng) < unconditional
        context = encoder(["" if e else captions[r] for r, e in zip(rows.tolist(), empty.tolist(), strict=True)])
        noise = torch.randn(batch_size, *latents.shape[1:], generator=rng)
        times = torch.randint(0, noising.config.num_train_timesteps, (batch_size,), generator=rng)
        return functional.mse_loss(unet(noising.add_noise(latents[rows], noise, times), times, context).sample, noise)

    _minimise(loss_of, list(unet.parameters()), steps, rate, 0.01, f"base {seed}")
    return unet.eval()


def save_base(folder, vae, text_encoder, tokenizer, unet) -> None:
    """Writes the parts as a Stable Diffusion folder, weights in half precision."""
    StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=text_encoder.half(),
        tokenizer=tokenizer,
        unet=unet.half(),
        scheduler=noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
