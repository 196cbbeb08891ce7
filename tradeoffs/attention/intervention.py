"""What a word does to the image that the model predicts: the same noised real image denoised with and without it."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from tradeoffs.attention.capture import TextOnImage, context_of, noised
from tradeoffs.jobs.devices import autocast
from tradeoffs.model.checkpoints import LatentDiffusion
from tradeoffs.model.schedule import NoiseSchedule
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.progress import Progress


@torch.no_grad()
def changes(
    model: LatentDiffusion,
    texts_on_images: Sequence[TextOnImage],
    others: Sequence[Sequence[str]],
    seed: int,
    steps: int,
    keep: int,
    batch_size: int,
    precision: str = "fp32",
) -> Iterator[np.ndarray]:
    """How much the predicted image changes where, if each text is exchanged for each of its k other texts.

    Yields (k, h, w) float32 for each text: the root mean square over channels of the difference of the predicted
    latents (see `predicted_latent`), mean over the time steps. These, and the noise, are those of `token_heat_maps`;
    there is no guidance.
    batch_size: (text, step) pairs per U-Net pass; precision: of autocast
    """
    times = evenly_spaced_steps(model.schedule.config.num_train_timesteps, steps)[-keep:]
    encoder = CachedTextEncoder(*model.text_side)
    for one, texts in zip(Progress(texts_on_images, desc="changes", unit="sample"), others, strict=True):
        context = context_of(encoder, [one.text, *texts], precision)
        noisy = {time: noised(model, one, time, seed) for time in times}
        pairs = [(row, time) for time in times for row in range(len(context))]
        predicted = []
        for first in range(0, len(pairs), batch_size):
            rows, of_rows = zip(*pairs[first : first + batch_size], strict=True)
            latents, at = torch.stack([noisy[time] for time in of_rows]), torch.tensor(of_rows)
            with autocast("heat_maps.precision", precision):
                device = model.unet.device
                output = model.unet(latents.to(device), at.to(device), context[list(rows)]).sample
            predicted.append(predicted_latent(model.schedule, latents, output.float().cpu(), at))
        own, *exchanged = torch.cat(predicted).unflatten(0, (len(times), -1)).unbind(1)
        yield torch.stack([(one - own).square().mean(1).sqrt().mean(0) for one in exchanged]).numpy()


def predicted_latent(
    schedule: NoiseSchedule, noisy: torch.Tensor, output: torch.Tensor, times: torch.Tensor
) -> torch.Tensor:
    """The noiseless latents that the U-Net's output stands for, float32 as x_t `noisy` (B, c, h, w) at times (B,).

    epsilon: (x_t - sqrt(1 - abar) eps) / sqrt(abar); v_prediction: sqrt(abar) x_t - sqrt(1 - abar) v (Salimans and Ho
    2022)
    """
    abar = schedule.alphas_cumprod.cpu()[times].view(-1, 1, 1, 1)
    if schedule.config.prediction_type == "epsilon":
        return ((noisy - (1 - abar).sqrt() * output) / abar.sqrt()).float()
    return (abar.sqrt() * noisy - (1 - abar).sqrt() * output).float()
