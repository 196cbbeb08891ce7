"""The model that a command is given: a diffusers folder, or a single checkpoint file of the LDM code."""

import tempfile
from pathlib import Path

from tradeoffs.config.paths import base_kind
from tradeoffs.errors import InputError
from tradeoffs.jobs.devices import default_device
from tradeoffs.model.checkpoints import LatentDiffusion, load
from tradeoffs.model.sources import materialise_base


def load_model(source: str | Path, prediction_type: str | None = None) -> LatentDiffusion:
    """The model of a folder or file, every weight of it, on the CPU in float32.

    prediction_type: "epsilon" or "v_prediction", for a single file that does not say what its U-Net predicts
    Raises InputError for anything else, such as a hub id, which is not downloaded.
    """
    kind = base_kind(str(source))
    if kind == "hub":
        raise InputError(f"{source}: there is no such folder or file, and a hub id is not downloaded; give its folder")
    try:
        if kind == "folder":
            return load(source)
        with tempfile.TemporaryDirectory() as folder:
            materialise_base(kind, str(source), None, Path(folder), prediction_type)
            return load(folder)
    except InputError as error:
        raise InputError(str(error).replace("base.source", "the model")) from error  # no configuration here


def ready(model: str | Path | LatentDiffusion) -> LatentDiffusion:
    """A model, or that of a folder or file, on the device that computes."""
    return (model if isinstance(model, LatentDiffusion) else load_model(model)).to(default_device())


def own_resolution(model: LatentDiffusion) -> int:
    """Side in pixels of the images that the model was made for."""
    return model.unet.config.sample_size * 2 ** (len(model.vae.config.block_out_channels) - 1)
