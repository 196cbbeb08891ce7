"""The weights of checkpoint files of the LDM code: read by today's names, each accounted for in a network."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from tradeoffs.errors import InputError
from tradeoffs.model import ldm_declared
from tradeoffs.model.ldm_declared import Statement
from tradeoffs.model.pickles import read_pickle

UNET, VAE = "model.diffusion_model.", "first_stage_model."
# Beginning of a name, pattern, and what stands in its place
OTHER_NAMES = (
    # a text encoder that does not stand in a model of text and images (transformers before 4.2)
    ("cond_stage_model.transformer.", r"(transformer\.)(embeddings|encoder|final_layer_norm)\.", r"\1text_model.\2."),
    # Stable Diffusion 1.x and 2.x as Stability AI's later code saves it
    ("conditioner.embedders.0.", r"^conditioner\.embedders\.0\.", "cond_stage_model."),
    # attention of the autoencoder as diffusers calls it
    (VAE, r"(\.attn_1\.)to_([qkv])\.", r"\1\2."),
    (VAE, r"(\.attn_1\.)to_out\.0\.", r"\1proj_out."),
)

Weights = dict[str, torch.Tensor]


def read(file: Path) -> Weights:
    """The weights of a .ckpt or .safetensors file by their LDM names; no code of the file is run."""
    return read_content(file)[0]


def read_content(file: Path) -> tuple[Weights, list[Statement]]:
    """The weights in a file, and what it says of its model beside them."""
    remedy = "take the model's .safetensors file, or download it again"
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, "pt") as stored:
                weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118, it is no dict
                metadata = stored.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file}: is damaged or no file of weights; {remedy}") from error
        return _renamed(weights), ldm_declared.of_metadata(file, metadata)
    content = read_pickle(file)
    weights = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not weights or not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
        raise InputError(f"{file}: holds no weights by name; {remedy}")
    return _renamed(weights), ldm_declared.of_hyperparameters(file, content.get("hyper_parameters", {}))


def _renamed(weights: Weights) -> Weights:
    """The weights with today's names for parts that older or later programs call otherwise."""
    renamed = {}
    for name, weight in weights.items():
        for place, pattern, today in OTHER_NAMES:
            if name.startswith(place):
                name = re.sub(pattern, today, name)
        if name in renamed:
            raise InputError(f"weight {name} is there twice, by an older name too")
        renamed[name] = weight
    return renamed


def with_prefix(weights: Weights, prefix: str) -> Weights:
    return {name: weight for name, weight in weights.items() if name.startswith(prefix)}


def count_blocks(weights: Weights, prefix: str) -> int:
    """How many numbered blocks stand under the prefix."""
    numbers = (re.match(r"(\d+)\.", name.removeprefix(prefix)) for name in with_prefix(weights, prefix))
    return 1 + max((int(number[1]) for number in numbers if number), default=-1)


def size_of(weights: Weights, name: str, axis: int = 0) -> int:
    if weights[name].ndim <= axis:
        raise InputError(f"weight {name} has the shape {tuple(weights[name].shape)}")
    return weights[name].shape[axis]


def filled(model: torch.nn.Module, weights: Weights, renamed: Callable[[Weights], Weights]) -> torch.nn.Module:
    """The model, built without weights, with those that `renamed` gives diffusers' names to, each used and checked."""
    expected = {name: weight.shape for name, weight in model.state_dict().items()}
    converted = renamed(weights)
    original = _original_names(weights, renamed)
    kind = type(model).__name__
    missing = sorted(name for name in expected if converted.get(name) is None)
    unknown = sorted(original.get(name, name) for name in converted.keys() - expected.keys())
    unknown += sorted(weights.keys() - set(original.values()))
    if missing:
        raise InputError(f"weight {missing[0]} of {kind} (its name in diffusers) is missing")
    if unknown:
        raise InputError(f"weight {unknown[0]} is unknown")
    for name, shape in expected.items():
        if converted[name].shape != shape:
            found = tuple(converted[name].shape)
            raise InputError(f"weight {original.get(name, name)} fills {found} where {kind} has {tuple(shape)}")
    model.load_state_dict({name: weight.float().contiguous() for name, weight in converted.items()}, assign=True)
    return model.eval()


def _original_names(weights: Weights, renamed: Callable[[Weights], Weights]) -> dict[str, str]:
    """The LDM name behind each of diffusers' names: `renamed` applied to tensors that hold their name's number."""
    names = list(weights)
    numbers = {name: torch.tensor(i, dtype=torch.int32).expand(weights[name].shape) for i, name in enumerate(names)}
    converted = {name: number for name, number in renamed(numbers).items() if number is not None and number.numel()}
    return {name: names[number[(0,) * number.ndim]] for name, number in converted.items()}
