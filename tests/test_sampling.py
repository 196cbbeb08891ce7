import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler

from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import load, noise_schedule
from tradeoffs.randomness import normal
from tradeoffs.sampling import draw_samples, sample_list, sampler

PROMPTS = pd.DataFrame(
    {
        "prompt_id": ["x", "y", "z"],
        "text": ["mild edema", "left pneumonia", "no acute process"],
        "Finding Labels": ["Edema", "Pneumonia", ""],
    }
)


def draw(folder, rows, seed=0, guidance=4.0, steps=3, scheduler="ddim", batch_size=2, resolution=64, precision="fp32"):
    drawn = draw_samples(folder, rows, seed, guidance, steps, scheduler, batch_size, resolution, precision)
    return {row["image_id"]: np.asarray(image).astype(int) for row, image in drawn}


def test_every_prompt_is_sampled_once_and_the_first_ones_repeatedly():
    rows = sample_list(PROMPTS, repeated=2, repeats=3)
    assert rows.columns.tolist() == ["image_id", "prompt_id", "repeat", "text", "Finding Labels", "path"]
    ids = ["00000-0", "00000-1", "00000-2", "00001-0", "00001-1", "00001-2", "00002-0"]
    assert rows["image_id"].tolist() == ids
    assert rows["prompt_id"].tolist() == list("xxxyyyz") and rows["repeat"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert rows["text"].tolist() == ["mild edema"] * 3 + ["left pneumonia"] * 3 + ["no acute process"]
    assert rows["Finding Labels"].tolist() == ["Edema"] * 3 + ["Pneumonia"] * 3 + [""]
    assert rows["path"].tolist() == [f"images/{name}.png" for name in ids]
    assert len(sample_list(PROMPTS, repeated=16, repeats=2)) == 6  # fewer prompts than are to be repeated


@pytest.mark.parametrize(
    ("name", "kind"), [("plms", PNDMScheduler), ("ddim", DDIMScheduler), ("dpm", DPMSolverMultistepScheduler)]
)
def test_sampler_keeps_the_models_schedule(name, kind):
    made = sampler(name, noise_schedule().config)
    assert isinstance(made, kind)
    betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000) ** 2
    np.testing.assert_allclose(made.alphas_cumprod.numpy(), np.cumprod(1 - betas), rtol=1e-4)
    assert not made.config.get("clip_sample", False)
    assert sampler(name, DDIMScheduler(prediction_type="v_prediction").config).config.prediction_type == "v_prediction"


def test_sampling_begins_and_goes_on_at_the_originals_times(tiny_base):
    schedule = load(tiny_base).schedule.config
    times = {}
    for name in ("plms", "ddim", "dpm"):
        made = sampler(name, schedule)
        made.set_timesteps(75)
        times[name] = made.timesteps.tolist()
    original = list(range(989, 0, -13))  # numpy.arange(0, 1000, 1000 // 75) + 1, from the end
    assert len(original) == 77 and times["ddim"] == original
    assert times["plms"] == [989, 976, *original[1:]]  # the first step, of second order, looks ahead
    assert times["dpm"][0] == 999 and len(times["dpm"]) == 75


def plain_plms(x, predict, signal, times):
    """Pseudo linear multistep as its authors and the original have it: one step of second order, then up to fourth."""

    def moved(x, noise, time, after):
        image = (x - (1 - signal[time]).sqrt() * noise) / signal[time].sqrt()
        return signal[after].sqrt() * image + (1 - signal[after]).sqrt() * noise

    weights = {1: [3, -1], 2: [23, -16, 5], 3: [55, -59, 37, -9]}
    before = []  # predictions, the latest first
    for time, after in zip(times, [*times[1:], 0], strict=True):
        now = predict(x, time)
        if before:
            of_order = torch.tensor(weights[len(before)]).double()
            noise = (of_order[:, None] * torch.stack([now, *before])).sum(0) / of_order.sum()
        else:
            noise = (now + predict(moved(x, now, time, after), after)) / 2
        x = moved(x, noise, time, after)
        before = [now, *before][:3]
    return x


