"""What the configurations of a diffusers folder declare: obeyed by training, samples and heat maps, or refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, UNet2DConditionModel

from tradeoffs.attention.capture import TextOnImage, noised
from tradeoffs.check.inputs import given
from tradeoffs.config.layers import resolve
from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import check_folder, load, noise_schedule, save_with
from tradeoffs.model.sources import materialise_base
from tradeoffs.model.timesteps import evenly_spaced_steps
from tradeoffs.randomness import normal
from tradeoffs.sampling import sampler

PRESETS = Path(__file__).parents[1] / "config" / "presets"
CONFIGS = dict.fromkeys(["unet", "vae", "text_encoder"], "config.json") | {"scheduler": "scheduler_config.json"}
BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2


@pytest.fixture
def base(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "base")


def change(folder: Path, part: str, **values) -> Path:
    """Changes keys of a part's configuration; None of a key takes it away."""
    file = folder / part / CONFIGS[part]
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    return file


SAMPLERS = [("plms", PNDMScheduler), ("ddim", DDIMScheduler), ("dpm", DPMSolverMultistepScheduler)]


def by_hand(name: str, values: dict) -> np.ndarray:
    if name == "trained_betas":
        return np.array(values["trained_betas"])
    if name == "linear":
        return np.linspace(0.0001, 0.02, 1000)
    if name == "cosine":  # Nichol and Dhariwal 2021, equation 17, with betas of at most 0.999
        abar = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - abar[1:] / abar[:-1], 0.999)
    return np.linspace(0.001**0.5, 0.02**0.5, 400) ** 2


SCHEDULES = {
    "linear": {"beta_schedule": ..., "beta_start": ..., "beta_end": ...},  # diffusers' own defaults
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained_betas": {"trained_betas": [0.001 * (i + 1) for i in range(100)], "num_train_timesteps": 100},
    "another range": {"beta_start": 0.001, "beta_end": 0.02, "num_train_timesteps": 400},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_stage_obeys_the_declared_noise_schedule(base, name):
    change(base, "scheduler", **SCHEDULES[name])
    model = load(base)
    betas = by_hand(name, SCHEDULES[name])
    abar = np.cumprod(1 - betas)
    times = model.schedule.config.num_train_timesteps
    assert times == len(betas)
    np.testing.assert_allclose(model.schedule.alphas_cumprod, abar, rtol=1e-12)
    for kind, _ in SAMPLERS:
        made = sampler(kind, model.schedule.config)
        np.testing.assert_allclose(made.alphas_cumprod, abar, rtol=1e-12)
        made.set_timesteps(20)
        assert made.timesteps.max() < times
        if kind != "dpm":
            assert sorted(set(made.timesteps.tolist()), reverse=True) == evenly_spaced_steps(times, 20)
    latent, last = normal((4, 8, 8), "z"), evenly_spaced_steps(times, 10)[0]
    noisy = noised(model, TextOnImage("q", "s", "text", latent), last, seed=3)
    noise = normal((4, 8, 8), 3, "s", last)
    expected = np.sqrt(abar[last]) * latent.double().numpy() + np.sqrt(1 - abar[last]) * noise.double().numpy()
    np.testing.assert_allclose(noisy, expected, rtol=0, atol=3e-7)


def test_coefficients_are_not_rounded_before_the_end(tiny_model):
    """1 - abar of the first time has four digits in float32: rounded early, noise is off by a tenth of a per mille."""
    latents, noise = normal((3, 4, 8, 8), "z"), normal((3, 4, 8, 8), "e")
    times = torch.tensor([0, 20, 999])
    abar = np.cumprod(1 - BETAS)[times.numpy()].reshape(-1, 1, 1, 1)
    z, e = latents.double().numpy(), noise.double().numpy()
    for found, expected in (
        (tiny_model.schedule.add_noise(latents, noise, times), np.sqrt(abar) * z + np.sqrt(1 - abar) * e),
        (tiny_model.schedule.get_velocity(latents, noise, times), np.sqrt(abar) * e - np.sqrt(1 - abar) * z),
    ):
        assert found.dtype == torch.float32
        assert np.array_equal(found.numpy(), expected.astype(np.float32))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("name", "kind"), SAMPLERS)
