"""Fine-tuning the tiny base in a second: settings, texts, a way to interrupt it, and comparing what came out."""

from itertools import count

import torch

from tradeoffs.model import training
from tradeoffs.model.trainer import TrainingSettings
from tradeoffs.model.training import diffusion_loss

SETTINGS = TrainingSettings(
    steps=5,
    milestones=(),
    batch_size=4,
    micro_batch_size=4,
    learning_rate=1e-3,
    text_encoder_learning_rate=None,
    weight_decay=0.01,
    schedule="cosine",
    warmup_steps=2,
    text_dropout=0.3,
    precision="fp32",
    checkpoint_every=2,
    gradient_checkpointing=False,
    ema_decay=None,
    min_snr_gamma=None,
    max_grad_norm=None,
    log_every=1,
)
IDS = [f"s{i}" for i in range(6)]
TEXTS = ["left pneumonia", "right pneumonia", "mild edema", "edema", "no acute process", "pleural effusion"]


def own_text(row, rng):
    """A pair's only text."""
    return TEXTS[row]


def any_text(row, rng):
    """One of all texts, at random."""
    return TEXTS[rng.integers(6)]


def weights(model, *parts):
    """Copies of the weights of some parts of the model, by default of all."""
    names = parts or model.networks
    return {f"{part}.{k}": v.clone() for part in names for k, v in model.networks[part].state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def interrupt_at(monkeypatch, call, loss=diffusion_loss):
    """Has the loss raise when it is computed for the `call`th time (from 0)."""
    calls = count()

    def interrupted_loss(*arguments):
        if next(calls) == call:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(training, "diffusion_loss", interrupted_loss)
