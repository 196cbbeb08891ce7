"""What a single checkpoint file of the LDM code declares beside its weights: in its configuration (.yaml), in its
metadata, and by weights that are no network's. Each is obeyed or refused (docs/encoders.md)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from tradeoffs.errors import InputError
from tradeoffs.model.pickles import plain

CHECKPOINTS = (".ckpt", ".safetensors")
CONFIGURATIONS = (".yaml", ".yml")


@dataclass(frozen=True)
class Statement:
    """One thing that is said of a checkpoint: where (file and key), about what, and the value."""

    source: str
    about: str
    value: Any


Reader = Callable[[Any], Any]  # from a value as it is written to what it says; ValueError if it cannot be obeyed


def _choice(values: Mapping[str, Any], otherwise: str) -> Reader:
    def read(value: Any) -> Any:
        if str(value) not in values:
            raise ValueError(otherwise)
        return values[str(value)]

    return read


def _number(kind: type) -> Reader:
    """Reader of a positive number, perhaps in a list of its own (context_dim: [768])."""

    def read(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 1:
            [value] = value
        try:
            number = 0 if isinstance(value, bool) else kind(value)
        except (TypeError, ValueError):
            number = 0
        if not number > 0:
            raise ValueError("it is no positive number")
        return number

    return read


def _skipped(value: Any) -> int | None:
    return None if str(value) == "None" else _number(int)(value)


_PREDICTED = _choice(
    {"eps": "epsilon", "epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"},
    "of what a U-Net can predict only epsilon and v are known here",
)
_NO_ZERO_SNR = _choice(
    {"False": None, "false": None, "None": None},
    "its last time is noise alone (zero terminal SNR), where PLMS cannot begin",
)


def _of_class(*names: str, otherwise: str) -> Reader:
    """Reader of the dotted name of a class in a program of the LDM code's kind."""

    def read(value: Any) -> None:
        if str(value).rpartition(".")[2] not in names:
            raise ValueError(otherwise)

    return read


def _only(value: Any, otherwise: str) -> Reader:
    """Reader of a value, or a list of the same, that alone can be obeyed."""

    def read(found: Any) -> None:
        if any(str(one) != str(value) for one in (found if isinstance(found, list) else [found])):
            raise ValueError(otherwise)

    return read


def _times(value: Any) -> None:
    first, _, last = str(value).partition(",")
    if first.strip() not in ("0", "1") or last.strip() not in ("999", "1000"):
        raise ValueError("it is a model for some times only")


def _architecture(value: Any) -> str | None:
    kinds = {"stable-diffusion-v2-768-v": "v_prediction", "stable-diffusion-v2-512": "epsilon"}
    if not re.fullmatch(r"stable-diffusion-v[12][\w.-]*", str(value)):
        raise ValueError("it is no whole Stable Diffusion 1.x or 2.x model")
    return kinds.get(str(value))


