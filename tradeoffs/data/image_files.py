"""Image files in batches, decoded ahead of their use by other processes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tradeoffs.data.images import load_image
from tradeoffs.errors import InputError
from tradeoffs.progress import Progress


class ImageFiles(Dataset):
    """Image files as uint8 tensors (3, resolution, resolution), decoded when asked for.

    Real and generated images both come through here, so that they share one geometry and one rounding.
    """

    def __init__(self, paths: Sequence[str | Path], resolution: int):
        self.paths = list(paths)
        self.resolution = resolution

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        image = load_image(self.paths[index], self.resolution)
        return ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def batches(
    images: Dataset | Tensor,
    batch_size: int,
    workers: int,
    description: str,
    collate: Callable[[list], Any] = torch.stack,
) -> Iterator[Any]:
    """Yields the images in order, `batch_size` at a time, under a progress bar.

    workers: processes that decode and collate beside this one; with 0 it does so itself, and the numbers are the same
    collate: makes the batch of its items
    """
    loader = DataLoader(images, batch_size=batch_size, num_workers=workers, collate_fn=collate)
    try:
        yield from Progress(loader, desc=description, unit="batch")
    except InputError as error:  # a worker's has the worker's traceback before its message
        raise InputError(str(error).rpartition("InputError: ")[2].strip()) from error
