"""Networks of Stable Diffusion's single files: weights, sizes, layers, tokenizers, conversion to a folder."""

import re

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from ldm_checkpoints import (
    OpenClipText,
    assert_same_outputs,
    checkpoint,
    full_size,
    shaken,
    small,
    small_text_encoder,
    small_unet,
    small_vae,
    starting_with,
)
from safetensors.torch import load_file, save_file

from tradeoffs.errors import InputError
from tradeoffs.model import ldm, ldm_weights
from tradeoffs.model.checkpoints import load, noise_schedule


@pytest.fixture(scope="module")
def weights() -> dict:
    return checkpoint(*small("2"))


@pytest.mark.parametrize("family", ["1", "2"])
def test_networks_compute_what_the_originals_do(family):
    originals = small(family)
    found = ldm.build(checkpoint(*originals))
    assert_same_outputs(found, *originals)
    assert found.vae.config.scaling_factor == 0.18215
    assert not any(network.training for network in (found.unet, found.vae, found.text_encoder))


def test_stable_diffusion_2_has_the_published_numbers_of_parameters():
    """The numbers of parameters are those that the LDM code prints and the model cards give."""
    sizes = {}
    for family in ("1", "2"):
        unet, *others = full_size(family)
        found = ldm.build(checkpoint(unet, *others))
        parts = (found.unet, found.vae, found.text_encoder)
        sizes[family] = [sum(weight.numel() for weight in part.parameters()) for part in parts]
        for key in ("down_block_types", "up_block_types"):
            assert tuple(found.unet.config[key]) == unet.config[key]
    assert sizes == {
        "1": [859_520_964, 83_653_863, 123_060_480],
        "2": [865_910_724, 83_653_863, 340_387_840],  # text encoder without its last layer, 23 of 24
    }
    assert found.unet.config.attention_head_dim == [5, 10, 20, 20]
    assert (found.text_encoder.config.num_hidden_layers, found.text_encoder.config.num_attention_heads) == (23, 16)


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.input_blocks.1.0.in_layers.0.weight",
        "model.diffusion_model.input_blocks.3.0.op.bias",
        "model.diffusion_model.output_blocks.2.1.conv.bias",
        "model.diffusion_model.out.2.weight",
        "first_stage_model.encoder.down.0.downsample.conv.bias",
        "first_stage_model.decoder.mid.attn_1.q.weight",
        "first_stage_model.post_quant_conv.weight",
        "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight",
        "cond_stage_model.model.positional_embedding",
    ],
)
def test_a_missing_weight_is_an_error(weights, name):
    with pytest.raises(InputError, match="missing"):
        ldm.build({key: weight for key, weight in weights.items() if key != name})


def test_the_missing_weight_is_named(weights):
    without = {k: v for k, v in weights.items() if k != "first_stage_model.encoder.conv_in.bias"}
    with pytest.raises(InputError, match=r"weight encoder\.conv_in\.bias of AutoencoderKL"):
        ldm.build(without)


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.input_blocks.1.0.extra.weight",
        "model.diffusion_model.input_blocks.extra.weight",
        "model.diffusion_model.out.3.weight",
        "first_stage_model.loss.logvar",
        "first_stage_model.encoder.mid.attn_2.q.weight",
        "cond_stage_model.model.visual.proj",
        "cond_stage_model.model.transformer.resblocks.0.ls_1.gamma",
        "cond_stage_model.logit_scale",
        "embedder.model.visual.proj",
    ],
)
def test_an_unknown_weight_is_an_error_that_names_it(weights, name):
    with pytest.raises(InputError, match=re.escape(f"weight {name} is unknown")):
        ldm.build({**weights, name: torch.zeros(64, 64)})


def test_two_weights_for_one_place_are_an_error(weights):
    with pytest.raises(InputError, match="is unknown"):
        ldm.build({**weights, "model.diffusion_model.input_blocks.1.0.norm1.weight": torch.zeros(64)})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.diffusion_model.middle_block.0.in_layers.2.weight", (128, 128, 1, 1)),
        ("model.diffusion_model.out.2.weight", ()),
        ("first_stage_model.decoder.mid.attn_1.q.weight", (64, 32, 1, 1)),
        ("cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight", (384, 64)),
        ("cond_stage_model.model.transformer.resblocks.1.mlp.c_proj.bias", (64,)),
    ],
)
def test_a_weight_of_another_shape_is_an_error_that_names_it(weights, name, shape):
    with pytest.raises(InputError, match=re.escape(name)):
        ldm.build({**weights, name: torch.zeros(shape)})


