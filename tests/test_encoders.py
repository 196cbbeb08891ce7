import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionPipeline
from encoders import SAVE, WIDTH, add_weight, save_encoder
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.errors import InputError
from tradeoffs.evaluation.queries import token_weights
from tradeoffs.model.checkpoints import load, save_with, with_encoder
from tradeoffs.model.encoders import load_encoder
from tradeoffs.model.lora import adapters, merged, with_adapters
from tradeoffs.model.sources import materialise_encoder
from tradeoffs.model.text import CachedTextEncoder, TextEncoder, tokenize
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal
from tradeoffs.sampling import draw_samples, sample_list

TEXT = "Left  pleural effusion, edema."
KINDS = list(SAVE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    parent = tmp_path_factory.mktemp("encoders")
    return {kind: save_encoder(kind, parent / kind) for kind in KINDS}


@pytest.fixture
def with_kind(tiny_model, folders):
    return lambda kind: with_encoder(tiny_model, folders[kind], seed=0)


def pieces(folder, text):
    _, tokenizer = load_encoder(folder)
    tokenizer.model_max_length = 24
    return tokenize(tokenizer, text)


@pytest.mark.parametrize(
    ("kind", "longest"),
    # RoBERTa and MPNet count positions from the padding token's id on; T5 has no limit
    [
        ("bert", 20),
        ("cxr_bert", 20),
        ("biomed_clip", 20),
        ("roberta", 18),
        ("mpnet", 19),
        ("distilbert", 16),
        ("clip", 16),
        ("t5", 10**30),
    ],
)
@torch.no_grad()
def test_each_family_takes_texts_of_its_own_length(folders, kind, longest):
    network, tokenizer = load_encoder(folders[kind])
    assert tokenizer.model_max_length == pytest.approx(longest)
    tokenizer.model_max_length = min(24, tokenizer.model_max_length)
    context = TextEncoder(tokenizer, network)(["edema " * 40, TEXT, ""])
    assert context.shape == (3, tokenizer.model_max_length, WIDTH) and context.isfinite().all()
    assert not network.training and {module.p for module in network.modules() if hasattr(module, "p")} <= {0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_materialised_encoder_is_plain_and_gives_the_same(folders, kind, tmp_path):
    materialise_encoder("encoders.x.source", "folder", str(folders[kind]), None, tmp_path / "copy")
    files = {path.name for path in (tmp_path / "copy").iterdir()}
    assert files == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert (
        "auto_map"
        not in (tmp_path / "copy/config.json").read_text() + (tmp_path / "copy/tokenizer_config.json").read_text()
    )
    (network, tokenizer), (copied, its_tokenizer) = load_encoder(folders[kind]), load_encoder(tmp_path / "copy")
    assert all(torch.equal(w, copied.state_dict()[name]) for name, w in network.state_dict().items())
    assert its_tokenizer(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]


def test_a_package_and_a_repository_with_pickled_weights_are_sources(folders, tmp_path, monkeypatch):
    (tmp_path / "some_encoder").mkdir()
    (tmp_path / "some_encoder/__init__.py").touch()
    shutil.copytree(folders["bert"], tmp_path / "some_encoder/model")
    monkeypatch.syspath_prepend(tmp_path)
    materialise_encoder("encoders.x.source", "package", "package:some_encoder", None, tmp_path / "copy")
    assert load_encoder(tmp_path / "copy")[0].config.hidden_size == WIDTH
    asked = []

    def download(key, repository, revision, files, folder):
        asked.append((key, repository, revision, files))
        for pattern in files:
            for file in folders["cxr_bert"].glob(pattern):
                shutil.copy(file, folder)

    monkeypatch.setattr("tradeoffs.model.sources.download", download)
    materialise_encoder("encoders.x.source", "hub", "owner/name", "v1", tmp_path / "downloaded")
    assert [question[:3] for question in asked] == [("encoders.x.source", "owner/name", "v1")] * 2
    assert [("*.bin" in question[3], "*.py" in question[3]) for question in asked] == [(False, False), (True, False)]
    assert load_encoder(tmp_path / "downloaded")[0].config.model_type == "bert"


def test_strange_weights_and_other_kinds_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    add_weight(folder, "bert.encoder.layer.2.output.dense.bias")
    with pytest.raises(InputError, match="weights do not fit BertModel .1 missing, unexpected"):
        load_encoder(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(InputError, match="of the kind 'gpt2' is unknown; known: clip_text_model, clip, bert"):
        load_encoder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="no config.json"):
        load_encoder(folder)


def test_strange_weights_in_an_open_clip_file_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["biomed_clip"], tmp_path / "model")
    file = folder / "open_clip_pytorch_model.bin"
    weights = torch.load(file)
    torch.save(weights | {"text.transformer.more": torch.zeros(1)}, file)
    with pytest.raises(InputError, match=r"cannot be read as a BERT .*more"):
        load_encoder(folder)
    del weights["text.transformer.embeddings.word_embeddings.weight"]
    torch.save(weights, file)
    with pytest.raises(InputError, match=r"cannot be read as a BERT .*word_embeddings"):
        load_encoder(folder)
    file.unlink()
    with pytest.raises(InputError, match=r"has none of open_clip_model.safetensors, open_clip_pytorch_model.bin"):
        load_encoder(folder)


def test_open_clips_bert_is_the_bert_that_it_was(folders):
    """With one head: BERT's heads are 64 wide, this one is narrower."""
    network, tokenizer = load_encoder(folders["biomed_clip"])
    assert network.config.num_attention_heads == 1 and network.config.num_hidden_layers == 2
    original, _ = load_encoder(folders["bert"])
    assert all(torch.equal(weight, original.state_dict()[name]) for name, weight in network.state_dict().items())


def test_tokenizers_that_do_not_fit_are_refused(folders, tmp_path):
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    shutil.copy(folders["roberta"] / "tokenizer.json", folder)
    with pytest.raises(InputError, match="its tokenizer has 30. tokens, its text encoder knows 19"):
        load_encoder(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="no tokenizer can be read"):
        load_encoder(folder)


def test_a_tokenizer_without_offsets_is_refused(folders, monkeypatch):
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", False)
    with pytest.raises(InputError, match="does not tell where tokens stand in the text"):
        load_encoder(folders["bert"])


def test_an_old_bert_has_a_vocabulary_and_no_padding_token_named(folders, tmp_path):
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    _, expected = load_encoder(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_encoder(folder)[1].pad_token_id == 0
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n")
    assert load_encoder(folder)[1](TEXT)["input_ids"] == expected(TEXT)["input_ids"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bert", {"pleural": ["pleural"], "effusion": ["e", "##ffusi", "##on"], "left": ["left"]}),
        ("roberta", {"effusion": ["effusion"], "edema": ["edema"]}),
        ("t5", {"pleural": ["▁pleural"], "effusion": ["effusi", "on"], "edema": ["▁edema"]}),
    ],
)
def test_queries_find_the_tokens_of_a_word(tiny_model, folders, kind, words):
    """Whatever a tokenizer does with the space before a word, it is no part of the word."""
    model = with_encoder(tiny_model, folders[kind], seed=0)
    texts_on_images = [TextOnImage("q", "s", TEXT, normal((4, 8, 8), "latent"))]
    (maps,) = token_heat_maps(model, texts_on_images, seed=0, steps=2, keep=2, batch_size=2)
    assert maps.heat.shape == (len(maps.tokens), 8, 8) and maps.truncated_at == len(TEXT)
    for word, expected in words.items():
        weights, how = token_weights(maps, [word], CORRECTED)
        assert how == "matched"
        assert [token for token, weight in zip(maps.tokens, weights, strict=True) if weight] == expected


def test_positions_heed_the_start_token(folders):
    tokens = pieces(folders["bert"], "edema.")
    assert tokens.positions == [1, 2] and tokens.mask.tolist() == [1] * 4 + [0] * 20
    tokens = pieces(folders["t5"], "edema.")  # has none
    assert tokens.positions == [0, 1] and tokens.mask.tolist() == [1] * 3 + [0] * 21


def test_longer_texts_are_cut_where_the_tokens_end(folders):
    text = "left pleural " * 20
    for kind in ("bert", "t5"):
        tokens = pieces(folders[kind], text)
        assert tokens.truncated_at == tokens.spans[-1, 1] < len(text) and tokens.ids.shape == (24,)


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "distilbert", "t5"])
@torch.no_grad()
def test_padding_does_not_change_what_a_text_encoder_says_of_the_text(folders, kind):
    network, tokenizer = load_encoder(folders[kind])
    contexts = []
    for length in (12, 16):
        tokenizer.model_max_length = length
        contexts.append(TextEncoder(tokenizer, network)(["edema."])[0])
    used = int(tokenize(tokenizer, "edema.").mask.sum())
    assert torch.allclose(contexts[0][:used], contexts[1][:used], atol=1e-6)


