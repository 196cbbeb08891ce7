"""Where a base model or a text encoder comes from: folder, single checkpoint of the LDM code, Python package, hub."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import DDIMScheduler

from tradeoffs.errors import InputError
from tradeoffs.model import ldm
from tradeoffs.model.checkpoints import PARTS, check_folder, load, save_with
from tradeoffs.model.encoders import load_encoder
from tradeoffs.packages import package_folder

# What a hub repository is asked for. Many hold the same weights several times: in halves, for other frameworks, with
# the raw weights beside their moving average, in files that older programs read.
BASE_FILES = ["model_index.json", *(f"{part}/*.{kind}" for part in PARTS for kind in ("json", "txt", "safetensors"))]
# Where there are no plain .safetensors: halves, or pickles, which are read without running code
OTHER_BASE_FILES = [
    f"{part}/{name}{suffix}"
    for part in ("unet", "vae", "text_encoder")
    for name in ("model", "diffusion_pytorch_model", "pytorch_model")
    for suffix in (".fp16.safetensors", ".bf16.safetensors", ".bin")
]
ENCODER_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
PICKLED_FILES = ["*.bin"]  # of older encoders; read without running code
NOT_ASKED_FOR = ["*fp16*", "*non_ema*", "*.msgpack", "onnx/*", "*/onnx/*", "openvino/*", "*.index.fp16.json"]


def materialise_base(
    kind: str,
    source: str,
    revision: str | None,
    folder: Path,
    prediction_type: str | None = None,
    key: str = "base.source",
) -> None:
    """Writes the base as a complete diffusers folder with float32 weights to `folder`, after checking every weight.

    kind: "folder", "file" (a single LDM checkpoint) or "hub" (downloaded)
    prediction_type: "epsilon" or "v_prediction", where the source does not say what its U-Net predicts
    key: of the source in the config, which errors name
    """
    try:
        _materialise(kind, source, revision, folder, prediction_type)
    except InputError as error:
        raise InputError(told_of(key, error)) from error


def told_of(key: str, error: InputError) -> str:
    """What is wrong with a model that the config names under `key`; base.prediction_type speaks of the base alone."""
    if key == "base.source":
        return str(error)
    return str(error).replace(f"{ldm.STATE_PREDICTION}, or ", "").replace("base.source", key)


def _materialise(kind: str, source: str, revision: str | None, folder: Path, prediction_type: str | None) -> None:
    if kind == "file":
        ldm.convert(source, folder, prediction_type)
        return
    with tempfile.TemporaryDirectory() as downloaded:
        if kind == "hub":
            download("base.source", source, revision, BASE_FILES, Path(downloaded))
            lacking = [
                part
                for part in ("unet", "vae", "text_encoder")
                if Path(downloaded, part).is_dir() and not any(Path(downloaded, part).glob("*.safetensors"))
            ]
            if lacking:
                files = [file for file in OTHER_BASE_FILES if file.partition("/")[0] in lacking]
                download("base.source", source, revision, files, Path(downloaded), ignored=())
            source = downloaded
        check_folder(source, prediction_type)
        model = load(source)
        parts: dict[str, Any] = dict(model.networks)
        if prediction_type:
            parts["scheduler"] = DDIMScheduler.from_config(model.schedule.config, prediction_type=prediction_type)
        save_with(source, folder, parts)


def materialise_encoder(key: str, kind: str, source: str, revision: str | None, folder: Path) -> None:
    """Writes a text encoder and its tokenizer in transformers' layout, float32 weights, after checking every weight.

    key: of the source in the config; kind: "folder", "package" or "hub" (downloaded)
    """
    with tempfile.TemporaryDirectory() as downloaded:
        if kind == "package":
            source = str(package_folder(source))
        elif kind == "hub":
            download(key, source, revision, ENCODER_FILES, Path(downloaded))
            if not any(Path(downloaded).glob("*.safetensors")):
                download(key, source, revision, PICKLED_FILES, Path(downloaded))
            source = downloaded
        network, tokenizer = load_encoder(source)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def download(
    key: str,
    repository: str,
    revision: str | None,
    files: Sequence[str],
    folder: Path,
    ignored: Sequence[str] = NOT_ASKED_FOR,
) -> None:
    """Gets some files of a hub repository, in a process of its own, because this one has the hub set offline.

    key: of the source in the config; files, ignored: patterns
    """
    code = (
        "import sys; from huggingface_hub import snapshot_download; "
        "snapshot_download(sys.argv[1], revision=sys.argv[2] or None, local_dir=sys.argv[3], "
        "allow_patterns=sys.argv[4].split(), ignore_patterns=sys.argv[5].split())"
    )
    run = subprocess.run(
        [
            *(sys.executable, "-c", code, repository, revision or "", str(folder)),
            *(" ".join(files), " ".join(ignored)),
        ],
        env={**os.environ, "HF_HUB_OFFLINE": "0"},
        stderr=subprocess.PIPE,
        text=True,
    )
    if run.returncode:
        reason = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "no reason given"
        raise InputError(
            f"{key}: {repository} could not be downloaded ({reason}); download it elsewhere and set {key} to its folder"
        )