_HEADS = _choice({"-1": None} | {str(n): n for n in range(1, 1025)}, "it is no number of heads or channels")
_OTHER_UNET = "its U-Net is built in another way than Stable Diffusion's"
_OTHER_AUTOENCODER = "its autoencoder is another one than Stable Diffusion's"
_CLASSES = "its U-Net is conditioned on classes, as an upscaling model's"
_EMBEDDERS = ("FrozenCLIPEmbedder", "FrozenOpenCLIPEmbedder")
_PARAMS: dict[str, tuple[str, Reader]] = {  # by dotted key below model.params
    "parameterization": ("prediction_type", _PREDICTED),
    "linear_start": ("beta_start", _number(float)),
    "linear_end": ("beta_end", _number(float)),
    "timesteps": ("num_train_timesteps", _number(int)),
    "beta_schedule": ("", _choice({"linear": None}, "this noise schedule is unknown here")),
    "given_betas": ("", _choice({}, "this noise schedule is unknown here")),
    "zero_snr": ("", _NO_ZERO_SNR),
    "zero_terminal_snr": ("", _NO_ZERO_SNR),
    "rescale_betas_zero_snr": ("", _NO_ZERO_SNR),
    "scale_factor": ("scaling_factor", _number(float)),
    "scale_by_std": ("scale_by_std", _choice({"True": True, "False": None}, "it is neither true nor false")),
    "conditioning_key": ("", _choice({"crossattn": None}, "its U-Net is conditioned on more than a text")),
    "unet_config.target": ("", _of_class("UNetModel", otherwise=_OTHER_UNET)),
    "unet_config.params.num_heads": ("heads", _HEADS),
    "unet_config.params.num_head_channels": ("head_width", _HEADS),
    "unet_config.params.context_dim": ("context_dim", _number(int)),
    "unet_config.params.in_channels": ("in_channels", _number(int)),
    "unet_config.params.out_channels": ("out_channels", _number(int)),
    "unet_config.params.model_channels": ("model_channels", _number(int)),
    "unet_config.params.num_classes": ("", _choice({}, _CLASSES)),
    "unet_config.params.adm_in_channels": ("", _choice({}, _CLASSES)),
    "unet_config.params.dims": ("", _only(2, _OTHER_UNET)),
    "unet_config.params.n_embed": ("", _choice({}, _OTHER_UNET)),
    "unet_config.params.num_attention_blocks": ("", _choice({}, _OTHER_UNET)),
    "unet_config.params.transformer_depth": ("", _only(1, _OTHER_UNET)),
    "unet_config.params.use_spatial_transformer": ("", _only(True, _OTHER_UNET)),
    "unet_config.params.conv_resample": ("", _only(True, _OTHER_UNET)),
    **{
        f"unet_config.params.{key}": ("", _only(False, _OTHER_UNET))
        for key in (
            *("use_scale_shift_norm", "resblock_updown"),
            *("disable_self_attentions", "disable_middle_self_attn"),
        )
    },
    "first_stage_config.target": (
        "",
        _of_class("AutoencoderKL", "AutoencoderKLInferenceWrapper", otherwise=_OTHER_AUTOENCODER),
    ),
    "first_stage_config.params.ddconfig.double_z": ("", _only(True, _OTHER_AUTOENCODER)),
    "first_stage_config.params.ddconfig.resamp_with_conv": ("", _only(True, _OTHER_AUTOENCODER)),
    **{
        f"first_stage_config.params.ddconfig.{key}": ("", _only(False, _OTHER_AUTOENCODER))
        for key in ("tanh_out", "give_pre_end", "use_linear_attn")
    },
    "first_stage_config.params.ddconfig.attn_type": (
        "",
        _choice(dict.fromkeys(["vanilla", "vanilla-xformers"]), _OTHER_AUTOENCODER),
    ),
    "cond_stage_config": ("", _choice({}, "its U-Net is conditioned on no text")),  # where it is no section
    "cond_stage_config.target": (
        "",
        _of_class(*_EMBEDDERS, otherwise="its text encoder is none of Stable Diffusion 1.x (CLIP) or 2.x (OpenCLIP)"),
    ),
    "cond_stage_config.params.max_length": ("max_length", _number(int)),
    **{  # the original's
        f"cond_stage_config.params.{key}": ("", _only(False, "its text encoder reads labels, not texts"))
        for key in ("multi_label_finetuning", "rali")
    },
    "cond_stage_config.params.layer": (
        "layer",
        _choice({"last": "last", "penultimate": "penultimate"}, "this hidden state is not known here"),
    ),
    "cond_stage_config.params.layer_idx": ("", _choice({}, "this hidden state is not known here")),
}
# Of no influence here, or told by the weights: dotted keys below model.params, and beginnings of such keys
_NO_INFLUENCE = {
    *("first_stage_key", "cond_stage_key", "cond_stage_trainable", "cond_stage_forward", "concat_mode", "image_size"),
    *("channels", "log_every_t", "num_timesteps_cond", "monitor", "use_ema", "loss_type", "clip_denoised", "cosine_s"),
    *("original_elbo_weight", "v_posterior", "l_simple_weight", "learn_logvar", "logvar_init", "ckpt_path"),
    *("ignore_keys", "load_only_unet", "make_it_fit", "ucg_training", "reset_ema", "reset_num_ema_updates"),
    *("use_positional_encodings", "force_null_conditioning", "unet_trainable", "noise_strength", "load_ema"),
    *("embedding_reg_weight", "progressive_words", "finetune_keys"),
    *("attention_regularization", "ucg_probability", "unet_config.params.attention_save_mode"),  # the original's
    *(
        f"unet_config.params.{key}"
        for key in (
            *("image_size", "num_res_blocks", "attention_resolutions", "channel_mult", "use_linear_in_transformer"),
            *("use_checkpoint", "use_fp16", "use_bf16", "legacy", "dropout", "num_heads_upsample"),
            *("use_new_attention_order", "spatial_transformer_attn_type"),
        )
    ),
    *(
        f"first_stage_config.params.{key}"
        for key in (
            *("embed_dim", "monitor", "image_key", "colorize_nlabels", "ckpt_path", "ignore_keys"),
            *("ddconfig.z_channels", "ddconfig.resolution", "ddconfig.in_channels", "ddconfig.out_ch", "ddconfig.ch"),
            *("ddconfig.ch_mult", "ddconfig.num_res_blocks", "ddconfig.attn_resolutions", "ddconfig.dropout"),
        )
    ),
    *(f"cond_stage_config.params.{key}" for key in ("freeze", "version", "arch", "device", "ucg_rate", "legacy")),
}
_OF_TRAINING = ("scheduler_config", "personalization_config", "first_stage_config.params.lossconfig")
# What the LDM code takes where a whole configuration says nothing
_DEFAULTS = {
    "parameterization": "eps",
    "linear_start": 1e-4,
    "linear_end": 2e-2,
    "timesteps": 1000,
    "scale_factor": 1.0,
}

