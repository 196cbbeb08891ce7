"""The demo's base model: a small one of Stable Diffusion v2's own classes, pre-trained on generic captioned pictures.

As for Stable Diffusion, the parts are trained one after the other: the autoencoder, which sees images only; the text
encoder, which learns from captioned pictures which text belongs to which picture (CLIP) and stays as it is from then
on; the U-Net, on captioned latents. The pictures are generic scenes and, as on the web, some radiographs of a look and
under captions of their own ("x-ray of a lung with pneumonia").
"""

import json
import string
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from tokenizers.trainers import BpeTrainer
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.demo.pictures import RESOLUTION
from tradeoffs.demo.scenes import draw_scene
from tradeoffs.evaluation.map_scores import auc_roc, resized
from tradeoffs.evaluation.queries import query_map, token_weights
from tradeoffs.model.checkpoints import LatentDiffusion, noise_schedule
from tradeoffs.model.pipelines import stable_diffusion
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import torch_rng
from tradeoffs.sampling import draw_samples

FACTOR = 8  # pixels per latent pixel, as in Stable Diffusion
LATENT_CHANNELS = 8  # twice Stable Diffusion's: thin ribs need them at 128 px
POSTERIOR_LOG_VARIANCE = -5.0
CONTEXT_TOKENS = 40
CONTEXT_WIDTH = 64


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


def build_unet(seed: int) -> UNet2DConditionModel:
    """U-Net with random weights and cross-attention on every level but the lowest and in the middle, as in Stable
    Diffusion: at 16 x 16 and 8 x 8 latent pixels in the down and the up path and at 4 x 4 in the middle (7 layers).

    With cross-attention at 16 x 16 alone it learnt chests, but hardly used its text.
    """
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=RESOLUTION // FACTOR,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(32, 64, 64),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=(2, 4, 4),  # diffusers' name for the number of heads
        norm_num_groups=8,
        cross_attention_dim=CONTEXT_WIDTH,
        use_linear_projection=True,
    )


def build_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """A CLIP tokenizer whose byte-pair merges are learnt from the texts (ids differ from training to training).

    It pads with "!", as Stable Diffusion 2's does, and not with copies of the end token, as CLIP's own
    (docs/encoders.md has what either did to the heat maps).
    """
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
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=CONTEXT_TOKENS, pad_token="!")


def build_text_encoder(tokenizer: CLIPTokenizer, seed: int) -> CLIPTextModel:
    """A small CLIP text encoder with random weights.

    Token embeddings are scaled by 50 and positions by 15, so that a token's identity survives the causal mixing from
    the beginning.
    """
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


def build_image_encoder() -> torch.nn.Module:
    """From latents (n, c, 16, 16) to (n, CONTEXT_WIDTH), without pooling, so that it tells left from right."""
    widths = (LATENT_CHANNELS, 64, 96, 128)
    layers: list[torch.nn.Module] = []
    for stride, before, after in zip((1, 2, 2), widths, widths[1:], strict=False):
        layers += [torch.nn.Conv2d(before, after, 3, stride, padding=1), torch.nn.GroupNorm(8, after), torch.nn.GELU()]
    side = RESOLUTION // FACTOR // 4
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(widths[-1] * side * side, CONTEXT_WIDTH))


