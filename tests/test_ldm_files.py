"""What Stable Diffusion's single files hold and declare: pickles, training checkpoints, metadata, configurations."""

import argparse
import collections
import datetime
import decimal
import os
import pathlib
import re
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ldm_checkpoints import checkpoint, small, starting_with
from safetensors.torch import save_file
from torch.torch_version import TorchVersion

from tradeoffs.errors import InputError
from tradeoffs.model import ldm, ldm_declared, ldm_weights
from tradeoffs.model.checkpoints import load
from tradeoffs.model.pickles import read_pickle
from tradeoffs.model.sources import materialise_base


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"betas": torch.zeros(1)}, "callbacks": Malicious()}, file)
    with pytest.raises(InputError, match=starting_with(file, ": would run code when read (posix.mkdir); take the")):
        ldm_weights.read(file)
    assert not (tmp_path / "ran").exists()


def test_the_lightning_class_of_published_checkpoints_is_no_obstacle(tmp_path, monkeypatch):
    name = "pytorch_lightning.callbacks.model_checkpoint"
    callback = type("ModelCheckpoint", (), {"__module__": name})
    file = tmp_path / "model.ckpt"
    with monkeypatch.context() as installed:
        for package in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
            installed.setitem(sys.modules, package, types.ModuleType(package))
        sys.modules[name].ModelCheckpoint = callback
        torch.save({"state_dict": {"betas": torch.ones(1)}, "callbacks": {callback: {"best": None}}}, file)
    assert ldm_weights.read(file) == {"betas": torch.ones(1)}


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"PK\x03\x04"])
def test_a_damaged_file_is_an_error(tmp_path, suffix, content):
    file = tmp_path / f"model.{suffix}"
    file.write_bytes(content)
    with pytest.raises(InputError, match=starting_with(file, ": is damaged or no file of weights")):
        ldm_weights.read(file)


@pytest.mark.parametrize("content", [[1], {}, {"state_dict": {"global_step": 3}}])
def test_a_file_without_weights_is_an_error(tmp_path, content):
    file = tmp_path / "model.ckpt"
    torch.save(content, file)
    with pytest.raises(InputError, match=starting_with(file, ": holds no weights by name")):
        ldm_weights.read(file)


@pytest.fixture(scope="module")
def with_clips_tokens():
    """Weights of Stable Diffusion 1 and 2 with CLIP's vocabulary, in halves."""
    return {
        family: {name: weight.half().contiguous() for name, weight in checkpoint(*small(family, 49408)).items()}
        for family in "12"
    }


def predicted(file, **options) -> str:
    return ldm.read_model(file, **options)[2].config.prediction_type


def test_prediction_type_is_the_declared_one_or_asked_for(tmp_path, with_clips_tokens):
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": with_clips_tokens["2"], "global_step": 140000}, file)
    with pytest.raises(InputError, match="nothing says whether its U-Net predicts epsilon or v; set base.prediction_"):
        ldm.read_model(file)
    with pytest.raises(InputError) as caught:  # of a variant's model, of which that key does not speak
        materialise_base("file", str(file), None, tmp_path / "out", key="variants.mine")
    assert "predicts epsilon or v; put the model's inference configuration" in str(caught.value)
    assert "base." not in str(caught.value)
    assert predicted(file, prediction_type="epsilon") == "epsilon"
    for name, text, expected in (
        ("model.yaml", "parameterization: v", "v_prediction"),
        ("v2-inference-v.yaml", 'parameterization: "v"', "v_prediction"),
        ("v2-inference.yml", "parameterization: eps", "epsilon"),
    ):
        (tmp_path / name).write_text(f"model:\n  params:\n    {text}\n")
        (tmp_path / "notes.yaml").write_text("a: 1\n")  # no configuration of a model
        assert predicted(file) == expected
        other = "epsilon" if expected == "v_prediction" else "v_prediction"
        message = f"{name}: model.params.parameterization says {expected}, but base.prediction_type says {other}"
        with pytest.raises(InputError, match=re.escape(message)):
            ldm.read_model(file, other)
        (tmp_path / name).unlink()
    # of two checkpoints, or two configurations, nobody knows whose is whose
    (tmp_path / "v2-inference-v.yaml").write_text("model:\n  params:\n    parameterization: v\n")
    (tmp_path / "other.ckpt").touch()
    with pytest.raises(InputError, match="nothing says whether"):
        ldm.read_model(file)
    first = tmp_path / "sd1.ckpt"
    torch.save(with_clips_tokens["1"], first)
    with pytest.raises(InputError, match="nothing says whether"):
        ldm.read_model(first)
    (tmp_path / "v2-inference-v.yaml").unlink()
    assert predicted(first) == "epsilon"  # as all that were published