def test_samplers_take_the_prediction_and_the_schedule_in_double(base, name, kind, prediction_type):
    change(base, "scheduler", prediction_type=prediction_type)
    made = sampler(name, load(base).schedule.config)
    assert isinstance(made, kind)
    made.set_timesteps(4)
    time, after = made.timesteps[0].item(), made.timesteps[1].item()
    sample, output = normal((4, 8, 8), "x"), normal((4, 8, 8), "output")
    found = made.step(output, made.timesteps[0], sample).prev_sample
    assert found.dtype == torch.float32
    abar = np.cumprod(1 - BETAS)
    x, out = sample.double().numpy(), output.double().numpy()
    signal, noise = np.sqrt(abar[time]), np.sqrt(1 - abar[time])
    clean = (x - noise * out) / signal if prediction_type == "epsilon" else signal * x - noise * out
    epsilon = out if prediction_type == "epsilon" else signal * out + noise * x
    expected = np.sqrt(abar[after]) * clean + np.sqrt(1 - abar[after]) * epsilon
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_the_end_of_sampling_is_the_declared_one_or_the_originals(base):
    for declared, end in ((..., 1 - 0.00085), (False, 1 - 0.00085), (True, 1.0)):
        change(base, "scheduler", set_alpha_to_one=declared)
        for name in ("plms", "ddim"):
            assert sampler(name, load(base).schedule.config).final_alpha_cumprod.item() == pytest.approx(end, abs=1e-12)


def test_options_of_the_folders_own_sampler_are_of_no_influence(base):
    change(base, "scheduler", _class_name="DPMSolverSinglestepScheduler", solver_order=3, use_karras_sigmas=True)
    plain = sampler("dpm", noise_schedule().config)
    made = sampler("dpm", load(base).schedule.config)
    assert made.config == plain.config


