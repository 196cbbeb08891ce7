import hashlib

import numpy as np
import pytest
import torch

from tradeoffs.randomness import normal, numpy_rng, seed_of, torch_rng


def test_seed_by_hand():
    digest = hashlib.sha256(b"3\x1fs01\x1f781").hexdigest()
    assert seed_of(3, "s01", 781) == int(digest[:16], 16) // 2
    assert seed_of(3, "s01", 781) < 2**63


@pytest.mark.parametrize("other", [(3, "s01", 78), (4, "s01", 781), (3, "s0", "1781"), (781, "s01", 3), (3, "s01")])
def test_every_key_counts(other):
    assert seed_of(*other) != seed_of(3, "s01", 781)


def test_generators_are_seeded_by_their_keys():
    assert numpy_rng("a", 1).random() == np.random.default_rng(seed_of("a", 1)).random() != numpy_rng("a", 2).random()
    assert torch_rng("a", 1).initial_seed() == seed_of("a", 1)


def test_normal_does_not_touch_the_global_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = normal((100, 100), "a", 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, normal((100, 100), "a", 1)) and not torch.equal(drawn, normal((100, 100), "a", 2))
    assert (
        drawn.dtype == torch.float32 and abs(drawn.mean()) < 0.05 and abs(drawn.std() - 1) < 0.05
    )  # standard error 0.01
