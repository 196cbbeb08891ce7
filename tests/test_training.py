import os
import signal
from collections import Counter
from dataclasses import fields, replace
from functools import partial
from itertools import count
from math import cos, pi, sqrt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers.models.resnet import ResnetBlock2D
from small_training import IDS, SETTINGS, TEXTS, any_text, interrupt_at, own_text, same, weights
from transformers.models.clip.modeling_clip import CLIPMLP

from tradeoffs.config.schema import Config
from tradeoffs.errors import InputError, Stopped
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model import trainer, training
from tradeoffs.model.checkpoints import load, noise_schedule
from tradeoffs.model.schedule import schedule_of
from tradeoffs.model.trainer import TrainingSettings, passes_of
from tradeoffs.model.training import (
    Batch,
    Pairs,
    diffusion_loss,
    draw_batch,
    fine_tune,
    learning_rate,
    loss_weights,
    rows_of_step,
    texts_of_batch,
)
from tradeoffs.randomness import normal


@pytest.fixture(autouse=True)
def forget_precision():
    """Accelerate keeps the first precision for the whole process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def train(tiny_base, tiny_latents, tmp_path):
    """Trains a fresh copy of the tiny base, by default with a new checkpoint folder; returns the model and loss log.

    `train.record` is the record of the last run.
    """
    numbers = count()

    def run(
        settings=SETTINGS,
        learnable=False,
        text=own_text,
        seed=0,
        folder=None,
        identity="this run",
        keep_milestone=lambda step, model: None,
        use_ema=False,
    ):
        model = load(tiny_base)
        outcome = fine_tune(
            model,
            Pairs(IDS, text),
            tiny_latents,
            learnable,
            settings,
            seed,
            RunFolder(tmp_path / (folder or f"checkpoint-{next(numbers)}"), identity),
            lambda step: keep_milestone(step, model),
        )
        if use_ema:
            outcome.use_ema()
        run.record = outcome.record
        return model, outcome.losses

    return run


@pytest.mark.parametrize("dataset", ["cxr", "coco"])
def test_settings_are_the_configs_section(dataset):
    section = Config().training_of(dataset)
    assert {field.name for field in fields(TrainingSettings)} == set(section)
    assert TrainingSettings(**section).steps == {"cxr": 60_000, "coco": 150_000}[dataset]


def test_the_learning_rate_warms_up_and_falls_as_a_cosine_or_stays():
    settings = replace(SETTINGS, steps=12, warmup_steps=4, learning_rate=2e-4)
    assert [learning_rate(step, settings) for step in range(4)] == pytest.approx([0.5e-4, 1e-4, 1.5e-4, 2e-4])
    # eight steps of half a cosine: at a quarter (1 + sqrt(1/2)) / 2, at half 1/2, at the last one 7/8 of the way
    assert learning_rate(4, settings) == pytest.approx(2e-4)
    assert learning_rate(6, settings) == pytest.approx(2e-4 * (1 + sqrt(0.5)) / 2)
    assert learning_rate(8, settings) == pytest.approx(1e-4)
    assert learning_rate(11, settings) == pytest.approx(1e-4 * (1 + cos(7 * pi / 8)))
    constant = replace(settings, schedule="constant", warmup_steps=0)
    assert {learning_rate(step, constant) for step in range(12)} == {2e-4}


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (3, 8)])
def test_every_epoch_is_a_permutation(n, batch_size):
    rows = [row for step in range(n) for row in rows_of_step(step, batch_size, n, seed=1)]
    epochs = [rows[start : start + n] for start in range(0, len(rows), n)]
    assert len(epochs) == batch_size and all(sorted(epoch) == list(range(n)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1
    assert rows != [row for step in range(n) for row in rows_of_step(step, batch_size, n, seed=2)]


def test_draws_belong_to_seed_and_step():
    settings = replace(SETTINGS, batch_size=64)
    first, again, next_step, other_seed = (
        draw_batch(step, 100, (4, 8, 8), 1000, settings, seed) for step, seed in ((3, 0), (3, 0), (4, 0), (3, 1))
    )
    for name in ("posterior_noise", "noise", "times", "dropped"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(next_step, name))
        assert not torch.equal(getattr(first, name), getattr(other_seed, name))
    assert first.noise.shape == (64, 4, 8, 8) and not torch.equal(first.noise, first.posterior_noise)
    assert abs(first.noise.std() - 1) < 0.02  # 16,384 draws: standard error 0.006
    assert 0 <= first.times.min() < 100 and 900 < first.times.max() <= 999  # 64 draws of 0..999


def test_text_dropout_has_the_configured_share():
    def share(text_dropout):
        settings = replace(SETTINGS, batch_size=50, text_dropout=text_dropout)
        return np.mean([draw_batch(s, 9, (1, 1, 1), 1000, settings, 0).dropped.numpy().mean() for s in range(80)])

    assert share(0.0) == 0 and share(1.0) == 1
    assert abs(share(0.3) - 0.3) < 0.03  # 4,000 draws: standard error 0.007


def test_dropped_texts_do_not_count(train):
    def others(row, rng):
        return TEXTS[5 - row]

    no_text, full_text = replace(SETTINGS, steps=2, text_dropout=1.0), replace(SETTINGS, steps=2, text_dropout=0.0)
    all_empty = weights(train(full_text, text=lambda row, rng: "")[0], "unet")
    assert same(weights(train(no_text)[0], "unet"), all_empty)
    assert same(weights(train(no_text, text=others)[0], "unet"), all_empty)
    assert not same(weights(train(full_text)[0], "unet"), all_empty)
    assert not same(weights(train(full_text)[0], "unet"), weights(train(full_text, text=others)[0], "unet"))


def test_texts_belong_to_seed_step_and_place():
    pairs = Pairs(IDS, lambda row, rng: f"{row} {rng.integers(10**12)}")

    def texts(*dropped, step=3, seed=0):
        nothing = torch.zeros(0)
        return texts_of_batch(pairs, Batch([2, 0, 2, 5], nothing, nothing, nothing, torch.tensor(dropped)), step, seed)

    all_of_them = texts(False, False, False, False)
    assert [text.split()[0] for text in all_of_them] == ["2", "0", "2", "5"]
    assert len({text.split()[1] for text in all_of_them}) == 4  # the pair that is drawn twice gets two texts
    assert texts(False, False, False, False) == all_of_them
    assert texts(False, True, False, True) == [all_of_them[0], "", all_of_them[2], ""]
    assert not set(texts(False, False, False, False, step=4)) & set(all_of_them)
    assert not set(texts(False, False, False, False, seed=1)) & set(all_of_them)


def test_texts_are_drawn_anew_at_each_use(train):
    settings = replace(SETTINGS, steps=3, batch_size=6, micro_batch_size=2, text_dropout=0.0, milestones=[1, 2])
    used, of_step = [], []

    def text(row, rng):
        used.append((row, rng.integers(10**12)))
        return TEXTS[row]

    train(settings, text=text, keep_milestone=lambda step, model: of_step.append(len(used)))
    assert of_step == [6, 12] and len(used) == 18  # once for each pair of an effective batch
    assert len({drawn for _, drawn in used}) == 18
    assert [sorted(row for row, _ in used[start : start + 6]) for start in (0, 6, 12)] == [[0, 1, 2, 3, 4, 5]] * 3


@pytest.mark.parametrize("learnable", [False, True])
def test_milestones_are_the_models_after_so_many_steps(train, learnable):
    settings = replace(SETTINGS, schedule="constant", milestones=[1, 3])
    kept = {}
    train(settings, learnable, keep_milestone=lambda step, model: kept.update({step: weights(model)}))
    assert list(kept) == [1, 3]
    for steps, found in kept.items():
        model, _ = train(replace(settings, steps=steps, milestones=()), learnable)
        assert same(found, weights(model))


@pytest.mark.parametrize("learnable", [False, True])
def test_the_unet_is_trained_and_the_text_encoder_only_if_learnable(train, tiny_model, learnable):
    model, log = train(learnable=learnable)
    assert same(weights(model, "vae"), weights(tiny_model, "vae"))
    assert same(weights(model, "text_encoder"), weights(tiny_model, "text_encoder")) == (not learnable)
    unchanged = [
        name for name, value in weights(tiny_model, "unet").items() if value.equal(weights(model, "unet")[name])
    ]
    assert unchanged == []
    assert not any(network.training for network in model.networks.values())
    assert log.columns.tolist() == ["step", "loss", "learning_rate"]
    assert log["step"].tolist() == [1, 2, 3, 4, 5] and log["loss"].between(0.1, 10).all()
    # warm-up over two steps, then a cosine over three
    rates = [0.5e-3, 1e-3, 1e-3, 0.5e-3 * (1 + cos(pi / 3)), 0.5e-3 * (1 + cos(2 * pi / 3))]
    assert log["learning_rate"].tolist() == pytest.approx(rates)


def test_loss_falls(train):
    _, log = train(replace(SETTINGS, steps=30, learning_rate=1e-2, log_every=10, checkpoint_every=1000))
    assert log["step"].tolist() == [10, 20, 30]
    assert log["loss"].iloc[-1] < 0.9 * log["loss"].iloc[0]


@pytest.mark.parametrize(("learnable", "ema_decay"), [(False, None), (True, None), (False, 0.5)])
def test_resumed_run_is_the_undisturbed_run(train, tmp_path, monkeypatch, learnable, ema_decay):
    settings = replace(SETTINGS, ema_decay=ema_decay)
    run = partial(train, settings, learnable=learnable, text=any_text)
    undisturbed, log = run(use_ema=ema_decay is not None)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(folder="checkpoint")
    assert (tmp_path / "checkpoint").is_dir()
    calls = []
    monkeypatch.setattr(training, "diffusion_loss", lambda *a: calls.append(1) or diffusion_loss(*a))
    resumed, resumed_log = run(folder="checkpoint", use_ema=ema_decay is not None)
    assert len(calls) == 3  # of five steps, two were done
    assert same(weights(resumed, "unet", "text_encoder"), weights(undisturbed, "unet", "text_encoder"))
    pd.testing.assert_frame_equal(resumed_log, log, check_exact=True)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(train, tmp_path, monkeypatch, name):
    settings = replace(SETTINGS, checkpoint_every=100)
    undisturbed, log = train(settings)
    handler = signal.getsignal(signal.Signals[name])
    calls = count()

    def loss(*arguments):
        if next(calls) == 2:
            os.kill(os.getpid(), signal.Signals[name])
            os.kill(os.getpid(), signal.Signals[name])  # often it comes twice, to the job and to its process group
        return diffusion_loss(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "diffusion_loss", loss)
        with pytest.raises(Stopped, match=f"stopped by {name} after step 3 of 5; the checkpoint is written, run again"):
            train(settings, folder="checkpoint")
    assert signal.getsignal(signal.Signals[name]) == handler
    assert next(calls) == 3
    resumed, resumed_log = train(settings, folder="checkpoint")
    assert same(weights(resumed, "unet"), weights(undisturbed, "unet"))
    pd.testing.assert_frame_equal(resumed_log, log, check_exact=True)


def test_a_run_whose_folder_was_taken_over_stops_before_its_next_step(train, tmp_path, monkeypatch):
    calls = count()

    def loss(*arguments):
        if next(calls) == 3:
            RunFolder(tmp_path / "checkpoint", "this run").claim()
        return diffusion_loss(*arguments)

    monkeypatch.setattr(training, "diffusion_loss", loss)
    with pytest.raises(Stopped, match="was taken over by process"):
        train(folder="checkpoint")
    assert next(calls) == 4
    assert [path.name for path in (tmp_path / "checkpoint").glob("step*")] == ["step00000002"]


def test_moving_average_follows_the_weights(train):
    settings, raw = replace(SETTINGS, ema_decay=0.6, milestones=[1, 2, 3, 4]), {}
    model, _ = train(settings, keep_milestone=lambda step, model: raw.update({step: weights(model, "unet")}))
    raw[5] = weights(model, "unet")
    averaged = weights(train(settings, use_ema=True)[0], "unet")
    assert not same(averaged, raw[5])
    for name, found in averaged.items():
        expected = raw[1][name].double()
        for step in (2, 3, 4, 5):
            decay = min(0.6, step / (step + 9))  # diffusers' warm-up: (1 + n) / (10 + n), n averaged before
            expected = decay * expected + (1 - decay) * raw[step][name]
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-6)
    assert same(raw[5], weights(train()[0], "unet"))  # the raw weights are as they are without it


def test_bf16_trains_fp32_weights_nearly_alike(train):
    model, log = train(replace(SETTINGS, precision="bf16"), learnable=True)
    AcceleratorState._reset_state(reset_partial_state=True)
    _, exact = train(learnable=True)
    assert not log["loss"].equals(exact["loss"])
    assert log["loss"].to_numpy() == pytest.approx(exact["loss"].to_numpy(), rel=0.02)
    assert {value.dtype for value in weights(model, "unet", "text_encoder").values()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 is refused without a GPU")
def test_a_precision_that_the_device_lacks_is_refused(train):
    with pytest.raises(InputError, match="training.precision: fp16 needs a GPU and there is none; use fp32, or bf16"):
        train(replace(SETTINGS, precision="fp16"))


@pytest.fixture
def scale_gradients(monkeypatch):
    """Has training scale gradients as with fp16, of which a CPU has the scaler only; 2**127 overflows at first."""

    def scale(exponent):
        def accelerator(precision, learnable):
            made = Accelerator(cpu=True)
            made.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**exponent)
            return made

        monkeypatch.setattr(trainer, "accelerator_for", accelerator)

    return scale


def test_scaled_gradients_give_the_same_weights_and_the_same_logged_loss(train, scale_gradients):
    exact, log = train()
    scale_gradients(10)
    scaled, scaled_log = train()
    assert same(weights(scaled, "unet"), weights(exact, "unet"))
    pd.testing.assert_frame_equal(scaled_log, log, check_exact=True)
    assert train.record["skipped_steps"] == 0


def test_steps_whose_gradients_overflow_are_left_out_and_counted(train, scale_gradients, tiny_model, monkeypatch):
    def large_loss(*arguments):
        return 64 * diffusion_loss(*arguments)

    monkeypatch.setattr(training, "diffusion_loss", large_loss)
    scale_gradients(127)
    first, _ = train(replace(SETTINGS, steps=1, ema_decay=0.5), use_ema=True)
    assert train.record["skipped_steps"] == 1
    assert same(weights(first, "unet"), weights(tiny_model, "unet"))

    settings = replace(SETTINGS, steps=14, checkpoint_every=2)
    undisturbed, log = train(settings)
    skipped = train.record["skipped_steps"]
    assert 2 < skipped < 12 and log["loss"].between(1, 1000).all()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 13, large_loss)
        with pytest.raises(KeyboardInterrupt):
            train(settings, folder="checkpoint")
    resumed, _ = train(settings, folder="checkpoint")  # with the scale of the checkpoint, not anew with 2**127
    assert train.record["skipped_steps"] == skipped
    assert same(weights(resumed, "unet"), weights(undisturbed, "unet"))


def test_a_loss_that_is_not_finite_ends_the_run(train, monkeypatch):
    monkeypatch.setattr(training, "diffusion_loss", lambda *a: diffusion_loss(*a) * float("inf"))
    with pytest.raises(InputError, match="the loss of step 1 is inf; lower training.learning_rate"):
        train()


def test_resumed_log_where_checkpoints_fall_between_its_rows(train, monkeypatch):
    settings = replace(SETTINGS, log_every=3, checkpoint_every=2)
    _, log = train(settings)
    assert log["step"].tolist() == [3, 5]
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            train(settings, folder="checkpoint")
    pd.testing.assert_frame_equal(train(settings, folder="checkpoint")[1], log, check_exact=True)


def test_checkpoint_of_another_run_is_ignored(train, tmp_path, monkeypatch):
    expected, log = train()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            train(seed=1, folder="checkpoint", identity="another run")
    assert (tmp_path / "checkpoint").is_dir()
    model, new_log = train(folder="checkpoint")
    assert same(weights(model, "unet"), weights(expected, "unet"))
    pd.testing.assert_frame_equal(new_log, log, check_exact=True)


def test_milestones_of_a_stopped_run_stay_beside_its_checkpoints(train, tmp_path, monkeypatch):
    settings = replace(SETTINGS, milestones=[1, 3, 4])  # checkpoints after steps 2 and 4
    milestones = tmp_path / "checkpoint" / "milestones"
    calls, kept = [], {}

    def keep(step, model):
        calls.append(step)
        kept.setdefault(step, []).append(weights(model, "unet"))
        (milestones / f"step{step}").mkdir(parents=True, exist_ok=True)

    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            train(settings, folder="checkpoint", keep_milestone=keep)
    assert calls == [1, 3]
    train(settings, folder="checkpoint", keep_milestone=keep)
    assert calls == [1, 3, 3, 4]
    assert same(*kept[3])
    assert sorted(path.name for path in milestones.iterdir()) == ["step1", "step3", "step4"]


@pytest.mark.parametrize("call", [1, 3])  # before and after the first checkpoint, which follows two steps
def test_milestones_of_another_run_are_removed(train, tmp_path, monkeypatch, call):
    milestones = tmp_path / "checkpoint" / "milestones"

    def keep(step, model):
        (milestones / f"step{step}").mkdir(parents=True)

    with monkeypatch.context() as patch:
        interrupt_at(patch, call)
        with pytest.raises(KeyboardInterrupt):
            train(replace(SETTINGS, milestones=[1]), folder="checkpoint", identity="another run", keep_milestone=keep)
    assert (milestones / "step1").is_dir()
    train(replace(SETTINGS, milestones=[3]), folder="checkpoint", keep_milestone=keep)
    assert [path.name for path in milestones.iterdir()] == ["step3"]


@pytest.mark.parametrize("learnable", [False, True])
def test_accumulation_fills_the_effective_batch(train, learnable):
    at_once, log = train(replace(SETTINGS, steps=3), learnable)
    accumulated, accumulated_log = train(replace(SETTINGS, steps=3, micro_batch_size=1), learnable)
    pd.testing.assert_frame_equal(accumulated_log, log, check_exact=False, rtol=1e-5)
    # Adam divides by the gradient's size, so where that is rounding error alone the weights may differ more
    expected, found = (weights(m, "unet", "text_encoder") for m in (at_once, accumulated))
    differences = torch.cat([(found[name] - expected[name]).abs().flatten() for name in expected])
    assert torch.quantile(differences, 0.99) < 1e-5


def test_gradient_checkpointing_trades_time_for_memory_alone(train, monkeypatch):
    passes = []
    for network in (CLIPMLP, ResnetBlock2D):  # both are inside the checkpointed blocks
        forward = network.forward
        monkeypatch.setattr(
            network, "forward", lambda self, *a, f=forward, **k: passes.append(type(self)) or f(self, *a, **k)
        )
    _, log = train(learnable=True)
    once = Counter(passes)
    passes.clear()
    _, checkpointing_log = train(replace(SETTINGS, gradient_checkpointing=True), learnable=True)
    pd.testing.assert_frame_equal(checkpointing_log, log, rtol=1e-5)
    assert all(Counter(passes)[network] > once[network] > 0 for network in (CLIPMLP, ResnetBlock2D))  # forward twice


@pytest.mark.parametrize(("processes", "batch_size", "micro_batch_size"), [(1, 8, 8), (2, 8, 2), (3, 8, 2), (5, 7, 4)])
def test_processes_share_out_the_effective_batch(processes, batch_size, micro_batch_size):
    shares = [passes_of(process, processes, batch_size, micro_batch_size) for process in range(processes)]
    places = [[place for part in share for place in range(batch_size)[part]] for share in shares]
    assert sum(places, []) == list(range(batch_size))
    assert max(map(len, places)) - min(map(len, places)) <= 1  # none waits long for another
    assert all(part.stop - part.start <= micro_batch_size for share in shares for part in share)


def test_more_processes_than_images_in_the_batch_are_refused():
    with pytest.raises(InputError, match=r"training\.batch_size: 4 images cannot be divided among 5 processes"):
        passes_of(0, 5, 4, 4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_loss_compares_with_what_the_base_predicts(tiny_model, prediction):
    model = replace(tiny_model, schedule=schedule_of(tiny_model.schedule.config | {"prediction_type": prediction}))
    clean, noise = normal((3, 4, 8, 8), "clean"), normal((3, 4, 8, 8), "noise")
    times = torch.tensor([0, 500, 999])
    seen = {}

    def unet(noisy, times, context):
        seen.update(noisy=noisy, times=times, context=context)
        return SimpleNamespace(sample=torch.full_like(noisy, 0.25))

    loss = diffusion_loss(model, unet, clean, noise, times, "context")

    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2
    signal = np.cumprod(1 - betas)[times.numpy()].reshape(3, 1, 1, 1)
    x, eps = clean.double().numpy(), noise.double().numpy()
    target = eps if prediction == "epsilon" else np.sqrt(signal) * eps - np.sqrt(1 - signal) * x
    np.testing.assert_allclose(loss.numpy(), ((0.25 - target) ** 2).mean((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(seen["noisy"].numpy(), np.sqrt(signal) * x + np.sqrt(1 - signal) * eps, rtol=1e-7)
    assert seen["context"] == "context" and torch.equal(seen["times"], times)


def test_other_predictions_are_refused(tiny_model):
    schedule = schedule_of(tiny_model.schedule.config | {"prediction_type": "sample"})
    zeros = torch.zeros(1, 4, 8, 8)
    with pytest.raises(InputError, match="prediction_type 'sample' is unknown"):
        diffusion_loss(replace(tiny_model, schedule=schedule), None, zeros, zeros, torch.tensor([1]), None)


def test_min_snr_weights_by_hand():
    schedule = noise_schedule()
    signal = schedule.alphas_cumprod.double()
    times = torch.tensor([0, 500, 999])
    ratio = (signal / (1 - signal))[times]
    assert ratio[0] > 5 > ratio[1]  # only the first is above gamma
    expected = torch.tensor([5 / ratio[0], 1.0, 1.0], dtype=torch.float64)
    assert torch.allclose(loss_weights(schedule, times, 5.0).double(), expected, rtol=1e-4)
    velocity = noise_schedule("v_prediction")
    expected = torch.stack([5 / (ratio[0] + 1), ratio[1] / (ratio[1] + 1), ratio[2] / (ratio[2] + 1)])
    assert torch.allclose(loss_weights(velocity, times, 5.0).double(), expected, rtol=1e-4)
    assert torch.equal(loss_weights(schedule, times, None), torch.ones(3))


def test_large_gradients_are_scaled_down(train):
    """AdamW's first step hardly depends on the gradient's size, so weight decay is off and the norm is tiny."""
    plain, _ = train(replace(SETTINGS, steps=2, weight_decay=0.0))
    same_norm, _ = train(replace(SETTINGS, steps=2, weight_decay=0.0, max_grad_norm=1e9))
    clipped, _ = train(replace(SETTINGS, steps=2, weight_decay=0.0, max_grad_norm=1e-9))
    assert same(weights(plain, "unet"), weights(same_norm, "unet")) and not same(
        weights(plain, "unet"), weights(clipped, "unet")
    )


def test_the_text_encoder_has_a_rate_of_its_own(train, tiny_base):
    """AdamW moves a weight by the rate at first, whatever its gradient: a tenth of the rate, a tenth as far."""
    once = replace(SETTINGS, steps=1, warmup_steps=0, weight_decay=0.0, text_dropout=0.0)
    same_rate, _ = train(once, learnable=True)
    slower, _ = train(replace(once, text_encoder_learning_rate=once.learning_rate / 10), learnable=True)
    assert same(weights(same_rate, "unet"), weights(slower, "unet"))
    start = weights(load(tiny_base), "text_encoder")
    name = "text_encoder.final_layer_norm.weight"
    fast, slow = (weights(model, "text_encoder")[name] - start[name] for model in (same_rate, slower))
    assert torch.allclose(fast, 10 * slow, rtol=1e-3) and fast.abs().max() > 0
