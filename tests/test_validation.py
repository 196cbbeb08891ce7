"""The validation loss: the same draws for every model and seed, the right steps, and no trace in the run."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from small_training import IDS, SETTINGS, interrupt_at, own_text, same, weights

from tradeoffs.errors import InputError
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import load
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.model.training_progress import Onlookers
from tradeoffs.model.validation import TIMES, ValidationImages, ValidationLoss, validation_images

FIVE_STEPS = replace(SETTINGS, steps=5, milestones=[3], checkpoint_every=2, ema_decay=0.5)


@pytest.fixture(autouse=True)
def forget_precision():
    """Accelerate keeps the first precision for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ValidationImages:
    """Three images with a text each."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in ("v0", "v1", "v2"):
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(folder / f"{name}.png")
    paths = [str(folder / f"{name}.png") for name in ("v0", "v1", "v2")]
    return ValidationImages(["v0", "v1", "v2"], paths, ["edema", "left pneumonia", "no finding"])


@pytest.fixture
def train(tiny_base, tiny_latents, tmp_path, images):
    """Trains the tiny base with the validation loss, or without; returns model and outcome."""

    def run(settings=FIVE_STEPS, seed=0, folder="run", validated=True, images=images):
        model = load(tiny_base)
        onlookers = Onlookers(validation=ValidationLoss(model, images, 64) if validated else None)
        owner = RunFolder(tmp_path / folder, "this run")
        outcome = fine_tune(
            model,
            Pairs(IDS, own_text),
            tiny_latents,
            True,
            settings,
            seed,
            owner,
            lambda step: (owner.milestones / f"step{step}").mkdir(parents=True, exist_ok=True),
            onlookers=onlookers,
        )
        return model, outcome

    return run


def test_the_first_images_in_an_order_of_their_ids():
    rows = pd.DataFrame({"sample_id": [f"s{i}" for i in range(9)], "path": [f"{i}.png" for i in range(9)]})
    five = validation_images(5, rows, lambda row, rng: f"text {row} {rng.integers(9)}")
    shuffled = rows.sample(frac=1, random_state=0, ignore_index=True)
    again = validation_images(5, shuffled, lambda row, rng: f"text {shuffled['path'][row][0]} {rng.integers(9)}")
    assert again == five and len(set(five.ids)) == 5 and five.ids != sorted(five.ids)
    assert [path.removesuffix(".png") for path in five.paths] == [name[1:] for name in five.ids]
    assert [text.split()[1] for text in five.texts] == [name[1:] for name in five.ids]
    assert validation_images(3, rows, lambda row, rng: "").ids == five.ids[:3]


def test_each_quarter_of_the_times_has_one_of_each_image(tiny_model, images):
    draws = ValidationLoss(tiny_model, images, 64)._draws
    assert [int(time) // 250 for time in draws.times] == [0, 1, 2, 3] * 3 and len(set(draws.times.tolist())) > 4
    assert draws.latents.shape == draws.noise.shape == (3 * TIMES, 4, 8, 8)
    assert torch.equal(draws.latents[0], draws.latents[3]) and not torch.equal(draws.noise[0], draws.noise[1])


def test_the_loss_leaves_no_trace_in_weights_average_and_log(train):
    (with_it, one), (without, other) = train(folder="with"), train(folder="without", validated=False)
    assert same(weights(with_it), weights(without)) and one.losses.equals(other.losses)
    for outcome in (one, other):
        outcome.use_ema()
    assert same(weights(with_it), weights(without))
    assert other.validation.empty and list(other.validation) == list(one.validation)


def test_rows_stand_at_the_start_at_checkpoints_milestones_and_the_end(train):
    _, outcome = train()
    rows = outcome.validation
    assert rows["step"].tolist() == [0, 0, 2, 2, 3, 3, 4, 4, 5, 5]
    assert rows["weights"].tolist() == ["raw", "ema"] * 5 and set(rows["images"]) == {3}
    raw, ema = (rows[rows["weights"] == kind]["validation_loss"].to_numpy() for kind in ("raw", "ema"))
    assert raw[0] == ema[0] and (raw[1:] != ema[1:]).all()


def test_seeds_start_from_the_same_loss_and_diverge(train):
    (_, one), (_, other) = train(seed=0, folder="0"), train(seed=1, folder="1")
    assert one.validation.iloc[0].equals(other.validation.iloc[0])
    assert one.validation["validation_loss"].iloc[-1] != other.validation["validation_loss"].iloc[-1]


def test_the_loss_is_that_of_the_saved_weights(train, images):
    model, outcome = train(replace(FIVE_STEPS, ema_decay=None))
    draws = ValidationLoss(model, images, 64)._draws
    contexts = model.text_encoder(
        torch.stack([torch.tensor(model.tokenizer(t, padding="max_length")["input_ids"]) for t in draws.texts])
    )[0]
    noisy = model.schedule.add_noise(draws.latents, draws.noise, draws.times)
    with torch.no_grad():
        expected = (model.unet(noisy, draws.times, contexts).sample - draws.noise).square().mean().item()
    assert outcome.validation["validation_loss"].iloc[-1] == pytest.approx(expected, rel=1e-5)


def test_a_resumed_run_has_the_rows_of_the_undisturbed_one(train, monkeypatch):
    _, undisturbed = train(folder="undisturbed")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            train(folder="resumed")
    _, resumed = train(folder="resumed")
    assert resumed.validation.equals(undisturbed.validation)


def test_images_that_cannot_be_read_are_left_out(train, images, tmp_path):
    (tmp_path / "broken.png").write_text("no image")
    settings = replace(FIVE_STEPS, steps=1, milestones=[])
    _, outcome = train(settings, images=replace(images, paths=[*images.paths[:2], str(tmp_path / "broken.png")]))
    assert set(outcome.validation["images"]) == {2}
    with pytest.raises(InputError, match="training.validation_images: no image .* can be read; set it to 0"):
        train(settings, folder="none", images=replace(images, paths=[str(tmp_path / "broken.png")] * 3))