def test_a_converted_file_keeps_its_declared_prediction(tmp_path, with_clips_tokens):
    torch.save(with_clips_tokens["2"], tmp_path / "model.ckpt")
    (tmp_path / "v2-inference-v.yaml").write_text("model:\n  params:\n    parameterization: v\n")
    ldm.convert(tmp_path / "model.ckpt", tmp_path / "base")
    model = load(tmp_path / "base")
    assert model.schedule.config.prediction_type == "v_prediction"
    assert model.unet.config.sample_size == 96


@pytest.mark.parametrize(
    ("metadata", "weights", "expected"),
    [
        ({"modelspec.prediction_type": "v"}, {}, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, {}, "epsilon"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, {}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v2-512"}, {}, "epsilon"),
        ({}, {"v_pred": torch.zeros(0)}, "v_prediction"),
    ],
)
def test_metadata_and_flags_tell_the_prediction(tmp_path, with_clips_tokens, metadata, weights, expected):
    save_file(with_clips_tokens["2"] | weights, tmp_path / "model.safetensors", metadata)
    assert predicted(tmp_path / "model.safetensors") == expected


@pytest.mark.parametrize(
    ("metadata", "weights", "message"),
    [
        ({"modelspec.prediction_type": "sample"}, {}, "modelspec.prediction_type is 'sample', but of what a U-Net can"),
        ({"ss_zero_terminal_snr": "True"}, {}, "ss_zero_terminal_snr is 'True', but its last time is noise alone"),
        ({}, {"ztsnr": torch.zeros(0)}, "weight ztsnr says that its last time is noise alone"),
        ({"modelspec.prediction_type": "epsilon"}, {"v_pred": torch.zeros(0)}, "but weight v_pred says v_prediction"),
        ({"modelspec.encoder_layer": "2"}, {}, "which is ambiguous for Stable Diffusion 2.x"),
        ({}, {"scale_factor": torch.zeros(64, 64)}, "weight scale_factor has the shape"),
        ({}, {"betas": torch.linspace(0.0001, 0.02, 1000)}, "betas is another noise schedule"),
        (
            {},
            {"model.diffusion_model.out.2.bias": torch.zeros(4, dtype=torch.int8)},
            "out.2.bias is of the type torch.int8",
        ),
    ],
)
def test_metadata_and_flags_that_cannot_be_obeyed(tmp_path, with_clips_tokens, metadata, weights, message):
    file = tmp_path / "model.safetensors"
    save_file(with_clips_tokens["2"] | weights, file, metadata)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        ldm.read_model(file, None if metadata else "v_prediction")
    assert str(caught.value).startswith(f"{file}: ")


def test_numbers_of_the_configuration_are_obeyed(tmp_path, with_clips_tokens):
    file = tmp_path / "model.ckpt"
    weights = with_clips_tokens["1"] | {"betas": torch.linspace(0.001**0.5, 0.02**0.5, 500) ** 2}
    torch.save(weights, file)
    (tmp_path / "model.yaml").write_text(
        """
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params: {linear_start: 0.001, linear_end: 0.02, timesteps: 500, scale_factor: 0.3, conditioning_key: crossattn,
    unet_config: {params: {num_heads: 4, context_dim: 128}},
    cond_stage_config: {target: ldm.modules.encoders.modules.FrozenCLIPEmbedder}}
"""
    )
    networks, _, schedule = ldm.read_model(file)
    assert networks.unet.config.attention_head_dim == [4, 4] and networks.vae.config.scaling_factor == 0.3
    config = schedule.config
    assert (config.beta_start, config.beta_end, config.num_train_timesteps) == (0.001, 0.02, 500)
    file.unlink()
    torch.save(with_clips_tokens["1"] | {"scale_factor": torch.tensor(0.25)}, file)
    (tmp_path / "model.yaml").unlink()
    assert ldm.read_model(file)[0].vae.config.scaling_factor == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameterization: x0", "model.params.parameterization is 'x0', but of what a U-Net can predict"),
        ("beta_schedule: cosine", "model.params.beta_schedule is 'cosine', but this noise schedule is unknown"),
        ("linear_start: no", "model.params.linear_start is False, but it is no positive number"),
        ("conditioning_key: hybrid", "model.params.conditioning_key is 'hybrid', but its U-Net is conditioned on more"),
        ("zero_snr: true", "model.params.zero_snr is True, but its last time is noise alone"),
        ("unet_config: {params: {num_classes: 1000}}", "num_classes is 1000, but its U-Net is conditioned on classes"),
        ("unet_config: {params: {context_dim: 768}}", "context_dim is 128, the configuration beside it says 768"),
        ("unet_config: {params: {num_head_channels: 24}}", "no multiple of the declared attention heads"),
        ("cond_stage_config: {params: {layer: hidden}}", "layer is 'hidden', but this hidden state"),
        ("cond_stage_config: {params: {layer_idx: -2}}", "layer_idx is -2, but this hidden state"),
    ],
)
def test_configurations_that_cannot_be_obeyed(tmp_path, with_clips_tokens, text, message):
    torch.save(with_clips_tokens["1"], tmp_path / "model.ckpt")
    (tmp_path / "model.yaml").write_text(f"model:\n  params:\n    {text}\n")
    with pytest.raises(InputError, match=re.escape(message)):
        ldm.read_model(tmp_path / "model.ckpt")