def test_models_that_are_not_for_images_from_text(weights):
    unet = small_unet("2")
    inpainting = UNet2DConditionModel.from_config(unet.config, in_channels=9)
    with pytest.raises(InputError, match="maps 9 to 4 channels, but the latents have 4"):
        ldm.build(checkpoint(inpainting, small_vae(), small_text_encoder("2", 300)))
    with pytest.raises(InputError, match="its U-Net is conditioned on classes"):
        ldm.build({**weights, "model.diffusion_model.label_emb.0.0.weight": torch.zeros(64, 64)})
    narrow = shaken(OpenClipText(300, 64, layers=2, heads=1), 0)
    with pytest.raises(InputError, match="takes text of width 128, its text encoder gives 64"):
        ldm.build(checkpoint(unet, small_vae(), narrow))
    without_text = {k: v for k, v in weights.items() if not k.startswith("cond_stage_model.")}
    with pytest.raises(InputError, match="not one text encoder"):
        ldm.build(without_text)
    with pytest.raises(InputError, match="not one text encoder"):
        ldm.build({**weights, "cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.zeros(128)})


@pytest.fixture(scope="module")
def full_vocabulary(tmp_path_factory):
    """An SD 2 checkpoint with CLIP's vocabulary in half precision, the converted folder and the original networks."""
    folder = tmp_path_factory.mktemp("ldm")
    originals = small("2", 49408)
    halves = {name: weight.half() for name, weight in checkpoint(*originals).items()}
    torch.save({"state_dict": halves, "global_step": 875000}, folder / "512-base-ema.ckpt")
    ldm.convert(folder / "512-base-ema.ckpt", folder / "base", "epsilon")
    return folder, originals


def test_converted_folder_loads_strictly(full_vocabulary):
    folder, originals = full_vocabulary
    model = load(folder / "base")
    assert_same_outputs(model, *(network.half().float() for network in originals))
    for file in (folder / "base").glob("*/*.safetensors"):
        assert {weight.dtype for weight in load_file(file).values()} == {torch.float32}
    # abar at the first and last step, by hand: 1 - 0.00085, and the product over all steps
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    np.testing.assert_allclose(model.schedule.alphas_cumprod, np.cumprod(1 - betas), rtol=1e-4)
    assert model.schedule.config.prediction_type == "epsilon"


def test_converted_folder_opens_as_a_pipeline(full_vocabulary):
    folder, _ = full_vocabulary
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "base")
    config = pipeline.scheduler.config
    assert (config.steps_offset, config.clip_sample, config.set_alpha_to_one) == (1, False, False)
    # 64 latent pixels; the small autoencoder has two levels, so two pixels each
    assert (pipeline.unet.config.sample_size, pipeline.vae.config.sample_size) == (64, 128)


def test_tokenizer_is_clips(full_vocabulary):
    folder, _ = full_vocabulary
    tokenizer = load(folder / "base").tokenizer
    ids = tokenizer("A photo of a cat", padding="max_length", truncation=True)["input_ids"]
    # the ids as in CLIP's and Stable Diffusion's documentation; "!" (id 0) pads in Stable Diffusion 2
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407] + [0] * 70


def test_stable_diffusion_1_pads_with_the_end_token():
    networks = ldm.build(checkpoint(*small("1", 49408)))
    tokenizer = ldm.build_tokenizer(networks)
    assert tokenizer("a dog", padding="max_length")["input_ids"] == [49406, 320, 1929] + [49407] * 74