def test_clip_reads_padding_as_in_stable_diffusion(tiny_base, tiny_model):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_base, local_files_only=True)
    expected, _ = pipeline.encode_prompt([TEXT], "cpu", 1, False)
    assert torch.equal(CachedTextEncoder(*tiny_model.text_side)([TEXT]), expected)


def test_a_projection_brings_every_other_encoder_to_the_unets_width(with_kind, tiny_model):
    model = with_kind("t5")
    context = CachedTextEncoder(*model.text_side)([TEXT, ""])
    assert context.shape == (2, 24, 16)  # the base's length and width
    assert context.requires_grad and not next(iter(model.networks["projection"].parameters())).grad
    again, other = with_kind("t5"), with_encoder(tiny_model, model.text_encoder.name_or_path, seed=1)
    assert torch.equal(model.projection.weight, again.projection.weight)
    assert not torch.equal(model.projection.weight, other.projection.weight)
    assert with_kind("bert").tokenizer.model_max_length == 20  # shorter than the base's


@pytest.mark.parametrize("kind", ["bert", "t5", "clip"])
def test_a_saved_model_keeps_its_encoder(tiny_base, with_kind, kind, tmp_path):
    model = with_kind(kind)
    save_with(
        tiny_base,
        tmp_path / "tuned",
        {"text_encoder": model.text_encoder, "tokenizer": model.tokenizer, "projection": model.projection},
    )
    again = load(tmp_path / "tuned")
    with torch.no_grad():
        assert torch.equal(CachedTextEncoder(*again.text_side)([TEXT]), CachedTextEncoder(*model.text_side)([TEXT]))
    index = json.loads((tmp_path / "tuned/model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", type(model.text_encoder).__name__]
    assert AutoTokenizer.from_pretrained(tmp_path / "tuned/tokenizer")(TEXT) == model.tokenizer(TEXT)

    rows = sample_list(pd.DataFrame({"prompt_id": ["x"], "text": [TEXT], "Finding Labels": [""]}), 0, 1)
    ((_, image),) = draw_samples(tmp_path / "tuned", rows, 0, 4.0, 2, "ddim", 1, 64)
    assert np.asarray(image).shape == (64, 64, 3)


def test_a_wrong_projection_is_refused(tiny_base, with_kind, tmp_path):
    model = with_kind("bert")
    parts = {"text_encoder": model.text_encoder, "tokenizer": model.tokenizer, "projection": model.projection}
    save_with(tiny_base, tmp_path / "tuned", parts)
    file = tmp_path / "tuned/text_encoder/projection.safetensors"
    right = load_file(file)
    for weights, message in (
        ({"weight": right["weight"]}, "not the projection of a text encoder"),
        (
            {"weight": torch.zeros(16, 5), "bias": right["bias"]},
            "takes a text encoder of width 5, its text encoder has 12",
        ),
        ({"weight": torch.zeros(5, WIDTH), "bias": torch.zeros(5)}, "its U-Net takes text of width 16, .* gives 5"),
    ):
        save_file(weights, file)
        with pytest.raises(InputError, match=message):
            load(tmp_path / "tuned")
    file.unlink()
    with pytest.raises(InputError, match="its U-Net takes text of width 16, its text encoder gives 12"):
        load(tmp_path / "tuned")


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_adapters_change_nothing_at_first_and_are_merged_into_the_weights(folders, kind):
    network, tokenizer = load_encoder(folders[kind])
    tokenizer.model_max_length = min(16, tokenizer.model_max_length)
    plain = TextEncoder(tokenizer, network)([TEXT])
    names = list(network.state_dict())
    adapted = with_adapters(network, rank=2, seed=0)
    assert torch.equal(TextEncoder(tokenizer, adapted)([TEXT]), plain)
    assert len(adapters(adapted)) == 2 * 2 * 2  # two layers, query and value, two factors
    for weight in adapters(adapted):
        weight += 0.3
    changed = TextEncoder(tokenizer, adapted)([TEXT])
    assert not torch.allclose(changed, plain, atol=1e-3)
    one = merged(adapted)
    assert list(one.state_dict()) == names and not adapters(one)
    torch.testing.assert_close(TextEncoder(tokenizer, one)([TEXT]), changed)
    assert torch.equal(TextEncoder(tokenizer, adapted)([TEXT]), changed)  # the one that learns is left as it is
    assert merged(one) is one


def test_jobs_run_with_the_hub_offline():
    code = "import tradeoffs; from huggingface_hub import constants as c; "
    code += "assert c.HF_HUB_OFFLINE and c.HF_HUB_DISABLE_TELEMETRY"
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_clip_with_open_clips_files_beside_is_read_from_its_own(folders, tmp_path):
    """As most of LAION's repositories are."""
    folder = shutil.copytree(folders["clip"], tmp_path / "clip")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {"text_cfg": {"width": WIDTH, "layers": 2}}})
    )
    torch.save({"token_embedding.weight": torch.zeros(5, WIDTH)}, folder / "open_clip_pytorch_model.bin")
    found, expected = load_encoder(folder)[0], load_encoder(folders["clip"])[0]
    assert all(torch.equal(weight, found.state_dict()[name]) for name, weight in expected.state_dict().items())
    # without transformers' files it is said what the others are
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="its text encoder is OpenCLIP's own, of whose files only those with a BERT"):
        load_encoder(folder)


def test_an_open_clip_with_a_bert_and_a_config_of_its_own_kind_is_read(folders, tmp_path):
    folder = shutil.copytree(folders["biomed_clip"], tmp_path / "clip")
    (folder / "config.json").write_text("{}")  # some repositories have one for the hub's counter of downloads
    assert load_encoder(folder)[0].config.model_type == "bert"


def test_names_of_older_clip_configurations_and_bert_weights(folders, tmp_path):
    folder = shutil.copytree(folders["clip"], tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    config["text_config_dict"] = config.pop("text_config")
    (folder / "config.json").write_text(json.dumps(config | {"text_config": None}))
    assert load_encoder(folder)[0].config.hidden_size == WIDTH
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    weights = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): weight
        for name, weight in load_file(folder / "model.safetensors").items()
    }
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    found, expected = load_encoder(folder)[0], load_encoder(folders["bert"])[0]
    assert all(torch.equal(weight, found.state_dict()[name]) for name, weight in expected.state_dict().items())