def train_text_encoder(
    latents: torch.Tensor,
    captions: list[str],
    tokenizer: CLIPTokenizer,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> tuple[CLIPTextModel, float]:
    """Trains a text encoder contrastively on captioned latents (n, c, h, w), beside an image encoder that is dropped.

    Loss: that of CLIP (Radford et al., ICML 2021), symmetric cross-entropy over a batch; identical captions count as
    matches of each other's pictures. A caption is the mean of its words' embeddings, as for sentence encoders, and not
    CLIP's end token, which otherwise knows best where findings are, so that the U-Net looks there (docs/encoders.md).
    The last 2 % of the pictures are held out: radiographs with findings, where these come last.
    Returns the text encoder and the share of held-out pictures (in groups of 64) whose own caption it ranks first.
    """
    text_encoder = build_text_encoder(tokenizer, seed).train()
    image_encoder = build_image_encoder()
    to_image = torch.nn.Linear(CONTEXT_WIDTH, CONTEXT_WIDTH, bias=False)
    log_scale = torch.nn.Parameter(torch.tensor(1 / 0.07).log())
    parts = torch.nn.ModuleList([text_encoder, image_encoder, to_image])
    held_out = len(captions) // 50
    ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    special = torch.tensor([tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id])
    words = (~torch.isin(ids, special)).unsqueeze(-1).float()
    kinds = torch.tensor([{text: k for k, text in enumerate(dict.fromkeys(captions))}[text] for text in captions])
    rng = torch_rng(seed, "text encoder")

    def similarity(rows: torch.Tensor) -> torch.Tensor:
        """(pictures, captions) cosines of the rows."""
        images = functional.normalize(image_encoder(latents[rows]), dim=-1)
        embeddings = text_encoder(input_ids=ids[rows]).last_hidden_state
        of_words = (embeddings * words[rows]).sum(1) / words[rows].sum(1)
        texts = functional.normalize(to_image(of_words), dim=-1)
        return images @ texts.T

    def loss_of(step: int) -> torch.Tensor:
        rows = torch.randint(len(captions) - held_out, (batch_size,), generator=rng)
        logits = similarity(rows) * log_scale.exp().clamp(max=100)
        same = (kinds[rows][:, None] == kinds[rows]).float()
        target = same / same.sum(1, keepdim=True)
        return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2

    _minimise(loss_of, [*parts.parameters(), log_scale], steps, learning_rate, 0.01, "text encoder")
    with torch.no_grad():
        first = []
        for rows in torch.arange(len(captions) - held_out, len(captions)).split(64):
            best = similarity(rows).argmax(1)
            first += (kinds[rows][best] == kinds[rows]).tolist()
    return text_encoder.eval(), sum(first) / len(first)


def train_vae(
    pictures: torch.Tensor, steps: int, decoder_steps: int, batch_size: int, learning_rate: float, seed: int
) -> AutoencoderKL:
    """Trains the autoencoder: the encoder on whitened principal components of patches, the decoder on absolute error.

    pictures: uint8 (n, 3, RESOLUTION, RESOLUTION). A fixed target makes both halves converge in minutes, and latents of
    unit variance need no scaling. Then `decoder_steps` of the decoder. Most steps of both see crops of half the side,
    which costs a quarter; their last ones see whole images, so that group normalisation meets what it will be used on.
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
        images = batch(cropped=step < 0.75 * decoder_steps)
        with torch.no_grad():
            posterior = vae.encode(images).latent_dist
        return decoding_error(images, posterior)

    _minimise(joint_loss, list(vae.parameters()), steps, learning_rate, 0.0, "autoencoder")
    decoder = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    _minimise(decoder_loss, decoder, decoder_steps, learning_rate / 2, 0.0, "decoder")
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
def encode_pictures(vae: AutoencoderKL, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior mean and standard deviation, both (n, c, h, w) and unscaled, of uint8 pictures (n, 3, H, W)."""
    parts = tqdm(pictures.split(64), desc="encoding", unit="batch")
    posteriors = [vae.encode(part.float() / 127.5 - 1).latent_dist for part in parts]
    return torch.cat([p.mean for p in posteriors]), torch.cat([p.std for p in posteriors])


@torch.no_grad()
def text_use(model: LatentDiffusion, latents: torch.Tensor, captions: list[str], seed: int) -> tuple[float, float]:
    """Validation loss of captioned latents (n, c, h, w), and how much larger it is with the captions of other pictures.

    The mean over five times and the pictures, with the same noise for both; a model that ignores its text has a text
    use of 0.
    """
    encoder = CachedTextEncoder(*model.text_side)
    context = encoder(captions)
    contexts = {"own": context, "other": context.roll(1, 0)}
    losses = dict.fromkeys(contexts, 0.0)
    times = (100, 300, 500, 700, 900)
    for time in times:
        noise = torch.randn(latents.shape, generator=torch_rng(seed, "text use", time))
        steps = torch.full((len(latents),), time)
        noisy = model.schedule.add_noise(latents, noise, steps)
        for name, texts in contexts.items():
            parts = zip(noisy.split(64), steps.split(64), texts.split(64), strict=True)
            prediction = torch.cat([model.unet(*part).sample for part in parts])
            losses[name] += functional.mse_loss(prediction, noise).item() / len(times)
    return losses["own"], losses["other"] - losses["own"]


def scene_auc(model: LatentDiffusion, count: int, seed: int) -> float:
    """Mean AUC-ROC of the heat maps of nouns on `count` scenes of a seed, each against its thing's visible pixels."""
    scores = []
    scenes = [draw_scene((seed, number), RESOLUTION) for number in range(count)]
    images = torch.from_numpy(np.stack([image for image, _, _ in scenes])).permute(0, 3, 1, 2)
    means, _ = encode_pictures(model.vae, images)
    texts_on_images = [
        TextOnImage(str(n), str(n), scene[1], latent)
        for n, (scene, latent) in enumerate(zip(scenes, means, strict=True))
    ]
    for maps, (_, _, masks) in zip(token_heat_maps(model, texts_on_images, seed, 10, 8, 64), scenes, strict=True):
        for noun, mask in masks.items():
            if mask.any():
                weights, _ = token_weights(maps, [noun], CORRECTED)
                scores.append(auc_roc(resized(query_map(maps, weights), RESOLUTION, CORRECTED), mask))
    return float(np.mean(scores))


def sample_sheet(folder: str | Path, prompts: list[str], seed: int) -> Image.Image:
    """One sample of each prompt, side by side: guidance 4, 20 steps of DPM-Solver++."""
    rows = pd.DataFrame({"image_id": prompts, "text": prompts})
    drawn = draw_samples(folder, rows, seed, 4.0, 20, "dpm", len(prompts), RESOLUTION)
    return Image.fromarray(np.concatenate([np.asarray(image) for _, image in drawn], axis=1))


def save_base(folder, vae, text_encoder, tokenizer, unet) -> None:
    """Writes the parts as a Stable Diffusion folder, weights in single precision, in which a CPU can run them."""
    stable_diffusion(vae, text_encoder, tokenizer, unet, noise_schedule()).save_pretrained(folder)