V1_INFERENCE = """
model:
  base_learning_rate: 1.0e-04
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    {first_stage_key: jpg, cond_stage_key: txt, image_size: 64, channels: 4, num_timesteps_cond: 1, log_every_t: 200,
    cond_stage_trainable: false, monitor: val/loss_simple_ema, use_ema: False,
    linear_start: 0.00085, linear_end: 0.0120, timesteps: 1000, conditioning_key: crossattn, scale_factor: 0.18215,
    scheduler_config: {target: ldm.lr_scheduler.LambdaLinearScheduler, params: {f_max: [1.]}},
    unet_config: {target: ldm.modules.diffusionmodules.openaimodel.UNetModel, params: {
      image_size: 32, in_channels: 4, out_channels: 4, model_channels: 320, attention_resolutions: [4, 2, 1],
      num_res_blocks: 2, channel_mult: [1, 2, 4, 4], num_heads: 8, use_spatial_transformer: True,
      transformer_depth: 1, context_dim: 768, use_checkpoint: True, legacy: False}},
    first_stage_config: {target: ldm.models.autoencoder.AutoencoderKL, params: {embed_dim: 4, monitor: val/rec_loss,
      ddconfig: {double_z: true, z_channels: 4, resolution: 512, in_channels: 3, out_ch: 3, ch: 128,
        ch_mult: [1, 2, 4, 4], num_res_blocks: 2, attn_resolutions: [], dropout: 0.0},
      lossconfig: {target: torch.nn.Identity}}},
    cond_stage_config: {target: ldm.modules.encoders.modules.FrozenCLIPEmbedder}}
"""


def said_by(file: Path, text: str) -> dict:
    file.write_text(text)
    return ldm_declared.agreed(ldm_declared.of_configuration(file))


