import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from pydantic import ValidationError
from small_training import IDS, SETTINGS

from tradeoffs.attention.capture import TextOnImage, captured_cross_attention, token_heat_maps
from tradeoffs.config.schema import Config
from tradeoffs.errors import InputError
from tradeoffs.jobs.resuming import RunFolder
from tradeoffs.model.checkpoints import check_folder, load
from tradeoffs.model.padding import attended
from tradeoffs.model.text import CachedTextEncoder, TextEncoder, tokenize
from tradeoffs.model.training import Pairs, fine_tune
from tradeoffs.model.variants import model_of_variant, save_variant
from tradeoffs.randomness import normal
from tradeoffs.sampling import Sampler

TEXT = "left pleural effusion"
MASKED = Config().variants["learnable"].model_copy(update={"padding": "masked"}).model_dump(by_alias=True)


@pytest.fixture
def masked(tiny_model):
    return replace(tiny_model, padding_masked=True)


def prediction(model, context):
    return model.unet(normal((len(context), 4, 8, 8), "latents"), torch.tensor([500] * len(context)), context).sample


def test_the_context_is_zero_at_padding_alone(tiny_model, masked):
    tokens = tokenize(tiny_model.tokenizer, TEXT)
    here, there = (TextEncoder(*model.text_side)([TEXT]) for model in (tiny_model, masked))
    assert 0 < tokens.mask.sum() < len(tokens.mask)
    assert torch.equal(attended(there)[0], tokens.mask.bool()) and attended(here).all()
    assert torch.equal(there[0, tokens.mask.bool()], here[0, tokens.mask.bool()])
    assert torch.equal(CachedTextEncoder(*masked.text_side)([TEXT]), there)


@torch.no_grad()
def test_the_u_net_sees_a_text_as_if_it_had_no_padding(tiny_model, masked):
    tokens = tokenize(masked.tokenizer, TEXT)
    context = TextEncoder(*masked.text_side)([TEXT])
    cut = context[:, tokens.mask.bool()]
    with_mask = prediction(masked, context)
    torch.testing.assert_close(with_mask, prediction(masked, cut))  # nothing left to leave out
    assert not torch.allclose(with_mask, prediction(without_mask(masked), context))


def without_mask(model):
    model.unet.set_attn_processor(AttnProcessor2_0())
    return model


@torch.no_grad()
def test_heat_maps_come_from_the_same_attention_and_padding_has_none(masked):
    context = TextEncoder(*masked.text_side)([TEXT])
    plain, seen = prediction(masked, context), []
    with captured_cross_attention(masked.unet, lambda layer, maps: seen.append(maps)):
        torch.testing.assert_close(prediction(masked, context), plain)
    padding = tokenize(masked.tokenizer, TEXT).mask == 0
    assert seen and all((maps[..., padding] == 0).all() for maps in seen)
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(seen[0].shape[:-1]))
    (maps,) = token_heat_maps(masked, [TextOnImage("a", "a", TEXT, normal((4, 8, 8), "z"))], 0, 4, 2, 4)
    assert (maps.heat > 0).all()


def test_samples_are_drawn_with_the_mask(tiny_model):
    def image(model):
        return Sampler(model, "ddim", 64, seed=0, guidance=2.0, steps=2, precision="fp32").images([TEXT], ["a"])[0]

    attended_to = image(tiny_model)
    assert image(replace(tiny_model, padding_masked=True)).tobytes() != attended_to.tobytes()


def test_a_fine_tuned_folder_keeps_the_mask_and_so_does_what_starts_from_it(
    tiny_base, tiny_latents, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = model_of_variant(tiny_base, None, MASKED, 0)
    pairs = Pairs(IDS, lambda row, rng: TEXT)
    fine_tune(model, pairs, tiny_latents, True, replace(SETTINGS, steps=1), 0, RunFolder("run", "a"), lambda step: None)
    save_variant(model, tiny_base, None, MASKED, Path("saved"))
    again = load("saved")
    assert again.padding_masked and not load(tiny_base).padding_masked
    context = TextEncoder(*again.text_side)([TEXT])
    torch.testing.assert_close(prediction(again, context), prediction(model.to("cpu"), context))
    assert model_of_variant("saved", None, MASKED | {"padding": "attended"}, 0).padding_masked


def test_a_file_that_says_neither_is_refused(tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "base")
    (tmp_path / "base/text_encoder/padding.json").write_text('{"masked": "perhaps"}')
    with pytest.raises(InputError, match=r'padding.json: not {"masked": true}'):
        check_folder(tmp_path / "base")


def test_a_model_that_is_not_fine_tuned_has_no_padding_of_its_own():
    with pytest.raises(ValidationError, match="masked has no meaning for a model that is not fine-tuned"):
        Config(variants={"pretrained": {"finetune": False, "padding": "masked"}})