REFUSED = [
    ("scheduler", {"prediction_type": "sample"}, "prediction_type is 'sample'"),
    ("scheduler", {"prediction_type": "flow_prediction"}, "prediction_type is 'flow_prediction'"),
    ("scheduler", {"predict_epsilon": False}, "predict_epsilon is False"),
    ("scheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True"),
    ("scheduler", {"timestep_spacing": "trailing"}, "timestep_spacing is 'trailing'"),
    ("scheduler", {"timestep_spacing": "linspace"}, "timestep_spacing is 'linspace'"),
    ("scheduler", {"steps_offset": 2}, "steps_offset is 2"),
    ("scheduler", {"variance_type": "learned_range"}, "variance_type is 'learned_range'"),
    ("scheduler", {"clip_sample": True}, "clip_sample is True"),
    ("scheduler", {"thresholding": True}, "thresholding is True"),
    ("scheduler", {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
    ("scheduler", {"beta_start": "0.1"}, "beta_start is '0.1'"),
    ("scheduler", {"num_train_timesteps": 0}, "num_train_timesteps is 0"),
    ("scheduler", {"trained_betas": [0.1, 0.2]}, "trained_betas are not 1000 numbers"),
    ("scheduler", {"timestep_type": "continuous"}, "timestep_type is 'continuous'"),
    ("scheduler", {"use_flow_sigmas": True}, "use_flow_sigmas is True"),
    ("scheduler", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "_class_name is 'FlowMatchEulerDisc"),
    ("scheduler", {"_class_name": "LCMScheduler"}, "_class_name is 'LCMScheduler'"),
    ("scheduler", {"of_tomorrow": 1}, "the key of_tomorrow is unknown"),
    ("unet", {"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
    ("unet", {"num_class_embeds": 1000}, "num_class_embeds is 1000, but its U-Net is conditioned on classes"),
    ("unet", {"time_cond_proj_dim": 256}, "time_cond_proj_dim is 256"),
    ("unet", {"addition_embed_type": "text_time"}, "addition_embed_type is 'text_time'"),
    ("unet", {"encoder_hid_dim": 32}, "encoder_hid_dim is 32"),
    ("unet", {"attention_type": "gated"}, "attention_type is 'gated'"),
    ("unet", {"dual_cross_attention": True}, "dual_cross_attention is True"),
    ("unet", {"only_cross_attention": [True, False]}, "only_cross_attention is True"),
    ("unet", {"cross_attention_norm": "group_norm"}, "cross_attention_norm is 'group_norm'"),
    ("unet", {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, "mid_block_type is 'UNetMidBlock2DSimple"),
    ("unet", {"of_tomorrow": 1}, "the key of_tomorrow is unknown"),
    ("unet", {"quantization_config": {"bits": 4}}, "its weights are quantised"),
    ("vae", {"_class_name": "AsymmetricAutoencoderKL"}, "_class_name is 'Asymm"),
    ("vae", {"shift_factor": 0.06}, "shift_factor is 0.06"),
    ("vae", {"latents_mean": [0.1, 0, 0, 0]}, "latents_mean is 0.1"),
    ("vae", {"latents_std": [2, 1, 1, 1]}, "latents_std is 2"),
    ("vae", {"of_tomorrow": 1}, "the key of_tomorrow is unknown"),
    ("text_encoder", {"quantization_config": {"bits": 4}}, "its weights are quantised"),
    ("text_encoder", {"clip_skip": 2}, "clip_skip is 2, but num_hidden_layers says which layers are used"),
    ("scheduler", {"set_alpha_to_one": "no"}, "set_alpha_to_one is 'no'"),
    ("scheduler", {"trained_betas": 0.1}, "trained_betas are not 1000 numbers between 0 and 1"),
    ("scheduler", {"trained_betas": ["0.1"] * 1000}, "trained_betas are not 1000 numbers between 0 and 1; give"),
    ("scheduler", {"beta_schedule": []}, "beta_schedule is []"),
    ("vae", {"scaling_factor": 0}, "scaling_factor is 0, no positive number"),
    ("vae", {"scaling_factor": "0.18"}, "scaling_factor is '0.18', no positive number"),
]


@pytest.mark.parametrize(("part", "values", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_what_cannot_be_obeyed_is_refused_in_one_line_with_file_and_key(base, tmp_path, part, values, message):
    file = change(base, part, **values)
    with pytest.raises(InputError) as caught:
        materialise_base("folder", str(base), None, tmp_path / "out")
    told = str(caught.value)
    assert "\n" not in told and told.startswith(f"{file}: ") and message in told
    # the target check says the same
    config = resolve({"preset": "smoke", "base": {"source": str(base)}}, PRESETS)
    [fault] = [fault for entry in given(config, [], None) for fault in entry.faults() if fault.key == "base.source"]
    assert str(fault) == f"base.source: {told}"


UNBUILDABLE = [
    ("unet", {"attention_head_dim": 0}, "ZeroDivisionError"),
    ("unet", {"attention_head_dim": [2, "x"]}, "TypeError"),
    ("unet", {"num_attention_heads": 4}, "num_attention_heads"),
    ("vae", {"block_out_channels": [8]}, "IndexError"),
    ("text_encoder", {"hidden_act": "nope"}, "KeyError: 'nope'"),
    ("text_encoder", {"num_attention_heads": 3}, "not a multiple of the number of attention heads (3)"),
]


def told_by_check(base: Path) -> str:
    config = resolve({"preset": "smoke", "base": {"source": str(base)}}, PRESETS)
    return str([fault for entry in given(config, [], None) for fault in entry.faults() if fault.key == "base.source"])


@pytest.mark.parametrize(("part", "values", "message"), UNBUILDABLE, ids=[message for *_, message in UNBUILDABLE])
def test_values_with_which_no_network_can_be_built_are_one_line(base, part, values, message):
    change(base, part, **values)
    with pytest.raises(InputError) as caught:
        load(base)
    told = str(caught.value)
    assert told.startswith(f"{base / part}: its config.json and weights cannot be read as ") and message in told
    assert "\n" not in told and f"{base / part}: its config.json and weights cannot be read" in told_by_check(base)


def test_weights_of_another_shape_than_declared_are_seen_before_a_run(base):
    change(base, "unet", use_linear_projection=False)
    told = told_by_check(base)
    assert "proj_in.weight fills [8, 8], but config.json declares [8, 8, 1, 1]" in told


def test_a_tokenizer_that_cuts_texts_at_their_beginning_is_refused(base):
    file = base / "tokenizer" / "tokenizer_config.json"
    content = json.loads(file.read_text())
    for key, value in (("truncation_side", "left"), ("pad_token", None)):
        file.write_text(json.dumps(content | {key: value}))
        with pytest.raises(InputError, match=f"{key} of its tokenizer is {value!r}, but texts are padded and are cut"):
            load(base)


@pytest.mark.parametrize("inputs", [5, 7, 8, 9])  # depth, x4 upscaling, edits by instruction, in-painting
def test_models_that_take_more_than_a_text_are_refused_before_weights_are_read(base, tmp_path, inputs):
    change(base, "unet", in_channels=inputs)
    for file in base.glob("*/*.safetensors"):
        file.write_bytes(b"")
    words = f"its U-Net maps {inputs} to 4 channels, but the latents have 4 (an in-painting, depth or upscaling model)"
    with pytest.raises(InputError, match=r"channels") as caught:
        materialise_base("folder", str(base), None, tmp_path / "out")
    assert str(caught.value) == f"{base}: {words}; base.source must be a whole Stable Diffusion 1.x or 2.x model"


def test_parts_that_stable_diffusion_lacks_are_refused(base):
    file = base / "model_index.json"
    index = json.loads(file.read_text())
    for name in ("text_encoder_2", "depth_estimator", "controlnet"):
        file.write_text(json.dumps(index | {name: ["transformers", "CLIPTextModel"]}))
        with pytest.raises(InputError, match=f"model_index.json: has the part {name}"):
            check_folder(base)
    for key, value, message in (
        ("unet", ["diffusers", "UNet2DModel"], "unet is UNet2DModel, but can only be UNet2DConditionModel"),
        ("vae", ["diffusers", "AutoencoderTiny"], "vae is AutoencoderTiny, but can only be AutoencoderKL"),
        ("scheduler", ["diffusers", "LCMScheduler"], "scheduler is LCMScheduler, of another kind of diffusion"),
        ("_class_name", "StableDiffusionXLPipeline", "_class_name is StableDiffusionXLPipeline, no pipeline of"),
        ("_class_name", "LatentConsistencyModelPipeline", "_class_name is LatentConsistencyModelPipeline, no"),
        ("is_distilled", True, "the key is_distilled is unknown; if the model does without it, remove it"),
    ):
        file.write_text(json.dumps(index | {key: value}))
        with pytest.raises(InputError, match=f"model_index.json: {message}"):
            check_folder(base)
    file.write_text(json.dumps(index | {"force_zeros_for_empty_prompt": True}))
    with pytest.raises(InputError, match="force_zeros_for_empty_prompt is true"):
        check_folder(base)


@torch.no_grad()
def test_scaling_of_latents_and_layers_of_the_text_encoder_are_the_declared_ones(base, tiny_model):
    change(base, "vae", scaling_factor=0.13)
    assert load(base).vae.config.scaling_factor == 0.13
    change(base, "text_encoder", num_hidden_layers=1)
    with pytest.raises(InputError, match="weights do not fit CLIPTextModel"):
        load(base)


def test_a_base_with_an_unknown_prediction_is_what_the_key_states(base, tmp_path):
    change(base, "scheduler", prediction_type=...)
    materialise_base("folder", str(base), None, tmp_path / "plain")
    assert load(tmp_path / "plain").schedule.config.prediction_type == "epsilon"  # diffusers' default
    materialise_base("folder", str(base), None, tmp_path / "v", "v_prediction")
    model = load(tmp_path / "v")
    assert model.schedule.config.prediction_type == "v_prediction"
    save_with(tmp_path / "v", tmp_path / "tuned", {"unet": model.unet})
    assert sampler("plms", load(tmp_path / "tuned").schedule.config).config.prediction_type == "v_prediction"
    change(base, "scheduler", prediction_type="epsilon")
    with pytest.raises(InputError, match="prediction_type is epsilon, but base.prediction_type says v_prediction"):
        materialise_base("folder", str(base), None, tmp_path / "no", "v_prediction")


def test_a_tokenizer_of_another_text_encoder_is_refused(base):
    file = base / "tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())
    extra = content["added_tokens"][-1] | {"id": 5000, "content": "<finding>"}
    file.write_text(json.dumps(content | {"added_tokens": [*content["added_tokens"], extra]}))
    with pytest.raises(InputError, match="its tokenizer has .* tokens, its text encoder knows"):
        load(base)


def test_more_steps_than_times_are_an_error():
    with pytest.raises(InputError, match="20 steps are more than the 10 times that the base was trained on"):
        evenly_spaced_steps(10, 20)


def test_networks_of_other_classes_are_told_by_their_configuration(base):
    """The keys that are known are those of the installed diffusers: a folder that it has just written passes."""
    AutoencoderKL.from_pretrained(base / "vae").save_pretrained(base / "vae")
    UNet2DConditionModel.from_pretrained(base / "unet").save_pretrained(base / "unet")
    check_folder(base)