def test_what_a_whole_configuration_leaves_out_is_what_the_ldm_code_takes(tmp_path):
    file = tmp_path / "v1-inference.yaml"
    said = said_by(file, V1_INFERENCE)
    assert said["prediction_type"] == "epsilon"  # not given: the code's own default
    assert (said["beta_start"], said["beta_end"], said["scaling_factor"]) == (0.00085, 0.012, 0.18215)
    assert said["layer"] == "last"
    given = "linear_start: 0.00085, linear_end: 0.0120, timesteps: 1000, "
    bare = said_by(file, V1_INFERENCE.replace(given, "").replace(", scale_factor: 0.18215", ""))
    assert (bare["beta_start"], bare["beta_end"], bare["scaling_factor"]) == (1e-4, 2e-2, 1.0)
    by_weight = said_by(file, V1_INFERENCE.replace("scale_factor: 0.18215", "scale_by_std: true"))
    assert "scaling_factor" not in by_weight and by_weight["scale_by_std"]
    chest = V1_INFERENCE.replace("legacy: False", "attention_save_mode: cross").replace(
        "FrozenCLIPEmbedder}", "FrozenOpenCLIPEmbedder, params: {layer: penultimate, rali: False}}"
    )
    assert said_by(file, chest)["layer"] == "penultimate"  # with the keys of the original's own
    few = said_by(file, "model: {params: {linear_end: 0.02}}")  # says one thing, and nothing of the rest
    assert few == {"beta_end": 0.02}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("openaimodel.UNetModel", "openaimodel.EncoderUNetModel", "unet_config.target is 'ldm.modules.diffusionmod"),
        ("autoencoder.AutoencoderKL", "autoencoder.VQModelInterface", "first_stage_config.target is 'ldm.models.auto"),
        ("modules.FrozenCLIPEmbedder", "modules.FrozenT5Embedder", "cond_stage_config.target is 'ldm.modules.enc"),
        ("double_z: true", "double_z: false", "ddconfig.double_z is False, but its autoencoder is another one"),
        ("double_z: true", "double_z: true, tanh_out: true", "ddconfig.tanh_out is True, but its autoencoder"),
        ("legacy: False", "disable_self_attentions: [true, false]", "disable_self_attentions is [True, False]"),
        ("legacy: False", "use_scale_shift_norm: true", "use_scale_shift_norm is True, but its U-Net is built"),
        ("transformer_depth: 1", "transformer_depth: 10", "transformer_depth is 10, but its U-Net is built"),
        ("legacy: False", "adm_in_channels: 2816", "adm_in_channels is 2816, but its U-Net is conditioned on classes"),
        ("legacy: False", "of_tomorrow: 1", "the key model.params.unet_config.params.of_tomorrow is unknown; if"),
        ("FrozenCLIPEmbedder", "FrozenCLIPEmbedder, params: {rali: true}", "rali is True, but its text encoder reads"),
        ("channels: 4, num", "channels: 4, of_tomorrow: 1, num", "the key model.params.of_tomorrow is unknown; if"),
    ],
)
def test_what_a_whole_configuration_says_of_another_model_is_refused(tmp_path, old, new, message):
    file = tmp_path / "v1-inference.yaml"
    assert old in V1_INFERENCE
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        said_by(file, V1_INFERENCE.replace(old, new))
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("about", "value", "message"),
    [
        ("in_channels", 9, "by its weights in_channels is 4, the configuration beside it says 9"),
        ("model_channels", 320, "by its weights model_channels is 32, the configuration beside it says 320"),
        ("max_length", 40, "by its weights max_length is 77, the configuration beside it says 40"),
        ("scale_by_std", True, "scale_by_std is declared, but the weight scale_factor that it makes is missing"),
    ],
)
def test_sizes_that_the_configuration_declares_are_those_of_the_weights(about, value, message):
    with pytest.raises(InputError, match=message):
        ldm.build(checkpoint(*small("1")), [ldm.Statement("somewhere", about, value)])


def test_what_metadata_says_of_the_whole_model():
    def said(**metadata):
        return ldm_declared.agreed(ldm_declared.of_metadata(Path("m.safetensors"), metadata))

    assert said(ss_base_model_version="sd_v2_v") == said(v_pred="true") == {"prediction_type": "v_prediction"}
    assert said(ss_base_model_version="sd_v2") == {"prediction_type": "epsilon"}
    assert said(**{"modelspec.architecture": "stable-diffusion-v1", "modelspec.timestep_range": "0,999"}) == {}
    for key, value in (
        ("modelspec.architecture", "stable-diffusion-xl-v1-base"),
        ("modelspec.architecture", "stable-diffusion-v1/lora"),
        ("modelspec.timestep_range", "0,500"),
        ("ss_base_model_version", "sdxl_base_v1-0"),
        ("ztsnr", "true"),
    ):
        with pytest.raises(InputError, match=re.escape(f"m.safetensors: {key} is {value!r}, but ")):
            said(**{key: value})


@pytest.mark.parametrize("text", ["model: 1\n", "[", "", "model: {params: [1]}\n"])
def test_a_file_of_its_name_that_is_no_configuration_is_an_error(tmp_path, text):
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(InputError, match=starting_with(tmp_path / "model.yaml", ": holds no model.params")):
        ldm.read_model(tmp_path / "model.ckpt")


def test_configurations_of_other_models_are_refused(tmp_path):
    target = "ldm.models.diffusion.ddpm.LatentInpaintDiffusion"
    (tmp_path / "model.yaml").write_text(f"model: {{target: {target}, params: {{parameterization: eps}}}}\n")
    with pytest.raises(InputError, match="model.target is LatentInpaintDiffusion, no model for images from text alone"):
        ldm.read_model(tmp_path / "model.ckpt")


def test_arguments_of_a_training_are_read_too(tmp_path, with_clips_tokens):
    content = {
        "state_dict": with_clips_tokens["2"],
        "hyper_parameters": {"parameterization": "v", "linear_start": 0.00085},
    }
    torch.save(content, tmp_path / "last.ckpt")
    assert predicted(tmp_path / "last.ckpt") == "v_prediction"


