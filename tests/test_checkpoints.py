import json
import re
import shutil

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import PARTS, check_folder, load, save_with

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def base(tiny_base, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(tiny_base, tmp_path / "base")


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_weights_are_read_as_they_are(tiny_base):
    model = load(tiny_base)
    for part, network in model.networks.items():
        stored = load_file(tiny_base / part / WEIGHTS[part])
        assert stored and all(torch.equal(network.state_dict()[name], value) for name, value in stored.items())
        assert not network.training and next(network.parameters()).dtype == torch.float32
    assert model.schedule.config.num_train_timesteps == 1000
    assert model.schedule.alphas_cumprod[0] == pytest.approx(1 - 0.00085, rel=1e-4)


def test_half_precision_weights_become_float32(tiny_base, tiny_model, tmp_path):
    save_with(tiny_base, tmp_path / "half", {name: network.half() for name, network in tiny_model.networks.items()})
    for part, network in load(tmp_path / "half").networks.items():
        stored = load_file(tmp_path / "half" / part / WEIGHTS[part])
        assert {value.dtype for value in stored.values()} == {torch.float16}
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize("fault", ["missing", "unexpected", "misshapen"])
def test_wrong_weights_are_refused(base, part, fault):
    file = base / part / WEIGHTS[part]
    stored = load_file(file)
    name = max(stored, key=lambda key: stored[key].ndim)
    if fault == "missing":
        del stored[name]
    elif fault == "unexpected":
        stored[name.replace(".weight", ".wait")] = torch.zeros(2)
    else:
        stored[name] = stored[name][:-1].contiguous()
    save_file(stored, file, {"format": "pt"})
    with pytest.raises(InputError, match=re.escape(str(base / part))):
        load(base)


def test_old_position_ids_are_no_fault(base):
    file = base / "text_encoder" / "model.safetensors"
    stored = load_file(file)
    prefix = "text_model." if any(name.startswith("text_model.") for name in stored) else ""
    save_file(stored | {f"{prefix}embeddings.position_ids": torch.arange(24)[None]}, file, {"format": "pt"})
    load(base)


def test_incomplete_folders_are_refused(base, tmp_path):
    with pytest.raises(InputError, match=r"absent: no model_index\.json"):
        check_folder(tmp_path / "absent")
    (base / "unet" / WEIGHTS["unet"]).unlink()
    with pytest.raises(InputError, match=re.escape(str(base / "unet"))):
        load(base)
    shutil.rmtree(base / "vae")
    index = json.loads((base / "model_index.json").read_text())
    del index["tokenizer"]
    (base / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=re.escape(f"{base}: without vae, tokenizer;")):
        load(base)


def test_saved_model_opens_as_a_pipeline(tiny_base, tiny_model, tmp_path):
    with torch.no_grad():
        for parameter in tiny_model.unet.parameters():
            parameter += 1
    before = files(tiny_base)
    save_with(tiny_base, tmp_path / "tuned", {"unet": tiny_model.unet})

    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "tuned", local_files_only=True)
    for part in WEIGHTS:
        old = load_file(tiny_base / part / WEIGHTS[part])
        new = getattr(pipeline, part).state_dict()
        assert all(torch.equal(new[name], value + 1 if part == "unet" else value) for name, value in old.items())
    saved = files(tmp_path / "tuned")
    assert {name: content for name, content in saved.items() if not name.startswith("unet/")} == {
        name: content for name, content in before.items() if not name.startswith("unet/")
    }
    assert files(tiny_base) == before
    assert {path.name for path in (tmp_path / "tuned").iterdir()} == {*PARTS, "model_index.json"}


def test_trained_text_encoder_is_saved(tiny_base, tiny_model, tmp_path):
    with torch.no_grad():
        for parameter in tiny_model.text_encoder.parameters():
            parameter += 1
    save_with(tiny_base, tmp_path / "tuned", {"unet": tiny_model.unet, "text_encoder": tiny_model.text_encoder})
    again = load(tmp_path / "tuned")
    for name, value in load(tiny_base).text_encoder.state_dict().items():
        assert torch.equal(again.text_encoder.state_dict()[name], value + 1)
