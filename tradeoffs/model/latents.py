"""Cached latents: the parameters of the autoencoder's posterior per image, drawn from anew at each use."""

import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.data import Dataset

from tradeoffs.data.image_files import batches
from tradeoffs.data.images import load_image
from tradeoffs.errors import InputError
from tradeoffs.files import atomic_path

logger = logging.getLogger(__name__)


def latent_size(vae: AutoencoderKL, resolution: int) -> int:
    """Side of the latents of images whose side is `resolution`; raises InputError if it is not a multiple of f."""
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    if resolution % factor:
        raise InputError(f"image.resolution: {resolution} is not a multiple of {factor}, as this base needs; change it")
    return resolution // factor


@torch.no_grad()
def encode_images(
    vae: AutoencoderKL,
    paths: Sequence[str],
    resolution: int,
    batch_size: int,
    max_missing: float = 0.0,
    workers: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Posterior mean and standard deviation of the images, both (n, c, resolution/f, resolution/f), unscaled.

    max_missing: share of the images that may turn out to be unreadable; these are logged and left out
    workers: processes that decode images beside this one
    Returns them with the numbers of the images in `paths`. Raises InputError for an image too many, or a resolution
    that the autoencoder does not have.
    """
    size = latent_size(vae, resolution)
    none = torch.empty(0, vae.config.latent_channels, size, size)
    means, deviations = [none], [none]
    rows: list[int] = []
    unreadable = 0
    for readable, images, errors in batches(_Loaded(paths, resolution), batch_size, workers, "latents", _sorted_out):
        for error in errors:
            unreadable += 1
            if unreadable > max_missing * len(paths):
                raise error
            logger.warning("left out: %s", error)
        if readable:
            posterior = vae.encode(images.to(vae.device, vae.dtype)).latent_dist
            means.append(posterior.mean.float().cpu())
            deviations.append(posterior.std.float().cpu())
            rows += readable
    return torch.cat(means), torch.cat(deviations), rows


class _Loaded(Dataset):
    """Number of an image, and the image (3, r, r) in [-1, 1] or the error of one that cannot be read."""

    def __init__(self, paths: Sequence[str], resolution: int):
        self.paths, self.resolution = paths, resolution

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[int, torch.Tensor | InputError]:
        try:
            return row, load_image(self.paths[row], self.resolution)
        except InputError as error:
            return row, error


def _sorted_out(loaded: list[tuple[int, Any]]) -> tuple[list[int], torch.Tensor, list[InputError]]:
    """Numbers of the readable images, these in one tensor, and the errors of the others."""
    images = {row: image for row, image in loaded if isinstance(image, torch.Tensor)}
    errors = [error for row, error in loaded if row not in images]
    return list(images), torch.stack(list(images.values())) if images else torch.empty(0), errors


def save_latents(path: str | Path, ids: Sequence[str], mean: torch.Tensor, std: torch.Tensor) -> None:
    """Writes one shard."""
    with atomic_path(path) as temporary:
        save_file(
            {"mean": mean.contiguous(), "std": std.contiguous()}, temporary, metadata={"ids": json.dumps(list(ids))}
        )


class Latents:
    """Read access to shards of latents by sample id.

    A latent is read from its place in the file when it is asked for, so a job needs no more memory for larger shards.
    (A memory map's pages, once touched, count as the job's memory where SLURM polls for it. Measured on a shard of
    1.05 GB whose rows were all read: 1.50 GB resident with safetensors' own map, 0.45 GB this way, as before reading.)
    """

    def __init__(self, paths: Iterable[str | Path], scaling_factor: float):
        """Raises InputError for a file that is no whole shard, or a sample that is in two of them."""
        self.scaling_factor = scaling_factor
        self.places: dict[str, tuple[int, int]] = {}
        self.shards = [_Shard(path) for path in paths]
        self.shape = self.shards[0].shape  # (c, h, w) of one latent
        for number, shard in enumerate(self.shards):
            for row, name in enumerate(shard.ids):
                if name in self.places:
                    raise InputError(
                        f"{shard.path}: sample {name} is in another shard of latents too; delete both and run again"
                    )
                self.places[name] = (number, row)

    def sample(self, name: str, noise: torch.Tensor) -> torch.Tensor:
        """The draw from the posterior that standard normal `noise` (c, h, w) stands for, scaled for the U-Net."""
        number, row = self.places[name]
        mean, std = (self.shards[number].row(part, row) for part in ("mean", "std"))
        return (mean + std * noise) * self.scaling_factor


class _Shard:
    """One file of latents: ids, and rows of its float32 tensors, which its own library would map or read whole."""

    def __init__(self, path: str | Path):
        self.path = path
        try:
            with safe_open(path, framework="pt") as shard:  # checks the whole layout
                self.shape = tuple(shard.get_slice("mean").get_shape()[1:])
                self.ids = json.loads(shard.metadata()["ids"])
            self.file = open(path, "rb")  # noqa: SIM115 (open as long as the shard is in use)
            length = int.from_bytes(self.file.read(8), "little")
            header = json.loads(self.file.read(length))
            self.starts = {name: 8 + length + header[name]["data_offsets"][0] for name in ("mean", "std")}
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a shard of latents ({error}); delete it and run again") from error

    def row(self, name: str, row: int) -> torch.Tensor:
        values = torch.empty(self.shape)
        os.preadv(self.file.fileno(), [values.numpy()], self.starts[name] + row * values.nbytes)
        return values