_METADATA: dict[str, tuple[str, Reader]] = {  # of .safetensors files, as trainers write it
    "modelspec.prediction_type": ("prediction_type", _PREDICTED),
    "modelspec.architecture": ("prediction_type", _architecture),
    "modelspec.timestep_range": ("", _times),
    "modelspec.encoder_layer": ("skip", _skipped),
    "prediction_type": ("prediction_type", _PREDICTED),
    "ss_v_parameterization": (
        "prediction_type",
        _choice({"True": "v_prediction", "False": "epsilon"}, "it is neither True nor False"),
    ),
    "ss_base_model_version": (
        "prediction_type",
        _choice(
            {"sd_v1": "epsilon", "sd_v2": "epsilon", "sd_v1_v": "v_prediction", "sd_v2_v": "v_prediction"},
            "it is no Stable Diffusion 1.x or 2.x model",
        ),
    ),
    "v_pred": ("prediction_type", _choice({"True": "v_prediction", "true": "v_prediction"}, "it is not true")),
    **dict.fromkeys(["ss_zero_terminal_snr", "zero_terminal_snr", "zero_snr", "ztsnr"], ("", _NO_ZERO_SNR)),
    "ss_clip_skip": ("skip", _skipped),
}
# Weights that are flags or numbers; NoobAI's and the LDM code's own (with scale_by_std)
FLAGS = ("v_pred", "ztsnr", "scale_factor")


def _read(where: str, table: Mapping[str, tuple[str, Reader]], values: Mapping[str, Any]) -> list[Statement]:
    statements = []
    for key, (about, read) in table.items():
        if values.get(key) is None:
            continue
        try:
            said = read(values[key])
        except ValueError as error:
            raise InputError(
                f"{where}{key} is {values[key]!r}, but {error}; correct it or give another base"
            ) from error
        if said is not None:
            statements.append(Statement(f"{where}{key}", about, said))
    return statements


