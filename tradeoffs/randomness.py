"""Random numbers that depend on what they are for, not on when or where they are drawn.

Row 1 of the protocol: noise is a function of (seed, sample id, step), so batch size, order, shards and resumption
change nothing. The original re-seeds from the clock.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # takes seconds to import, and the configuration and the jobs that prepare tables do not need it
    import torch


def seed_of(*keys: object) -> int:
    """A 63-bit seed from any keys with a stable `str`, such as (seed, sample id, step)."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, keys)).encode()).digest()[:8], "big") >> 1


def numpy_rng(*keys: object) -> np.random.Generator:
    """NumPy generator for the keys."""
    return np.random.default_rng(seed_of(*keys))


def torch_rng(*keys: object) -> torch.Generator:
    """Torch generator (CPU, so that every device sees the same numbers) for the keys."""
    import torch

    return torch.Generator().manual_seed(seed_of(*keys))


def normal(shape: tuple[int, ...], *keys: object) -> torch.Tensor:
    """Standard normal float32 tensor of `shape` for the keys, on the CPU."""
    import torch

    return torch.randn(shape, generator=torch_rng(*keys))