def test_errors_name_the_file(tmp_path, weights):
    file = tmp_path / "model.safetensors"
    save_file({**weights, "embedder.weight": torch.zeros(1)}, file)
    with pytest.raises(InputError, match=starting_with(file, ": weight embedder.weight is unknown; base.source")):
        ldm.convert(file, tmp_path / "base")
    save_file(weights, file)
    with pytest.raises(InputError, match=starting_with(file, ": its text encoder knows 300 tokens")):
        ldm.convert(file, tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_another_noise_schedule_is_an_error():
    schedule = noise_schedule("epsilon")
    roots = np.linspace(0.00085**0.5, 0.012**0.5, 1000)
    trained = torch.from_numpy(np.cumprod(1 - roots**2))
    ldm.check_schedule({"alphas_cumprod": trained.half()}, schedule)
    linear = torch.from_numpy(np.cumprod(1 - np.linspace(0.00085, 0.012, 1000)))
    for other in (linear, trained[::2]):
        with pytest.raises(InputError, match="another noise schedule"):
            ldm.check_schedule({"alphas_cumprod": other}, schedule)


def taken(weights: dict, **said) -> int:
    statements = [ldm.Statement("somewhere", about, value) for about, value in said.items()]
    return ldm.build(weights, statements).text_encoder.config.num_hidden_layers


def test_layers_of_the_text_encoder_are_those_that_the_model_uses(weights):
    assert taken(weights) == 2 and taken(weights, layer="penultimate") == 2  # of three
    assert taken(weights, layer="last") == 3
    exported = {name: weight for name, weight in weights.items() if name != "cond_stage_model.model.text_projection"}
    with pytest.raises(InputError, match="text_projection is missing, without which nothing says whether"):
        taken(exported)
    of_clip = checkpoint(*small("1"))
    assert taken(of_clip) == 2 and taken(of_clip, skip=2) == 1
    with pytest.raises(InputError, match="hidden state of its text encoder is not known of CLIP"):
        taken(of_clip, skip=3)


@torch.no_grad()
def test_a_skipped_layer_leaves_the_last_norm():
    """Clip skip 2, as trainers have it: the hidden state before the last layer, then the final layer norm."""
    unet, vae, text = small("1")
    found = ldm.build(checkpoint(unet, vae, text), [ldm.Statement("file: ss_clip_skip", "skip", 2)]).text_encoder
    ids = torch.randint(0, 300, (2, 77), generator=torch.Generator().manual_seed(0))
    before_last = text(ids, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(found(ids).last_hidden_state, text.final_layer_norm(before_last))


@pytest.mark.parametrize(("layers", "expected"), [(24, 23), (23, 23), (22, None)])
def test_stable_diffusion_2_files_with_and_without_the_unused_layer(layers, expected):
    unet, vae, _ = full_size("2")
    with init_empty_weights():
        text = OpenClipText(49408, 1024, layers=layers, heads=16)
    of_file = checkpoint(unet, vae, text)
    for name in ("text_projection", "logit_scale") if layers == 23 else ():
        del of_file[f"cond_stage_model.model.{name}"]
    if expected is None:
        with pytest.raises(InputError, match="its text encoder has 22 layers, of which Stable Diffusion 2 has 24"):
            taken(of_file)
    else:
        assert taken(of_file) == expected
        assert taken(of_file, layer="penultimate") == expected
    if layers == 23:
        with pytest.raises(
            InputError, match="the last layer of its text encoder is declared to be used, and is missing"
        ):
            taken(of_file, layer="last")


@torch.no_grad()
@pytest.mark.parametrize("family", ["1", "2"])
def test_older_and_later_names_of_the_same_parts(tmp_path, family):
    originals = small(family)
    renamed = {}
    for name, weight in checkpoint(*originals).items():
        name = name.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.")
        name = name.replace("cond_stage_model.model.", "conditioner.embedders.0.model.")
        for old, new in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
            name = name.replace(f"mid.attn_1.{old}.", f"mid.attn_1.{new}.")
        renamed[name] = weight
    torch.save(renamed, tmp_path / "model.ckpt")
    assert_same_outputs(ldm.build(ldm_weights.read(tmp_path / "model.ckpt")), *originals)
    twice = {"cond_stage_model.transformer.encoder.a": torch.zeros(1)}
    torch.save(twice | {"cond_stage_model.transformer.text_model.encoder.a": torch.zeros(1)}, tmp_path / "twice.ckpt")
    with pytest.raises(InputError, match="is there twice"):
        ldm_weights.read(tmp_path / "twice.ckpt")