def of_configuration(file: Path) -> list[Statement]:
    """What the LDM code's configuration file says of its model.

    Raises InputError if it is none, is another model's than one for images from text, or cannot be obeyed.
    """
    try:
        model = yaml.safe_load(file.read_text())["model"]
        params = model["params"]
        target = str(model.get("target") or "LatentDiffusion").rpartition(".")[2]
        values = dict(_flat(params))
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: holds no model.params; give the model's inference configuration or remove the file"
        ) from error
    if target != "LatentDiffusion":
        raise InputError(f"{file}: model.target is {target}, no model for images from text alone; give another base")
    values = {key: value for key, value in values.items() if value is not None}
    for key in values:
        if key not in _PARAMS and key not in _NO_INFLUENCE and not key.startswith(_OF_TRAINING):
            raise InputError(f"{file}: the key model.params.{key} is unknown; if the model does without it, remove it")
    if "unet_config" in params:  # else it is no whole configuration, but says a few things only
        values = _DEFAULTS | values
    if str(values.get("scale_by_std")) == "True":  # the factor is a weight then
        values.pop("scale_factor", None)
    embedder = str(values.get("cond_stage_config.target") or "").rpartition(".")[2]
    if embedder in _EMBEDDERS:  # that is their default
        values.setdefault("cond_stage_config.params.layer", "last")
    return _read(f"{file}: model.params.", _PARAMS, values)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def of_metadata(file: Path, metadata: Mapping[str, Any]) -> list[Statement]:
    """What the metadata of a .safetensors file says of its model."""
    return _read(f"{file}: ", _METADATA, metadata)


def of_hyperparameters(file: Path, values: Any) -> list[Statement]:
    """What the arguments of its training, which a .ckpt file of Lightning may hold, say of its model."""
    return _read(f"{file}: hyper_parameters.", _PARAMS, dict(_flat(plain(values))))


def of_weights(weights: Mapping[str, torch.Tensor]) -> list[Statement]:
    """What weights that are no network's say of their model; raises InputError without the file's name."""
    statements = []
    if "ztsnr" in weights:
        raise InputError("weight ztsnr says that its last time is noise alone, where PLMS cannot begin")
    if "v_pred" in weights:
        statements.append(Statement("weight v_pred", "prediction_type", "v_prediction"))
    if "scale_factor" in weights:
        if weights["scale_factor"].numel() != 1:
            raise InputError(f"weight scale_factor has the shape {tuple(weights['scale_factor'].shape)}")
        statements.append(Statement("weight scale_factor", "scaling_factor", float(weights["scale_factor"])))
    return statements


def beside(checkpoint: Path) -> tuple[Path | None, list[Path]]:
    """The configuration file of a checkpoint, and others in its folder whose model is not known.

    Its own has its name. One of another name, such as v2-inference-v.yaml, is its own too if there is no second
    configuration and no second checkpoint in the folder.
    """
    own = [path for suffix in CONFIGURATIONS if (path := checkpoint.with_suffix(suffix)).is_file()]
    if own:
        return own[0], []
    files = sorted(checkpoint.parent.iterdir()) if checkpoint.parent.is_dir() else []
    others = [path for path in files if path.suffix in CONFIGURATIONS and _is_configuration(path)]
    if len(others) == 1 and sum(path.suffix in CHECKPOINTS for path in files) == 1:
        return others[0], []
    return None, others


def _is_configuration(file: Path) -> bool:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return False
    model = content.get("model") if isinstance(content, dict) else None
    return isinstance(model, dict) and isinstance(model.get("params"), dict)


def agreed(statements: Iterable[Statement]) -> dict[str, Any]:
    """What is said, by what it is about; raises InputError if two statements contradict each other."""
    first: dict[str, Statement] = {}
    for one in statements:
        other = first.setdefault(one.about, one)
        if other.value != one.value and not (isinstance(one.value, float) and _close(one.value, other.value)):
            raise InputError(
                f"{other.source} says {other.value}, but {one.source} says {one.value}; correct the one that is wrong"
            )
    return {about: one.value for about, one in first.items()}


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-3 * abs(other)  # a half's rounding
