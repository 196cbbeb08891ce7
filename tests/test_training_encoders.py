"""Fine-tuning with other text encoders and with adapters: what learns, and that a stopped run ends the same."""

from dataclasses import replace
from itertools import count

import pytest
import torch
from encoders import save_encoder
from small_training import IDS, SETTINGS, interrupt_at, own_text, same, weights

from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load, with_encoder
from tradeoffs.model.lora import merged, with_adapters
from tradeoffs.model.training import Pairs, fine_tune


@pytest.fixture
def build(tiny_base, tmp_path):
    """The tiny base with a text encoder of a kind, null for its own, to be trained in a given way."""
    numbers = count()

    def built(kind, text_encoder):
        model = load(tiny_base)
        if kind:
            model = with_encoder(model, save_encoder(kind, tmp_path / f"encoder{next(numbers)}"), seed=0)
        if text_encoder == "lora":
            model = replace(model, text_encoder=with_adapters(model.text_encoder, rank=2, seed=0))
        return model

    return built


@pytest.fixture
def train(build, tiny_latents, tmp_path):
    """Builds a model and trains it for three steps."""
    numbers = count()

    def run(kind, text_encoder, checkpoints=None, **changes):
        model = build(kind, text_encoder)
        fine_tune(
            model,
            Pairs(IDS, own_text),
            tiny_latents,
            text_encoder != "frozen",
            replace(SETTINGS, steps=3, batch_size=2, micro_batch_size=2, **changes),
            0,
            RunFolder(checkpoints or tmp_path / f"checkpoint{next(numbers)}", "this run"),
            lambda step: None,
        )
        return model

    return run


@pytest.mark.parametrize("kind", [None, "bert"])
@pytest.mark.parametrize("text_encoder", ["frozen", "learnable", "lora"])
def test_exactly_the_parts_that_learn_change(build, train, kind, text_encoder):
    before, after = weights(build(kind, text_encoder)), weights(train(kind, text_encoder))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {"unet"} | ({"projection"} if kind else set()) | ({"text_encoder"} if text_encoder != "frozen" else set())
    assert {name.split(".")[0] for name in changed} == parts
    if text_encoder == "lora":
        assert all("lora_" in name for name in changed if name.startswith("text_encoder."))


@pytest.mark.parametrize(
    ("kind", "text_encoder"), [("bert", "frozen"), ("bert", "learnable"), ("t5", "learnable"), (None, "lora")]
)
def test_a_stopped_run_ends_as_an_undisturbed_one(train, kind, text_encoder, tmp_path, monkeypatch):
    undisturbed = train(kind, text_encoder)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        interrupt_at(patched, 2)
        train(kind, text_encoder, checkpoints=tmp_path / "stopped")
    assert list((tmp_path / "stopped").glob("step*"))
    resumed = train(kind, text_encoder, checkpoints=tmp_path / "stopped")
    assert same(weights(resumed), weights(undisturbed))


@pytest.mark.parametrize("kind", [None, "bert"])
def test_gradient_checkpointing_gives_the_same_adapters(train, kind):
    plain, checkpointed = train(kind, "lora"), train(kind, "lora", gradient_checkpointing=True)
    for name, weight in merged(plain.text_encoder).state_dict().items():
        torch.testing.assert_close(merged(checkpointed.text_encoder).state_dict()[name], weight, rtol=1e-3, atol=1e-5)
