"""Base models as the hub has them: written by older libraries, the same weights several times, and more than needed."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from tradeoffs.errors import InputError
from tradeoffs.model.checkpoints import load, save_with
from tradeoffs.model.sources import BASE_FILES, NOT_ASKED_FOR, materialise_base
from tradeoffs.model.text import CachedTextEncoder
from tradeoffs.sampling import sampler

UNET, TEXT = "diffusion_pytorch_model.safetensors", "model.safetensors"
OLD_ATTENTION = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}


def rename(file, renamed, **more):
    """Gives the weights of a file other names, and adds some."""
    weights = {renamed(name): weight for name, weight in load_file(file).items()}
    save_file(weights | more, file, {"format": "pt"})


def change(file, **values):
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(content | values))


@pytest.fixture
def published(tiny_base, tmp_path):
    """Stable Diffusion's folders as they were published in 2022, around the tiny base's weights."""
    folder = shutil.copytree(tiny_base, tmp_path / "published")
    torch.manual_seed(3)
    config = AutoencoderKL.load_config(tiny_base / "vae")
    vae = AutoencoderKL.from_config(config, mid_block_add_attention=True)
    vae.save_pretrained(folder / "vae")  # the weights of attention had other names

    def old_attention(name):
        for new, old in OLD_ATTENTION.items():
            name = name.replace(f"attentions.0.{new}", f"attentions.0.{old}")
        return name

    rename(folder / "vae" / UNET, old_attention)
    rename(
        folder / "text_encoder" / TEXT,
        lambda name: f"text_model.{name}",
        **{"text_model.embeddings.position_ids": torch.arange(24)[None]},
    )
    for part, file in (("unet", UNET), ("vae", UNET), ("text_encoder", TEXT)):
        weights = load_file(folder / part / file)
        other = {name: torch.zeros_like(weight) for name, weight in weights.items()}  # must not be read
        stem, suffix = file.split(".")
        save_file(other, folder / part / f"{stem}.fp16.{suffix}", {"format": "pt"})
        torch.save(other, folder / part / ("pytorch_model.bin" if part == "text_encoder" else f"{stem}.bin"))
    save_file(other, folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors")

    backend = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    change(folder / "tokenizer" / "vocab.json", **backend["model"]["vocab"])
    merges = "\n".join(" ".join(merge) for merge in backend["model"]["merges"])
    (folder / "tokenizer" / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    end = {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False}
    change(
        folder / "tokenizer" / "tokenizer_config.json",
        **{"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 24},
        **{"pad_token": "<|endoftext|>", "unk_token": end | {"single_word": False}, "tokenizer_class": "CLIPTokenizer"},
    )
    change(folder / "tokenizer" / "special_tokens_map.json", pad_token="!")  # counts, as in Stable Diffusion 2's folder
    (folder / "scheduler" / "scheduler_config.json").unlink()
    change(
        folder / "scheduler" / "scheduler_config.json",
        **{"_class_name": "PNDMScheduler", "_diffusers_version": "0.8.0", "beta_start": 0.00085, "beta_end": 0.012},
        **{"beta_schedule": "scaled_linear", "clip_sample": False, "num_train_timesteps": 1000, "steps_offset": 1},
        **{"set_alpha_to_one": False, "skip_prk_steps": True, "trained_betas": None},
        prediction_type="v_prediction",
    )
    change(
        folder / "model_index.json",
        **{"_diffusers_version": "0.8.0", "feature_extractor": ["transformers", "CLIPImageProcessor"]},
        **{"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"], "requires_safety_checker": True},
        scheduler=["diffusers", "PNDMScheduler"],
    )
    (folder / "safety_checker").mkdir()
    (folder / "feature_extractor").mkdir()
    return folder, vae


def test_a_folder_as_published_becomes_a_plain_one(published, tiny_model, tmp_path):
    folder, vae = published
    materialise_base("folder", str(folder), None, tmp_path / "base")
    model = load(tmp_path / "base")
    for found, expected in (
        (model.unet, tiny_model.unet),
        (model.vae, vae),
        (model.text_encoder, tiny_model.text_encoder),
    ):
        weights = expected.state_dict()
        assert found.state_dict().keys() == weights.keys()
        assert all(torch.equal(weight, weights[name]) for name, weight in found.state_dict().items())
    text = "mild edema"
    expected = CachedTextEncoder(*tiny_model.text_side)([text])
    assert torch.equal(CachedTextEncoder(*model.text_side)([text]), expected)
    # what the checkpoint predicts reaches training and samples
    assert model.schedule.config.prediction_type == "v_prediction"
    assert sampler("plms", model.schedule.config).config.prediction_type == "v_prediction"

    save_with(tmp_path / "base", tmp_path / "tuned", {"unet": model.unet})
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "tuned", local_files_only=True)
    assert pipeline.safety_checker is None and pipeline.feature_extractor is None
    assert pipeline(text, num_inference_steps=2, output_type="np").images.shape == (1, 64, 64, 3)


def test_pickles_are_read_where_there_is_nothing_else(published, tiny_model, tmp_path):
    folder, _ = published
    for file in folder.rglob("*.safetensors"):
        if file.name in (UNET, TEXT):
            weights = load_file(file)
            name = "pytorch_model.bin" if file.parent.name == "text_encoder" else "diffusion_pytorch_model.bin"
            torch.save(weights, file.parent / name)
        file.unlink()
    materialise_base("folder", str(folder), None, tmp_path / "base")
    weights = load(tmp_path / "base").unet.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in tiny_model.unet.state_dict().items())


def test_the_hub_is_asked_for_what_is_needed_and_no_more(published):
    from huggingface_hub.utils import filter_repo_objects

    folder, _ = published
    (folder / "512-base-ema.safetensors").touch()
    (folder / "safety_checker" / TEXT).touch()
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    asked = set(filter_repo_objects(files, allow_patterns=BASE_FILES, ignore_patterns=NOT_ASKED_FOR))
    assert asked == {
        "model_index.json",
        *(f"{part}/{file}" for part in ("unet", "vae") for file in ("config.json", UNET)),
        *(f"text_encoder/{file}" for file in ("config.json", TEXT)),
        *(f"tokenizer/{file}.json" for file in ("vocab", "tokenizer_config", "special_tokens_map")),
        "tokenizer/merges.txt",
        "scheduler/scheduler_config.json",
    }


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_halves_are_read_where_there_is_nothing_else(tiny_base, tiny_model, tmp_path, variant):
    folder = shutil.copytree(tiny_base, tmp_path / "halves")
    for file in folder.glob("*/*.safetensors"):
        halves = {name: weight.half() for name, weight in load_file(file).items()}
        save_file(halves, file.with_name(f"{file.stem}.{variant}.safetensors"), {"format": "pt"})
        file.unlink()
    materialise_base("folder", str(folder), None, tmp_path / "base")
    weights = load(tmp_path / "base").unet.state_dict()
    for name, weight in tiny_model.unet.state_dict().items():
        assert weights[name].dtype == torch.float32 and torch.equal(weights[name], weight.half().float())


def test_files_of_weights_that_are_not_read_are_named(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    file = folder / "unet" / UNET
    file.rename(file.with_name("diffusion_pytorch_model.non_ema.safetensors"))
    with pytest.raises(InputError, match="unet: holds only diffusion_pytorch_model.non_ema.safetensors; give it"):
        load(folder)
    (folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors").unlink()
    with pytest.raises(InputError, match="unet: holds no file of weights; give it"):
        load(folder)


@pytest.mark.parametrize("parts", ["*", "vae", "text_encoder"])
def test_a_hub_repository_with_halves_only_is_asked_again(tiny_base, tmp_path, monkeypatch, parts):
    from huggingface_hub.utils import filter_repo_objects

    published = shutil.copytree(tiny_base, tmp_path / "published")
    for file in published.glob(f"{parts}/*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))

    def download(key, repository, revision, files, folder, ignored=NOT_ASKED_FOR):
        names = [path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, allow_patterns=files, ignore_patterns=list(ignored)):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(published / name, folder / name)

    monkeypatch.setattr("tradeoffs.model.sources.download", download)
    materialise_base("hub", "owner/name", None, tmp_path / "base")
    assert load(tmp_path / "base").unet.config.in_channels == 4


def test_weights_in_shards_are_the_same_weights(tiny_base, tmp_path):
    folder, model = shutil.copytree(tiny_base, tmp_path / "sharded"), load(tiny_base)
    parts = {"unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoder}
    for part, network in parts.items():
        (folder / part / (TEXT if part == "text_encoder" else UNET)).unlink()
        largest = sum(weight.nbytes for weight in network.state_dict().values()) // 3
        network.save_pretrained(folder / part, max_shard_size=largest)
        assert len(list(folder.glob(f"{part}/*-of-*.safetensors"))) > 1
    materialise_base("folder", str(folder), None, tmp_path / "base")
    found = load(tmp_path / "base")
    for part, network in parts.items():
        for name, weight in getattr(found, part).state_dict().items():
            torch.testing.assert_close(weight, network.state_dict()[name], rtol=0, atol=0)
    gone = sorted((folder / "unet").glob("*-of-*.safetensors"))[0]
    gone.unlink()
    with pytest.raises(InputError, match=f"unet: .*{gone.name}"):
        materialise_base("folder", str(folder), None, tmp_path / "other")
