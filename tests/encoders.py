"""Text encoders of every family, a few kB each with random weights, in the files that published ones have."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    MPNetConfig,
    MPNetForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
WORDPIECES = [
    *["left", "right", "mild", "acute", "edema", "pneumonia", "no", "pleural", "and", ".", ","],
    "e",
    "##ffusi",
    "##on",
]
WIDTH = 12
BERT_SIZES = {"hidden_size": WIDTH, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}


def _save_wordpiece(folder: Path, **options) -> int:
    """WordPiece as in BERT, lower-case; "effusion" is three pieces, unknown words are one."""
    backend = Tokenizer(models.WordPiece({t: i for i, t in enumerate(SPECIAL + WORDPIECES)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return _save(folder, backend, pad_token="[PAD]", unk_token="[UNK]", **options)


def _save_bytepairs(folder: Path, **options) -> int:
    """Byte-level pairs as in RoBERTa, whose tokens hold the space before them; the offsets here hold it too."""
    words = [f"{space}{word}" for space in ("", "Ġ") for word in ["left", "pleural", "effusion", "edema"]]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    merges = []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    backend = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    return _save(folder, backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **options)


def _save_unigram(folder: Path, **options) -> int:
    """SentencePiece's unigrams as in T5: no start token, and a token of its own for the space before some words."""
    words = ["▁left", "▁pleural", "▁", "effusi", "on", "▁edema", *"abcdefghijklmnopqrstuvwxyz.,"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((w, -2.0 if len(w) > 1 else -8.0) for w in words)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _save(folder, backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", **options)


def _save(folder: Path, backend: Tokenizer, **options) -> int:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **options)
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def save_bert(folder: Path) -> None:
    """With the head of its pre-training; the tokenizer names no limit, as many published ones."""
    size = _save_wordpiece(folder)
    BertForMaskedLM(BertConfig(vocab_size=size, max_position_embeddings=20, **BERT_SIZES)).save_pretrained(folder)


def save_cxr_bert(folder: Path) -> None:
    """As CXR-BERT is published: its configuration and tokenizer name classes in code of the folder's own."""
    save_bert(folder)
    _change(folder / "config.json", model_type="cxr-bert", projection_size=8, auto_map={"AutoModel": "code.Model"})
    _change(
        folder / "tokenizer_config.json",
        tokenizer_class="CXRBertTokenizer",
        auto_map={"AutoTokenizer": ["code.CXRBertTokenizer", None]},
    )
    (folder / "code.py").write_text("raise SystemExit('code of the folder was run')\n")
    weights = load_file(folder / "model.safetensors")
    weights |= {"cls_projection_head.dense_to_hidden.weight": torch.zeros(8, WIDTH)}
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def save_biomed_clip(folder: Path) -> None:
    """As BiomedCLIP is published: OpenCLIP's file, in which the text encoder is a BERT."""
    save_bert(folder)
    bert = {
        name: weight for name, weight in load_file(folder / "model.safetensors").items() if name.startswith("bert.")
    }
    weights = {f"text.transformer.{name.removeprefix('bert.')}": weight for name, weight in bert.items()}
    weights |= {"text.proj.0.weight": torch.zeros(4, WIDTH), "visual.trunk.cls_token": torch.zeros(1, 1, 4)}
    torch.save(weights | {"logit_scale": torch.ones(())}, folder / "open_clip_pytorch_model.bin")
    _change(folder / "config.json", model_cfg={"text_cfg": {"context_length": 256}})
    (folder / "config.json").rename(folder / "open_clip_config.json")
    (folder / "model.safetensors").unlink()


def _change(file: Path, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def save_roberta(folder: Path) -> None:
    size = _save_bytepairs(folder, model_max_length=512)
    config = RobertaConfig(vocab_size=size, max_position_embeddings=20, pad_token_id=1, **BERT_SIZES)
    RobertaForMaskedLM(config).save_pretrained(folder)


def save_mpnet(folder: Path) -> None:
    size = _save_wordpiece(folder)
    config = MPNetConfig(vocab_size=size, max_position_embeddings=20, pad_token_id=0, **BERT_SIZES)
    MPNetForMaskedLM(config).save_pretrained(folder)


def save_distilbert(folder: Path) -> None:
    size = _save_wordpiece(folder, model_max_length=16)
    config = DistilBertConfig(vocab_size=size, dim=WIDTH, hidden_dim=20, n_layers=2, n_heads=2)
    DistilBertForMaskedLM(config).save_pretrained(folder)


def save_t5(folder: Path) -> None:
    """With its decoder."""
    size = _save_unigram(folder)
    config = T5Config(vocab_size=size, d_model=WIDTH, d_kv=4, d_ff=20, num_layers=2, num_heads=2, pad_token_id=0)
    T5ForConditionalGeneration(config).save_pretrained(folder)


def save_clip(folder: Path) -> None:
    """With its image encoder."""
    size = _save_wordpiece(folder, model_max_length=16)
    text = {**BERT_SIZES, "vocab_size": size, "max_position_embeddings": 16, "eos_token_id": 2, "pad_token_id": 0}
    vision = {**BERT_SIZES, "image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)


SAVE: dict[str, Callable[[Path], None]] = {
    "bert": save_bert,
    "cxr_bert": save_cxr_bert,
    "biomed_clip": save_biomed_clip,
    "roberta": save_roberta,
    "mpnet": save_mpnet,
    "distilbert": save_distilbert,
    "t5": save_t5,
    "clip": save_clip,
}


def save_encoder(kind: str, folder: Path) -> Path:
    """Writes a text encoder of a kind, the same each time."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    SAVE[kind](folder)
    return folder


def add_weight(folder: Path, name: str) -> None:
    """Adds a weight that no network has."""
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {name: torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