def of_package(name: str, **attributes) -> type:
    """A class that pickles as one of a package that is not installed."""
    module, _, short = name.rpartition(".")
    return type(short, attributes.pop("bases", ()), {"__module__": module, **attributes})


def saved_with(monkeypatch, file, content: dict, *classes: type) -> None:
    with monkeypatch.context() as installed:
        for one in classes:
            parts = one.__module__.split(".")
            for end in range(1, len(parts) + 1):
                name = ".".join(parts[:end])
                if name not in sys.modules:
                    installed.setitem(sys.modules, name, types.ModuleType(name))
            installed.setattr(sys.modules[one.__module__], one.__name__, one, raising=False)
        torch.save(content, file)


def test_whole_training_checkpoints_are_read(tmp_path, monkeypatch):
    """With what their trainers left in them: NumPy's numbers, arguments, containers, paths, Lightning's own classes."""
    attributes = of_package("pytorch_lightning.utilities.parsing.AttributeDict", bases=(dict,))
    loops = of_package("pytorch_lightning.loops.Progress")
    state = loops()
    state.batches = 3
    content = {
        "state_dict": {"betas": torch.ones(1)},
        "lr_schedulers": [{"_last_lr": [np.float64(1e-4), np.float32(1)], "n": np.int64(3), "on": np.bool_(True)}],
        "rng": np.arange(3),
        "args": argparse.Namespace(lr=np.float64(1e-4), out=pathlib.Path("a/b"), more=types.SimpleNamespace(a=1)),
        "counts": collections.defaultdict(int, {"a": 1}),
        "lists": collections.defaultdict(list, {"a": [1]}),
        "nested": collections.OrderedDict(a={1, 2}),
        "last": [collections.deque([1], 5), range(3), slice(1, 2), decimal.Decimal("0.1"), TorchVersion("2.1.0")],
        "times": [datetime.datetime(2024, 2, 3, 4), datetime.date(2024, 2, 3), datetime.timedelta(1)],
        "loops": state,
        "other": attributes(a=1),
    }
    saved_with(monkeypatch, tmp_path / "last.ckpt", content, attributes, loops)
    assert ldm_weights.read(tmp_path / "last.ckpt") == {"betas": torch.ones(1)}


@pytest.mark.parametrize("kind", ["namespace", "attributes", "omegaconf"])
def test_arguments_of_any_kind_declare_the_prediction(tmp_path, monkeypatch, with_clips_tokens, kind):
    attributes = of_package("lightning.fabric.utilities.data.AttributeDict", bases=(dict,))
    section, value = of_package("omegaconf.dictconfig.DictConfig"), of_package("omegaconf.nodes.AnyNode")
    if kind == "namespace":
        arguments = argparse.Namespace(parameterization="v")
    elif kind == "attributes":
        arguments = attributes(parameterization="v")
    else:
        arguments, leaf = section(), value()
        leaf._val = "v"
        arguments._content = {"parameterization": leaf}
    content = {"state_dict": with_clips_tokens["2"], "hyper_parameters": arguments}
    saved_with(monkeypatch, tmp_path / "last.ckpt", content, attributes, section, value)
    assert predicted(tmp_path / "last.ckpt") == "v_prediction"


def test_paths_pickled_by_python_3_13(tmp_path):
    """It calls their module pathlib._local."""
    torch.save({"state_dict": {"betas": torch.ones(1)}, "p": pathlib.PurePosixPath("a")}, tmp_path / "old.ckpt")
    with zipfile.ZipFile(tmp_path / "old.ckpt") as old, zipfile.ZipFile(tmp_path / "new.ckpt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"cpathlib\n", b"cpathlib._local\n"))
    assert read_pickle(tmp_path / "new.ckpt")["p"] == pathlib.PurePosixPath("a")


def test_a_later_protocol_is_named(tmp_path):
    torch.save({"state_dict": {"betas": torch.ones(1)}, "n": {1}}, tmp_path / "last.ckpt", pickle_protocol=4)
    with pytest.raises(InputError, match="is pickled by another protocol than 2, torch's own"):
        ldm_weights.read(tmp_path / "last.ckpt")


def test_classes_that_are_not_on_the_list_are_named(tmp_path, monkeypatch):
    strange = of_package("some_trainer.State")
    saved_with(monkeypatch, tmp_path / "last.ckpt", {"state_dict": {"betas": torch.ones(1)}, "s": strange()}, strange)
    with pytest.raises(InputError, match=r"would run code when read \(some_trainer.State\)"):
        ldm_weights.read(tmp_path / "last.ckpt")
