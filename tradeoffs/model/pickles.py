"""Pickled checkpoints, read by an allow-list: numbers, containers and arguments of a training, but no code.

torch's own reader knows tensors and plain containers. What training programs write beside them is taken here as it is
where that runs no code; objects of Lightning and OmegaConf become `StandIn`s that only hold what they were given.
"""

import argparse
import datetime
import decimal
import pathlib
import re
import types
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from numpy import _core  # type: ignore[attr-defined]
from torch.torch_version import TorchVersion

from tradeoffs.errors import InputError
from tradeoffs.files import UNREADABLE_WEIGHTS


class StandIn:
    """An object of a class that is not loaded; its attributes are those that were pickled."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


class _Mapping:
    """Makes a plain dict of an instance of a class derived from dict."""

    def __new__(cls, *_: Any):
        return {}


def _plain_dict(*_: Any) -> dict:
    """Takes the place of defaultdict, whose default is of no use in a file."""
    return {}


def _plain_list(*_: Any) -> list:
    """Takes the place of deque, whose length is of no use in a file."""
    return []


_PATHS = {
    pathlib.PurePosixPath: ("PosixPath", "PurePosixPath"),
    pathlib.PureWindowsPath: ("WindowsPath", "PureWindowsPath"),
}
_NUMPY_TYPES = {type(np.dtype(kind)) for kind in "?bhilqBHILQefdgSUO"}
_ALLOWED: list[Any] = [
    np.dtype,
    np.ndarray,
    *_NUMPY_TYPES,
    *(
        (getattr(_core.multiarray, name), f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")  # before and since NumPy 2
        for name in ("scalar", "_reconstruct")
    ),
    argparse.Namespace,
    types.SimpleNamespace,
    (_plain_dict, "collections.defaultdict"),
    *((kind, f"builtins.{kind.__name__}") for kind in (dict, list, tuple, frozenset, int, float, str, bool)),
    (_plain_list, "collections.deque"),
    *(range, slice, datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(decimal.Decimal, TorchVersion),
    *(
        (kind, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")  # the second in Python 3.13
        for kind, names in _PATHS.items()
        for name in names
    ),
    (StandIn, "typing.Any"),
]
_STOOD_IN = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.")
# Named in published checkpoints, of which those in the older format do not list their names
_ALWAYS = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"


def read_pickle(file: Path) -> Any:
    """The content of a file of torch.save, on the CPU; no code that it may name is run.

    Raises InputError for a file that is damaged, or holds objects that are not on the list.
    """
    remedy = "take the model's .safetensors file, or download it again"
    mapped = is_zipfile(file)  # older files cannot be read from only where it is needed
    try:
        with allowed(), torch.serialization.safe_globals([(StandIn, _ALWAYS)]):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(file) if mapped else []
            stand_ins = [(_Mapping if n.endswith("Dict") else StandIn, n) for n in names if n.startswith(_STOOD_IN)]
            with torch.serialization.safe_globals(stand_ins):
                return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except UNREADABLE_WEIGHTS as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"would run code when read ({code[1]})" if code else "is damaged or no file of weights"
        if mapped and "Unsupported operand" in str(error):
            reason = "is pickled by another protocol than 2, torch's own, which alone can be read without running code"
        raise InputError(f"{file}: {reason}; {remedy}") from error


def allowed() -> Any:
    """A block in which torch's reader knows the allow-list."""
    return torch.serialization.safe_globals(_ALLOWED)


def plain(value: Any) -> Any:
    """A pickled value with its containers as dicts: arguments of a training, OmegaConf's sections."""
    if isinstance(value, StandIn):  # OmegaConf: a section holds _content, a value _val
        value = vars(value).get("_content", vars(value).get("_val", vars(value)))
    if isinstance(value, argparse.Namespace | types.SimpleNamespace):
        value = vars(value)
    return {str(key): plain(one) for key, one in value.items()} if isinstance(value, dict) else value
