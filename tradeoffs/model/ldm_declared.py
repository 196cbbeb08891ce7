"""What a single checkpoint file of the LDM code declares beside its weights: in its configuration (.yaml), in its
metadata, and by weights that are no network's. Each is obeyed or refused (docs/encoders.md)."""

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
_HEADS = _choice({"-1": None} | {str(n): n for n in range(1, 1025)}, "it is no number of heads or channels")
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
    "conditioning_key": ("", _choice({"crossattn": None}, "its U-Net is conditioned on more than a text")),
    "unet_config.params.num_heads": ("heads", _HEADS),
    "unet_config.params.num_head_channels": ("head_width", _HEADS),
    "unet_config.params.context_dim": ("context", _number(int)),
    "unet_config.params.num_classes": ("", _choice({}, "its U-Net is conditioned on classes, as an upscaling model's")),
    "cond_stage_config.params.layer": (
        "layer",
        _choice({"last": "last", "penultimate": "penultimate"}, "this hidden state is not known here"),
    ),
    "cond_stage_config.params.layer_idx": ("", _choice({}, "this hidden state is not known here")),
}
_METADATA: dict[str, tuple[str, Reader]] = {  # of .safetensors files, as trainers write it
    "modelspec.prediction_type": ("prediction_type", _PREDICTED),
    "modelspec.architecture": (
        "prediction_type",
        {"stable-diffusion-v2-768-v": "v_prediction", "stable-diffusion-v2-512": "epsilon"}.get,
    ),
    "modelspec.encoder_layer": ("skip", _skipped),
    "prediction_type": ("prediction_type", _PREDICTED),
    "ss_v_parameterization": (
        "prediction_type",
        _choice({"True": "v_prediction", "False": "epsilon"}, "it is neither True nor False"),
    ),
    "ss_zero_terminal_snr": ("", _NO_ZERO_SNR),
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
    embedder = str(values.get("cond_stage_config.target") or "").rpartition(".")[2]
    if embedder in ("FrozenCLIPEmbedder", "FrozenOpenCLIPEmbedder"):  # that is their default
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
