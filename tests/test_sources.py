import os
import shutil
import stat
import sys

import pytest
import torch
from ldm_checkpoints import assert_same_outputs, checkpoint, small
from safetensors.torch import load_file, save_file

from tradeoffs.errors import InputError
from tradeoffs.model import sources
from tradeoffs.model.checkpoints import load
from tradeoffs.model.sources import download, materialise_base


@pytest.fixture(scope="module")
def originals():
    return small("1", 49408)


@pytest.fixture(scope="module")
def base(originals, tmp_path_factory):
    """The folder made from a Stable Diffusion 1 checkpoint."""
    folder = tmp_path_factory.mktemp("sources")
    save_file(checkpoint(*originals), folder / "model.safetensors")
    materialise_base("file", str(folder / "model.safetensors"), None, folder / "base")
    return folder / "base"


def weights(folder):
    return {
        f"{file.parent.name}.{name}": weight
        for file in folder.glob("*/*.safetensors")
        for name, weight in load_file(file).items()
    }


def assert_equal_weights(found, expected):
    found, expected = weights(found), weights(expected)
    assert found.keys() == expected.keys()
    assert all(weight.dtype == torch.float32 and torch.equal(weight, expected[name]) for name, weight in found.items())


def test_a_single_file_becomes_a_folder_with_the_same_outputs(base, originals):
    assert_same_outputs(load(base), *originals)


def test_folder_in_half_precision_becomes_float32(base, tmp_path):
    halves = shutil.copytree(base, tmp_path / "halves")
    for file in halves.glob("*/*.safetensors"):
        save_file({name: weight.half() for name, weight in load_file(file).items()}, file, metadata={"format": "pt"})
    materialise_base("folder", str(halves), None, tmp_path / "copy")
    found, expected = weights(tmp_path / "copy"), weights(base)
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, expected[name].half().float())


def test_incomplete_folder_is_an_error(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "base")
    shutil.rmtree(folder / "vae")
    with pytest.raises(InputError, match="without vae"):
        materialise_base("folder", str(folder), None, tmp_path / "copy")


def test_hub_model_is_what_was_downloaded(base, tmp_path, monkeypatch):
    def downloaded(key, repository, revision, files, folder):
        assert (key, repository, revision) == ("base.source", "owner/name", "main")
        shutil.copytree(base, folder, dirs_exist_ok=True)

    monkeypatch.setattr(sources, "download", downloaded)
    materialise_base("hub", "owner/name", "main", tmp_path / "copy")
    assert_equal_weights(tmp_path / "copy", base)


def interpreter(tmp_path, commands: str) -> str:
    """A program in the place of Python, so that no test asks the hub."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{commands}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_download_asks_for_the_revision_with_the_hub_online(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    program = interpreter(tmp_path, f'echo $HF_HUB_OFFLINE "$3|$4|$5|$6|$7" > {tmp_path}/asked')
    monkeypatch.setattr(sys, "executable", program)
    download("base.source", "owner/name", "v1", ["unet/*.json", "vae/*.json"], tmp_path / "folder")
    asked = (tmp_path / "asked").read_text()
    assert asked == f"0 owner/name|v1|{tmp_path}/folder|unet/*.json vae/*.json|{' '.join(sources.NOT_ASKED_FOR)}\n"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_failed_download_is_an_error(tmp_path, monkeypatch):
    program = interpreter(tmp_path, "echo traceback >&2; echo no such host >&2; exit 1")
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(InputError, match=r"^base.source: owner/name could not be downloaded \(no such host\);"):
        materialise_base("hub", "owner/name", None, tmp_path / "copy")