@pytest.mark.parametrize("steps", [50, 75])
def test_plms_is_the_originals_from_noise_to_image(tiny_base, steps):
    made = sampler("plms", load(tiny_base).schedule.config)
    made.set_timesteps(steps)

    def predict(x, time):
        return torch.tanh(x + time / 500)

    found = noise = normal((8,), "noise").double()
    for time in made.timesteps:
        found = made.step(predict(found, time), time, found).prev_sample
    times = list(range(1, 1000, 1000 // steps))[::-1]
    expected = plain_plms(noise, predict, made.alphas_cumprod.double(), times)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["plms", "ddim", "dpm"])
def test_a_model_that_predicts_v_draws_what_it_draws_by_its_noise(tiny_base, name):
    """Both say the same of x_t; what a sampler takes from several times must not depend on which one was said."""
    config = load(tiny_base).schedule.config
    made = {kind: sampler(name, {**config, "prediction_type": kind}) for kind in ("epsilon", "v_prediction")}
    drawn = {}
    for kind, of_kind in made.items():
        of_kind.set_timesteps(20)
        x = torch.randn(1, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for time in of_kind.timesteps:
            abar = of_kind.alphas_cumprod[time]
            noise = torch.tanh(2 * x + time / 300)  # nonlinear, so that the order of the method matters
            v = (noise - (1 - abar).sqrt() * x) / abar.sqrt()
            x = of_kind.step(noise if kind == "epsilon" else v, time, x).prev_sample
        drawn[kind] = x
    torch.testing.assert_close(drawn["v_prediction"], drawn["epsilon"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("scheduler", "bias"), [("plms", 0.04), ("ddim", 0.04), ("dpm", 0.03)])
def test_samples_of_a_known_distribution_have_its_mean(tiny_base, scheduler, bias):
    """With the exact noise prediction for N(1, 0.5^2): what is left of the bias is that the first time is not noise
    alone."""
    made = sampler(scheduler, load(tiny_base).schedule.config)
    made.set_timesteps(10 if scheduler == "dpm" else 75)
    x = torch.tensor([-1.0, 1.0]).double()  # the sampler is affine here, so two values tell mean and deviation
    for time in made.timesteps:
        signal = made.alphas_cumprod[time].double()
        predicted = (1 - signal).sqrt() * (x - signal.sqrt()) / (signal * 0.5**2 + 1 - signal)
        x = made.step(predicted, time, x).prev_sample
    assert 1 - x.mean() < bias and (x[1] - x[0]) / 2 == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("scheduler", ["plms", "ddim", "dpm"])
def test_noise_belongs_to_the_image(tiny_base, scheduler):
    rows = sample_list(PROMPTS, repeated=1, repeats=2)
    images = draw(tiny_base, rows, scheduler=scheduler)
    assert list(images) == rows["image_id"].tolist()
    assert all(image.shape == (64, 64, 3) for image in images.values())
    for other in (
        draw(tiny_base, rows, scheduler=scheduler, batch_size=4),
        draw(tiny_base, rows[::-1], scheduler=scheduler),
    ):
        assert all(np.abs(images[name] - other[name]).max() <= 1 for name in images)  # a rounding of 8 bits
    assert np.abs(images["00000-0"] - images["00000-1"]).max() > 5  # same text, other noise
    assert np.abs(images["00000-0"] - draw(tiny_base, rows[:1], seed=1, scheduler=scheduler)["00000-0"]).max() > 5


@pytest.mark.parametrize("resolution", [40, 128])
def test_images_have_the_runs_resolution_whatever_the_bases_is(tiny_base, resolution):
    rows = sample_list(PROMPTS[:1], repeated=0, repeats=1)
    assert draw(tiny_base, rows, resolution=resolution)["00000-0"].shape == (resolution, resolution, 3)


def test_a_resolution_that_the_autoencoder_does_not_have_is_an_error(tiny_base):
    rows = sample_list(PROMPTS[:1], repeated=0, repeats=1)
    with pytest.raises(InputError, match="image.resolution: 60 is not a multiple of 8, as this base needs"):
        draw(tiny_base, rows, resolution=60)


def test_half_precision_changes_an_image_little_and_fp16_needs_a_gpu(tiny_base, monkeypatch):
    rows = sample_list(PROMPTS, repeated=0, repeats=1)
    exact, half = (draw(tiny_base, rows, precision=precision)["00000-0"] for precision in ("fp32", "bf16"))
    assert 0 < np.abs(exact - half).mean() < 10  # of 255
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="sampling.precision: fp16 needs a GPU"):
        draw(tiny_base, rows, precision="fp16")


def test_guidance_weighs_the_text(tiny_base):
    """Guidance amplifies the difference to the empty text, so it does nothing for the empty text itself."""
    for text, changes in (("mild edema", True), ("", False)):
        rows = sample_list(PROMPTS[:1].assign(text=text), repeated=0, repeats=1)
        weak, strong = (draw(tiny_base, rows, guidance=guidance)["00000-0"] for guidance in (1.5, 20.0))
        assert (np.abs(weak - strong).max() > 2) == changes


def test_guidance_leads_away_from_the_unconditional_text(tiny_base):
    rows = sample_list(PROMPTS.head(1), repeated=0, repeats=1)

    def image(guidance, unconditional):
        drawn = draw_samples(tiny_base, rows, 0, guidance, 3, "ddim", 1, 64, unconditional=unconditional)
        return np.asarray(next(drawn)[1]).astype(int)

    own = PROMPTS["text"][0]
    # away from the text itself there is no direction: eps + g (eps - eps) = eps, as without guidance
    assert np.abs(image(9.0, own) - image(1.0, "")).max() <= 1
    assert np.abs(image(9.0, "No Finding") - image(9.0, "")).max() > 1
